"""`python -m benchmarks soak`: memory, file descriptors and threads of the stream over many frames."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click

from edge.cli import Failure, OneLineCommand, command_line
from edge.commands.options import record_target


@click.command(cls=OneLineCommand, short_help="Watch the stream's memory over many frames.")
@click.option("--frames", type=click.IntRange(50), default=100_000, show_default=True, help="Read one by one.")
@click.option("--slow-frames", type=click.IntRange(50), default=2_000, show_default=True, help="Read by a slow reader.")
@click.option("--slow-fps", type=click.FloatRange(1), default=100.0, show_default=True, help="Of its camera.")
@click.option("--slow-pause-ms", type=click.FloatRange(0), default=30.0, show_default=True, help="Of the slow reader.")
@click.option("--width", type=click.IntRange(64), default=160, show_default=True)
@click.option("--height", type=click.IntRange(64), default=120, show_default=True)
@click.option("--detect-every", type=click.IntRange(1), default=3, show_default=True)
@click.option("--detector", type=click.Choice(["auto", "yunet", "blazeface", "haar"]), default="haar")
@click.option("--model", metavar="FILE", help="Default: the model that ships.")
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), callback=record_target, help="Write the record here."
)
def soak(record: Path | None, **flags: Any) -> None:
    """Read drawn frames in a process of its own and judge whether memory stays flat; exit code 1 where it does not.

    A second leg puts a slow reader behind a live camera: at most one frame may wait. Killed, it leaves no record.
    """
    from benchmarks.runtime.record import write
    from benchmarks.runtime.soak import SoakConfig
    from benchmarks.runtime.soak import soak as run

    signal.signal(signal.SIGTERM, _end)
    shown: dict[str, int] = {}

    def tick(leg: str, done: int, total: int) -> None:
        if sys.stderr.isatty() and shown.get(leg) != 100 * done // total:
            shown[leg] = 100 * done // total
            click.echo(f"\r{leg}: {done:,} of {total:,} frames", nl=done == total, err=True)

    found = run(SoakConfig(**flags), command_line(), tick)
    for leg in found["legs"]:
        memory = leg["memory_mb"]
        low, high = memory["growth_ci95"]
        click.echo(
            f"{leg['name']}: {leg['frames']:,} frames in {leg['seconds']:.0f} s, {leg['dropped']:,} dropped, at most "
            f"{leg['waiting']} waiting; memory {memory['median']:.1f} MB, within ± {memory['deviation']:.2f} MB, "
            f"growth {memory['growth']:+.2f} MB ({low:+.2f} to {high:+.2f}): "
            f"{'; '.join(leg['wrong']) or leg['verdict']}"
        )
    if record is not None:
        write(record, found)
        click.echo(f"wrote {record}", err=True)
    if found["verdict"] != "flat":
        raise Failure("expected memory, descriptors, threads and waiting frames to stay flat; got otherwise, see above")


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)  # the stack unwinds: the child is ended, no record is written
