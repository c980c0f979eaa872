"""What each frame of a drawn camera takes, in one of two arrangements: decoded in turn, or in a capture thread.

In turn, one thread decodes a frame and reads it, as for a video file. Live, the camera is the real live source: its
capture thread decodes at the camera's pace while the reader detects and infers, and the newest frame wins. Decoding is
then not part of the reader's time, but takes a core's all the same; so the capture thread's CPU time is told beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.benchmarking.benchmark import summary_ms
from edge.errors import CameraError
from edge.pictures.images import decode_image
from edge.sources.frames import Frame, Status
from edge.sources.live import LiveSource
from edge.streams.stream import StreamReading

Tick = Callable[[int, int], None]  # (done, in all)
Read = Callable[[Frame], StreamReading]  # a `Stream`

STAGES = ("decode", "handover", "detect", "crop", "infer", "post")  # post: association, following, smoothing, events
FPS = 30.0  # the pace that frames read in turn are stamped with; they are read as fast as they can be


@dataclass(frozen=True)
class FrameTimes:
    """The timed frames.

    Attributes:
        stages_ms: (n, 6) milliseconds of each frame in `STAGES`; 0 where a stage did not run.
        whole_ms: (n,) of each whole frame: live, from when the frame was there and the reader free.
        faces: on all of them together.
        width: of a frame, pixels.
        height: of a frame, pixels.
        live: what the record says of the capture thread, see `_Capture.block`; None: in turn.
    """

    stages_ms: npt.NDArray[np.float64]
    whole_ms: npt.NDArray[np.float64]
    faces: int
    width: int
    height: int
    live: dict[str, Any] | None = None

    @property
    def model_ms(self) -> npt.NDArray[np.float64]:
        """Return the (n,) milliseconds of each frame in detection and inference."""
        columns = [STAGES.index("detect"), STAGES.index("infer")]
        spent: npt.NDArray[np.float64] = self.stages_ms[:, columns].sum(axis=1)
        return spent


class _Timer:
    """Collects frames' times; the first ones, of the warm-up, are left out."""

    def __init__(self, frames: int, warmup: int, begin: Callable[[], None], tick: Tick | None) -> None:
        self.rows: list[tuple[float, ...]] = []
        self.faces = 0
        self._frames, self._ahead, self._begin, self._tick = frames, warmup, begin, tick

    def next(self) -> None:
        """Call `begin` if the next frame is the first timed one."""
        if self._ahead == 0 and not self.rows:
            self._begin()

    def take(self, decode_ms: float, handover_ms: float, reading: StreamReading, whole_ms: float) -> None:
        if self._ahead:
            self._ahead -= 1
            return
        spent = reading.latency_ms
        stages = (spent["detect"], spent["crop"], spent["infer"], spent["track"])
        self.rows.append((decode_ms, handover_ms, *stages, whole_ms))
        self.faces += len(reading.faces)
        if self._tick is not None:
            self._tick(len(self.rows), self._frames)

    def times(self, picture: npt.NDArray[np.uint8], live: dict[str, Any] | None = None) -> FrameTimes:
        rows, (height, width) = np.array(self.rows), picture.shape[:2]
        return FrameTimes(rows[:, :-1], rows[:, -1], self.faces, width, height, live)


def in_turn(
    stream: Read,
    pictures: Sequence[bytes],
    frames: int,
    warmup: int,
    begin: Callable[[], None],
    tick: Tick | None = None,
) -> FrameTimes:
    """Return the times of frames that are decoded and read one after the other, as fast as they can be.

    Args:
        stream: reads them.
        pictures: encoded, played forwards and backwards.
        frames: timed.
        warmup: untimed frames before them.
        begin: called right before the first timed frame.
        tick: called with (frames done, frames in all).

    Raises:
        ImageError: a picture cannot be decoded.
    """
    timer = _Timer(frames, warmup, begin, tick)
    for index, content in enumerate(islice(there_and_back(pictures), frames + warmup)):
        timer.next()
        start = time.perf_counter_ns()
        picture = decode_image(content)
        decoded = time.perf_counter_ns()
        reading = stream(Frame(picture, index, index / FPS, 0))
        timer.take((decoded - start) / 1e6, 0.0, reading, (time.perf_counter_ns() - start) / 1e6)
    return timer.times(picture)


