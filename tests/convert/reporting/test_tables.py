from __future__ import annotations

from typing import Any

import pytest

from convert.reporting.tables import as_table, rows_of

ROWS: list[dict[str, Any]] = [{"layer": "stem", "scale": 0.5}, {"layer": "logits", "shape": [7]}]


def test_a_table_names_its_columns_once_and_gives_its_rows_back() -> None:
    table = as_table(ROWS)
    assert table == {"columns": ["layer", "scale", "shape"], "data": [["stem", 0.5, None], ["logits", None, [7]]]}
    assert rows_of(table) == ROWS


def test_no_rows_make_an_empty_table() -> None:
    assert rows_of(as_table([])) == rows_of(None) == []


def test_rows_of_an_earlier_report_come_back_as_they_are() -> None:
    assert rows_of(ROWS) == ROWS


def test_a_row_of_another_length_than_the_columns_is_no_table() -> None:
    with pytest.raises(ValueError, match="shorter"):
        rows_of({"columns": ["layer", "scale"], "data": [["stem"]]})
