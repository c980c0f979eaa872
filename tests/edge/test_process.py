from __future__ import annotations

import sys
from pathlib import Path

import pytest

import edge
from edge.benchmarking.coldstart import cold_start
from edge.errors import EdgeError
from edge.process import run_python


def stand_in(folder: Path, script: str) -> str:
    """A program that takes Python's place."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_process_that_ends_well_is_given_with_what_it_printed() -> None:
    assert run_python(["-c", "import edge; print(edge.__name__)"]).stdout == "edge\n"


@pytest.mark.parametrize("words", [["-c", "import edge; print(edge.__version__)"], ["-m", "edge", "--version"]])
def test_a_package_of_the_same_name_in_the_current_folder_is_not_run(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edge").mkdir()
    for name in ("__init__", "__main__"):
        (tmp_path / "edge" / f"{name}.py").write_text("print('another')\n__version__ = 'another'\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    said = run_python(words).stdout
    assert edge.__version__ in said and "another" not in said


def test_a_child_that_exec_refused_counts_as_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, "exit 127"))
    with pytest.raises(OSError, match="no process could be started"):
        run_python(["-c", ""])
    assert cold_start("model.tflite", 1) is None


def test_a_process_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, "echo broken >&2; exit 127"))
    with pytest.raises(EdgeError, match="got exit code 127: broken; run it by hand"):
        run_python(["-c", ""])
