"""``python -m train audit``: repeats, leaks between parts, conflicting labels, blank pictures and class balance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from train.datasets import DATASETS, PROTOCOLS, apply_protocol, load

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from train.datasets.audit import Audit


@click.command()
@click.option("--dataset", required=True, type=click.Choice(sorted(DATASETS)))
@click.option("--data", type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--protocol", default="official", show_default=True, type=click.Choice(PROTOCOLS))
@click.option(
    "--distance",
    default=4,
    show_default=True,
    type=click.IntRange(0, 16),
    help="Bits of 64 in which the perceptual hashes of near pictures may differ.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write every finding, with its rows.")
@click.option("--sheet", type=click.Path(path_type=Path), help="Also write near pairs as one picture (.png).")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def audit(
    dataset: str,
    data: Path | None,
    protocol: str,
    distance: int,
    json_file: Path | None,
    sheet: Path | None,
    quiet: bool,
) -> None:
    """Look for repeats, leaks, label conflicts and blank pictures in a data set."""
    import json

    from rich.console import Console

    from edge.files import write_atomically
    from train.datasets.audit import audit as find

    loaded = apply_protocol(load(dataset, data, progress=not quiet), protocol)
    result = find(loaded, distance, progress=not quiet)
    console = Console(soft_wrap=True, highlight=False)
    for note in result.notes:
        console.print(note, markup=False)
    show(result, console)
    if json_file is not None:
        write_atomically(json_file, json.dumps(result.to_json(), ensure_ascii=False) + "\n")
        console.print(f"every finding with its rows in {json_file}", markup=False)
    if sheet is not None:
        from train.datasets.audit import contact_sheet

        shown = contact_sheet(loaded, result, sheet)
        console.print(f"{shown} of {result.near_pairs:,} near pairs in {sheet}", markup=False)


def show(result: Audit, console: Console) -> None:
    """Print the findings as tables and sentences."""
    console.print(_balance(result))
    names = tuple(result.counts)
    console.print(_matrix("pixel by pixel", result.shared, names))
    console.print(_matrix(f"pixel by pixel or within {result.distance} bits", result.near_shared, names))
    console.print(f"{result.repeats:,} pictures repeat an earlier one exactly")
    for one, others in result.shared.items():
        for other, count in others.items():
            if one != other and count:
                console.print(f"{count:,} {one} pictures are also in {other}", markup=False)
    console.print(
        f"{len(result.conflicts):,} pictures carry conflicting labels "
        f"({sum(map(len, result.conflicts)):,} rows have them)"
    )
    console.print(
        f"{result.near_pairs:,} pairs of different pictures are within {result.distance} bits; "
        f"{result.near_conflicts:,} of them share no label"
    )
    console.print(f"{sum(map(len, result.blank.values())):,} pictures are blank")


def _balance(result: Audit) -> Table:
    from rich.table import Table

    names = tuple(result.counts)
    table = Table("class", *(f"{name}" for name in names), "all", "share", title=f"{result.dataset}, {result.protocol}")
    for column in table.columns[1:]:
        column.justify = "right"
    total = sum(sum(part.values()) for part in result.counts.values())
    for label in result.counts[names[0]]:
        counts = [result.counts[name][label] for name in names]
        table.add_row(label, *(f"{n:,}" for n in counts), f"{sum(counts):,}", f"{sum(counts) / total:.1%}")
    sums = [sum(result.counts[name].values()) for name in names]
    table.add_row("all", *(f"{n:,}" for n in sums), f"{total:,}", "100.0%")
    blank = [len(result.blank[name]) for name in names]
    table.add_row("blank", *(f"{n:,}" for n in blank), f"{sum(blank):,}", f"{sum(blank) / total:.1%}")
    return table


def _matrix(how: str, counts: Mapping[str, Mapping[str, int]], names: tuple[str, ...]) -> Table:
    from rich.table import Table

    table = Table("of", *(f"also in {name}" for name in names), title=f"pictures that recur, {how}")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in names:
        table.add_row(one, *(f"{counts[one][other]:,}" for other in names))
    return table
