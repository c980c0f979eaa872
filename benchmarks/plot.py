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

Label = tuple[float, float, str]  # milliseconds, accuracy in %, text
PANEL_INCHES = (7.5, 4.6)
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
_INK = "#010203"  # stands for the page's text colour until the SVG is written
_LOG_FROM_RATIO = 5.0
_CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))  # off the error bars, which run along the axes
_LABEL_OFFSETS_PT = tuple((right * 7, up * distance) for distance in (4, 14, 26, 40, 56) for right, up in _CORNERS)


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
        drawn = []
        for index, group in enumerate(groups):
            axes = figure.add_subplot(len(groups), 1, index + 1)
            drawn.append((axes, draw(axes, group, colours)))
        figure.draw_without_rendering()  # settles the layout that the labels are placed in
        for axes, labels in drawn:
            place_labels(axes, labels)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue().replace(_INK, "currentColor")
    return text[text.index("<svg") :]


def draw(axes: Axes, rows: Sequence[Row], colours: Mapping[str, str]) -> list[Label]:
    """Return each point's place and name after drawing one panel: median latency (bar to p90) against accuracy.

    Args:
        axes: a Matplotlib axes to draw on.
        rows: rows with accuracy and latency of one setting and one part of a data set.
        colours: model name -> colour; the marker tells the recipe.

    Raises:
        ValueError: a row lacks its accuracy or its latency.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    labels = []
    for row in rows:
        if row.accuracy is None or row.latency is None:
            raise ValueError(f"expected rows with accuracy and latency; got {row.model.name} without one; use panels()")
        x, y = row.latency.p50, 100 * row.accuracy.accuracy
        axes.errorbar(
            x,
            y,
            xerr=[[0.0], [row.latency.p90 - x]],
            yerr=[[y - 100 * row.accuracy.low], [100 * row.accuracy.high - y]],
            marker=MARKERS.get(row.model.recipe, OTHER_MARKER),
            markersize=8,
            color=colours[row.model.name],
            capsize=3,
            elinewidth=1.2,
        )
        labels.append((x, y, f"{row.model.name} {row.model.recipe}"))
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
    return labels


def place_labels(axes: Axes, labels: Sequence[Label]) -> None:
    """Write each label beside its point, at the first of the offsets where it covers no other label and no point."""
    points = [axes.transData.transform((x, y)) for x, y, _ in labels]
    taken: list[Any] = []
    for x, y, text in labels:
        for attempt, (right, up) in enumerate(_LABEL_OFFSETS_PT):
            label = axes.annotate(
                text,
                (x, y),
                xytext=(right, up),
                textcoords="offset points",
                ha="left" if right > 0 else "right",
                va="bottom" if up > 0 else "top",
                fontsize=9,
            )
            box = label.get_window_extent().expanded(1.02, 1.1)
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            free = not any(box.overlaps(other) for other in taken) and not any(box.contains(*at) for at in points)
            if (inside and free) or attempt == len(_LABEL_OFFSETS_PT) - 1:
                taken.append(box)
                break
            label.remove()


def _short(row: Row) -> str:
    threads = "1 thread" if row.threads == 1 else f"{row.threads} threads"
    return f"{row.setting.machine.partition(', Python')[0]} · {row.setting.runtime} · {threads}"
