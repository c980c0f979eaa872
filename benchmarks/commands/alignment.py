"""`python -m benchmarks alignment`: what turning faces upright by the eyes or by all points is worth."""

from __future__ import annotations

from pathlib import Path

import click

from edge.cli import OneLineCommand, command_line
from edge.commands.options import model_option, progress, record_target


@click.command(cls=OneLineCommand, short_help="Compare alignments by the eyes and by all points on FER2013.")
@click.option("--data", type=click.Path(path_type=Path), help="fer2013.csv, or the folder with train/ and test/.")
@click.option(
    "--detector-model",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="YuNet's or BlazeFace's file; several may be named. Default: both from where `fer-edge fetch` puts them.",
)
@model_option
@click.option(
    "--faces",
    "count",
    default=3589,
    show_default=True,
    type=click.IntRange(2),
    help="Of each part, at random; PublicTest has 3,589.",
)
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), callback=record_target, help="Write the record here."
)
def alignment(data: Path | None, files: tuple[Path, ...], model: str | None, count: int, record: Path | None) -> None:
    """Measure the template of points on FER2013's Training faces, and every alignment on its PublicTest faces."""
    from benchmarks.runtime.alignment import chosen, compare
    from benchmarks.runtime.record import write
    from edge.detectors import load_detector
    from edge.errors import DataError
    from edge.inference.interpreter import Classifier
    from edge.inference.modelfile import read_model
    from train.datasets import load

    detectors = [load_detector("auto", path) for path in files] or [load_detector("yunet"), load_detector("blazeface")]
    classifier = Classifier(read_model(model), 1)
    dataset = load("fer2013", data)
    if classifier.labels != dataset.labels:
        raise DataError(
            f"expected a model of {', '.join(dataset.labels)}; got {', '.join(classifier.labels)}; name another --model"
        )
    training, faces = (chosen(dataset.part(role), count) for role in ("train", "validation"))
    with progress("conditions") as tick:
        result = compare(training, faces, detectors, classifier, command_line(), tick)
    for row in result["rows"]:
        right, more = row["right"], row["points_over_auto"]
        click.echo(
            f"{row['detector']}, tilted {row['tilt_deg']} degrees, box off by {row['box_off']:.0%}: {row['found']:.1%} "
            f"found; right {right['none']:.1%} as they are, {right['eyes']:.1%} by the eyes, {right['auto']:.1%} auto, "
            f"{right['points']:.1%} by all points ({more['points']:+.1f} points over auto, {more['ci95'][0]:+.1f} to "
            f"{more['ci95'][1]:+.1f})"
        )
    if record is not None:
        write(record, result)
        click.echo(f"wrote {record}", err=True)
