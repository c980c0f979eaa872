"""What every test may ask for: a quiet environment and the real data beside the checkout."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

# Set before any test module imports a framework; the commands that tests start inherit them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


def on_ci() -> bool:
    """Whether CI runs the tests, which installs what setup.cfg's extra dev asks for."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def missing(reason: str) -> NoReturn:
    """Skip a test, or all of a file as it is read, that lacks something; in CI it fails."""
    if on_ci():
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def require(*packages: str) -> None:
    """Skip where a package of the extra dev is not installed; in CI that fails.

    Args:
        packages: as they are imported.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            missing(f"expected the package {package}; not installed; pip install --editable '.[dev]'")


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; without it the test is skipped, and in CI it fails."""
    if not SHARED_DATA.is_dir():
        missing(f"expected real data in {SHARED_DATA}; no such folder; put the data there or leave this test out")
    return SHARED_DATA


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the run's own, so that no test reads or fills the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_EDGE_CACHE", str(folder))
        patch.setenv("FER_EDGE_NO_NOTICE", "1")  # else the first command of a run would say a line more on stderr
        yield folder
