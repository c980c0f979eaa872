from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge import notice


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, in which no notice has been shown."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FER_EDGE_CACHE", str(folder))
    monkeypatch.delenv(notice.SILENCE, raising=False)
    return folder


def test_the_notice_comes_once_on_stderr_in_one_line(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notice.first_use()
    first = capsys.readouterr()
    assert first.out == ""
    assert first.err.count("\n") == 1 and first.err.startswith("note: ")
    assert "not a feeling" in first.err and "`fer-edge about`" in first.err and "at work or in education" in first.err
    assert (cache / notice.MARKER).is_file()
    notice.first_use()
    assert capsys.readouterr() == ("", "")


def test_another_account_sees_it_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notice.first_use()
    monkeypatch.setenv("FER_EDGE_CACHE", str(tmp_path / "another"))
    capsys.readouterr()
    notice.first_use()
    assert capsys.readouterr().err.startswith("note: ")


@pytest.mark.parametrize(("value", "lines"), [("1", 0), ("yes", 0), ("0", 1), ("", 1)])
def test_a_variable_silences_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str, lines: int
) -> None:
    monkeypatch.setenv("FER_EDGE_NO_NOTICE", value)
    notice.first_use()
    assert capsys.readouterr().err.count("\n") == lines
    assert (cache / notice.MARKER).exists() == bool(lines)


def test_it_does_not_fail_where_the_marker_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FER_EDGE_CACHE", str(tmp_path / "file" / "below"))  # no folder can be made below a file
    for _ in range(2):
        notice.first_use()
        assert capsys.readouterr().err.count("\n") == 1


def test_it_does_not_fail_on_an_account_without_a_home(
    cache: Path, without_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    notice.first_use()
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="expected an ordinary user; root may write anywhere")
def test_it_does_not_fail_in_a_folder_that_is_read_only(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.mkdir(mode=0o500)
    notice.first_use()
    assert capsys.readouterr().err.count("\n") == 1
