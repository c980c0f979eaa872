"""Accuracy against latency with the Pareto front: one plot and table for each machine, runtime, threads and data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.paired import compare
from benchmarks.plot import (
    INK,
    LONGEST_NAME,
    MARKERS,
    OTHER_MARKER,
    Look,
    log_ms_axis,
    looks,
    panels,
    shortened,
    svg,
)
from benchmarks.sections.parts import Grid, Line, Plot, Section, model_text, numbered, where
from benchmarks.table import Row, Table, data_text, drop_text, mark, size_text
from benchmarks.tradeoff.front import pareto_front

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmarks.measures import Accuracy, Latency

_KEY, _TITLE = "accuracy-latency", "Accuracy against latency"
NOTHING = "No model has both an accuracy and a latency record from one machine: there is nothing to draw."
_HEADINGS = (
    "Model", "Recipe", "p50 ms", "p90 ms", "Accuracy", "95 % from", "95 % to", "Size", "On the front", "Machine",
)  # fmt: skip
_PLOT_NOTE = "point: median latency and accuracy; bars: to p90, and the 95 % interval; dashed: Pareto front"
NOTE = (
    "On the front: no other model of the same plot is at least as fast and as accurate and better in one, by the "
    "measured values. Where intervals of accuracy overlap, the order of two models may be chance: see Drop in Results "
    "for the paired test against float32."
)
_PANEL_INCHES = 3.4
_LEGEND_LINE_INCHES = 0.22
_HALF_WIDTH = 27
"""Characters of a name that fit into half of the plot's width."""
_NAMED_IN_FULL = 12
"""Points up to which the legend names each; beyond it, colours stand for models and markers for recipes."""


def section(table: Table) -> Section | None:
    """Return the section, which says so when no row has both an accuracy and a latency; None without rows."""
    groups = panels(table.rows)
    if not groups:
        return Section(_KEY, _TITLE, text=(NOTHING,)) if table.rows else None
    titles = [_title(group) for group in groups]
    look = look_of(row for group in groups for row in group)
    plots = tuple(
        Plot(name, title, _PLOT_NOTE, _plot(group, look), group[0].setting.machine)
        for name, title, group in zip(numbered(_KEY, titles), titles, groups, strict=True)
    )
    grids = tuple(_grid(title, group) for title, group in zip(titles, groups, strict=True))
    text = tuple(glance(title, group) for title, group in zip(titles, groups, strict=True) if len(group) > 1)
    return Section(_KEY, _TITLE, plots, grids, text, NOTE + _absent(len(table.rows) - sum(map(len, groups))))


def _absent(rows: int) -> str:
    """Return the sentence that names how many rows cannot be drawn; nothing where all are."""
    if not rows:
        return ""
    return f" {rows} of the rows in Results {'lacks' if rows == 1 else 'lack'} an accuracy or a latency: not drawn."


def look_of(rows: Iterable[Row]) -> dict[tuple[str, str], Look]:
    """Return how each model and recipe is drawn: a colour a model, or a recipe where there is one model only."""
    models = [row.model for row in rows]
    one = len({model.name for model in models}) == 1
    look = looks(model.recipe if one else model.name for model in models)
    return {(model.name, model.recipe): look[model.recipe if one else model.name] for model in models}


