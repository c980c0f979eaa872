"""What a test needs and does not find is told: by a skip on a machine of one's own, by a failure in CI."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import missing, require


def outcome(needing: Callable[[], None]) -> tuple[type[BaseException] | None, str]:
    """Return how a test ends that needs something, and the line that it tells."""
    try:
        needing()
    except BaseException as came:  # pytest's skip is no Exception, and would skip this test
        return type(came), str(came)
    return None, ""


@pytest.mark.parametrize(
    ("value", "ends"),
    [(text, pytest.fail.Exception) for text in ("true", "1", "True")]
    + [(text, pytest.skip.Exception) for text in ("", "false", "0", None)],
)
def test_a_package_that_is_not_installed_skips_a_test_and_fails_it_in_ci(
    value: str | None, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if value is not None:
        monkeypatch.setenv("CI", value)
    line = "expected the package no_such_package; not installed; pip install --editable '.[dev]'"
    assert outcome(lambda: require("json", "no_such_package")) == (ends, line)
    assert outcome(lambda: missing("no data")) == (ends, "no data")
    assert outcome(lambda: require("json")) == (None, "")
