"""The plots of a conversion's report as inline SVG: one function a plot, each from the reports alone.

``convert.reporting.page`` puts them into its page. Text and axes are drawn in ``currentColor``, so that the page's own
colours, light or dark, apply; a plot whose figures are in no report is None.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convert.reporting.tables import rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Report = Mapping[str, Any]
WIDTH_INCHES = 4.8
PANEL_INCHES = 2.5
BAR_INCHES = 0.24
BARS = 20
EXACT_DB = 90.0
HASH_SALT = "fer-edge"
# Okabe & Ito 2008 without yellow and black: told apart by colour-blind readers, visible on white and on black.
COLOURS = ("#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#009e73", "#cc79a7")
MARKERS = ("o", "D", "v", "^", "s", "X")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), "-", (0, (2, 1)))
_METADATA = ("Creator", "Date", "Format", "Type")  # left out: it would name addresses
INK = "#010203"  # stands for the page's text colour until the SVG is written
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": HASH_SALT,
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


class Look(NamedTuple):
    """How one recipe is drawn in every plot."""

    colour: str
    marker: str
    dash: Any


def looks(reports: Sequence[Report]) -> dict[str, Look]:
    """A look for each recipe, by its place among the reports."""
    return {
        report["recipe"]: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for i, report in enumerate(reports)
    }


def tradeoff(reports: Sequence[Report], part: str) -> str | None:
    """Accuracy, with its 95 % interval, against median latency."""
    look = looks(reports)
    rows = [(report, latency_of(report)) for report in reports if part in report.get("parts", {})]
    known = [(report, latency) for report, latency in rows if latency is not None]
    if not known:
        return None

    def draw(axes: Sequence[Axes]) -> None:
        for report, row in known:
            figures, latency, name = report["parts"][part]["file"], row["latency_ms"], report["recipe"]
            accuracy, (low, high) = 100 * figures["accuracy"], figures["ci95"]
            axes[0].errorbar(
                latency["p50"],
                accuracy,
                yerr=[[max(accuracy - 100 * low, 0.0)], [max(100 * high - accuracy, 0.0)]],
                fmt=look[name].marker,
                color=look[name].colour,
                markersize=8,
                elinewidth=1.2,
                label=name,
            )
        log_ms_axis(axes[0], [row["latency_ms"]["p50"] for _, row in known])
        axes[0].set_ylabel(f"accuracy on {part}, %")
        legend(axes[0])

    return svg(draw, [1.5 * PANEL_INCHES])


def latencies(reports: Sequence[Report]) -> str | None:
    """The distribution of each recipe's samples: box from p25 to p75, whiskers from p1 to p99, the median as a line."""
    look = looks(reports)
    known = [(report["recipe"], row) for report in reports if (row := latency_of(report)) is not None]
    if not known:
        return None

    def draw(axes: Sequence[Axes]) -> None:
        ends = []
        for place, (name, row) in enumerate(reversed(known)):
            p1, p25, p50, p75, p99 = np.percentile(row["samples_ms"], [1, 25, 50, 75, 99])
            ends += [p1, p99]
            colour = look[name].colour
            axes[0].plot([p1, p99], [place, place], color=colour, linewidth=1.5)
            axes[0].barh(place, p75 - p25, left=p25, height=0.5, color=colour, alpha=0.45, edgecolor=colour)
            axes[0].plot([p50, p50], [place - 0.3, place + 0.3], color=INK, linewidth=2)
        axes[0].set_yticks(range(len(known)), [name for name, _ in reversed(known)])
        axes[0].set_ylim(-0.6, len(known) - 0.4)
        log_ms_axis(axes[0], ends)

    return svg(draw, [0.9 + 0.4 * len(known)])


def class_changes(reports: Sequence[Report], part: str) -> str | None:
    """Change of each class's F1 against the float network, in points, a row a class; without files that change none."""
    look = looks(reports)
    changes = {r["recipe"]: r.get("parts", {}).get(part, {}).get("per_class_f1_change_points") for r in reports}
    known = {recipe: change for recipe, change in changes.items() if change and any(change.values())}
    if not known:
        return None
    names = list(next(iter(known.values())))

    def draw(axes: Sequence[Axes]) -> None:
        step = 0.7 / len(known)
        for row in range(0, len(names), 2):
            axes[0].axhspan(row - 0.5, row + 0.5, color="#808080", alpha=0.12, linewidth=0)
        axes[0].axvline(0, color=INK, linewidth=1)
        for place, (recipe, values) in enumerate(known.items()):
            style, rows = look[recipe], np.arange(len(names)) + (place - (len(known) - 1) / 2) * step
            axes[0].scatter(
                [values[name] for name in names],
                rows,
                s=26,
                marker=style.marker,
                color=style.colour,
                label=recipe,
            )
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        axes[0].set_xlabel("change of F1, points (right is better)")
        legend(axes[0])

    return svg(draw, [1.3 + 0.42 * len(names)])


