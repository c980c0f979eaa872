"""`python -m benchmarks tradeoff` and `pareto`: a study of accuracy against latency, and the page of its record."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.tradeoff.steps import STAGES
from edge.cli import Failure as Failed
from edge.cli import OneLineCommand, command_line
from edge.commands.options import record_target
from edge.errors import DataError
from edge.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.tradeoff.steps import Step

RECORD = "tradeoff.json"
_COMMAND = "python -m benchmarks pareto RECORDS --page"


@click.command(cls=OneLineCommand, short_help="Sweep backbones, sizes, recipes and threads.")
@click.argument("study", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--data", type=click.Path(path_type=Path), help="Where the study's data set lies (file or folder).")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of all products.")
@click.option("--stage", "stages", multiple=True, type=click.Choice(STAGES), help="Only this one; may be repeated.")
@click.option("--again", is_flag=True, help="Run steps of --stage that are done already, too.")
@click.option("--dry-run", is_flag=True, help="List the cells and the commands that are left; run nothing.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=record_target,
    help="Write the record here as well.",
)
def tradeoff(
    study: Path,
    data: Path | None,
    out: Path,
    stages: tuple[str, ...],
    again: bool,
    dry_run: bool,
    record: Path | None,
) -> None:
    """Train, convert and measure every cell of STUDY (a TOML file), one process after the other.

    Goes on where it stopped: a step whose products are there, made from the same files by the same command, is not
    run again. A step that fails is told, the others go on, and the exit code is 1. OUT/tradeoff.json holds the outcome,
    OUT/tradeoff.md and a plot beside it show it. Measure latency on an idle machine: --stage latency --again.
    """
    if again and not stages:
        raise click.UsageError("--again needs --stage: it runs everything of that stage anew")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the flags are checked by the commands' own modules
    from benchmarks.tradeoff.record import gather, write
    from benchmarks.tradeoff.runner import run_steps
    from benchmarks.tradeoff.steps import steps
    from benchmarks.tradeoff.study import read_study

    if data is not None and not data.exists():
        raise DataError(f"expected the data set at {data}; nothing is there; check --data")
    wanted = read_study(study)
    try:
        every = steps(wanted, data, out)
    except DataError as error:
        raise DataError(f"{study}: {error}") from error
    chosen = [step for step in every if not stages or step.stage in stages]
    if dry_run:
        _list(wanted, chosen, out)
        return
    with _ending_the_running_command():
        failures = run_steps(chosen, out, click.echo, again)
    result = gather(wanted, every, out, command_line(), failures)
    for path in (out / RECORD, *([record] if record else [])):
        write(path, result)
        click.echo(f"wrote {path}")
    _show(result, out)
    if failures:
        raise Failed(f"{len(failures)} of {len(chosen)} steps failed, the first: {failures[0].step}: "
                     f"{failures[0].reason}")  # fmt: skip


@click.command(cls=OneLineCommand, short_help="Tell a study's outcome; a page from its record.")
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Markdown file whose block to rewrite.")
@click.option("--check", is_flag=True, help="With --page: change nothing, fail if block or pictures are out of date.")
def pareto(records: tuple[Path, ...], page: Path | None, check: bool) -> None:
    """Print the tables of tradeoff RECORDS (JSON files or folders of them) as Markdown; plots go beside the page."""
    if check and page is None:
        raise click.UsageError("--check needs --page FILE")
    from benchmarks.evidence import record_files
    from benchmarks.pictures import settle_picture
    from benchmarks.targets import show_or_settle
    from benchmarks.tradeoff.page import BEGIN, END, markdown
    from benchmarks.tradeoff.plot import pictures
    from benchmarks.tradeoff.record import read

    blocks = []
    for record in [read(path) for path in record_files(records)]:
        drawn = {} if page is None else pictures(record)
        if page is not None:
            for name, picture in drawn.values():
                settle_picture(page.parent / name, picture, check, f"{_COMMAND} {page}")
        blocks.append(markdown(record, {threads: name for threads, (name, _) in drawn.items()}))
    show_or_settle("\n".join(blocks), page, check, (BEGIN, END), _COMMAND)


@contextmanager
def _ending_the_running_command() -> Iterator[None]:
    """Let a request to end (SIGTERM) unwind this process, so that the command that it runs is ended too."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _list(study: Any, chosen: Sequence[Step], out: Path) -> None:
    """Print the cells, and the commands of steps that are not done."""
    import shlex

    from benchmarks.tradeoff.ledger import Ledger
    from benchmarks.tradeoff.steps import cells

    found = cells(study, out)
    for cell in found:
        click.echo(f"{cell.network.name}  {cell.size} px  {cell.recipe}  {counted(cell.threads, 'thread')}")
    ledger = Ledger(out)
    left = [step for step in chosen if not ledger.is_done(step)]
    click.echo(f"{counted(len(found), 'cell')}; {len(left)} of {len(chosen)} steps are left")
    for step in left:
        click.echo(f"$ {shlex.join([*step.words, *(['--recipe', step.recipe] if step.recipe else [])])}")


def _show(result: dict[str, Any], out: Path) -> None:
    from benchmarks.tradeoff.page import markdown
    from benchmarks.tradeoff.plot import write_plots
    from edge.files import write_atomically

    block = markdown(result, write_plots(result, out))
    write_atomically(out / "tradeoff.md", f"# Accuracy against latency\n\n{block}")
    click.echo(f"wrote {out / 'tradeoff.md'}")
