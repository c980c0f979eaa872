"""Whether the picture beside a page is the one that its record draws: a page's figures are checked, and so are these.

Another machine may round a coordinate elsewhere, which changes its last digit and the names that matplotlib makes from
a shape's content. So texts and elements must be the same, and coordinates nearly.
"""

from __future__ import annotations

import re
from pathlib import Path

from edge.errors import DataError
from edge.files import write_atomically

TOLERANCE = 0.01  # of a coordinate, in the picture's units (1/72 inch)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NAMES = re.compile(r"\b[a-z][0-9a-f]{10}\b")  # of shapes, from their content
_TEXT = re.compile(r">([^<>]*\S[^<>]*)<")
_VERSION = re.compile(r"Matplotlib v[\w.+]+")


def settle_picture(path: Path, drawn: str, check: bool, command: str) -> None:
    """Write a picture, or only check that the one that is there shows the same.

    Args:
        path: of the SVG beside a page.
        drawn: what the record draws.
        check: change nothing.
        command: what writes it, for the error.

    Raises:
        DataError: with `check`, it is not there or shows something else.
        OutputError: it cannot be written.
    """
    if not check:
        write_atomically(path, drawn)
        return
    found = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
    if found is None or not shows_the_same(found, drawn):
        came = "none" if found is None else "another"
        raise DataError(f"{path}: expected the picture that its record draws; got {came}; run `{command}`")


def shows_the_same(one: str, other: str) -> bool:
    """Return whether two SVGs have the same texts and elements, and coordinates within the tolerance."""
    if one == other:
        return True
    first, second = (_NAMES.sub("name", _VERSION.sub("", text)) for text in (one, other))
    if _TEXT.findall(first) != _TEXT.findall(second) or _NUMBER.split(first) != _NUMBER.split(second):
        return False
    pairs = zip(_NUMBER.findall(first), _NUMBER.findall(second), strict=True)
    return all(abs(float(a) - float(b)) <= TOLERANCE for a, b in pairs)
