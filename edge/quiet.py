"""Keeping native libraries' chatter (OpenCV's warnings, LiteRT's banners) off the user's terminal."""

from __future__ import annotations

import os
import sys


def silence_native_libraries() -> None:
    """Send what C and C++ libraries write on stderr to nowhere for the rest of this process; Python's stderr stays.

    Called once by the console command, before a thread or a library starts. With `FER_EDGE_DEBUG` set, or without an
    ordinary stderr, it does nothing.
    """
    if os.environ.get("FER_EDGE_DEBUG"):
        return
    try:
        number = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # no stderr, or one that is no file
        return
    if number != 2:
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(kept, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
