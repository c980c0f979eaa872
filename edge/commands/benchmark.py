"""`fer-edge benchmark`: figures of this machine, and their records; `latency` and `accuracy` have their own modules."""

from __future__ import annotations

from typing import Any, Literal

import click

from edge.cli import OneLineGroup, command_line, printable
from edge.commands.accuracy import accuracy
from edge.commands.latency import latency
from edge.commands.options import model_option, progress, record_option, threads_option
from edge.commands.records import heading, show_and_keep, spread, stability
from edge.commands.schema import schema


@click.group(cls=OneLineGroup, short_help="Measure latency, accuracy, frames and start-up on this machine.")
def benchmark() -> None:
    """Measure latency, accuracy, whole frames and start-up on this machine; --record keeps the figures."""


for _command in (latency, accuracy, schema):
    benchmark.add_command(_command)

_DETECTORS = click.Choice(["haar", "yunet", "blazeface"])


@benchmark.command(short_help="Measure whole frames, stage by stage.")
@model_option
@threads_option
@click.option("--detector", type=_DETECTORS, default="haar", show_default=True)
@click.option("--detector-model", metavar="FILE", help="YuNet's ONNX file or BlazeFace's TFLite file.")
@click.option("--detect-every", type=click.IntRange(1, 1000), default=3, show_default=True)
@click.option("--infer-every", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--picture", metavar="FILE", help="Shown by the drawn camera in place of its drawn face.")
@click.option("--width", type=click.IntRange(64, 8192), default=640, show_default=True, help="Of a frame, pixels.")
@click.option("--height", type=click.IntRange(64, 8192), default=480, show_default=True, help="Of a frame, pixels.")
@click.option(
    "--live",
    "live_fps",
    type=click.FloatRange(1, 1000),
    metavar="FPS",
    help="Decode in a capture thread at FPS frames a second and read the newest, as before a camera.  [default: decode "
    "and read in turn, as a video file]",
)
@click.option("--frames", type=click.IntRange(1, 1_000_000), default=600, show_default=True, help="Timed frames.")
@click.option("--warmup", type=click.IntRange(0, 100_000), default=30, show_default=True, help="Untimed frames first.")
@record_option
def pipeline(
    model: str | None,
    threads: int,
    detector: Literal["haar", "yunet", "blazeface"],
    detector_model: str | None,
    detect_every: int,
    infer_every: int,
    picture: str | None,
    width: int,
    height: int,
    live_fps: float | None,
    frames: int,
    warmup: int,
    record: str | None,
) -> None:
    """Measure whole frames of a drawn camera: decode, detect, crop, infer, and the rest; nothing is drawn or written.

    The overhead is the share of a frame's time that is neither detection nor inference; with --live of the reader's
    time, and the capture thread's CPU time is told beside it.
    """
    from edge.benchmarking.pipeline import drawn_frames, pipeline_record
    from edge.pictures.images import read_image
    from edge.recognizer import load
    from edge.streams.stream import StreamSettings
    from edge.system.machine import this_machine

    if frames < detect_every:
        raise click.UsageError(f"expected --frames of at least --detect-every ({detect_every}); got {frames}")
    recognizer = load(model, detector, detector_model, threads)
    pictures = drawn_frames(width, height, None if picture is None else read_image(picture))
    settings = StreamSettings(detect_every=detect_every, infer_every=infer_every)
    with progress("frames") as tick:
        result = pipeline_record(
            recognizer, settings, pictures, frames, warmup, command_line(), tick, this_machine(), live_fps
        )
    show_and_keep(_pipeline_text(result), record, result)


@benchmark.command(short_help="Measure commands from process start to exit.")
@click.option("--detector", type=_DETECTORS, default="haar", show_default=True)
@click.option("--picture", metavar="FILE", help="Picture to read; a drawn face without it.")
@click.option("--repeats", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Timed rounds.")
@record_option
def startup(
    detector: Literal["haar", "yunet", "blazeface"], picture: str | None, repeats: int, record: str | None
) -> None:
    """Measure `fer-edge --help` and `fer-edge image` as whole processes, in turns, files in the system's cache."""
    from edge.benchmarking.startup import startup_record
    from edge.system.machine import this_machine

    with progress("rounds") as tick:
        result = startup_record(repeats, detector, command_line(), picture, tick, this_machine())
    lines = [heading(result)]
    for entry in result["commands"]:
        seconds = entry["seconds"]
        lines.append(f"  {entry['name']}: median {seconds['median']:.2f} s, p90 {seconds['p90']:.2f} s")
    show_and_keep("\n".join(map(printable, [*lines, *stability(result)])), record, result)


def _pipeline_text(result: dict[str, Any]) -> str:
    frame, share = result["frame"], result["overhead"]
    low, high = share["ci95"]
    lines = [
        heading(result),
        f"  {result['frames']:,} frames of {frame['width']} x {frame['height']}, {result['faces_per_frame']:.2f} faces "
        f"each; {result['detector']} on one frame in {result['detect_every']}",
        f"  end to end: {spread(result['end_to_end_ms'])}",
        *(f"  {name}: {spread(times)}" for name, times in result["stages_ms"].items()),
        f"  neither detection nor inference: {share['share']:.1%} (95 % interval {low:.1%} to {high:.1%})",
        *_live_lines(result),
        *stability(result),
    ]
    return "\n".join(map(printable, lines))


def _live_lines(result: dict[str, Any]) -> list[str]:
    """Return what is told of the capture thread; nothing where decoding was part of the frame."""
    live = result.get("live")
    if live is None:
        return []
    cpu_ms = live["capture_cpu_ms"]
    return [
        f"  the reader was at work {live['busy_share']:.1%} of the time; {live['dropped']:,} of {live['captured']:,} "
        f"frames at {live['fps']:g} a second dropped",
        f"  capture thread: decode {spread(live['decode_ms'])}",
        f"  capture thread: CPU {cpu_ms / live['captured']:.3f} ms a frame, {cpu_ms / live['seconds'] / 1000:.1%} of a "
        f"core; with it, neither detection nor inference: {live['share_with_capture']:.1%}",
    ]
