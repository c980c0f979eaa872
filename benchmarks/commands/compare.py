"""`python -m benchmarks compare`: two records, and whether the new one is a regression."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.cli import Failure, OneLineCommand, one_line, printable
from edge.commands.options import json_option

if TYPE_CHECKING:
    from benchmarks.comparison.records import Comparison, Thresholds
    from benchmarks.comparison.verdict import Finding

_FILE = click.Path(path_type=Path, dir_okay=False)


class _Percent(click.FloatRange):
    """A finite number from 0 on: "nan" would let everything pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; click's usage error for anything else."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"expected a finite number; got {value}", param, ctx)
        return number


_PERCENT = _Percent(0)


@click.command(cls=OneLineCommand, short_help="Tell whether a record is a regression.")
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE, required=False)
@click.option(
    "--fail-above",
    type=_PERCENT,
    metavar="PERCENT",
    help="Let slower, larger or more instructions up to this pass.  [default: latency 5, size 1, instructions 1]",
)
@click.option("--points", type=_PERCENT, default=0.5, show_default=True, help="Points of accuracy that may be lost.")
@click.option("--across-machines", is_flag=True, help="Compare records of two machines all the same.")
@json_option
def compare(
    old: Path, new: Path | None, fail_above: float | None, points: float, across_machines: bool, as_json: bool
) -> None:
    """Tell whether NEW is a regression against OLD: latency, accuracy and size, or ARM instructions.

    With one record of interleaved pairs, its model is judged against the one that it ran in turns with. A loss counts
    where its whole 95 % interval lies past the threshold. Exit code 0: no regression; 1: a regression, or records that
    cannot be compared.
    """
    from benchmarks.comparison import records
    from benchmarks.comparison.verdict import NOT_COMPARABLE, REGRESSION, overall

    limits = _limits(fail_above, points)
    try:
        found = records.turns(old, limits) if new is None else records.compare(old, new, limits, across_machines)
    except records.NotComparableError as error:
        if as_json:
            click.echo(_json(NOT_COMPARABLE, None, one_line(error)))
        raise Failure(f"{NOT_COMPARABLE}: {one_line(error)}") from error
    verdict = overall(found.findings)
    if as_json:
        click.echo(_json(verdict, found))
    else:
        click.echo("\n".join(map(printable, _lines(found, verdict))))
    if verdict == REGRESSION:
        worse = [finding.what for finding in found.findings if finding.verdict == REGRESSION]
        raise Failure(f"regression: {', '.join(worse)}")


def _limits(fail_above: float | None, points: float) -> Thresholds:
    from benchmarks.comparison.records import Thresholds

    if fail_above is None:
        return Thresholds(points=points)
    return Thresholds(fail_above, fail_above, fail_above, points)


def _json(verdict: str, found: Comparison | None, reason: str | None = None) -> str:
    values: dict[str, Any] = {"schema": 1, "kind": "comparison", "verdict": verdict}
    if found is not None:
        values |= {"old": found.old, "new": found.new, "notes": list(found.notes)}
        values["findings"] = [finding.to_json() for finding in found.findings]
    return json.dumps(values if reason is None else values | {"reason": reason}, ensure_ascii=False, allow_nan=False)


def _lines(found: Comparison, verdict: str) -> list[str]:
    lines = [f"{found.old} -> {found.new}"]
    for finding in found.findings:
        lines += _finding(finding)
    return [*lines, *(f"note: {note}" for note in found.notes), f"verdict: {verdict}"]


def _finding(finding: Finding) -> list[str]:
    interval = ""
    if finding.low != finding.high:
        interval = f" (95 % interval {finding.low:+.2f} to {finding.high:+.2f})"
    loss = f"loss {finding.loss:+.2f} {finding.unit}{interval}"
    lines = [
        f"{finding.what}: {_number(finding.old)} -> {_number(finding.new)}, {loss}: {finding.verdict}",
        f"  {finding.method}; a plus is worse, up to {finding.threshold:g} {finding.unit} passes",
    ]
    if finding.hidden:
        remedy = "score more pictures" if finding.unit == "points" else "measure longer, or in turns (--against)"
        lines.append(f"  undecided: the interval reaches past the threshold; {remedy}")
    return lines


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
