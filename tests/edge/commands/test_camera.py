from __future__ import annotations

import csv
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edge import sources
from edge.sources import LiveSettings, LiveSource
from tests.edge.commands.test_video import Run, frames_in, lines_of, run, started
from tests.edge.scenes import FakeFactory, steady

__all__ = ["run"]  # the fixture

QUICK = LiveSettings(first_retry_s=0.02, longest_retry_s=0.1)


def test_the_drawn_camera_is_read_for_as_long_as_asked(run: Run, int8_path: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    result = run("camera", "synthetic", "--model", int8_path, "--detector", "haar", "--width", 160, "--height", 120,
                 "--fps", 20, "--seconds", 1.5, "--json", "--out", tmp_path / "a.avi")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert time.monotonic() - begun > 1.5
    meta, *frames = lines_of(result.stdout)
    assert meta["source"] == "synthetic" and meta["live"] and frames[0]["captured_s"] >= meta["started_s"] - 60
    assert (frames[0]["width"], frames[0]["height"]) == (160, 120)
    assert 2 <= len(frames) <= 40 and any(frame["faces"] for frame in frames)
    assert frames_in(tmp_path / "a.avi") > 2
    assert "source synthetic: 160 x 120, 20 frames a second" in result.stderr


def test_a_slow_run_skips_frames_and_says_how_many(run: Run, int8_path: Path) -> None:
    result = run("camera", "synthetic", "--model", int8_path, "--detector", "haar", "--fps", 500, "--width", 320,
                 "--height", 240, "--max-frames", 10, "--json")  # fmt: skip
    frames = lines_of(result.stdout)[1:]
    skipped = sum(frame["dropped"] for frame in frames)
    assert len(frames) == 10 and skipped > 0
    assert frames[-1]["index"] == 9 + skipped
    assert "10 frames in " in result.stderr and f", {skipped:,} skipped, " in result.stderr


def test_an_outage_is_told_once_and_the_run_goes_on(run: Run, int8_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_fake(spec: str, **options: Any) -> LiveSource:
        factory = FakeFactory(steady(0, 5, 0.02), OSError("unplugged"), OSError("unplugged"), steady(0, None, 0.02))
        return LiveSource("camera 7", factory, QUICK, options["on_status"])

    monkeypatch.setattr(sources, "open_source", open_fake)
    result = run("camera", "7", "--model", int8_path, "--detector", "haar", "--max-frames", 12, "--json")
    assert result.exit_code == 0
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2
    assert notes[0].startswith("note: camera 7: the camera failed (it delivers no frame); it is tried again")
    assert notes[1].startswith("note: camera 7: frames again after ")
    assert len(lines_of(result.stdout)) == 13


def test_a_camera_that_is_not_there_is_one_line(run: Run, int8_path: Path) -> None:
    result = run("camera", "978", "--model", int8_path, "--detector", "haar")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: camera 978: expected /dev/video978; got no such device")
    assert result.stderr.count("\n") == 1


def test_a_cameras_rows_are_dated(run: Run, int8_path: Path, tmp_path: Path) -> None:
    words = ("camera", "synthetic", "--model", int8_path, "--detector", "haar", "--csv", tmp_path / "a.csv")
    before = datetime.now(UTC) - timedelta(seconds=1)
    assert run(*words, "--max-frames", 3).exit_code == 0
    times = [datetime.fromisoformat(row["time_utc"]) for row in csv.DictReader((tmp_path / "a.csv").open())]
    assert times and before < times[0] <= times[-1] < datetime.now(UTC)


def test_a_file_is_pointed_to_its_own_command(run: Run) -> None:
    result = run("camera", "film.mp4")
    assert result.exit_code == 2 and "for a file use `fer-edge video`" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_the_ordinary_end_of_a_camera(number: int, int8_path: Path, tmp_path: Path) -> None:
    process = started("camera", "synthetic", "--model", int8_path, "--detector", "haar", "--width", 160, "--height",
                      120, "--jsonl", tmp_path / "a.jsonl")  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (tmp_path / "a.jsonl").exists() and (tmp_path / "a.jsonl").read_text().count("\n") > 3:
            break
        time.sleep(0.05)
    process.send_signal(number)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr and " frames in " in stderr.splitlines()[-1]
    assert all(line["type"] in ("meta", "frame") for line in lines_of((tmp_path / "a.jsonl").read_text()))


def test_pictures_are_written_nowhere_unless_an_output_is_asked_for(
    run: Run, int8_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("camera", "synthetic", "--model", int8_path, "--detector", "haar", "--max-frames", 3)
    assert result.exit_code == 0 and list(tmp_path.iterdir()) == []
