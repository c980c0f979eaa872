"""Accuracy against latency of a study's cells, with the Pareto front drawn: data first, then the picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.plot import COLOURS, MARKERS, OTHER_MARKER, log_ms_axis
from benchmarks.tradeoff.page import fronts
from edge.files import write_atomically
from edge.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = (8.0, 5.6)
_INK = "#1d232b"


@dataclass(frozen=True)
class Point:
    """One cell: median milliseconds, accuracy and its 95 % interval in percent."""

    backbone: str
    size: int
    recipe: str
    p50_ms: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Tradeoff:
    """All cells of a study with one number of threads, and those on the front, fastest first."""

    title: str
    points: tuple[Point, ...]
    front: tuple[Point, ...]

    @staticmethod
    def from_record(record: Mapping[str, Any], threads: int) -> Tradeoff:
        """Return the data of a tradeoff record.

        Raises:
            ValueError: no cell of so many threads has both figures.
        """
        found = fronts(record)
        if threads not in found:
            raise ValueError(f"expected cells of {threads} threads with accuracy and latency; got none")
        whole = [
            cell
            for cell in record["cells"]
            if cell["threads"] == threads and cell["accuracy"] is not None and cell["latency_ms"] is not None
        ]
        study, machine = record["study"], record["latency"]["machine"]
        where = f"{machine['model']}, {counted(threads, 'thread')}"
        title = f"{study['dataset']} {study['part']}, {study['schedule']} schedule · {where}"
        return Tradeoff(title, tuple(map(_point, whole)), tuple(map(_point, found[threads])))

    def plot(self, axes: Axes) -> None:
        """Draw the points (colour: backbone, marker: recipe, hollow: the smallest size), the front and a legend."""
        names = list(dict.fromkeys(point.backbone for point in self.points))
        sizes = sorted({point.size for point in self.points})
        smallest, several = sizes[0], len(sizes) > 1
        if len(self.front) > 1:
            axes.step(
                [point.p50_ms for point in self.front],
                [point.accuracy for point in self.front],
                where="post", color=_INK, linewidth=1.2, linestyle="--", alpha=0.6, zorder=1,
            )  # fmt: skip
        for point in self.points:
            colour = COLOURS[names.index(point.backbone) % len(COLOURS)]
            hollow = point.size == smallest and several
            axes.plot(
                point.p50_ms, point.accuracy, marker=MARKERS.get(point.recipe, OTHER_MARKER), markersize=8,
                color=colour, markerfacecolor="white" if hollow else colour, linestyle="none", zorder=3,
            )  # fmt: skip
            axes.vlines(point.p50_ms, point.low, point.high, color=colour, linewidth=1, alpha=0.45, zorder=2)
            bold = "bold" if point in self.front else "normal"
            axes.annotate(
                str(point.size), (point.p50_ms, point.accuracy), xytext=(7, 4), textcoords="offset points", fontsize=8,
                color=colour, fontweight=bold,
            )  # fmt: skip
        _finish(axes, self, names, f"hollow: {smallest} px" if several else None)


def write_plots(record: Mapping[str, Any], folder: Path) -> dict[int, str]:
    """Write one SVG for each number of threads that has figures; return their names.

    Args:
        record: of kind tradeoff.
        folder: where they go.
    """
    found = pictures(record)
    for name, picture in found.values():
        write_atomically(folder / name, picture)
    return {threads: name for threads, (name, _) in found.items()}


def pictures(record: Mapping[str, Any]) -> dict[int, tuple[str, str]]:
    """Return for each number of threads that has figures the name and the content of its SVG."""
    return {
        threads: (f"tradeoff-{record['study']['name']}-{threads}.svg", _drawn(Tradeoff.from_record(record, threads)))
        for threads in fronts(record)
    }


def _drawn(data: Tradeoff) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "fer-edge", "font.family": "sans-serif", "font.size": 10}
    stream = io.StringIO()
    with mpl.rc_context(style):
        figure = Figure(figsize=INCHES, layout="constrained")
        data.plot(figure.add_subplot())
        figure.savefig(stream, format="svg", facecolor="white", metadata={"Date": None})
    return stream.getvalue()


def _finish(axes: Axes, data: Tradeoff, names: Sequence[str], hollow: str | None) -> None:
    """Set scales, texts and the legend."""
    from matplotlib.lines import Line2D

    log_ms_axis(axes, [point.p50_ms for point in data.points])
    axes.set_xlabel("latency of one face, milliseconds (median)")
    axes.set_ylabel("accuracy, % (bar: 95 % interval)")
    axes.set_title(data.title, fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.1)
    recipes = list(dict.fromkeys(point.recipe for point in data.points))
    handles = [
        Line2D([], [], marker="o", linestyle="none", color=COLOURS[i % len(COLOURS)], label=name)
        for i, name in enumerate(names)
    ]
    handles += [
        Line2D([], [], marker=MARKERS.get(name, OTHER_MARKER), linestyle="none", color=_INK, label=name)
        for name in recipes
    ]
    if hollow is not None:
        handles.append(Line2D([], [], marker="o", linestyle="none", color=_INK, markerfacecolor="white", label=hollow))
    handles.append(Line2D([], [], linestyle="--", color=_INK, alpha=0.6, label="Pareto front"))
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)


def _point(cell: Mapping[str, Any]) -> Point:
    low, high = cell["accuracy_ci95"]
    return Point(
        cell["backbone"], cell["size"], cell["recipe"], cell["latency_ms"]["p50"], 100 * cell["accuracy"], 100 * low,
        100 * high,
    )  # fmt: skip