def live(
    stream: Read,
    pictures: Sequence[bytes],
    fps: float,
    frames: int,
    warmup: int,
    begin: Callable[[], None],
    tick: Tick | None = None,
) -> FrameTimes:
    """Return the times of frames that the capture thread decodes at a camera's pace while others are read.

    A frame's time begins when it is there and the reader is free; waiting for the camera is no part of it. The stage
    "handover" is what passes until the reader has the frame, waking up included.

    Args:
        stream: reads them.
        pictures: encoded, played forwards and backwards.
        fps: the camera's frames a second.
        frames: timed, of those that were read.
        warmup: untimed frames before them.
        begin: called right before the first timed frame.
        tick: called with (frames done, frames in all).

    Raises:
        CameraError: a picture cannot be decoded, or none came for seconds.
    """
    camera = _Capture(pictures, fps)
    first = dropped = 0
    begun_s = 0.0

    def started() -> None:
        nonlocal first, begun_s
        begin()
        first, begun_s = camera.taken, time.monotonic()

    timer = _Timer(frames, warmup, started, tick)
    with LiveSource("drawn camera", lambda: camera, on_status=_refuse) as source:
        coming = source.frames()
        for _ in range(frames + warmup):
            timer.next()
            free_s = time.monotonic()
            frame = next(coming)
            begun = max(free_s, frame.captured_s)
            taken_s = time.monotonic()
            reading = stream(frame)
            end_s = time.monotonic()
            timer.take(0.0, 1e3 * (taken_s - begun), reading, 1e3 * (end_s - begun))
            if timer.rows:
                dropped += frame.dropped
        block = camera.block(first, time.monotonic() - begun_s, dropped)
    return timer.times(frame.picture, block)


class _Capture:
    """A camera that decodes JPEGs at its pace, in the thread that reads it, and keeps that thread's times."""

    def __init__(self, pictures: Sequence[bytes], fps: float) -> None:
        self.fps = fps
        self.taken = 0  # frames so far
        self._coming = there_and_back(pictures)
        self._begun_s: float | None = None
        self._decode_ms: list[float] = []
        self._cpu_ms: list[float] = []  # the thread's own clock after each frame

    def read(self) -> npt.NDArray[np.uint8]:
        """Return the next frame, (height, width, 3) uint8 RGB, when its time has come."""
        if self._begun_s is None:
            self._begun_s = time.monotonic()
        time.sleep(max(0.0, self._begun_s + self.taken / self.fps - time.monotonic()))
        start = time.perf_counter_ns()
        picture = decode_image(next(self._coming))
        self._decode_ms.append((time.perf_counter_ns() - start) / 1e6)
        self._cpu_ms.append(time.thread_time_ns() / 1e6)
        self.taken = len(self._cpu_ms)
        return picture

    def close(self) -> None:
        """Do nothing: it holds nothing."""

    def block(self, first: int, seconds: float, dropped: int) -> dict[str, Any]:
        """Return the record's `live`: pace, frames captured and dropped, decoding's times, the thread's CPU time.

        Args:
            first: frames that it had captured, one or more, when the first timed frame was asked for.
            seconds: from then until the last one was read.
            dropped: frames that were never read.
        """
        last = self.taken
        cpu_ms = self._cpu_ms[last - 1] - self._cpu_ms[first - 1]
        return {
            "fps": self.fps,
            "captured": last - first,
            "dropped": dropped,
            "seconds": seconds,
            "decode_ms": summary_ms(self._decode_ms[first:last]),
            "capture_cpu_ms": cpu_ms,
        }


def _refuse(status: Status) -> None:
    """End a measurement whose camera fails: an outage is no frame's time."""
    raise CameraError(f"drawn camera: expected frames all through; got a camera that is {status.kind}; measure again")


def there_and_back(pictures: Sequence[bytes]) -> Iterator[bytes]:
    """Yield pictures for ever, forwards and backwards, so that faces never jump."""
    return cycle([*pictures, *reversed(pictures)])
