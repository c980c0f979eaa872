"""What a test needs and does not find is told: by a skip on a machine of one's own, by a failure in CI."""

from __future__ import annotations

import pytest

from tests.conftest import missing, require


def test_a_package_that_is_not_installed_skips_a_test_and_fails_it_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "expected the package no_such_package; not installed; pip install --editable"
    for value in ("true", "1", "True"):
        monkeypatch.setenv("CI", value)
        with pytest.raises(pytest.fail.Exception, match=line):
            require("json", "no_such_package")
        require("json")
    for value in ("", "false", "0"):
        monkeypatch.setenv("CI", value)
        with pytest.raises(pytest.skip.Exception, match=line) as skipped:
            require("no_such_package")
        assert skipped.value.allow_module_level
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no data"):
        missing("no data")
