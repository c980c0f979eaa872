"""`fer-edge fetch`: downloads, each with a pinned sha256."""

from __future__ import annotations

import click

from edge.cli import OneLineGroup
from edge.commands.options import progress


@click.group(cls=OneLineGroup, short_help="Download what the package may not ship, with a pinned sha256.")
def fetch() -> None:
    """Download what the package does not ship, with a pinned sha256, into the cache folder.

    The cache folder is $FER_EDGE_CACHE, else $XDG_CACHE_HOME/fer-edge, else ~/.cache/fer-edge.
    """


@fetch.command(short_help="YuNet, the better face detector (227 KiB, MIT).")
@click.option("--url", help="Fetch it from a mirror instead (http, https or file); the pinned sha256 still holds.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=20.0,
    show_default=True,
    help="Seconds without an answer after which an address is given up.",
)
def yunet(url: str | None, timeout: float) -> None:
    """Download YuNet, the better face detector (227 KiB, MIT licence), from OpenCV Zoo."""
    from edge.fetch import YUNET_URLS, fetch_yunet

    with progress("YuNet") as tick:
        path = fetch_yunet((url,) if url else YUNET_URLS, progress=tick, timeout_s=timeout)
    click.echo(str(path))
