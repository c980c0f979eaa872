"""The accuracy-against-latency plot: one panel for each machine, runtime, thread count and part of a data set.

The SVG draws text and axes in `currentColor`, so that a page's own colours (light or dark) apply to it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.table import Row, data_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_INCHES = (7.5, 5.2)
# Okabe & Ito 2008 without yellow and black: told apart by colour-blind readers, visible on white and on black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS: Mapping[str, str] = {
    "float32": "o",
    "float16": "D",
    "dynamic-int8": "v",
    "ptq-int8": "^",
    "qat-int8": "s",
}
OTHER_MARKER = "X"
LEGEND_COLUMNS = 3
_INK = "#010203"  # stands for the page's text colour until the SVG is written
_LOG_FROM_RATIO = 5.0


def panels(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows that have both an accuracy and a latency, grouped into those that may be compared."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        if row.accuracy and row.latency:
            groups.setdefault((row.setting, row.threads, row.accuracy.data), []).append(row)
    return list(groups.values())


def tradeoff_svg(rows: Iterable[Row]) -> str | None:
    """Return the plot as an SVG text, or None when no row has both an accuracy and a latency."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    groups = panels(rows)
    if not groups:
        return None
    names = sorted({row.model.name for group in groups for row in group})
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "fer-edge",
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }
    width, height = PANEL_INCHES
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height * len(groups)), layout="constrained")
        for index, group in enumerate(groups):
            draw(figure.add_subplot(len(groups), 1, index + 1), group, colours)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue().replace(_INK, "currentColor")
    return text[text.index("<svg") :]


def draw(axes: Axes, rows: Sequence[Row], colours: Mapping[str, str]) -> None:
    """Draw one panel: median latency (bar to p90) against accuracy, and below it a legend with every model's name.

    Args:
        axes: a Matplotlib axes to draw on.
        rows: rows with accuracy and latency of one setting and one part of a data set.
        colours: model name -> colour; the marker tells the recipe.

    Raises:
        ValueError: a row lacks its accuracy or its latency.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    for row in rows:
        if row.accuracy is None or row.latency is None:
            raise ValueError(f"expected rows with accuracy and latency; got {row.model.name} without one; use panels()")
        x, y = row.latency.p50, 100 * row.accuracy.accuracy
        colour = colours[row.model.name]
        axes.errorbar(
            x,
            y,
            xerr=[[0.0], [row.latency.p90 - x]],
            yerr=[[y - 100 * row.accuracy.low], [100 * row.accuracy.high - y]],
            fmt="none",
            color=colour,
            capsize=3,
            elinewidth=1.2,
        )
        marker = MARKERS.get(row.model.recipe, OTHER_MARKER)
        name = f"{row.model.name} {row.model.recipe}"
        axes.plot(x, y, marker=marker, markersize=8, color=colour, linestyle="none", label=name)
    first = rows[0]
    if first.accuracy is not None:
        axes.set_title(f"{data_text(first.accuracy.data)}\n{_short(first)}", fontsize=10)
    axes.set_xlabel("latency of one face, milliseconds (median, bar to p90)")
    axes.set_ylabel("accuracy, % (95 % interval)")
    times = [row.latency.p50 for row in rows if row.latency]
    if max(times) / min(times) >= _LOG_FROM_RATIO:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.25, y=0.15)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=LEGEND_COLUMNS, frameon=False, fontsize=9)


def _short(row: Row) -> str:
    threads = "1 thread" if row.threads == 1 else f"{row.threads} threads"
    return f"{row.setting.machine.partition(', Python')[0]} · {row.setting.runtime} · {threads}"
