"""What quantization does to each class: recall and F1 of a file less its float32 file's, on the same pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measures import Accuracy
from benchmarks.plot import shortened, svg
from benchmarks.sections.parts import Grid, Plot, Section, lines, numbered, where
from benchmarks.table import MISSING, Table, data_text, float_of, signed
from edge.benchmarking.benchmark import PREDICTION_DIGITS
from edge.benchmarking.statistics import paired_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADINGS = (
    "Class", "Recipe", "Pictures", "Recall, float32", "Recall", "Recall change, points (95 %)", "F1, float32", "F1",
    "F1 change, points", "Machine",
)  # fmt: skip
NOTE = (
    "Change: the file less its float32 file, in percentage points; a plus means that the file is better. The interval "
    "of a recall's change is the paired 95 % score interval on the pictures of that class; where a class has few "
    "pictures, a single one moves it by a point and more. F1 has no interval here."
)
_LEAST_RANGE_POINTS = 1.0
"""Half of the colours' range at least, so that a change of a single picture does not look like a loss."""


@dataclass(frozen=True)
class Change:
    """One class of one file beside its float32 file.

    Attributes:
        recall_points: change of recall in percentage points, `low` and `high` its interval where the records hold the
            samples' true classes; `f1_points` that of F1.
    """

    label: str
    recipe: str
    support: int
    before: tuple[float, float]
    after: tuple[float, float]
    recall_points: float
    f1_points: float
    interval: tuple[float, float] | None


def section(table: Table) -> Section | None:
    """Return the section; None when no file has per-class figures beside those of its float32 file."""
    groups = _groups(table)
    if not groups:
        return None
    titles = [_title(reference) for reference, _ in groups]
    plots, grids = [], []
    for (reference, others), title, name in zip(groups, titles, numbered("class-change", titles), strict=True):
        found = {_name(other, others): changes(reference, other) for other in others}
        machine = reference.setting.machine
        for kind, what in (("recall", "recall_points"), ("f1", "f1_points")):
            picture = _heat(found, what)
            label = "Recall" if kind == "recall" else "F1"
            plots.append(Plot(f"{name}-{kind}", f"{label}: change in points, {title}", "orange: worse than float32; "
                              "purple: better", picture, machine))  # fmt: skip
        cells = [_cells(change, machine, name) for name, each in found.items() for change in each]
        grids.append(Grid(title, _HEADINGS, lines(cells, machine)))
    return Section("classes", "Change by class", tuple(plots), tuple(grids), note=NOTE)


def changes(reference: Accuracy, model: Accuracy) -> list[Change]:
    """Return what each class won or lost against the float32 file, in the order of the labels."""
    found = []
    for label, after in model.per_class.items():
        before = reference.per_class[label]
        found.append(
            Change(
                label=label,
                recipe=model.model.recipe,
                support=after.support,
                before=(before.recall, before.f1),
                after=(after.recall, after.f1),
                recall_points=100 * (after.recall - before.recall),
                f1_points=100 * (after.f1 - before.f1),
                interval=_interval(reference, model, label),
            )
        )
    return found


def _interval(reference: Accuracy, model: Accuracy, label: str) -> tuple[float, float] | None:
    """Return the paired interval in points; None where the records do not name the samples' true classes."""
    if label not in model.labels or not model.truth or model.truth != reference.truth:
        return None
    own = PREDICTION_DIGITS[model.labels.index(label)]
    rows = np.array([digit == own for digit in model.truth])
    if not rows.any():
        return None
    found = paired_difference(np.array(model.correct, bool)[rows], np.array(reference.correct, bool)[rows])
    return found.low, found.high


def _groups(table: Table) -> list[tuple[Accuracy, list[Accuracy]]]:
    """Return each float32 record with the records of its other files that have the same classes."""
    known = {row.accuracy.path: row.accuracy for row in table.rows if row.accuracy and row.accuracy.per_class}
    found: dict[object, tuple[Accuracy, list[Accuracy]]] = {}
    for accuracy in known.values():
        reference = float_of(accuracy, known.values())
        if reference is not None and list(reference.per_class) == list(accuracy.per_class):
            found.setdefault(reference.path, (reference, []))[1].append(accuracy)
    return list(found.values())


def _name(accuracy: Accuracy, others: Sequence[Accuracy]) -> str:
    """Return the recipe, with a part of the hash where two files have the same one."""
    same = [other for other in others if other.model.recipe == accuracy.model.recipe]
    return accuracy.model.recipe + (f" {accuracy.model.sha256[:8]}" if len(same) > 1 else "")


def _title(reference: Accuracy) -> str:
    return f"{reference.model.name}, {data_text(reference.data)}, on {where(reference.setting)}"


def _cells(change: Change, machine: str, name: str) -> tuple[str, ...]:
    low_high = f" ({signed(change.interval[0])} to {signed(change.interval[1])})" if change.interval else ""
    return (
        change.label,
        name,
        f"{change.support:,}" if change.support else MISSING,
        f"{100 * change.before[0]:.2f} %",
        f"{100 * change.after[0]:.2f} %",
        f"{signed(change.recall_points)}{low_high}",
        f"{change.before[1]:.4f}",
        f"{change.after[1]:.4f}",
        signed(change.f1_points),
        machine,
    )


def _heat(found: Mapping[str, Sequence[Change]], what: str) -> str:
    """Return a heat map: a row a class, a column a recipe, the number in each cell."""
    from matplotlib import colormaps

    values = np.array([[getattr(change, what) for change in each] for each in found.values()]).T
    labels = [change.label for change in next(iter(found.values()))]
    reach = max(float(np.abs(values).max()), _LEAST_RANGE_POINTS)
    shades = colormaps["PuOr"]

    def draw(axes: Sequence[Axes]) -> None:
        axes[0].pcolormesh(values, cmap=shades, vmin=-reach, vmax=reach, edgecolors="white", linewidth=1)
        for (row, column), value in np.ndenumerate(values):
            red, green, blue, _ = shades((value + reach) / (2 * reach))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            axes[0].text(column + 0.5, row + 0.5, signed(value), ha="center", va="center", fontsize=9,
                         color="#ffffff" if dark else "#101418")  # fmt: skip
        axes[0].set_yticks(np.arange(len(labels)) + 0.5, [shortened(label, 14) for label in labels])
        axes[0].set_xticks(np.arange(len(found)) + 0.5, [shortened(name, 14) for name in found], fontsize=9)
        axes[0].invert_yaxis()
        axes[0].tick_params(length=0)
        axes[0].spines[:].set_visible(False)

    return svg(draw, [0.5 + 0.34 * len(labels)])
