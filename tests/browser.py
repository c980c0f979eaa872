"""A real headless Chromium, driven through the system's own chromedriver, for tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="NO WEB PAGE IS TESTED IN A BROWSER: apt install chromium chromium-driver"
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1280,1000",
)  # fmt: skip


@contextmanager
def chromium(profile: Path, logs: tuple[str, ...] = ("browser",)) -> Iterator[Any]:
    """Yield a driver of a new browser, which is closed at the end.

    Args:
        profile: an empty folder for its profile.
        logs: what it keeps: "browser" the console, "performance" the network too.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", dict.fromkeys(logs, "ALL"))
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def resize(page: Any, width: int, height: int = 700, dark: bool = False) -> None:
    """Give the page a width in CSS pixels, as a phone's when it is narrow, and a light or a dark scheme."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})


def until(page: Any, script: str) -> Any:
    """Return the first true value of a script's expression, waiting half a minute for it."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(page, 30).until(lambda driver: driver.execute_script(f"return {script}"))
