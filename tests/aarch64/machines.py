"""The emulated machines that tests share: one folder for all runs, kept in pytest's cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.arm.home import QEMU, Home, need
from edge.errors import EdgeError


def home(config: pytest.Config) -> Home:
    """Return the folder of emulated machines; skip where a tool is missing, and fail in CI."""
    try:
        for program in (QEMU, "gcc", "nm", "apt-get"):
            need(program)
    except EdgeError as error:
        reason = f"no emulated Raspberry Pi: {error}"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    cache = config.cache
    if cache is None:
        pytest.fail("expected pytest's cache, where the emulated machines are kept; run without -p no:cacheprovider")
    return Home(Path(cache.mkdir("arm")))
