"""The report's Markdown, HTML and plot."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.evidence import read_evidence
from benchmarks.plot import panels, tradeoff_svg
from benchmarks.report import BEGIN, END, html_page, markdown, markdown_page, with_block
from benchmarks.table import HEADINGS, Table, build
from edge.errors import DataError
from tests.benchmarks import handmade
from tests.benchmarks.conftest import Write


def _table(folder: Path) -> Table:
    return build(read_evidence([folder]))


def test_markdown_holds_one_line_a_row_under_the_headings(float_and_int8: Path) -> None:
    table = _table(float_and_int8)
    lines = markdown(table).splitlines()
    assert lines[0] == f"| {' | '.join(HEADINGS)} |"
    assert lines[2] == f"| {' | '.join(table.rows[0].cells())} |"
    assert lines[3].startswith("| lite0 | qat-int8 | 3.60 MB | fer2013 PrivateTest (10) | 70.00 % (50.0 to 85.0) |")


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


def test_a_name_cannot_break_the_markdown_table(write: Write) -> None:
    record = handmade.latency("float32", 6.0)
    record["machine"]["model"] = f"CPU | two{END}<b>R&D</b>"
    line = markdown(_table(write(record))).splitlines()[2]
    assert line.count("|") == len(HEADINGS) + 1
    assert "<" not in line and "&lt;b>R&amp;D&lt;/b>" in line


def test_the_page_names_its_records_and_those_left_out(write: Write) -> None:
    folder = write(
        handmade.latency("float32", 5.0, created="2026-01-03T00:00:00+00:00"),
        handmade.latency("float32", 9.0, created="2026-01-02T00:00:00+00:00"),
    )
    page = markdown_page(_table(folder), has_plot=False, sources=sorted(folder.iterdir()))
    assert "from 0-latency.json, 1-latency.json." in page
    assert "Left out for newer records: 1-latency.json." in page
    assert "accuracy-latency.svg" not in page


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for key, value in attrs:
            if key in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.outside.append(f"{tag} {key}={value}")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_html_page_needs_no_other_file_and_runs_no_script(float_and_int8: Path) -> None:
    table = _table(float_and_int8)
    source = html_page(table, tradeoff_svg(table.rows), sorted(float_and_int8.iterdir()))
    page = _Page()
    page.feed(source)
    assert page.outside == []
    assert "script" not in page.tags
    assert "svg" in page.tags
    assert not re.search(r"@import|url\((?!#)", source)
    for cell in (*HEADINGS, *table.rows[0].cells(), *table.rows[1].cells()):
        assert cell in page.text


def test_a_name_from_a_record_is_escaped_in_the_html_page(write: Write) -> None:
    record = handmade.latency("float32", 6.0)
    record["model"]["name"] = "<script>alert(1)</script>"
    folder = write(record)
    source = html_page(_table(folder), None, sorted(folder.iterdir()))
    assert "<script" not in source
    assert "&lt;script&gt;" in source


def test_the_plot_names_every_model_and_is_the_same_each_time(float_and_int8: Path) -> None:
    rows = _table(float_and_int8).rows
    svg = tradeoff_svg(rows)
    assert svg is not None
    texts = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "lite0 float32" in texts
    assert "lite0 qat-int8" in texts
    assert "currentColor" in svg
    assert svg == tradeoff_svg(rows)


def test_the_page_shows_its_command_as_code(float_and_int8: Path) -> None:
    page = html_page(_table(float_and_int8), None, sorted(float_and_int8.iterdir()))
    assert "<code>python -m benchmarks report</code>" in page
    assert "`" not in page


def test_without_both_figures_there_is_no_plot(write: Write) -> None:
    rows = _table(write(handmade.latency("float32", 6.0))).rows
    assert panels(rows) == []
    assert tradeoff_svg(rows) is None


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


def test_models_that_lie_together_have_a_name_each_outside_the_panel(write: Write) -> None:
    from matplotlib.figure import Figure

    from benchmarks.plot import draw

    records = []
    for index, letter in enumerate("abcd"):
        block = handmade.model("float32", name=f"network-{letter}", sha256=letter * 64)
        records += [handmade.accuracy("float32", "1110", model=block)]
        records += [handmade.latency("float32", 6.0 + 0.01 * index, model=block)]
    rows = _table(write(*records)).rows
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    draw(axes, rows, dict.fromkeys((row.model.name for row in rows), "#000000"))
    figure.draw_without_rendering()
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [f"network-{letter} float32" for letter in "abcd"]
    assert legend.get_window_extent().y1 < axes.bbox.y0


def test_the_block_replaces_what_is_between_the_markers() -> None:
    readme = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_block(readme, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("readme", ["", BEGIN, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_markers_that_are_missing_doubled_or_turned_round_are_refused(readme: str) -> None:
    with pytest.raises(DataError, match="expected the markers"):
        with_block(readme, "new\n")
