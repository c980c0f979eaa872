"""`python -m benchmarks peers`: what a user would pick instead of our converter, measured beside it."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import click

from edge.cli import OneLineCommand, command_line
from edge.commands.options import record_target

_WIDTH_OF_A_PIPE = 280  # columns, when the output is no terminal
_PEERS = (
    "plain-float32", "plain-float32-batch1", "plain-dynamic-int8", "plain-int8", "plain-int8-batch1",
    "ai-edge-quantizer-int8", "ai-edge-quantizer-int8-batch1", "ai-edge-quantizer-int8-on-ours",
    "onnxruntime-float32", "onnxruntime-int8",
)  # fmt: skip


@click.command(cls=OneLineCommand, short_help="Compare our files with those of other converters.")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--dataset", required=True, help="Data set to calibrate and score on (see train).")
@click.option("--data", type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--part", default="validation", show_default=True, help="Part to score on.")
@click.option("--limit", type=click.IntRange(1), help="Score on N pictures of it, drawn by class.")
@click.option(
    "--exports", type=click.Path(path_type=Path, file_okay=False), help="Folder with our own NAME-RECIPE.tflite."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to keep the peers' files in; taken from there when nothing has changed.",
)
@click.option("--peer", "peers", multiple=True, type=click.Choice(_PEERS), help="Only this one; may be repeated.")
@click.option(
    "--quantizer-python",
    default=sys.executable,
    show_default="this one",
    metavar="PATH",
    help="The Python that has ai-edge-quantizer.",
)
@click.option(
    "--rival",
    "rivals",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Another network: a run folder, .keras or .tflite; may be repeated.",
)
@click.option(
    "--rival-range",
    default="0..255",
    show_default=True,
    type=click.Choice(("0..255", "0..1", "-1..1")),
    help="Of the pixels that rivals' .keras and foreign .tflite files take.",
)
@click.option("--name", help="Of the model; the run's or the file's name without it.")
@click.option("--protocol", help="Rows that count; the run's own without it.")
@click.option("--colour", default="auto", show_default=True, type=click.Choice(("auto", "grey", "rgb")))
@click.option("--calibration", default=1024, show_default=True, type=click.IntRange(1), help="Training pictures.")
@click.option("--pairs", "rounds", default=100, show_default=True, type=click.IntRange(1), help="Timed rounds.")
@click.option("--warmup", default=10, show_default=True, type=click.IntRange(0), help="Untimed rounds before them.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), callback=record_target, help="Write the record here."
)
@click.option("--quiet", is_flag=True, help="No progress; only the table.")
def peers(record: Path | None, quiet: bool, **flags: Any) -> None:
    """Convert MODEL (a run folder or a .keras file) as others do, and measure their files beside ours.

    Every round runs each file once, so that speeds are compared round by round. A peer that fails is shown as failed,
    one whose package is missing as not run.
    """
    from convert.__main__ import settle_frameworks

    settle_frameworks()
    from benchmarks.peers.config import PeersConfig
    from benchmarks.peers.record import write_peers
    from benchmarks.peers.study import run
    from benchmarks.peers.table import table
    from convert.reporting.progress import ConsoleProgress, Progress

    result = run(PeersConfig(**flags), command_line(), Progress() if quiet else ConsoleProgress())
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the table has signs that a terminal's encoding may lack
    console = Console()
    try:  # where the table or the record cannot be written, the other is
        (console if console.is_terminal else Console(width=_WIDTH_OF_A_PIPE)).print(table(result))
    finally:
        if record is not None:
            write_peers(record, result)
