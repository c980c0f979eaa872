"""Words that messages, records and reports share."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 thread", "4 threads", "1,200 frames"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
