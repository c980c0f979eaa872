"""Plots of a run as PNG: learning curves, confusion matrices, reliability diagrams, two runs' F1 by class.

Drawn by Matplotlib without a display.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.files import atomic_path

DPI = 130
# Okabe & Ito 2008: told apart by colour-blind readers.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#6b7280"
MONITOR_LABELS = {"macro_f1": "macro-F1", "weighted_f1": "weighted F1", "accuracy": "accuracy"}
LOSS_LINES = (
    ("loss", "training (as optimized)", BLUE),
    ("val_loss", "validation (cross-entropy)", ORANGE),
)
SCORE_LINES = (
    ("accuracy", "training accuracy", BLUE),
    ("val_accuracy", "validation accuracy", ORANGE),
    ("val_macro_f1", "validation macro-F1", GREEN),
)
WEIGHTED_LINES = (("val_weighted_f1", "validation weighted F1", PURPLE),)
RATE_LINES = (("learning_rate", "learning rate", GREY),)
SPREAD_FOR_LOG = 20.0
PHASE_ROOM = 18  # points between panel and title, for the phases' names
MOST_MARKED_EPOCHS = 40
F1_MARGIN = 0.06
STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "0.35",
    "axes.labelcolor": "0.2",
    "xtick.color": "0.35",
    "ytick.color": "0.35",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 8.5,
}


def plot_history(
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    monitor: str = "macro_f1",
    ema: bool = False,
    title: str | None = None,
) -> None:
    """Write the learning curves over the epochs of all phases: loss, scores and learning rate, the best epoch marked.

    Args:
        rows: the history, one mapping an epoch with ``phase``, ``loss``, ``accuracy``, ``learning_rate`` and the
            ``val_…`` figures.
        path: PNG to write.
        monitor: the validation figure that picked the checkpoint: ``macro_f1``, ``weighted_f1`` or ``accuracy``.
        ema: the validation figures are those of the averaged weights.
        title: above the plot.
    """
    epochs = np.arange(1, len(rows) + 1)
    size = 3 if len(rows) <= MOST_MARKED_EPOCHS else 0
    with _style():
        figure, (loss_axes, score_axes, rate_axes) = _figure(1, 3, (14, 4.4), width_ratios=[1, 1.15, 0.8])
        scores = (*SCORE_LINES, *(WEIGHTED_LINES if monitor == "weighted_f1" else ()))
        for axes, lines in ((loss_axes, LOSS_LINES), (score_axes, scores), (rate_axes, RATE_LINES)):
            for key, label, colour in lines:
                name = f"{label}, averaged weights" if ema and key.startswith("val_") else label
                axes.plot(epochs, _column(rows, key), "-o", color=colour, markersize=size, linewidth=1.5, label=name)
        _draw_phases((loss_axes, score_axes, rate_axes), [str(row["phase"]) for row in rows])
        _mark_best(loss_axes, score_axes, rows, monitor)
        loss_axes.set_title("Loss", pad=PHASE_ROOM)
        score_axes.set_title("Scores", pad=PHASE_ROOM)
        rate_axes.set_title("Learning rate", pad=PHASE_ROOM)
        rates = _column(rows, "learning_rate")
        rates = rates[np.isfinite(rates) & (rates > 0)]
        if rates.size and rates.max() / rates.min() > SPREAD_FOR_LOG:
            rate_axes.set_yscale("log")
        loss_axes.legend(loc="upper right")
        score_axes.legend(loc="lower right")
        if title:
            figure.suptitle(title, fontsize=11)
        _save(figure, path)


def plot_confusion(confusion: Sequence[Sequence[int]], names: Sequence[str], title: str, path: Path) -> None:
    """Write a confusion matrix twice: the counts, and each row as shares of its true class.

    Args:
        confusion: counts ``(classes, classes)``; rows true, columns predicted.
        names: class names.
        title: above the plot.
        path: PNG to write.
    """
    counts = np.asarray(confusion)
    support = counts.sum(axis=1, keepdims=True)
    shares = np.where(support > 0, counts / np.maximum(support, 1), np.nan)
    side = max(5.2, 0.72 * len(names))
    with _style():
        figure, (left, right) = _figure(1, 2, (2 * side + 1.2, side))
        _draw_matrix(left, counts.astype(float), [[f"{n:,}" for n in row] for row in counts], counts.max() or 1)
        texts = [["–" if np.isnan(s) else f"{100 * s:.0f}" for s in row] for row in shares]
        drawn = _draw_matrix(right, shares, texts, 1.0)
        for axes, heading in ((left, "Samples"), (right, "Share of the true class, %")):
            axes.set_title(heading)
            axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
            axes.set_xlabel("predicted")
        left.set_yticks(range(len(names)), [f"{n}  ({s:,})" for n, s in zip(names, support[:, 0], strict=True)])
        right.set_yticks(range(len(names)), names)
        left.set_ylabel("true (samples)")
        bar = figure.colorbar(drawn, ax=right, fraction=0.046, pad=0.03, format=lambda v, _: f"{100 * v:.0f} %")
        bar.outline.set_visible(False)
        figure.suptitle(title, fontsize=11)
        _save(figure, path)


def plot_reliability(calibration: Mapping[str, Any], title: str, path: Path) -> None:
    """Write the reliability diagram: accuracy against confidence, before and after the temperature where there is one.

    Args:
        calibration: ``before`` and perhaps ``after`` (``count``, ``confidence`` and ``accuracy`` by bin), with
            ``ece_before``, ``ece_after`` and ``temperature``, as ``evaluate.evaluate_run`` gives them.
        title: above the plot.
        path: PNG to write.
    """
    panels = [(f"As trained: ECE {100 * calibration['ece_before']:.1f} %", calibration["before"])]
    if calibration.get("after"):
        heading = f"Temperature {calibration['temperature']:.2f}: ECE {100 * calibration['ece_after']:.1f} %"
        panels.append((heading, calibration["after"]))
    with _style():
        figure, grid = _figure(
            2, len(panels), (5.2 * len(panels), 6.0), sharex="col", height_ratios=[3.4, 1], squeeze=False
        )
        for column, (heading, bins) in enumerate(panels):
            _draw_reliability(grid[0][column], grid[1][column], bins)
            grid[0][column].set_title(heading)
        grid[0][0].set_ylabel("share that is right")
        grid[1][0].set_ylabel("samples")
        where = calibration.get("fitted_on")
        figure.suptitle(title + (f"\ntemperature fitted on {where}" if where else ""), fontsize=11)
        _save(figure, path)


def plot_comparison(comparison: Mapping[str, Any], path: Path) -> None:
    """Write two runs' F1 by class as dots joined by a line, most changed class on top.

    Args:
        comparison: what :func:`train.evaluation.comparison.compare_runs` returns.
        path: PNG to write.
    """
    first, second = comparison["runs"]
    changes = comparison["f1_change_points"]
    names = sorted(changes, key=lambda name: abs(changes[name]))
    scores = np.array([[run["figures"]["per_class"][name]["f1"] for name in names] for run in (first, second)])
    places = np.arange(len(names))
    with _style():
        figure, axes = _figure(1, 1, (8.6, 0.36 * len(names) + 2.2))
        better = scores[1] >= scores[0]
        axes.hlines(places, scores[0], scores[1], color=np.where(better, GREEN, ORANGE), linewidth=3, zorder=1)
        axes.scatter(scores[0], places, s=75, facecolor="white", edgecolor="0.3", linewidth=1.6, label=first["name"])
        axes.scatter(scores[1], places, s=42, color=BLUE, label=second["name"], zorder=3)
        beside = axes.get_yaxis_transform()
        for place, name in enumerate(names):
            axes.text(1.02, place, _signed(changes[name], 1), transform=beside, va="center", color="0.2")
        axes.text(1.02, len(names) - 0.45, "points", transform=beside, va="bottom", color="0.4", fontsize=8.5)
        axes.set_yticks(places, names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlim(max(0.0, scores.min() - F1_MARGIN), min(1.0, scores.max() + F1_MARGIN))
        axes.set_xlabel("F1")
        low, high = comparison["difference_ci95"]
        axes.set_title(
            f"{second['name']} against {first['name']} on {comparison['dataset']} {comparison['part']}: accuracy "
            f"{_signed(comparison['difference_points'], 2)} points\n({_signed(low, 2)} to {_signed(high, 2)}), "
            f"McNemar p = {comparison['p_value']:.2g}",
        )
        axes.grid(axis="x", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
        _save(figure, path)


def _signed(points: float, digits: int) -> str:
    return f"{points:+.{digits}f}".replace("-", "−")


def _column(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """Return float64 ``(epochs,)``; NaN where an epoch has no such figure."""
    values = [row.get(key) for row in rows]
    return np.array([np.nan if value in (None, "") else float(value) for value in values])


def _draw_phases(panels: Sequence[Any], phases: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    starts = [i for i in range(len(phases)) if i == 0 or phases[i] != phases[i - 1]]
    ends = [*starts[1:], len(phases)]
    for axes in panels:
        for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if index % 2:
                axes.axvspan(start + 0.5, end + 0.5, color="0.5", alpha=0.09, linewidth=0)
            middle = (start + end + 1) / 2
            across = axes.get_xaxis_transform()
            axes.text(middle, 1.01, phases[start], transform=across, ha="center", va="bottom", fontsize=8, color="0.4")
        axes.set_xlim(0.5, len(phases) + 0.5)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)


def _mark_best(loss_axes: Any, score_axes: Any, rows: Sequence[Mapping[str, Any]], monitor: str) -> None:
    values = _column(rows, f"val_{monitor}")
    if not np.isfinite(values).any():
        return
    best = int(np.nanargmax(values))
    for axes in (loss_axes, score_axes):
        axes.axvline(best + 1, color="0.4", linewidth=1, linestyle=(0, (4, 3)))
    score_axes.plot(
        best + 1, values[best], marker="*", markersize=13, color="#f0b400", markeredgecolor="0.25", linestyle="none",
        label=f"kept: epoch {best + 1}, {MONITOR_LABELS.get(monitor, monitor)} {values[best]:.3f}", zorder=5,
    )  # fmt: skip


def _draw_matrix(axes: Any, values: np.ndarray, texts: Sequence[Sequence[str]], highest: float) -> Any:
    from matplotlib import colormaps

    colours = colormaps["Blues"].with_extremes(bad="0.93")
    drawn = axes.imshow(values, vmin=0, vmax=highest, cmap=colours)
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            dark = values[row, column] > 0.55 * highest
            weight = "bold" if row == column else "normal"
            axes.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                color="white" if dark else "0.15",
                weight=weight,
                fontsize=9,
            )
    edges = np.arange(len(texts) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return drawn


def _draw_reliability(axes: Any, below: Any, bins: Mapping[str, Sequence[float]]) -> None:
    from scipy.stats import binomtest

    count, confidence, accuracy = (np.asarray(bins[key], float) for key in ("count", "confidence", "accuracy"))
    width = 1 / len(count)
    centres = (np.arange(len(count)) + 0.5) * width
    used = count > 0
    axes.plot([0, 1], [0, 1], color="0.4", linewidth=1, linestyle=(0, (4, 3)), zorder=3)
    axes.bar(
        centres[used],
        accuracy[used],
        width=0.94 * width,
        color=BLUE,
        alpha=0.55,
        label="share that is right, 95 % interval",
    )
    ends = [
        binomtest(round(a * n), int(n)).proportion_ci(method="wilson")
        for a, n in zip(accuracy, count, strict=True)
        if n
    ]
    low = accuracy[used] - [end.low for end in ends]
    high = [end.high for end in ends] - accuracy[used]
    axes.errorbar(
        centres[used],
        accuracy[used],
        yerr=np.clip([low, high], 0, None),
        fmt="none",
        color=BLUE,
        elinewidth=1.3,
        capsize=2.5,
    )
    for places, colour, label in (
        (used & (confidence > accuracy), ORANGE, "mean confidence: too sure"),
        (used & (confidence <= accuracy), GREEN, "mean confidence: not too sure"),
    ):
        if places.any():
            axes.hlines(
                confidence[places],
                centres[places] - 0.47 * width,
                centres[places] + 0.47 * width,
                color=colour,
                linewidth=2.6,
                label=label,
                zorder=4,
            )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left")
    below.bar(centres, count, width=0.94 * width, color="0.65")
    total = count.sum()
    for value, colour, label in (
        (float((accuracy * count).sum() / total), BLUE, "accuracy"),
        (float((confidence * count).sum() / total), ORANGE, "mean confidence"),
    ):
        below.axvline(value, color=colour, linewidth=1.8, label=f"{label} {100 * value:.1f} %")
    below.set_xlabel("confidence (highest probability)")
    below.legend(loc="upper left")
    for panel in (axes, below):
        panel.spines[["top", "right"]].set_visible(False)


def _style() -> Any:
    import matplotlib as mpl

    return mpl.rc_context(STYLE)  # type: ignore[arg-type]


def _figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")