def front(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that no other beats in both accuracy and median latency, fastest first."""
    return [rows[index] for index in pareto_front([_point(row) for row in rows])]


def glance(title: str, rows: Sequence[Row]) -> str:
    """Return one panel in two sentences: its fastest, most accurate and smallest model; whether that may be chance."""
    quick = min(rows, key=lambda row: _point(row)[0])
    right = max(rows, key=lambda row: _point(row)[1])
    small = min(rows, key=lambda row: row.model.size_bytes)
    roles = {"fastest": quick, "most accurate": right, "smallest": small}
    said = {id(row): [role for role, other in roles.items() if other is row] for row in roles.values()}
    text = f"{title}: " + "; ".join(
        f"{' and '.join(said.pop(id(row)))} {_said(row)}" for row in roles.values() if id(row) in said
    ) + "."  # fmt: skip
    if quick is not right:
        ahead = compare(_both(right)[0], _both(quick)[0])
        text += f" Most accurate less fastest, on the same pictures, in points (95 %): {drop_text(ahead)}."
    return text


def _said(row: Row) -> str:
    accuracy, latency = _both(row)
    return (
        f"{model_text(row)} ({latency.p50:.2f} ms{mark(latency.stability)}, {100 * accuracy.accuracy:.2f} %, "
        f"{size_text(row.model.size_bytes)})"
    )


def _title(rows: Sequence[Row]) -> str:
    return f"{data_text(_both(rows[0])[0].data)} on {where(rows[0].setting, rows[0].threads)}"


def _both(row: Row) -> tuple[Accuracy, Latency]:
    if row.accuracy is None or row.latency is None:
        raise ValueError(f"expected rows with accuracy and latency; got {row.model.name} without one; use panels()")
    return row.accuracy, row.latency


def _point(row: Row) -> tuple[float, float]:
    accuracy, latency = _both(row)
    return latency.p50, accuracy.accuracy


def _grid(title: str, rows: Sequence[Row]) -> Grid:
    best = {id(row) for row in front(rows)}
    ordered = sorted(rows, key=_point)
    return Grid(title, _HEADINGS, tuple(Line(_cells(row, id(row) in best), row.setting.machine) for row in ordered))


def _cells(row: Row, on_front: bool) -> tuple[str, ...]:
    accuracy, latency = _both(row)
    return (
        row.model.name,
        row.model.recipe,
        f"{latency.p50:.3f}{mark(latency.stability)}",
        f"{latency.p90:.3f}",
        f"{100 * accuracy.accuracy:.2f} %",
        f"{100 * accuracy.low:.2f} %",
        f"{100 * accuracy.high:.2f} %",
        size_text(row.model.size_bytes),
        "yes" if on_front else "no",
        row.setting.machine,
    )


def _plot(rows: Sequence[Row], look: Mapping[tuple[str, str], Look]) -> str:
    def draw_one(axes: Sequence[Axes]) -> None:
        draw(axes[0], rows, look)

    names = len(rows) if len(rows) <= _NAMED_IN_FULL else len({row.model.name for row in rows}) + len(MARKERS)
    legend_lines = -(-(1 + names) // _columns(rows))
    return svg(draw_one, [_PANEL_INCHES + _LEGEND_LINE_INCHES * legend_lines])


def draw(axes: Axes, rows: Sequence[Row], look: Mapping[tuple[str, str], Look]) -> None:
    """Draw one panel: median latency (bar to p90) against accuracy, the front, and below it the names.

    Args:
        axes: a Matplotlib axes to draw on.
        rows: rows with accuracy and latency of one setting and one part of a data set.
        look: from `look_of`; the marker tells the recipe.

    Raises:
        ValueError: a row lacks its accuracy or its latency.
    """
    _draw_front(axes, rows)
    for row in rows:
        accuracy, latency = _both(row)
        x, y, style = latency.p50, 100 * accuracy.accuracy, look[row.model.name, row.model.recipe]
        axes.errorbar(
            x, y, xerr=[[0.0], [latency.p90 - x]], yerr=[[y - 100 * accuracy.low], [100 * accuracy.high - y]],
            fmt="none", color=style.colour, capsize=2, elinewidth=0.9, alpha=0.6,
        )  # fmt: skip
        axes.plot(
            x, y, marker=MARKERS.get(row.model.recipe, OTHER_MARKER), markersize=7, color=style.colour,
            markerfacecolor=style.face, linestyle="none", zorder=3,
            label=shortened(model_text(row), LONGEST_NAME) + mark(latency.stability),
        )  # fmt: skip
    axes.set_ylabel("accuracy, %")
    log_ms_axis(axes, [value for row in rows if row.latency for value in (row.latency.p50, row.latency.p90)])
    axes.grid(alpha=0.25)
    _legend(axes, rows, look)


def _draw_front(axes: Axes, rows: Sequence[Row]) -> None:
    points = [_point(row) for row in front(rows)]
    slowest = max(latency.p90 for row in rows for latency in [_both(row)[1]])
    steps = [*points, (slowest, points[-1][1])]
    axes.step(
        [x for x, _ in steps], [100 * y for _, y in steps], where="post", color=INK, linewidth=1.2, linestyle="--",
        alpha=0.7, zorder=1, label="Pareto front",
    )  # fmt: skip


def _legend(axes: Axes, rows: Sequence[Row], look: Mapping[tuple[str, str], Look]) -> None:
    from matplotlib.lines import Line2D

    handles, _ = axes.get_legend_handles_labels()
    if len(rows) > _NAMED_IN_FULL:
        names = {row.model.name: look[row.model.name, row.model.recipe] for row in rows}
        recipes = dict.fromkeys(row.model.recipe for row in rows)
        handles = [
            Line2D([], [], marker="o", linestyle="none", color=style.colour, markerfacecolor=style.face,
                   label=shortened(name, LONGEST_NAME))
            for name, style in names.items()
        ]  # fmt: skip
        handles += [
            Line2D([], [], marker=MARKERS.get(name, OTHER_MARKER), linestyle="none", color=INK, label=name)
            for name in recipes
        ]
        handles.append(Line2D([], [], linestyle="--", color=INK, alpha=0.7, label="Pareto front"))
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=_columns(rows), fontsize=8.5)


def _columns(rows: Sequence[Row]) -> int:
    """Return the columns of the legend: two where every name fits into half of the plot."""
    names = [model_text(row) for row in rows] if len(rows) <= _NAMED_IN_FULL else [row.model.name for row in rows]
    return 2 if max(map(len, names)) <= _HALF_WIDTH else 1
