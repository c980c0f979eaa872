"""`fer-edge video`: the faces in a video and their emotions over time."""

from __future__ import annotations

import os
from typing import Any

import click

from edge.commands.streaming import LAG, StreamConfig, check_files, load, run, say, stream_options


@click.command(
    short_help="Follow the faces in a video and say their emotions.",
    help=f"""Follow the faces in a video (or a picture, or a folder of pictures as one) and say their emotions.

    The pictures of a folder are taken as frames of one film: a face in the next one is the same person's, and its
    answer is averaged with those before. Pictures that have nothing to do with each other are for `fer-edge image`.

    Prints a line when a face appears, its answer changes, or it leaves; with --json a line of JSON a frame, after a
    first one about model and settings. Pictures are written nowhere but to --out.

    {LAG}

    Exit code: 0 at the end; 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP, as the result is then of a part of the
    video; files are complete up to the last frame read.
    """,
)
@click.argument("file")
@stream_options
@click.option(
    "--every", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Read each n-th frame only."
)
@click.pass_context
def video(context: click.Context, file: str, every: int, **flags: Any) -> None:
    """Follow the faces in a video and say their emotions."""
    from edge.sources import is_camera, open_source

    if is_camera(file):
        raise click.UsageError(f"expected a file; got the camera {file}; use `fer-edge camera {file}`")
    config = StreamConfig(**flags)
    check_files(config, file)
    if os.path.isdir(file):
        click.echo("note: frames of one film; to read each picture by itself: fer-edge image FOLDER", err=True)
    recognizer, settings = load(config)
    ended_by = run(config, open_source(file, every=every, on_status=say), recognizer, settings)
    context.exit(0 if ended_by is None else 128 + ended_by)
