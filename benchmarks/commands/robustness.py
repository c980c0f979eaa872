"""`python -m benchmarks robustness` and `distorted`: models on distorted faces, and the page of their records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.cli import OneLineCommand, command_line, printable
from edge.commands.options import progress, record_target, threads_option

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = click.Path(path_type=Path, dir_okay=False)
_COMMAND = "python -m benchmarks distorted RECORDS --page"


@click.command(cls=OneLineCommand, short_help="Measure models on distorted faces.")
@click.option(
    "--model", "models", multiple=True, required=True, type=_FILE, metavar="FILE.tflite",
    help="May be repeated; the first, usually the float32 file, is what the others are held against.",
)  # fmt: skip
@click.option("--data", required=True, metavar="PACK.npz", help="A pack written by `python -m train pack`.")
@threads_option
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the noise.")
@click.option("--record", type=_FILE, metavar="FILE.json", callback=record_target, help="Write the record here.")
@click.option("--page", type=_FILE, help="Markdown file whose block to write from this record alone.")
def robustness(
    models: tuple[Path, ...], data: str, threads: int, seed: int, record: Path | None, page: Path | None
) -> None:
    """Measure models on faces under blur, noise, other light, JPEG, rotation, occlusion and low resolution.

    Each face is one inference, by the code of `fer-edge benchmark accuracy`. Every set of distorted faces is made once
    from the seed, its hash is in the record, and all models see it; differences are paired, face by face.
    """
    from benchmarks.robustness.record import measure, write
    from edge.inference.interpreter import Classifier
    from edge.inference.modelfile import read_model
    from edge.pictures.packs import read_pack
    from edge.system.machine import this_machine

    if page is not None:
        _need_marks(page)
    classifiers = [Classifier(read_model(path), threads) for path in models]
    pack = read_pack(data)
    with progress("answers") as tick:
        result = measure(classifiers, pack, data, command_line(), seed, tick, this_machine())
    try:  # where the lines or the record cannot be written, the other is
        click.echo("\n".join(map(printable, _lines(result))))
    finally:
        if record is not None:
            write(record, result)
            click.echo(f"wrote {record}", err=True)
    if page is not None:
        _settle([result], page, check=False)


@click.command(cls=OneLineCommand, short_help="Tell what distorted faces cost; a page from records.")
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--page", type=_FILE, help="Markdown file whose block to rewrite; pictures go beside it.")
@click.option("--check", is_flag=True, help="With --page: change nothing, fail if block or pictures are out of date.")
def distorted(records: tuple[Path, ...], page: Path | None, check: bool) -> None:
    """Print the tables of robustness RECORDS (JSON files or folders of them) as Markdown."""
    if check and page is None:
        raise click.UsageError("--check needs --page FILE")
    from benchmarks.evidence import record_files
    from benchmarks.robustness.page import check_pictures
    from benchmarks.robustness.record import read

    found = [(path, read(path)) for path in record_files(records)]
    check_pictures(found)
    _settle([record for _, record in found], page, check)


def _settle(records: Sequence[dict[str, Any]], page: Path | None, check: bool) -> None:
    """Print the block of the records, or put it into the page with the pictures beside it, or check the page."""
    from benchmarks.pictures import settle_picture
    from benchmarks.robustness.page import BEGIN, END, markdown, picture_name, shown_names
    from benchmarks.robustness.plot import Robustness, drawn
    from benchmarks.targets import show_or_settle

    block = markdown([(record, None if page is None else picture_name(record)) for record in records])
    if page is not None:
        _need_marks(page)
        for record in records:
            picture = drawn(Robustness.from_record(record, shown_names(record)))
            settle_picture(page.parent / picture_name(record), picture, check, f"{_COMMAND} {page}")
    show_or_settle(block, page, check, (BEGIN, END), _COMMAND)


def _need_marks(page: Path) -> None:
    """Raise DataError where a page has no place for the block: before minutes are spent on measuring it."""
    from benchmarks.report import with_block
    from benchmarks.robustness.page import BEGIN, END

    with_block(page.read_text(encoding="utf-8"), "", str(page), BEGIN, END)


def _lines(result: dict[str, Any]) -> list[str]:
    """Return what a terminal shows: a block for each model, a line for each condition."""
    from benchmarks.robustness.page import MEAN

    data = result["data"]
    width = max(len(text) for text in (*(each["text"] for each in result["conditions"]), MEAN))
    lines = [f"{data['name']} {data['part']}, {data['samples']:,} faces, seed {result['seed']}; differences in points"]
    for model in result["models"]:
        lines.append(f"{model['name']} ({model['recipe']}, {model['size_bytes']:,} bytes), {model['file']}")
        lines.append(f"  {'condition':<{width}} {'accuracy':>8} {'95 % interval':>18} {'lost':>7} {'drop':>7}  "
                     f"{'macro-F1':>8} {'ECE':>6} {'certain':>7}")  # fmt: skip
        for condition in result["conditions"]:
            found = model["results"][condition["name"]]
            low, high = found["accuracy_ci95"]
            lines.append(
                f"  {condition['text']:<{width}} {found['accuracy']:>8.2%} {f'{low:.2%} to {high:.2%}':>18} "
                f"{_points(found.get('lost'))} {_points(found.get('drop'))}  {found['macro_f1']:>8.4f} "
                f"{found['calibration']['ece']:>6.4f} {found['certain']['coverage']:>7.1%}"
            )
        mean = model["mean_over_kinds"]
        low, high = mean["accuracy_ci95"]
        lines.append(
            f"  {MEAN:<{width}} {mean['accuracy']:>8.2%} {f'{low:.2%} to {high:.2%}':>18} "
            f"{_points(None)} {_points(mean.get('drop'))}"
        )
    return lines


def _points(change: dict[str, Any] | None) -> str:
    return f"{'' if change is None else format(change['points'], '+.2f'):>7}"
