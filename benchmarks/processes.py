"""This project's own commands as processes: with this Python, whatever `python` and `fer-edge` mean on the path."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def program(words: Sequence[str]) -> list[str]:
    """Return what to start for a command as a user types it.

    Args:
        words: of a `python …` or `fer-edge …` command.

    Raises:
        ValueError: another program.
    """
    if not words or words[0] not in ("python", "fer-edge"):
        raise ValueError(f"expected a command of python or fer-edge; got {' '.join(words[:1]) or 'none'}")
    rest = words[1:] if words[0] == "python" else ["-m", "edge", *words[1:]]
    return [sys.executable, *rest]


def environment() -> dict[str, str]:
    """Return the environment to start it in: quiet frameworks, no display, lines at once."""
    return {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"} | os.environ