def layer_curve(reports: Sequence[Report], key: str) -> str | None:
    """A layer's signal-to-quantization-noise ratio along the depth, a line a recipe.

    Args:
        reports: Those without layers are left out.
        key: "sqnr_db" (what has come together up to a layer) or "own_sqnr_db" (the layer alone). Layers above
            ``EXACT_DB`` are float ones, exact but for rounding, and would squeeze the others; they are gaps.
    """
    look = looks(reports)
    known = [report for report in reports if any(row.get(key) is not None for row in rows_of(report.get("layers")))]
    if not known:
        return None

    def draw(axes: Sequence[Axes]) -> None:
        for report in known:
            style, values = look[report["recipe"]], [row.get(key) for row in rows_of(report["layers"])]
            axes[0].plot(
                range(1, len(values) + 1),
                [np.nan if value is None or value > EXACT_DB else value for value in values],
                color=style.colour,
                linestyle=style.dash,
                linewidth=1.4,
                label=report["recipe"],
            )
        axes[0].set_ylabel("SQNR, dB")
        axes[0].grid(axis="y", alpha=0.25)
        axes[0].set_xlabel("layer, from the picture to the logits")
        legend(axes[0])

    return svg(draw, [1.25 * PANEL_INCHES])


def sensitivity(report: Report) -> str | None:
    """The roundings that alone move the network's probabilities most; those of layers kept in float are hatched."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    rows = sorted(rows_of(report.get("sensitivity")), key=lambda row: row["divergence"], reverse=True)[:BARS]
    if not rows:
        return None
    kept = set(report.get("kept_in_float") or [])

    def draw(axes: Sequence[Axes]) -> None:
        colour = COLOURS[0]
        values = [row["divergence"] for row in rows]
        bars = axes[0].barh(range(len(rows)), values, color=colour, edgecolor=colour, height=0.7)
        for bar, row in zip(bars, rows, strict=True):
            if row["layer"] in kept:
                bar.set(facecolor="none", hatch="////")
        names = [" ".join([shortened(row["layer"], 26), row.get("what", "")]).strip() for row in rows]
        axes[0].set_yticks(range(len(rows)), names, fontsize=8.5)
        axes[0].set_ylim(len(rows) - 0.4, -0.6)
        axes[0].set_xlabel("divergence from the float network, nats")
        axes[0].xaxis.set_major_locator(MaxNLocator(4))
        axes[0].xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))

    return svg(draw, [0.9 + BAR_INCHES * len(rows)])


def history(report: Report) -> str | None:
    """Fine-tuning step by step: divergence, accuracy and loss where the history has them; the state kept is marked."""
    rows = (report.get("qat") or {}).get("history") or []
    titles = {"divergence": "divergence, nats", "accuracy": "accuracy, %", "loss": "loss"}
    keys = [key for key in titles if any(row.get(key) is not None for row in rows)]
    if not keys:
        return None
    best = report["qat"].get("best_step")

    def draw(axes: Sequence[Axes]) -> None:
        for panel, key in zip(axes, keys, strict=True):
            factor = 100 if key == "accuracy" else 1
            # The loss of step 0 is no loss: nothing was trained yet.
            points = [row for row in rows if row.get(key) is not None and not (key == "loss" and row["step"] == 0)]
            steps, values = [row["step"] for row in points], [factor * row[key] for row in points]
            panel.plot(steps, values, "o-", color=COLOURS[0], markersize=3.5, linewidth=1.4)
            for step, value in zip(steps, values, strict=True):
                if step == best:
                    panel.plot(
                        step, value, "s", color=COLOURS[3], markersize=8, clip_on=False, label=f"kept: step {best}"
                    )
            panel.set_ylabel(titles[key])
            panel.grid(axis="y", alpha=0.25)
            panel.set_xlim(left=-0.02 * rows[-1]["step"] - 1e-9)
        axes[-1].set_xlabel("step")
        if axes[-1].get_legend_handles_labels()[0]:
            legend(axes[-1])

    return svg(draw, [0.72 * PANEL_INCHES] * len(keys))


def latency_of(report: Report) -> Mapping[str, Any] | None:
    """The row of this recipe in its own side-by-side timing; None where it was not timed."""
    row: Mapping[str, Any] | None = (report.get("latency") or {}).get("recipes", {}).get(report["recipe"])
    return row


def shortened(name: str, length: int = 30) -> str:
    """A layer's name without its middle where it is long."""
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-length // 2 :]}"


def svg(draw: Callable[[Sequence[Axes]], None], heights: Sequence[float]) -> str:
    """One SVG element with a panel for each height in inches, one below the other.

    Args:
        draw: draws on the panels, with ``INK`` for the page's text colour.
        heights: in inches; the width is ``WIDTH_INCHES``, at which text can be read on a phone.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
        grid = figure.add_gridspec(len(heights), 1, height_ratios=list(heights))
        draw([figure.add_subplot(grid[row, 0]) for row in range(len(heights))])
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA))
    text = stream.getvalue().replace(INK, "currentColor")
    # Names such as axes_1 would occur once a plot; what is referred to has a hash for a name.
    return re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", text[text.index("<svg") :])


def log_ms_axis(axes: Axes, values_ms: Sequence[float]) -> None:
    """Make x logarithmic with plain numbers at its ticks: 1-2-5 over decades, more where the values lie close.

    Args:
        axes: a Matplotlib axes.
        values_ms: what is drawn, milliseconds, each above 0.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = min(values_ms), max(values_ms)
    if high < 1.5 * low:  # else there would be a tick or none
        middle = (low * high) ** 0.5
        low, high = middle / 1.5, middle * 1.5
    axes.set_xscale("log")
    axes.set_xlim(low / 1.15, high * 1.15)
    subs = (1.0, 2.0, 5.0) if high > 10 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
    axes.xaxis.set_major_locator(LogLocator(10, subs=subs))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("latency of one face, ms")
    axes.grid(axis="x", alpha=0.25)


def legend(axes: Axes) -> None:
    """Name what is drawn. Below the panel, so that it covers no point."""
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels)), fontsize=9)
