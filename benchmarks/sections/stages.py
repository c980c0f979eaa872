"""Where a frame's time goes, by stages, from pipeline records; a plot a machine, one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.measures import Pipeline
from benchmarks.plot import COLOURS, INK, legend, shortened, svg
from benchmarks.sections.parts import Grid, Line, Plot, Section, numbered, where
from benchmarks.table import MISSING, Table, mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADINGS = (
    "Model", "Detector", "Stage", "Ran on frames", "p50 ms", "p90 ms", "p99 ms", "max ms", "mean ms",
    "ms of a mean frame", "Share", "Threads", "Machine",
)  # fmt: skip
WHOLE, REST = "whole frame", "the rest"
NOTE = (
    "ms of a mean frame: a stage's mean times the share of frames on which it ran, so that the stages and the rest add "
    "up to the mean of the whole frame. Medians and percentiles do not add up. Percentiles of a stage are over the "
    "frames on which it ran; the detector runs on some frames only. Live: the frames were decoded in a thread of their "
    "own, whose time is no part of them."
)
_HATCHES = ("", "//", "..", "xx", "\\\\", "++")
_BAR_INCHES = 0.5
_NAME = 24


def section(table: Table) -> Section | None:
    """Return the section; None without pipeline records."""
    if not table.pipelines:
        return None
    groups: dict[str, list[Pipeline]] = {}
    for pipeline in table.pipelines:
        groups.setdefault(where(pipeline.setting), []).append(pipeline)
    slowest = max(pipeline.whole.mean for pipeline in table.pipelines)
    names = list(dict.fromkeys(name for pipeline in table.pipelines for name in pipeline.stages))
    note = "mean milliseconds of each stage over all frames; the same axis for every machine"
    plots = tuple(
        Plot(stem, title, note, _plot(group, names, slowest), group[0].setting.machine)
        for stem, (title, group) in zip(numbered("stages", list(groups)), groups.items(), strict=True)
    )
    found = tuple(line for pipeline in table.pipelines for line in _lines(pipeline))
    return Section("stages", "Stages of a frame", plots, (Grid("", _HEADINGS, found),), note=NOTE)


def parts_ms(pipeline: Pipeline) -> dict[str, float]:
    """Return what each stage, and the rest, takes of a mean frame, milliseconds; together the whole frame's mean."""
    found = {name: stage.mean * stage.count / pipeline.frames for name, stage in pipeline.stages.items()}
    return {**found, REST: max(pipeline.whole.mean - sum(found.values()), 0.0)}


def _lines(pipeline: Pipeline) -> list[Line]:
    parts = parts_ms(pipeline)
    rows = []
    for name, stage in (*pipeline.stages.items(), (REST, None), (WHOLE, pipeline.whole)):
        part = parts.get(name, pipeline.whole.mean)
        times = (stage.p50, stage.p90, stage.p99, stage.maximum, stage.mean) if stage else ()
        shown = [f"{value:.3f}" for value in times] or [MISSING] * 5
        cells = (
            f"{pipeline.model.name} {pipeline.model.recipe}",
            _detector(pipeline),
            name + (mark(pipeline.stability) if name == WHOLE else ""),
            f"{stage.count:,} of {pipeline.frames:,}" if stage else MISSING,
            *shown,
            f"{part:.3f}",
            f"{100 * part / pipeline.whole.mean:.1f} %",
            str(pipeline.threads),
            pipeline.setting.machine,
        )
        rows.append(Line(cells, pipeline.setting.machine))
    return rows


def _detector(pipeline: Pipeline) -> str:
    width, height = pipeline.frame
    return f"{pipeline.detector}, 1 frame in {pipeline.detect_every}, {width} × {height}{_live(pipeline)}"


def _live(pipeline: Pipeline) -> str:
    return "" if pipeline.live_fps is None else f", live at {pipeline.live_fps:g} a second"


def _plot(group: Sequence[Pipeline], names: Sequence[str], slowest_ms: float) -> str:
    def draw(axes: Sequence[Axes]) -> None:
        for place, pipeline in enumerate(group):
            left = 0.0
            for index, name in enumerate((*names, REST)):
                value = parts_ms(pipeline).get(name, 0.0)
                colour, hatch = COLOURS[index % len(COLOURS)], _HATCHES[index % len(_HATCHES)]
                axes[0].barh(
                    place, value, left=left, height=0.6, color="white" if name == REST else colour, edgecolor=INK,
                    linewidth=0.4, hatch="" if name == REST else hatch, label=name if place == 0 else None,
                )  # fmt: skip
                left += value
            text = f"{pipeline.whole.mean:.2f} ms{mark(pipeline.stability)}"
            axes[0].annotate(text, (left, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8.5)
        ticks = [
            f"{shortened(p.model.name, _NAME)}\n{p.model.recipe}, {p.detector} 1/{p.detect_every}"
            + ("" if p.live_fps is None else f", live {p.live_fps:g}")
            for p in group
        ]
        axes[0].set_yticks(range(len(group)), ticks, fontsize=8.5)
        axes[0].set_ylim(len(group) - 0.4, -0.6)
        axes[0].set_xlim(0, slowest_ms * 1.3)
        axes[0].set_xlabel("milliseconds of a mean frame")
        legend(axes[0])

    return svg(draw, [1.15 + _BAR_INCHES * len(group)])
