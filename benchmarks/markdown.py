"""Texts and tables of Markdown that what is in a record cannot break out of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], rule: str | None = None) -> str:
    """Return a Markdown table with its cells escaped.

    Args:
        headings: of the columns.
        rows: as many cells each.
        rule: the line below the headings, where columns are aligned; None: one that aligns none.
    """
    under = markdown_row(["---"] * len(headings)) if rule is None else rule
    return "\n".join([markdown_row(_cells(headings)), under, *(markdown_row(_cells(row)) for row in rows)])


def markdown_row(cells: Iterable[str]) -> str:
    """Return a line of a table; the cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def markdown_text(text: str) -> str:
    """Return a text that begins no HTML tag, no link, no line and no marker of a page."""
    return re.sub(r"[\r\n]+", " ", text).replace("&", "&amp;").replace("<", "&lt;").replace("[", "\\[")


def _cells(texts: Iterable[str]) -> list[str]:
    """Return texts that do not end their column either."""
    return [markdown_text(text.replace("|", "/")) for text in texts]
