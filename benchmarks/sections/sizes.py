"""File sizes: the same on every machine, so one list of all models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.measures import Model
from benchmarks.plot import INK, LONGEST_NAME, looks, shortened, svg
from benchmarks.sections.parts import Grid, Line, Plot, Section
from benchmarks.table import MISSING, Table, is_float_of, size_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEADINGS = ("Model", "Recipe", "Input", "Size", "Of its float32 file")
_BAR_INCHES = 0.25


def section(table: Table) -> Section | None:
    """Return the section; None when no row names a model."""
    models = sorted(
        {row.model for row in table.rows} | {pipeline.model for pipeline in table.pipelines},
        key=lambda model: (model.name, -model.size_bytes, model.recipe),
    )
    if not models:
        return None
    plot = Plot("size", "Size of the model file", "MB, powers of ten", _plot(models))
    grid = Grid("", _HEADINGS, tuple(Line(_cells(model, models)) for model in models))
    return Section("size", "Size", (plot,), (grid,))


def _cells(model: Model, models: Sequence[Model]) -> tuple[str, ...]:
    floats = [other for other in models if is_float_of(other, model)]
    share = f"{100 * model.size_bytes / floats[0].size_bytes:.0f} %" if len(floats) == 1 else MISSING
    size = " × ".join(str(side) for side in model.input)
    return model.name, model.recipe, size, size_text(model.size_bytes), share


def _plot(models: Sequence[Model]) -> str:
    look = looks(model.name for model in models)

    def draw(axes: Sequence[Axes]) -> None:
        for place, model in enumerate(models):
            megabytes = model.size_bytes / 1e6
            axes[0].barh(place, megabytes, height=0.66, color=look[model.name].colour, edgecolor=INK, linewidth=0.4)
            axes[0].annotate(f"{megabytes:.2f}", (megabytes, place), xytext=(3, 0), textcoords="offset points",
                             va="center", fontsize=8)  # fmt: skip
        names = [shortened(f"{model.name} {model.recipe}", LONGEST_NAME) for model in models]
        axes[0].set_yticks(range(len(models)), names, fontsize=8.5)
        axes[0].set_ylim(len(models) - 0.4, -0.6)
        axes[0].set_xlabel("MB")
        axes[0].margins(x=0.16)

    return svg(draw, [0.7 + _BAR_INCHES * len(models)])
