"""What happens to the page when the camera goes, to a file that is shown, and to a camera's log that is killed."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest

from edge.errors import CameraError
from edge.sources import open_source
from edge.sources.frames import Status
from edge.sources.paced import Paced
from edge.web.latency import SECONDS, LatencyMinute
from tests.edge.scenes import astronaut_frame, write_video
from tests.edge.test_outputs import reading
from tests.edge.test_video import lines_of, started

pytest.importorskip("aiohttp")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_video(tmp_path / "film.mp4", [astronaut_frame(160 + step, 120) for step in range(5)], fps=20)


def test_a_file_plays_at_its_own_speed_and_again(film: Path) -> None:
    source = Paced(lambda told: open_source(film, on_status=told))
    frames, begun = [], time.monotonic()
    for frame in source.frames():
        frames.append(frame)
        if len(frames) == 8:
            source.stop()
    source.close()
    assert time.monotonic() - begun >= 6 / 20  # eight frames, some of them perhaps late
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames}) and frames[-1].index >= 7
    assert all(earlier.captured_s < later.captured_s for earlier, later in pairwise(frames))


def test_a_slow_reader_of_a_file_misses_frames_and_is_told(film: Path) -> None:
    source = Paced(lambda told: open_source(film, on_status=told))
    for frame in source.frames():
        time.sleep(0.2)
        if frame.dropped:
            break
    source.close()
    assert frame.dropped > 0


def test_a_file_that_is_gone_ends_the_stream(film: Path) -> None:
    source = Paced(lambda told: open_source(film, on_status=told))
    with pytest.raises(CameraError, match="no such file"):
        for _ in source.frames():
            film.unlink(missing_ok=True)
    source.close()


def test_the_page_learns_that_the_camera_is_lost_and_back() -> None:
    from edge.web.hub import Hub

    hub = Hub()
    assert hub.source()["state"] == "starting"
    hub.write(reading(0))
    assert hub.source()["state"] == "live"
    hub.tell(Status("lost", "camera 0: the camera failed", 1.0))
    assert hub.source() == {"state": "lost", "text": "camera 0: the camera failed"}
    hub.tell(Status("resumed", "camera 0: frames again", 2.0))
    assert hub.source()["state"] == "live" and hub.changes == 3


def test_a_minutes_latency_is_medians_by_second_and_stays_a_minute() -> None:
    minute = LatencyMinute(0.0)
    for ms in (1.0, 9.0, 2.0):
        minute.add({"infer": ms, "detect": 0.0}, 0.5, frames=1)
    minute.add({"infer": 4.0}, 2.5, frames=1)
    assert minute.seconds(3.0) == [
        {"second": 0, "frames": 3, "median_ms": {"infer": 2.0}},
        {"second": 1, "frames": 0, "median_ms": {}},
        {"second": 2, "frames": 1, "median_ms": {"infer": 4.0}},
    ]
    assert [entry["second"] for entry in minute.seconds(1000.0)] == list(range(1000 - SECONDS, 1000))


def test_a_camera_killed_while_it_appends_goes_on_with_whole_lines(int8_path: Path, tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    words = ("camera", "synthetic", "--model", int8_path, "--detector", "haar", "--jsonl", log, "--append")
    process = started(*words)
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().count("\n") > 3):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    with log.open("a") as stream:
        stream.write('{"type": "fra')  # the kill came in the middle of a line
    before = log.read_text().count("\n")
    assert started(*words, "--max-frames", 2).wait(60) == 0
    lines = lines_of(log.read_text())
    assert [line["type"] for line in lines[before:]] == ["meta", "frame", "frame"]
    assert json.dumps(lines[0])
