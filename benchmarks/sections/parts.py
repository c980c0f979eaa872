"""What a section of the report is made of; `benchmarks.report` writes it as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.machines import Setting
from benchmarks.table import Row
from edge.wording import counted


@dataclass(frozen=True)
class Line:
    """One row of a table; `machine` is the one that its figures come from, empty where none was measured."""

    cells: tuple[str, ...]
    machine: str = ""


@dataclass(frozen=True)
class Grid:
    """One table. `title` is empty where the section's own says enough."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Plot:
    """One picture; every number in it is in a table of the same section.

    Attributes:
        name: stem of its file.
        note: what marks and bars mean.
        svg: in `currentColor`.
        machine: whose figures it shows; empty where none was measured.
    """

    name: str
    title: str
    note: str
    svg: str
    machine: str = ""


@dataclass(frozen=True)
class Section:
    """A heading with what belongs to it.

    Attributes:
        key: its anchor, and the beginning of its plots' names.
        text: paragraphs before plots and tables; `note` the one after them.
    """

    key: str
    title: str
    plots: tuple[Plot, ...] = ()
    grids: tuple[Grid, ...] = ()
    text: tuple[str, ...] = ()
    note: str = ""


def where(setting: Setting, threads: int | None = None) -> str:
    """Return a machine without its Python, its runtime and, where given, the threads: a plot's title."""
    short = setting.machine.partition(", Python")[0]
    words = [short, setting.runtime, *([counted(threads, "thread")] if threads else [])]
    return " · ".join(words)


def model_text(row: Row) -> str:
    """Return a row's model and recipe."""
    return f"{row.model.name} {row.model.recipe}"


def numbered(stem: str, titles: Sequence[str]) -> list[str]:
    """Return a name for each of several plots of one kind: the stem alone for the only one."""
    return [stem] if len(titles) == 1 else [f"{stem}-{i}" for i in range(1, len(titles) + 1)]


def lines(cells: Iterable[tuple[str, ...]], machine: str = "") -> tuple[Line, ...]:
    """Return rows of one machine."""
    return tuple(Line(row, machine) for row in cells)
