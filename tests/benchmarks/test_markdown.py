from __future__ import annotations

import pytest

from benchmarks.machines import machine_text
from benchmarks.markdown import markdown_table, markdown_text


def test_a_table_is_headings_a_rule_and_rows() -> None:
    assert markdown_table(("A", "B"), [("1", "2"), ("3", "4")]) == "| A | B |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
    assert markdown_table(("A", "B"), [], "|---|--:|") == "| A | B |\n|---|--:|"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a | b", "a / b"),
        ("<!-- results:end -->", "&lt;!-- results:end -->"),
        ("a & b", "a &amp; b"),
        ("[here](there)", "\\[here](there)"),
        ("one\r\n\ntwo", "one two"),
    ],
)
def test_a_cell_ends_neither_column_nor_line_and_begins_no_markup(text: str, cell: str) -> None:
    assert markdown_table(("A",), [(text,)]).splitlines()[2:] == [f"| {cell} |"]


def test_a_text_outside_a_table_keeps_its_bars() -> None:
    assert markdown_text("a | b < c") == "a | b &lt; c"


def test_a_machine_has_cores_in_words() -> None:
    block = {"model": "Board", "cores": 4, "arch": "aarch64", "os": "Linux"}
    assert machine_text(block) == "Board, 4 cores, aarch64"
    assert machine_text(block | {"cores": 1}) == "Board, 1 core, aarch64"
