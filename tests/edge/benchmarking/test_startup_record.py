from __future__ import annotations

from pathlib import Path

import pytest

from edge.benchmarking import startup
from edge.benchmarking.records import read_record
from edge.errors import EdgeError
from tests.edge.conftest import Run


def test_a_process_is_timed_from_start_to_exit() -> None:
    assert startup.process_s(["-c", "import time; time.sleep(0.3)"]) >= 0.3


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(EdgeError, match="expected the command to succeed; got exit code 3: no such thing"):
        startup.process_s(["-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"])


def test_a_command_s_figures_are_numpy_s_percentiles() -> None:
    # Sorted 1 2 3 4 5: the middle, and at nine tenths of the way from first to last 4.6.
    block = startup.summary("fer-edge image", [5.0, 1.0, 4.0, 2.0, 3.0])
    assert block["seconds"] == {"median": 3.0, "p90": pytest.approx(4.6), "min": 1.0, "max": 5.0}
    assert block["samples_s"] == [5.0, 1.0, 4.0, 2.0, 3.0] and block["repeats"] == 5


def test_the_startup_record_holds_both_commands(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "s.json"
    result = run("benchmark", "startup", "--repeats", 2, "--record", target)
    assert (result.exit_code, result.stderr) == (0, "")
    record = read_record(target)
    assert [entry["name"] for entry in record["commands"]] == ["fer-edge --help", "fer-edge image"]
    assert all(len(entry["samples_s"]) == entry["repeats"] == 2 for entry in record["commands"])
    assert record["stability"]["verdict"] in ("noisy", "throttled")  # two samples say nothing
    assert "stability: " in result.stdout
    assert record["detector"] == "haar" and "fer-edge image: median" in result.stdout


def test_the_timed_command_has_the_threads_that_its_record_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[list[str]] = []

    def noted(words: list[str]) -> float:
        timed.append(words)
        return 0.25

    monkeypatch.setattr(startup, "process_s", noted)
    record = startup.startup_record(1, "haar", ["fer-edge"])
    given = [words[words.index("--threads") + 1] for words in timed if "image" in words]
    assert given == [str(record["threads"])] * 2  # the untimed round too


def test_a_picture_that_cannot_be_read_ends_the_measurement(run: Run, tmp_path: Path) -> None:
    result = run("benchmark", "startup", "--repeats", 1, "--picture", tmp_path / "none.jpg")
    assert result.exit_code == 1 and "got exit code 1" in result.stderr and result.stderr.count("\n") == 1
