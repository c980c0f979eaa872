"""Accuracy by condition, the models beside each other with their intervals: data first, then the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.plot import COLOURS, legend, standalone, svg
from benchmarks.robustness.distortions import CLEAN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = ("o", "s", "D", "^", "v", "X")
_ORDER = (0, 3, 4, 2, 5, 1)  # of the colours: neighbours far apart
_ROW_INCHES = 0.3
_STRIPE = "#808080"


@dataclass(frozen=True)
class Line:
    """One model: its accuracy and the ends of its interval under each condition, percent."""

    name: str
    accuracy: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Robustness:
    """The models' accuracies, by condition in the record's order.

    Attributes:
        conditions: what was done.
        kinds: of each condition.
        lines: one for each model.
    """

    conditions: tuple[str, ...]
    kinds: tuple[str, ...]
    lines: tuple[Line, ...]

    @staticmethod
    def from_record(record: Mapping[str, Any], names: Sequence[str]) -> Robustness:
        """Return the data of a robustness record; `names`: what its models are called."""
        keys = [each["name"] for each in record["conditions"]]
        lines = []
        for name, model in zip(names, record["models"], strict=True):
            results = [model["results"][key] for key in keys]
            ends = [[100 * result["accuracy_ci95"][end] for result in results] for end in (0, 1)]
            lines.append(
                Line(name, tuple(100 * result["accuracy"] for result in results), tuple(ends[0]), tuple(ends[1]))
            )
        texts = tuple(each["text"] for each in record["conditions"])
        return Robustness(texts, tuple(each["kind"] for each in record["conditions"]), tuple(lines))

    def plot(self, axes: Axes) -> None:
        """Draw a row for each condition, stripes behind every other kind, and a line where each model begins."""
        step = 0.6 / max(1, len(self.lines))
        for row, number in enumerate(_numbered(self.kinds)):
            if number % 2 == 0:
                axes.axhspan(row - 0.5, row + 0.5, color=_STRIPE, alpha=0.12, linewidth=0)
        for place, line in enumerate(self.lines):
            colour, marker = COLOURS[_ORDER[place % len(_ORDER)]], _MARKERS[place % len(_MARKERS)]
            rows = [row + (place - (len(self.lines) - 1) / 2) * step for row in range(len(self.conditions))]
            axes.hlines(rows, line.low, line.high, color=colour, linewidth=1.4)
            axes.plot(line.accuracy, rows, marker, color=colour, markersize=5, linestyle="none", label=line.name)
            if CLEAN.kind in self.kinds:
                clean = line.accuracy[self.kinds.index(CLEAN.kind)]
                axes.axvline(clean, color=colour, linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.6)
        axes.set_yticks(range(len(self.conditions)), self.conditions, fontsize=9)
        axes.set_ylim(len(self.conditions) - 0.5, -0.5)
        axes.set_xlabel("accuracy, %")
        axes.grid(axis="x", alpha=0.25)
        legend(axes)


def drawn(data: Robustness) -> str:
    """Return the picture as an SVG file of its own."""
    picture = svg(lambda axes: data.plot(axes[0]), [1.1 + _ROW_INCHES * len(data.conditions)])
    return standalone(picture) + "\n"


def _numbered(kinds: Sequence[str]) -> list[int]:
    """Return the number of each kind, counted in their order from 0."""
    order = list(dict.fromkeys(kinds))
    return [order.index(kind) for kind in kinds]
