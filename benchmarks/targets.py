"""Pages of figures from records: what was asked beside what was measured, and the kinds of records told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import click

from benchmarks.markdown import markdown_table
from benchmarks.report import settle_page, with_block
from benchmarks.table import MISSING
from edge.files import read_json

Found = TypeVar("Found")
_HEADINGS = ("Target", "Asked", "Measured", "Met")


@dataclass(frozen=True)
class Target(Generic[Found]):
    """One figure that was asked for.

    Attributes:
        text: what it is.
        asked: the bound, in `unit`.
        at_least: whether it is a lower bound.
        unit: written behind the figures.
        measure: gives the figure; a text where a record says why there is none, which was asked for in its place; None
            where no record says.
    """

    text: str
    asked: float
    at_least: bool
    unit: str
    measure: Callable[[Found], float | str | None]

    def cells(self, found: Found) -> tuple[str, str, str, str]:
        """Return the target, what was asked, what came and whether that meets it, as texts."""
        came = self.measure(found)
        asked = f"{'≥' if self.at_least else '≤'} {self.asked:g}{self.unit}"
        if came is None:
            return self.text, asked, MISSING, MISSING
        if isinstance(came, str):
            return self.text, asked, came, "recorded"
        met = came >= self.asked if self.at_least else came <= self.asked
        return self.text, asked, f"{came:.2f}{self.unit}", "yes" if met else "**no**"


def targets_table(targets: Iterable[Target[Found]], found: Found) -> str:
    """Return the Markdown table of targets."""
    return markdown_table(_HEADINGS, [target.cells(found) for target in targets])


def kind_of(path: Path) -> object:
    """Return the kind that a record says it is; None where it says none.

    Raises:
        DataError: it is no JSON.
    """
    values = read_json(path, "measure again")
    return values.get("kind") if isinstance(values, dict) else None


def show_or_settle(block: str, page: Path | None, check: bool, marks: tuple[str, str], command: str) -> None:
    """Print a block, or put it between a page's markers, or check that it is there.

    Args:
        block: Markdown.
        page: None: print it.
        check: change nothing.
        marks: the markers before and after it.
        command: what writes the page, for the error.

    Raises:
        DataError: the page lacks the markers; with `check`, it holds other figures.
        OutputError: it cannot be written.
    """
    if page is None:
        click.echo(block, nl=False)
        return
    text = page.read_text(encoding="utf-8")
    wanted = with_block(text, block, str(page), *marks)
    if settle_page(page, text, wanted, check, command):
        click.echo(f"wrote the figures into {page}")
