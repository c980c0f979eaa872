"""The one line that a user sees on first use: what this is, what it is not, and where the law draws a line."""

from __future__ import annotations

import os

import click

from edge.errors import EdgeError, OutputError
from edge.files import cache_dir, write_atomically

SILENCE = "FER_EDGE_NO_NOTICE"
MARKER = "notice-shown"
TEXT = (
    "note: fer-edge labels facial expressions, and an expression is not a feeling; inferring emotions at work or in "
    "education is prohibited in the European Union: see `fer-edge about`"
)


def first_use() -> None:
    """Print the notice on stderr, the first time on this account (a marker in the cache folder remembers it).

    `FER_EDGE_NO_NOTICE` set to anything but "" or "0" silences it. Never raises: where the marker cannot be written,
    the notice comes again.
    """
    if os.environ.get(SILENCE, "") not in ("", "0"):
        return
    try:
        marker = cache_dir() / MARKER
        if marker.exists():
            return
    except (OSError, EdgeError):  # EdgeError: an account without a home folder
        marker = None
    click.echo(TEXT, err=True)
    if marker is not None:
        try:
            write_atomically(marker, f"{TEXT}\n")
        except (OutputError, OSError):  # a read-only home is no reason to fail
            return
