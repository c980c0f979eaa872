"""Plots of a run as PNG: learning curves and confusion matrices (matplotlib, no display needed)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.files import atomic_path

DPI = 120


def plot_history(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the learning curves (loss; accuracy and F1 of both parts) over the epochs of all phases."""
    from matplotlib.ticker import MaxNLocator

    figure, (loss_axes, score_axes) = _figure(1, 2, (11, 4.2))
    epochs = np.arange(1, len(rows) + 1)
    for key, label, axes in (
        ("loss", "training loss", loss_axes),
        ("val_loss", "validation loss (no smoothing)", loss_axes),
        ("accuracy", "training accuracy", score_axes),
        ("val_accuracy", "validation accuracy", score_axes),
        ("val_macro_f1", "validation macro-F1", score_axes),
    ):
        axes.plot(epochs, [row.get(key, np.nan) for row in rows], marker="o", markersize=3, label=label)
    starts = [i for i in range(1, len(rows)) if rows[i]["phase"] != rows[i - 1]["phase"]]
    for axes in (loss_axes, score_axes):
        for start in starts:
            axes.axvline(start + 0.5, color="0.6", linestyle="--", linewidth=1)
        axes.set_xlabel("epoch (dashed: next phase)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    loss_axes.set_ylabel("loss")
    score_axes.set_ylabel("share")
    _save(figure, path)


def plot_confusion(confusion: Sequence[Sequence[int]], names: Sequence[str], title: str, path: Path) -> None:
    """Write a confusion matrix: rows true, columns predicted; colour is the share of the row, text the count."""
    counts = np.asarray(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(1, 1, (6.4, 5.6))
    drawn = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for row in range(len(names)):
        for column in range(len(names)):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{counts[row, column]}\n{shares[row, column]:.0%}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10)
    figure.colorbar(drawn, label="share of the true class")
    _save(figure, path)


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")
