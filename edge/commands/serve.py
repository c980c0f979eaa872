"""`fer-edge serve`: a small local web page with the live picture, the faces' answers and the latency."""

from __future__ import annotations

import importlib.util
import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from edge.commands.streaming import (
    LAG,
    StreamConfig,
    accuracy,
    camera_options,
    check_files,
    load,
    meta_of,
    run,
    say,
    stream_options,
)
from edge.errors import EdgeError

if TYPE_CHECKING:
    from edge.recognizer import Recognizer
    from edge.sources import OnStatus, Source, Status
    from edge.streams.stream import StreamSettings
    from edge.web.guard import Guard


@dataclass(frozen=True)
class ServeConfig:
    """The flags of `fer-edge serve` beside those of a stream and a camera."""

    host: str
    port: int
    token: str | None
    allow_host: tuple[str, ...]
    viewers: int
    view_fps: float


@click.command(
    short_help="Show the faces before a camera on a local web page.",
    help=f"""Show the faces before a camera, or in a file, on a small local web page, until Ctrl-C.

    SOURCE is what `fer-edge camera` takes, or a video, a picture or a folder of pictures, which is played at its own
    speed, over and over; the pictures of a folder as frames of one film, --fps a second (25 without it). The page shows
    the live picture, the probabilities of each face, the latency of the last minute, and takes still pictures. Frames
    are encoded only while somebody watches, and written nowhere but to --out.

    The page is for this machine alone unless --host says otherwise; then a token is asked for, which is made and
    printed once in the page's address, unless --token or FER_EDGE_TOKEN gives one. All of it travels unencrypted.

    {LAG}

    Needs the extra: pip install 'fer-edge[serve]'.

    Exit code: 0 after Ctrl-C, SIGTERM, SIGHUP, --seconds or --max-frames.
    """,
)
@click.argument("source", default="0")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 or :: for all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on; 0: any free one."
)
@click.option("--token", envvar="FER_EDGE_TOKEN", help="Secret that viewers need: 16 or more of letters, digits, -._~.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="A further name by which viewers call this machine.")
@click.option("--viewers", type=click.IntRange(1, 50), default=4, show_default=True, help="Viewers at once.")
@click.option(
    "--view-fps",
    type=click.FloatRange(0.1, 60),
    default=15.0,
    show_default=True,
    help="Live pictures a second at most.",
)
@stream_options
@camera_options
def serve(
    source: str,
    host: str,
    port: int,
    token: str | None,
    allow_host: tuple[str, ...],
    viewers: int,
    view_fps: float,
    width: int | None,
    height: int | None,
    fps: float | None,
    seconds: float | None,
    **flags: Any,
) -> None:
    """Show the faces before a camera on a local web page."""
    if importlib.util.find_spec("aiohttp") is None:
        raise EdgeError("expected aiohttp for the web page; got no such package; run: pip install 'fer-edge[serve]'")
    from edge.sources import is_camera
    from edge.web.hub import Hub
    from edge.web.listening import listening_socket, url_of
    from edge.web.server import WebServer
    from edge.web.stills import Stills

    own = ServeConfig(host, port, token, allow_host, viewers, view_fps)
    config = StreamConfig(**flags)
    check_files(config, None if is_camera(source) else source)
    guard, made = _guard(own)
    with ExitStack() as stack:
        listener = stack.enter_context(listening_socket(own.host, own.port))
        hub = Hub()
        recognizer, settings = load(config)

        def tell(status: Status) -> None:
            say(status)
            hub.tell(status)

        opened = stack.enter_context(_open(source, width, height, fps, seconds, tell))
        about = _about(opened, recognizer, settings)
        stills = Stills(lambda: load(config)[0])
        stack.enter_context(WebServer(listener, guard, hub, stills, about, own.viewers, own.view_fps))
        address = url_of(listener, own.host) + (f"?token={guard.token}" if made else "")
        click.echo(f"open {address}", err=True)
        run(config, opened, recognizer, settings, hub)


def _guard(config: ServeConfig) -> tuple[Guard, bool]:
    """Return who is answered, and whether the token was made here."""
    import secrets
    import socket

    from edge.web.guard import Guard, checked_token, is_loopback, own_names

    local = is_loopback(config.host)
    made = not local and not config.token
    token = secrets.token_urlsafe(24) if made else checked_token(config.token) if config.token else None
    names = own_names(config.host, socket.gethostname(), config.allow_host)
    return Guard(names, any_address=not local, token=token), made


def _open(
    source: str, width: int | None, height: int | None, fps: float | None, seconds: float | None, tell: OnStatus
) -> Source:
    from edge.sources import is_camera, open_source
    from edge.sources.paced import Paced

    if is_camera(source):
        return open_source(source, width=width, height=height, fps=fps, seconds=seconds, on_status=tell)
    if width or height or seconds or (fps and not os.path.isdir(source)):
        raise click.UsageError(
            "--width, --height and --seconds are for cameras, --fps for cameras and folders of pictures; leave them "
            "out for a file"
        )
    return Paced(lambda told: open_source(source, fps=fps or None, on_status=told), tell)


def _about(source: Source, recognizer: Recognizer, settings: StreamSettings) -> dict[str, Any]:
    """Return what the page says that does not change."""
    from edge.notice import TEXT

    contract = recognizer.classifier.model.contract
    return {
        "about": meta_of(source, recognizer, settings),
        "accuracy": accuracy(contract),
        "notice": TEXT.removeprefix("note: "),
        "intended_use": contract.intended_use,
        "not_for": contract.not_for,
    }
