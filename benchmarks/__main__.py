"""`python -m benchmarks`: reports over records, studies that write them, and the demo of the whole chain.

python -m benchmarks report results/ --out report
python -m benchmarks report benchmarks/results/ --readme README.md --check
python -m benchmarks peers runs/fer --dataset fer2013 --data fer2013.csv --exports exports --record peers.json
python -m benchmarks instructions exports/fer-qat-int8.tflite --record instructions.json
python -m benchmarks references --out references
python -m benchmarks costs benchmarks/results/conversion --page docs/conversion.md
python -m benchmarks tradeoff study.toml --data fer2013.csv --out study
python -m benchmarks pareto benchmarks/results/tradeoff --page docs/tradeoff.md
python -m benchmarks compare old.json new.json --fail-above 5
python -m benchmarks soak --frames 100000 --record soak.json
python -m benchmarks footprint --record footprint.json
python -m benchmarks faces --record faces.json
python -m benchmarks detectors --data fer2013.csv --record detectors.json
python -m benchmarks alignment --data fer2013.csv --record alignment.json
python -m benchmarks runtime benchmarks/results/runtime --page docs/runtime.md
python -m benchmarks runs benchmarks/results/training/runs --page docs/training-log.md
python -m benchmarks robustness --model float32.tflite --model int8.tflite --data private.npz --record robustness.json
python -m benchmarks distorted benchmarks/results/robustness --page docs/robustness.md
python -m benchmarks demo
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.commands.alignment import alignment
from benchmarks.commands.compare import compare
from benchmarks.commands.detectors import detectors
from benchmarks.commands.faces import faces
from benchmarks.commands.footprint import footprint
from benchmarks.commands.instructions import instructions, references
from benchmarks.commands.pages import costs, runs, runtime
from benchmarks.commands.peers import peers
from benchmarks.commands.robustness import distorted, robustness
from benchmarks.commands.soak import soak
from benchmarks.commands.tradeoff import pareto, tradeoff
from edge.cli import OneLineGroup
from edge.files import write_atomically

if TYPE_CHECKING:
    from benchmarks.measures import Evidence
    from benchmarks.table import Table

_WIDTH_OF_A_PIPE = 150  # columns, when the output is no terminal


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Accuracy against latency and what running costs, from records; studies that write further ones."""


@main.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for report.md and report.html.")
@click.option("--readme", type=click.Path(path_type=Path, dir_okay=False), help="README whose block to rewrite.")
@click.option("--check", is_flag=True, help="With --readme: change nothing, fail if the block is out of date.")
def report(records: tuple[Path, ...], out: Path | None, readme: Path | None, check: bool) -> None:
    """Print the table of RECORDS (JSON files or folders of them) and write it as Markdown and HTML."""
    if check and readme is None:
        raise click.UsageError("--check needs --readme FILE")
    from benchmarks.evidence import read_evidence, record_files
    from benchmarks.table import build

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the table has signs that a terminal's encoding may lack
    sources = record_files(records)
    evidence = read_evidence(sources)
    table = build(evidence)
    _print(table)
    if out is not None:
        _write_pages(evidence, table, out, sources)
    if readme is not None:
        _write_block(table, readme, check)


@main.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True)
def demo(out: Path) -> None:
    """Train, convert, run and benchmark a small model on drawn faces; ends with the table and OUT/report.html."""
    from benchmarks.demo import run

    run(out)


for _command in (
    alignment, compare, costs, detectors, distorted, faces, footprint, instructions, pareto, peers, references,
    robustness, runs, runtime, soak, tradeoff,
):  # fmt: skip
    main.add_command(_command)


def _write_pages(evidence: Evidence, table: Table, out: Path, sources: list[Path]) -> None:
    from benchmarks.html import html_page
    from benchmarks.plot import standalone
    from benchmarks.report import PLOT_FOLDER, compose, markdown_page

    report = compose(evidence, table, sources)
    for plot in report.plots:
        write_atomically(out / PLOT_FOLDER / f"{plot.name}.svg", standalone(plot.svg))
    write_atomically(out / "report.md", markdown_page(report))
    write_atomically(out / "report.html", html_page(report))
    click.echo(f"wrote {out / 'report.md'} and {out / 'report.html'}")


def _write_block(table: Table, readme: Path, check: bool) -> None:
    from benchmarks.card import CARD_BEGIN, CARD_END, model_cards
    from benchmarks.report import markdown, settle_page, with_block

    text = readme.read_text(encoding="utf-8")
    wanted = with_block(text, markdown(table), str(readme))
    if CARD_BEGIN in text:
        from edge.inference.modelfile import SHIPPED, read_model, shipped_model_path

        models = {name: read_model(name) for name in SHIPPED if shipped_model_path(name).exists()}
        wanted = with_block(wanted, model_cards(table, models), str(readme), CARD_BEGIN, CARD_END)
    if settle_page(readme, text, wanted, check, "python -m benchmarks report RECORDS --readme"):
        click.echo(f"wrote the results into {readme}")


def _print(table: Table) -> None:
    """Print the table; what every row has in common becomes a line above it."""
    from rich.console import Console
    from rich.table import Table as Grid

    from benchmarks.table import HEADINGS, said_once

    width = None if Console().is_terminal else _WIDTH_OF_A_PIPE
    console = Console(width=width, markup=False, emoji=False, highlight=False)  # names are texts, whatever is in them
    if not table.rows:
        console.print("no accuracy or latency record among them")
        return
    common, headings, rows = said_once(HEADINGS, [row.cells() for row in table.rows])
    for text in common:
        console.print(text)
    grid = Grid(*headings)
    for cells in rows:
        grid.add_row(*cells)
    console.print(grid)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
