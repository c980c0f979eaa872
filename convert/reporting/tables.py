"""Rows of a report as a table: the names of the columns once, then values alone.

A report of ConvNeXt-Tiny lists hundreds of layers, operators and scale ratios; with names in every row, a third of it
would be names. The keys are those of pandas' ``orient="split"``: ``pandas.DataFrame(**report["layers"])`` reads one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def as_table(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return ``{"columns": names, "data": rows of values}``; a field that a row lacks is None.

    Args:
        rows: each field by its name; columns stand in the order in which they first appear.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": columns, "data": [[row.get(name) for name in columns] for row in rows]}


def rows_of(table: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Return the rows of :func:`as_table`, without the fields that they lack.

    Args:
        table: rows that never were a table (of reports from before there were tables) come back as they are; None has
            none.
    """
    if not isinstance(table, Mapping):
        return [dict(row) for row in table or ()]
    rows = (zip(table["columns"], values, strict=True) for values in table["data"])
    return [{name: value for name, value in row if value is not None} for row in rows]
