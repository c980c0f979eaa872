"""Whether probabilities mean what they say: how often a model is right, by how sure it says it is.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measures import Accuracy, Bins
from benchmarks.plot import COLOURS, INK, svg
from benchmarks.sections.parts import Grid, Line, Plot, Section, numbered, where
from benchmarks.table import MISSING, Table, data_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SUMMARY = ("Model", "Recipe", "ECE (95 %)", "NLL, nats (95 %)", "Data", "Machine")
_HEADINGS = ("Model", "Recipe", "Probability from", "to", "Pictures", "Mean probability", "Right", "95 % from",
             "95 % to", "Machine")  # fmt: skip
NOTE = (
    "ECE: expected calibration error, the mean distance between probability and share of right answers over the bins, "
    "by their pictures; 0 is best. NLL: mean negative log-likelihood of the true class. A bin's interval is Wilson's."
)
_PLOT_NOTE = "bar: share of right answers with its 95 % interval; point: mean probability; dashed: perfect"


def section(table: Table) -> Section | None:
    """Return the section; None where no accuracy record tells of its probabilities."""
    known = {row.accuracy.path: row.accuracy for row in table.rows if row.accuracy}
    told = [each for each in known.values() if each.ece is not None or each.nll is not None or each.bins]
    if not told:
        return None
    binned = [(each, each.bins) for each in told if each.bins]
    titles = [f"{each.model.name} {each.model.recipe}, {data_text(each.data)}, on {where(each.setting)}"
              for each, _ in binned]  # fmt: skip
    plots = tuple(
        Plot(stem, title, _PLOT_NOTE, _plot(bins), each.setting.machine)
        for stem, title, (each, bins) in zip(numbered("reliability", titles), titles, binned, strict=True)
    )
    summary = Grid("", _SUMMARY, tuple(_summary(each) for each in told))
    grid = Grid("By bin", _HEADINGS, tuple(line for each, bins in binned for line in _lines(each, bins)))
    return Section("reliability", "Reliability of probabilities", plots, (summary, grid) if binned else (summary,),
                   note=NOTE)  # fmt: skip


def intervals(bins: Bins) -> list[tuple[float, float]]:
    """Return the 95 % interval (0..1) of each bin's share of right answers; (0, 1) where the bin is empty.

    Source: Wilson 1927, Journal of the American Statistical Association 22.
    """
    from scipy.stats import binomtest

    found = []
    for count, accuracy in zip(bins.count, bins.accuracy, strict=True):
        if not count:
            found.append((0.0, 1.0))
            continue
        ends = binomtest(round(accuracy * count), count).proportion_ci(method="wilson")
        found.append((float(ends.low), float(ends.high)))
    return found


def _summary(accuracy: Accuracy) -> Line:
    cells = (
        accuracy.model.name,
        accuracy.model.recipe,
        MISSING
        if accuracy.ece is None
        else f"{100 * accuracy.ece:.2f} %" + _between(accuracy.ece_interval, 100, ".1f"),
        MISSING if accuracy.nll is None else f"{accuracy.nll:.4f}" + _between(accuracy.nll_interval, 1, ".3f"),
        data_text(accuracy.data),
        accuracy.setting.machine,
    )
    return Line(cells, accuracy.setting.machine)


def _between(interval: tuple[float, float] | None, factor: float, form: str) -> str:
    return "" if interval is None else f" ({factor * interval[0]:{form}} to {factor * interval[1]:{form}})"


def _lines(accuracy: Accuracy, bins: Bins) -> list[Line]:
    steps = len(bins.count)
    rows = []
    for index, (low, high) in enumerate(intervals(bins)):
        count = bins.count[index]
        shares = [bins.confidence[index], bins.accuracy[index], low, high]
        cells = (
            accuracy.model.name,
            accuracy.model.recipe,
            f"{index / steps:.3f}",
            f"{(index + 1) / steps:.3f}",
            f"{count:,}",
            *(f"{100 * share:.2f} %" if count else MISSING for share in shares),
            accuracy.setting.machine,
        )
        rows.append(Line(cells, accuracy.setting.machine))
    return rows


def _plot(bins: Bins) -> str:
    steps = len(bins.count)
    used = [index for index in range(steps) if bins.count[index]]
    ends = intervals(bins)

    def draw(axes: Sequence[Axes]) -> None:
        centres = [(index + 0.5) * 100 / steps for index in used]
        right = np.array([100 * bins.accuracy[index] for index in used])
        errors = np.array([[100 * ends[index][0] for index in used], [100 * ends[index][1] for index in used]])
        axes[0].bar(centres, right, width=94 / steps, color=COLOURS[0], alpha=0.55)
        axes[0].errorbar(centres, right, yerr=np.clip([right - errors[0], errors[1] - right], 0, None), fmt="none",
                         color=COLOURS[0], elinewidth=1.2, capsize=2)  # fmt: skip
        axes[0].plot([100 * bins.confidence[index] for index in used],
                     [100 * bins.confidence[index] for index in used], "D", color=COLOURS[3], markersize=4)  # fmt: skip
        axes[0].plot([0, 100], [0, 100], color=INK, linewidth=1, linestyle="--")
        axes[0].set_xlim(0, 100)
        axes[0].set_ylim(0, 100)
        axes[0].set_xlabel("highest probability, %")
        axes[0].set_ylabel("right answers, %")

    return svg(draw, [3.2])
