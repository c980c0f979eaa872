"""How the latencies of single inferences spread: the share of runs within a time, a plot a network and machine.

Every line is one model's own samples; samples of two models, or of two machines, are never put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measures import Latency
from benchmarks.plot import LONGEST_NAME, legend, log_ms_axis, looks, shortened, svg
from benchmarks.sections.parts import Grid, Line, Plot, Section, numbered, where
from benchmarks.table import MISSING, Table, mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADINGS = (
    "Model", "Recipe", "Runs", "min ms", "p50 ms", "p90 ms", "p99 ms", "max ms", "MAD ms", "First ms", "Load ms",
    "Peak memory", "Partitions", "Verdict", "Threads", "Machine",
)  # fmt: skip
NOTE = (
    "MAD: median absolute deviation from the median. First: the first inference after loading. Partitions: pieces into "
    "which XNNPACK cut the graph; 1 is best. Verdict: what the benchmark says of its own run: fine, noisy or throttled "
    "(why: see Machines). A dash: the record does not say."
)
_PLOT_NOTE = "share of runs that took no longer; marks: p50 ○, p90 △, p99 ◇, max ×"
_MARKS = ((50.0, "o"), (90.0, "^"), (99.0, "D"), (100.0, "x"))
FEWEST_SAMPLES = 20
"""Runs below which a distribution is not drawn: their p99 would be their maximum, and their p90 nearly so."""


def section(table: Table) -> Section | None:
    """Return the section; None without latency records."""
    latencies = list(dict.fromkeys(row.latency for row in table.rows if row.latency))
    if not latencies:
        return None
    groups: dict[Any, list[Latency]] = {}
    for latency in latencies:
        if len(latency.samples) >= FEWEST_SAMPLES:
            groups.setdefault((latency.setting, latency.threads, latency.model.name), []).append(latency)
    titles = [f"{name} on {where(setting, threads)}" for setting, threads, name in groups]
    plots = tuple(
        Plot(stem, title, _PLOT_NOTE, _plot(group), group[0].setting.machine)
        for stem, title, group in zip(numbered("latency", titles), titles, groups.values(), strict=True)
    )
    grid = Grid("", _HEADINGS, tuple(_line(latency) for latency in latencies))
    return Section("latency", "Latency distribution", plots, (grid,), note=NOTE)


def _line(latency: Latency) -> Line:
    cells = (
        latency.model.name,
        latency.model.recipe,
        str(latency.runs),
        _ms(min(latency.samples)) if latency.samples else MISSING,
        f"{_ms(latency.p50)}{mark(latency.stability)}",
        _ms(latency.p90),
        _ms(latency.p99),
        _ms(latency.maximum),
        _ms(latency.mad),
        _ms(latency.first_ms),
        _ms(latency.load_ms),
        f"{latency.peak_rss_mb:.1f} MB" if latency.peak_rss_mb is not None else MISSING,
        str(latency.partitions) if latency.partitions is not None else MISSING,
        latency.stability.verdict if latency.stability else MISSING,
        str(latency.threads),
        latency.setting.machine,
    )
    return Line(cells, latency.setting.machine)


def _ms(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _plot(group: Sequence[Latency]) -> str:
    look = looks(_label(latency) for latency in group)

    def draw(axes: Sequence[Axes]) -> None:
        for latency in group:
            style, times = look[_label(latency)], np.sort(latency.samples)
            share = 100 * np.arange(1, len(times) + 1) / len(times)
            axes[0].step(
                times, share, where="post", color=style.colour, linestyle=style.line, linewidth=1.5,
                label=_label(latency),
            )  # fmt: skip
            values = (latency.p50, latency.p90, latency.p99, latency.maximum)
            for (percent, marker), value in zip(_MARKS, values, strict=True):
                axes[0].plot(value, percent, marker=marker, color=style.colour, markersize=5, clip_on=False)
        log_ms_axis(axes[0], [time for latency in group for time in latency.samples])
        axes[0].set_ylim(0, 102)
        axes[0].set_ylabel("runs within it, %")
        axes[0].grid(alpha=0.25)
        legend(axes[0])

    return svg(draw, [3.0 + 0.2 * -(-len(group) // 3)])


def _label(latency: Latency) -> str:
    return shortened(latency.model.recipe, LONGEST_NAME) + mark(latency.stability)
