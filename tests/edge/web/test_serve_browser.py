"""The page in a real headless Chromium, driven through its own chromedriver."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.web.app import Pages
from edge.web.guard import Guard, own_names
from edge.web.hub import Hub
from edge.web.listening import listening_socket
from edge.web.server import WebServer
from edge.web.stills import Stills
from tests.browser import chromium, needs_browser, resize, until
from tests.conftest import require
from tests.edge.web.test_serve import serving
from tests.edge.web.test_web_limits import no_recognizer, noisy
from tests.edge.web.test_web_limits import until as web_until

require("aiohttp")

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """The page of the drawn camera, read by the model that ships, behind a token."""
    with serving("synthetic", "--port", 0, "--token", "t" * 20, env=dict(os.environ)) as found:
        browser.get(f"http://localhost:{found.port}/?token={'t' * 20}")
        yield browser


def test_the_live_picture_is_shown_and_the_token_leaves_the_address(page: Any) -> None:
    assert until(page, "document.getElementById('live').naturalWidth") == 640
    assert "token" not in page.current_url


def test_the_bars_move(page: Any) -> None:
    widths = "[...document.querySelectorAll('.fill')].map((bar) => bar.style.width).join()"
    first = until(page, widths)
    assert first.count(",") == 6
    assert until(page, f"{widths} !== {first!r}")
    assert page.execute_script("return document.querySelector('h3').textContent").startswith("Face 1: ")


def test_the_latency_chart_has_data(page: Any) -> None:
    assert until(page, "document.querySelectorAll('polyline').length >= 5")
    assert until(page, "document.querySelector('#latency tbody').textContent").count(".") >= 10


def test_a_photograph_shows_a_happy_face(page: Any, tmp_path: Path) -> None:
    import cv2
    from skimage import data

    cv2.imwrite(str(tmp_path / "astronaut.jpg"), data.astronaut()[..., ::-1])
    page.find_element("id", "file").send_keys(str(tmp_path / "astronaut.jpg"))
    assert until(page, "document.getElementById('still-status').textContent.match(/^happy \\d+ %$/)")
    assert until(page, "document.getElementById('still').naturalWidth") == 512


def test_a_narrow_and_dark_page_does_not_overflow(page: Any) -> None:
    resize(page, 320, dark=True)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 320
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_the_console_holds_no_error_but_those_that_a_script_makes(page: Any) -> None:
    assert page.get_log("browser") == []
    page.execute_script("console.error('planted')")
    assert "planted" in str(page.get_log("browser"))


def test_a_picture_that_the_server_let_go_is_asked_for_again_unless_it_is_paused(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = listening_socket("127.0.0.1", 0)
    about = {"uncertain_below": 0.5, "model": {"name": "", "recipe": ""}, "detector": "", "source": ""}
    said = {"about": about, "accuracy": "", "notice": "", "intended_use": "", "not_for": ""}
    written, cut = Pages._written, threading.Event()

    async def stalls(pages: Pages, request: Any, response: Any, content: bytes) -> bool:
        if request.path != "/live.mjpg" or cut.is_set():
            return await written(pages, request, response, content)
        cut.set()
        request.transport.abort()
        return False

    guard, stills, hub = Guard(own_names("127.0.0.1", "pi"), any_address=False), Stills(no_recognizer), Hub()
    with WebServer(listener, guard, hub, stills, said, viewers=2, view_fps=60) as running:
        browser.get(f"http://localhost:{listener.getsockname()[1]}/")
        hub.write(noisy(0))
        assert until(browser, "document.getElementById('live').naturalWidth") == 640
        source = "document.getElementById('live').src"
        first = browser.execute_script(f"return {source}")
        monkeypatch.setattr(Pages, "_written", stalls)
        assert cut.wait(10)  # the last picture is said again
        assert until(browser, f"{source} !== {first!r} && {source}").startswith(first.partition("at=")[0])
        web_until(lambda: running.pages.watching.now == 1)
        browser.find_element("id", "pause").click()
        web_until(lambda: running.pages.watching.now == 0)
        time.sleep(6)
        assert browser.execute_script(f"return {source}") == "data:,"
