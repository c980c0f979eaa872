"""`fer-edge fetch`: downloads, each with a pinned sha256."""

from __future__ import annotations

import click

from edge.cli import OneLineGroup
from edge.commands.options import progress

_url_option = click.option(
    "--url", help="Fetch it from a mirror instead (http, https or file); the pinned sha256 still holds."
)
_timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=20.0,
    show_default=True,
    help="Seconds without an answer after which an address is given up.",
)


@click.group(cls=OneLineGroup, short_help="Download what the package may not ship, with a pinned sha256.")
def fetch() -> None:
    """Download what the package does not ship, with a pinned sha256, into the cache folder.

    The cache folder is $FER_EDGE_CACHE, else $XDG_CACHE_HOME/fer-edge, else ~/.cache/fer-edge.
    """


@fetch.command(short_help="YuNet, the better face detector (227 KiB, MIT).")
@_url_option
@_timeout_option
def yunet(url: str | None, timeout: float) -> None:
    """Download YuNet, the better face detector (227 KiB, MIT licence), from OpenCV Zoo."""
    from edge.fetch import YUNET_URLS, fetch_yunet

    with progress("YuNet") as tick:
        path = fetch_yunet((url,) if url else YUNET_URLS, progress=tick, timeout_s=timeout)
    click.echo(str(path))


@fetch.command(short_help="BlazeFace, the faster one for near faces (224 KiB, Apache-2.0).")
@_url_option
@_timeout_option
def blazeface(url: str | None, timeout: float) -> None:
    """Download BlazeFace short range, the faster detector for near faces (224 KiB, Apache-2.0), from MediaPipe.

    It finds faces wider than about an eighth of the picture's longer side; YuNet, fetched too, goes before it.
    """
    from edge.fetch import BLAZEFACE_URLS, fetch_blazeface

    with progress("BlazeFace") as tick:
        path = fetch_blazeface((url,) if url else BLAZEFACE_URLS, progress=tick, timeout_s=timeout)
    click.echo(str(path))
