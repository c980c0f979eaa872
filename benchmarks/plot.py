"""How the report's plots look: colours, markers, and one SVG for a page or for a file.

Text and axes are drawn in `currentColor`, so that a page's own colours (light or dark) apply; `standalone` gives a file
its own ground.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from benchmarks.table import Row
from convert.reporting.plots import COLOURS, INK, legend, log_ms_axis, shortened, svg

__all__ = ["COLOURS", "INK", "MARKERS", "OTHER_MARKER", "legend", "log_ms_axis", "shortened", "svg"]
MARKERS: Mapping[str, str] = {
    "float32": "o",
    "float16": "D",
    "dynamic-int8": "v",
    "ptq-int8": "^",
    "qat-int8": "s",
}
OTHER_MARKER = "X"
LONGEST_NAME = 34
"""Characters of a model's name in a plot; the tables have it whole."""
_PAPER, _DARK_INK = "#ffffff", "#1d232b"
_LINES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (2, 1)))


class Look(NamedTuple):
    """How one name is drawn: a colour, and filled or hollow markers, so that twelve names can be told apart."""

    colour: str
    hollow: bool
    line: Any

    @property
    def face(self) -> str:
        """Return the marker's inner colour."""
        return "none" if self.hollow else self.colour


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name, in their order."""
    ordered = list(dict.fromkeys(names))
    return {
        name: Look(COLOURS[i % len(COLOURS)], (i // len(COLOURS)) % 2 == 1, _LINES[i % len(_LINES)])
        for i, name in enumerate(ordered)
    }


def panels(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows that have both an accuracy and a latency, grouped into those that may be compared."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        if row.accuracy and row.latency:
            groups.setdefault((row.setting, row.threads, row.accuracy.data), []).append(row)
    return list(groups.values())


def standalone(picture: str) -> str:
    """Return an SVG for a file of its own: dark ink on white, whatever page shows it."""
    start = picture.index(">") + 1
    ground = f'<rect width="100%" height="100%" fill="{_PAPER}"/>'
    return (picture[:start] + ground + picture[start:]).replace("currentColor", _DARK_INK)
