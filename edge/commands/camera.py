"""`fer-edge camera`: the faces before a camera and their emotions, for as long as it is left running."""

from __future__ import annotations

from typing import Any

import click

from edge.commands.streaming import LAG, StreamConfig, camera_options, check_files, load, run, say, stream_options


@click.command(
    short_help="Follow the faces before a camera and say their emotions.",
    help=f"""Follow the faces before a camera and say their emotions, until Ctrl-C.

    SOURCE is a camera's number or its path below /dev, picamera2 for a camera on a Raspberry Pi's ribbon cable
    (picamera2:1 for the second), or synthetic for a drawn face. The newest frame is read, older ones are skipped. A
    camera that is unplugged, stalls or delivers no pictures is reported once and tried again, after pauses of 0.5 to 30
    seconds, until it comes back.

    Prints a line when a face appears, its answer changes, or it leaves; with --json a line of JSON a frame, after a
    first one about model and settings. Pictures are written nowhere but to --out.

    {LAG}

    Exit code: 0 after Ctrl-C, SIGTERM, SIGHUP, --seconds or --max-frames; files are complete up to the last frame read.
    """,
)
@click.argument("source", default="0")
@stream_options
@camera_options
def camera(
    source: str, width: int | None, height: int | None, fps: float | None, seconds: float | None, **flags: Any
) -> None:
    """Follow the faces before a camera and say their emotions."""
    from edge.sources import is_camera, open_source

    if not is_camera(source):
        raise click.UsageError(f"expected a camera; got {source!r}; for a file use `fer-edge video`")
    config = StreamConfig(**flags)
    check_files(config)
    recognizer, settings = load(config)
    opened = open_source(source, width=width, height=height, fps=fps, seconds=seconds, on_status=say)
    run(config, opened, recognizer, settings)
