"""What happens to the page when the camera goes, to a file that is shown, and to a camera's log that is killed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import CameraError
from edge.pictures.images import read_image
from edge.sources import open_source
from edge.sources.frames import Closing, Frame, Status
from edge.sources.paced import Paced
from edge.web.latency import SECONDS, LatencyMinute
from tests.conftest import require
from tests.edge.commands.test_video import lines_of, started
from tests.edge.scenes import astronaut_frame, frame_at, numbered, write_video
from tests.edge.streams.test_outputs import reading

require("aiohttp")


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


class Late(Closing):
    """Three frames, the last two decoded long after their time."""

    live, name, width, height, fps = False, "late", 64, 48, 1000.0
    total: int | None = 3

    def __init__(self) -> None:
        self.made = 0

    def frames(self) -> Iterator[Frame]:
        for index in range(3):
            time.sleep(0.02 if index else 0)
            self.made += 1
            yield frame_at(numbered(index), index, self.fps)

    def stop(self) -> None:
        """Go on."""


def test_frames_left_out_at_the_end_of_a_round_are_counted_in_the_next_one() -> None:
    late, handed_out, dropped = Late(), 0, 0
    source = Paced(lambda told: late)
    for frame in source.frames():
        assert frame.index == late.made - 1
        handed_out, dropped = handed_out + 1, dropped + frame.dropped
        assert handed_out + dropped == frame.index + 1
        if frame.index >= 9 and dropped:
            break
    source.close()


def test_a_picture_is_read_once_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), astronaut_frame(160, 120))
    reads = list[Path]()

    def counted(path: Path) -> np.ndarray:
        reads.append(path)
        return read_image(path)

    monkeypatch.setattr("edge.sources.files.read_image", counted)
    source = Paced(lambda told: open_source(tmp_path / "a.png", on_status=told))
    frames = list(islice(source.frames(), 3))
    source.close()
    assert len(frames) == len(reads) == 3
    assert (frames[0].picture == frames[2].picture).all()


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
