"""Frames in turn and before a live camera, with a reader whose own time is known."""

from __future__ import annotations

import time
from types import MappingProxyType

import numpy as np
import pytest

from edge.benchmarking.frame_times import in_turn, live, there_and_back
from edge.errors import CameraError, ImageError
from edge.pictures.images import encode_jpeg
from edge.sources.frames import Frame
from edge.streams.stream import StreamReading

JPEG = encode_jpeg(np.full((48, 64, 3), 128, np.uint8), 90)
SPENT = MappingProxyType({"detect": 3.0, "crop": 0.25, "infer": 1.0, "track": 0.5})


class Reader:
    """Stands for a stream: takes its time over each frame, and says that it spent `SPENT`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.frames: list[Frame] = []

    def __call__(self, frame: Frame) -> StreamReading:
        self.frames.append(frame)
        time.sleep(self.seconds)
        return StreamReading(frame, (), (), SPENT)


@pytest.mark.parametrize("fps", [None, 500.0])
def test_the_warm_up_is_left_out_and_the_clock_begins_after_it(fps: float | None) -> None:
    reader, begun, ticks = Reader(), list[int](), list[tuple[int, int]]()

    def begin() -> None:
        begun.append(len(reader.frames))

    def tick(done: int, total: int) -> None:
        ticks.append((done, total))

    timed = (4, 3, begin, tick)
    times = in_turn(reader, [JPEG], *timed) if fps is None else live(reader, [JPEG], fps, *timed)
    assert begun == [3] and len(reader.frames) == 7
    assert ticks == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (len(times.whole_ms), times.width, times.height) == (4, 64, 48)
    assert times.stages_ms[:, 2:].tolist() == [list(SPENT.values())] * 4
    assert times.model_ms.tolist() == [4.0] * 4


def test_decoding_is_part_of_a_frame_in_turn_and_none_of_a_live_one() -> None:
    first = in_turn(Reader(), [JPEG], 5, 0, lambda: None)
    assert (first.stages_ms[:, 0] > 0).all() and not first.stages_ms[:, 1].any() and first.live is None
    second = live(Reader(), [JPEG], 200.0, 5, 1, lambda: None)
    assert not second.stages_ms[:, 0].any() and (second.stages_ms[:, 1] > 0).all()
    assert second.live is not None and second.live["decode_ms"]["min"] > 0 and second.live["capture_cpu_ms"] > 0


def test_waiting_for_the_camera_is_no_part_of_a_live_frame() -> None:
    times = live(Reader(), [JPEG], 10.0, 4, 1, lambda: None)
    assert times.live is not None
    assert times.live["seconds"] > 0.2  # four frames at ten a second
    assert times.whole_ms.min() < 50


def test_a_slow_reader_gets_the_newest_frame_and_those_it_missed_are_counted() -> None:
    reader = Reader(0.05)
    times = live(reader, [JPEG], 200.0, 4, 1, lambda: None)
    assert times.live is not None
    assert times.live["dropped"] == sum(frame.dropped for frame in reader.frames[1:]) > 0
    assert times.live["captured"] > 4 and times.whole_ms.min() >= 50


def test_pictures_that_cannot_be_decoded_end_the_measurement() -> None:
    with pytest.raises(ImageError, match="expected a picture"):
        in_turn(Reader(), [b"no picture"], 1, 0, lambda: None)
    with pytest.raises(
        CameraError, match="drawn camera: expected a camera that delivers pictures; got: expected a pic"
    ):
        live(Reader(), [b"no picture"], 30.0, 1, 0, lambda: None)
    with pytest.raises(CameraError, match="drawn camera: expected frames all through; got a camera that is lost"):
        live(Reader(), [JPEG, b"no picture"], 30.0, 5, 0, lambda: None)


def test_pictures_are_played_there_and_back() -> None:
    coming = there_and_back([b"a", b"b", b"c"])
    assert b"".join(next(coming) for _ in range(8)) == b"abccbaab"
