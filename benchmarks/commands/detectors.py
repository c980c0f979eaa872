"""`python -m benchmarks detectors`: what the Haar cascade finds and costs under several settings."""

from __future__ import annotations

from pathlib import Path

import click

from edge.cli import OneLineCommand, command_line
from edge.commands.options import progress, record_target


@click.command(cls=OneLineCommand, short_help="Compare settings of the Haar cascade on made scenes.")
@click.option("--dataset", default="fer2013", show_default=True, help="Whose faces are laid into the scenes.")
@click.option("--data", type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--part", default="PublicTest", show_default=True)
@click.option("--scenes", "count", default=200, show_default=True, type=click.IntRange(2))
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), callback=record_target, help="Write the record here."
)
def detectors(dataset: str, data: Path | None, part: str, count: int, record: Path | None) -> None:
    """Lay a data set's faces into photographs without faces and let each setting look for them, in turns."""
    from benchmarks.runtime.detectors import compare, scenes
    from benchmarks.runtime.record import write
    from edge.errors import DataError
    from train.datasets import load

    parts = load(dataset, data).parts
    if part not in parts:
        raise DataError(f"expected a part {' or '.join(parts)}; got {part}; choose with --part")
    made = scenes(parts[part].images, count)
    with progress("scenes") as tick:
        found = compare(made, command_line(), f"{dataset} {part}", tick)
    for row in found["settings"]:
        low, high = row["found_ci95"]
        click.echo(
            f"haar {row['scale_factor']}, {row['min_neighbours']}, {row['min_side_px']} px, {row['contrast']}: "
            f"{row['found']:.1%} found ({low:.1%} to {high:.1%}; {row['found_dark']:.1%} in the dark), "
            f"{row['false_per_scene']:.2f} false a scene, {row['scene_ms']['p50']:.1f} ms, "
            f"{row['times']['median']:.2f} times the default's"
        )
    if record is not None:
        write(record, found)
        click.echo(f"wrote {record}", err=True)
