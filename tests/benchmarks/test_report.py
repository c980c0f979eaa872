"""The report's Markdown, HTML and plot."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.evidence import read_evidence
from benchmarks.html import html_page, sort_value
from benchmarks.plot import panels, standalone
from benchmarks.report import BEGIN, END, Report, markdown, markdown_page, with_block
from benchmarks.table import HEADINGS, SAID_ONCE, Table, build
from edge.errors import DataError
from tests.benchmarks import handmade
from tests.benchmarks.conftest import Write, report_of


def _table(folder: Path) -> Table:
    return build(read_evidence([folder]))


def test_markdown_holds_one_line_a_row_under_the_headings(float_and_int8: Path) -> None:
    table = _table(float_and_int8)
    common, _, *lines = markdown(table).splitlines()
    own = [place for place, heading in enumerate(HEADINGS) if heading not in SAID_ONCE]
    cells = table.rows[0].cells()
    assert common == f"{'. '.join(f'{name}: {cells[HEADINGS.index(name)]}' for name in SAID_ONCE)}."
    assert lines[0] == f"| {' | '.join(HEADINGS[place] for place in own)} |"
    assert lines[2] == f"| {' | '.join(cells[place] for place in own)} |"
    assert lines[3].startswith("| lite0 | qat-int8 | 3.60 MB | 70.00 % (50.0 to 85.0) |")


def test_what_rows_do_not_share_stays_in_their_table(write: Write) -> None:
    folder = write(handmade.latency("float32", 6.0), handmade.latency("float32", 4.0, threads=2))
    common, _, headings, _, *rows = markdown(_table(folder)).splitlines()
    assert "Threads" not in common and "| Threads |" in headings
    assert [row.split(" | ")[-1] for row in rows[:2]] == ["1 |", "2 |"]


def test_conversion_reports_have_their_table(float_and_int8: Path, write: Write) -> None:
    floats = {"operators": {"CONV_2D": 57}, "partitions": 1, "outside": {}, "float_operators": {"CONV_2D": 57}}
    write(handmade.conversion("qat-int8"), handmade.conversion("float32", inspection=floats))
    lines = markdown(_table(float_and_int8)).splitlines()
    assert lines[-4:-2] == [
        "| lite0 | float32 | 13.50 MB | 57 | 1 | none | all | 99.55 % on PublicTest |",
        "| lite0 | qat-int8 | 3.60 MB | 60 | 1 | 2 QUANTIZE, 1 SOFTMAX | none | 99.55 % on PublicTest |",
    ]


def test_a_damaged_conversion_report_is_named(write: Write) -> None:
    report = handmade.conversion("qat-int8")
    report["inspection"]["outside"] = {"QUANTIZE": "two"}
    with pytest.raises(DataError, match=r"0-conversion\.json: inspection\.outside\.QUANTIZE: expected a whole number"):
        _table(write(report))


@pytest.mark.parametrize("kind", ["latency", "conversion"])
def test_a_number_too_long_for_a_float_is_named(kind: str, write: Write) -> None:
    record = handmade.latency("float32", 6.0) if kind == "latency" else handmade.conversion("qat-int8")
    record["size_bytes"] = 10**400
    with pytest.raises(DataError, match=r"\.json: expected (finite numbers|a JSON record); got .* in size_bytes; "):
        _table(write(record))


def test_a_name_cannot_break_the_markdown_table(write: Write) -> None:
    record = handmade.latency("float32", 6.0)
    record["machine"]["model"] = f"CPU | two{END}<b>R&D</b>"
    (said,) = [line for line in markdown(_table(write(record))).splitlines() if "CPU" in line]
    line = next(
        line for line in markdown(_table(write(handmade.latency("float32", 6.0)))).splitlines() if "CPU" in line
    )
    assert line.count("|") == len(HEADINGS) + 1 - 3  # data, threads and runtime are said once
    for text in (said, line):
        assert "<" not in text and "&lt;b>R&amp;D&lt;/b>" in text


def test_the_page_names_its_records_and_those_left_out(write: Write) -> None:
    folder = write(
        handmade.latency("float32", 5.0, created="2026-01-03T00:00:00+00:00"),
        handmade.latency("float32", 9.0, created="2026-01-02T00:00:00+00:00"),
    )
    page = markdown_page(report_of(folder))
    assert "from 0-latency.json, 1-latency.json." in page
    assert "Left out for newer records: 1-latency.json." in page
    assert "accuracy-latency.svg" not in page


def test_a_record_of_another_command_is_left_to_it_by_name(float_and_int8: Path) -> None:
    assert "Left to" not in markdown_page(report_of(float_and_int8))
    (float_and_int8 / "counted.json").write_text('{"schema": 1, "kind": "instructions"}', encoding="utf-8")
    assert "Left to `python -m benchmarks costs`: counted.json." in markdown_page(report_of(float_and_int8))


def test_markdown_links_a_file_for_each_plot_that_is_dark_on_white(float_and_int8: Path) -> None:
    report = report_of(float_and_int8)
    page = markdown_page(report)
    assert [plot.name for plot in report.plots] == ["accuracy-latency", "size"]
    for plot in report.plots:
        assert f"](plots/{plot.name}.svg)" in page
        assert "currentColor" in plot.svg
        drawn = standalone(plot.svg)
        assert "currentColor" not in drawn
        assert ElementTree.fromstring(drawn)[0].attrib["fill"] == "#ffffff"


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.outside.append(f"{tag} {key}={value}")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_html_page_needs_no_other_file_and_holds_one_script(float_and_int8: Path) -> None:
    report = report_of(float_and_int8)
    table = report.table
    source = html_page(report)
    page = _Page()
    page.feed(source)
    assert page.outside == []
    assert page.tags.count("script") == 1
    assert "svg" in page.tags
    assert not re.search(r"@import|url\((?!#)", source)
    for cell in (*HEADINGS, *table.rows[0].cells(), *table.rows[1].cells()):
        assert cell in page.text


def test_a_name_from_a_record_is_escaped_in_the_html_page(write: Write) -> None:
    record = handmade.latency("float32", 6.0)
    record["model"]["name"] = "<script>alert(1)</script>"
    folder = write(record)
    source = html_page(report_of(folder))
    assert source.count("<script") == 1  # the page's own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in source


def test_the_page_is_the_same_each_time(report: Report, two_boards: Path) -> None:
    again = report_of(two_boards)
    assert html_page(report) == html_page(again)
    assert markdown_page(report) == markdown_page(again)


def test_a_name_with_signs_of_mathematics_is_drawn_as_it_is(write: Write) -> None:
    block = handmade.model("float32", name="a$b$_{c}")
    folder = write(handmade.accuracy("float32", "1110", model=block), handmade.latency("float32", 6.0, model=block))
    assert "a$b$_{c} float32" in report_of(folder).plots[0].svg


def test_the_page_shows_its_command_as_code(float_and_int8: Path) -> None:
    page = html_page(report_of(float_and_int8))
    assert "<code>python -m benchmarks report</code>" in page
    assert "`" not in page.partition("<script>")[0]


def test_without_both_figures_there_is_no_plot(write: Write) -> None:
    folder = write(handmade.latency("float32", 6.0))
    rows = _table(folder).rows
    assert [plot.name for plot in report_of(folder).plots] == ["size"]
    assert "there is nothing to draw" in html_page(report_of(folder))
    assert panels(rows) == []


def test_figures_of_two_machines_are_drawn_in_two_panels(write: Write) -> None:
    pi = handmade.OTHER_MACHINE
    folder = write(
        handmade.accuracy("float32", "1110"),
        handmade.latency("float32", 6.0),
        handmade.accuracy("float32", "1110", machine=pi),
        handmade.latency("float32", 60.0, machine=pi),
    )
    groups = panels(_table(folder).rows)
    assert [[row.setting.machine.split(",")[0] for row in group] for group in groups] == [
        ["Raspberry Pi 5"],
        ["Test CPU"],
    ]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("66.43 % (64.8 to 68.0)", "66.43"),
        ("0.80 / 0.88 / 0.92", "0.8"),
        ("−0.22 (−0.67 to +0.22), p = 0.39", "-0.22"),
        ("+10.00", "10.0"),
        ("3,589", "3589.0"),
        ("999 kB", "999000.0"),
        ("1.00 MB", "1000000.0"),
        ("2.05× (2.03 to 2.07)", "2.05"),
        ("1", "1.0"),
        ("–", ""),
        ("fer2013 PrivateTest (3,589)", ""),
        ("2026-01-02", ""),
        ("3d-net float32", ""),
        ("", ""),
    ],
)
def test_a_cell_is_sorted_by_the_number_that_it_begins_with(cell: str, value: str) -> None:
    assert sort_value(cell) == value


def test_the_block_replaces_what_is_between_the_markers() -> None:
    readme = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_block(readme, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("readme", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_markers_that_are_missing_doubled_or_turned_round_are_refused(readme: str) -> None:
    with pytest.raises(DataError, match="expected the markers"):
        with_block(readme, "new\n")
