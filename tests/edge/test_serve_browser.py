"""The page in a real headless Chromium, driven through its own chromedriver."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edge.test_serve import serving

pytest.importorskip("aiohttp")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="NO WEB PAGE IS TESTED IN A BROWSER: apt install chromium chromium-driver"
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1280,1000",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """The page of the drawn camera, read by the model that ships, behind a token."""
    with serving("synthetic", "--port", 0, "--token", "t" * 20, env=dict(os.environ)) as found:
        browser.get(f"http://localhost:{found.port}/?token={'t' * 20}")
        yield browser


def until(page: Any, script: str) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(page, 30).until(lambda driver: driver.execute_script(f"return {script}"))


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
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    )
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    assert page.execute_script("return document.documentElement.scrollWidth") <= 320
    assert page.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"


def test_the_console_holds_no_error_but_those_that_a_script_makes(page: Any) -> None:
    assert page.get_log("browser") == []
    page.execute_script("console.error('planted')")
    assert "planted" in str(page.get_log("browser"))
