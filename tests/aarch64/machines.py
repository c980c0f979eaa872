"""The emulated machines that tests share: one folder for all runs, kept in pytest's cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.arm.home import QEMU, Home, MissingError, need


def home(config: pytest.Config) -> Home:
    """Return the folder of emulated machines; the test is skipped where one cannot be made."""
    cache = config.cache
    if cache is None:
        pytest.fail("expected pytest's cache, where the emulated machines are kept; run without -p no:cacheprovider")
    made = Home(Path(cache.mkdir("arm")))
    with or_skip():
        for program in (QEMU, "gcc", "nm", "apt-get"):
            need(program)
        made.board("bookworm", "pi4")
    return made


@contextmanager
def or_skip() -> Iterator[None]:
    """Skip the test, with the reason, where the block lacks a program or cannot reach its Debian; else it fails."""
    try:
        yield
    except MissingError as error:
        pytest.skip(f"NO EMULATED RASPBERRY PI: {error}")
