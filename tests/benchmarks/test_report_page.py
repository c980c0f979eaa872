"""report.html in a real headless Chromium, opened from a file: sorting, filtering, nothing run and nothing fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.html import html_page
from benchmarks.report import Report
from tests.benchmarks import boards
from tests.browser import chromium, needs_browser, resize

pytestmark = needs_browser
RESULTS = "document.querySelector('#results').parentElement.querySelector('table')"


@pytest.fixture(scope="module")
def address(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page of the two boards lies."""
    page = tmp_path_factory.mktemp("page") / "report.html"
    page.write_text(html_page(report), encoding="utf-8")
    return page.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile"), ("browser", "performance")) as driver:
        yield driver


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    """The page, opened anew."""
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # of what was before, the browser's own first page among it
    resize(browser, 1280, 1000)
    browser.get(address)
    return browser


def _heading(page: Any, text: str) -> Any:
    script = f"return [...{RESULTS}.tHead.querySelectorAll('button')].find((one) => one.textContent === arguments[0])"
    return page.execute_script(script, text)


def _column(page: Any, text: str) -> list[str]:
    script = f"""const table = {RESULTS};
        const place = [...table.tHead.rows[0].cells].findIndex((one) => one.textContent === arguments[0]);
        return [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[place].textContent)"""
    found: list[str] = page.execute_script(script, text)
    return found


def _requests(page: Any) -> list[str]:
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def test_the_page_fetches_nothing_but_itself_and_runs_no_name(page: Any, address: str) -> None:
    assert _requests(page) == [address]
    assert page.title == "fer-edge: accuracy against latency"
    assert page.execute_script("return document.querySelectorAll('img').length") == 0
    assert boards.HOSTILE in _column(page, "Model")
    assert page.get_log("browser") == []


def test_a_script_and_a_picture_that_got_in_would_be_stopped_and_seen(page: Any) -> None:
    assert page.title == "fer-edge: accuracy against latency"
    page.execute_script(
        "const one = document.createElement('script'); one.textContent = 'document.title = \"taken\"';"
        "document.body.append(one); const two = new Image(); two.src = 'planted.png'; document.body.append(two)"
    )
    assert page.title != "taken"
    messages = str(page.get_log("browser"))
    assert "Content Security Policy" in messages and "planted.png" in messages


def test_a_click_sorts_by_number_and_a_second_one_the_other_way(page: Any) -> None:
    name = "p50 / p90 / p99 ms"
    assert [cell.split(" ")[0] for cell in _column(page, name)] == ["60.00", "20.00", "15.00", "6.00", "2.00", "1.50"]
    _heading(page, name).click()
    assert [cell.split(" ")[0] for cell in _column(page, name)] == ["1.50", "2.00", "6.00", "15.00", "20.00", "60.00"]
    sorted_by = f"return [...{RESULTS}.tHead.rows[0].cells].map((one) => one.getAttribute('aria-sort')).filter(Boolean)"
    assert page.execute_script(sorted_by) == ["ascending"]
    assert page.find_element("id", "status").text == f"Sorted by {name}, lowest first."
    _heading(page, name).click()
    assert [cell.split(" ")[0] for cell in _column(page, name)] == ["60.00", "20.00", "15.00", "6.00", "2.00", "1.50"]
    assert page.execute_script(sorted_by) == ["descending"]


def test_the_keyboard_sorts_and_dashes_stay_last(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    name = "Drop against float, points (95 %)"
    for _ in range(2):
        _heading(page, name).send_keys(Keys.ENTER)
        assert _column(page, name)[-2:] == ["–", "–"]
    assert page.execute_script("return document.activeElement.textContent") == name
    _heading(page, "Size").send_keys(Keys.SPACE)
    assert _column(page, "Size") == ["3.60 MB"] * 4 + ["13.50 MB"] * 2


def test_texts_are_sorted_as_texts(page: Any) -> None:
    _heading(page, "Recipe").click()
    assert _column(page, "Recipe") == ["float32"] * 2 + ["qat-int8"] * 4
    assert _column(page, "Model")[:2] == [boards.HOSTILE, "lite0"]  # equal ones keep their order


def test_one_machine_can_be_chosen(page: Any) -> None:
    from selenium.webdriver.support.ui import Select

    figures = "return [...document.querySelectorAll('figure')].filter((one) => one.checkVisibility()).length"
    every = page.execute_script(figures)
    choice = Select(page.find_element("id", "machine"))
    machine = next(option.text for option in choice.options if option.text.startswith("Raspberry Pi 5"))
    choice.select_by_visible_text(machine)
    assert set(_column(page, "Machine")) == {machine} and len(_column(page, "Machine")) == 3
    assert page.execute_script(figures) == (every - 1) / 2 + 1  # sizes belong to no machine
    choice.select_by_index(0)
    assert len(_column(page, "Machine")) == 6
    assert page.execute_script(figures) == every


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_does_not_overflow_and_follows_the_scheme(page: Any, width: int, dark: bool) -> None:
    resize(page, width, dark=dark)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")
    ink = page.execute_script("return getComputedStyle(document.querySelector('svg text')).fill")
    assert ink == page.execute_script("return getComputedStyle(document.body).color")


def test_a_doubtful_figure_is_marked_in_words_and_colour(page: Any) -> None:
    found = page.execute_script("return [...document.querySelectorAll('td.doubt')].map((one) => one.textContent)")
    assert {"noisy", "throttled", "2.000 (noisy)", "20.000 (throttled)"} <= set(found)
    assert "1 fine, 1 noisy" not in found


def test_print_shows_whole_tables_without_controls(page: Any) -> None:
    resize(page, 1030)  # A4 across
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not page.find_element("id", "controls").is_displayed()
        assert page.execute_script("return getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
        assert page.execute_script("return document.documentElement.scrollWidth") <= 1030
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_page_says_no_word_on_the_console(page: Any) -> None:
    _heading(page, "Size").click()
    assert page.get_log("browser") == []
