"""Moving pictures whose truth is known, cameras that fail on command, and the two commands as a program of its own.

python -m tests.edge.scenes video FILE ...
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import cv2
import numpy as np

from edge.cli import OneLineGroup
from edge.commands.camera import camera
from edge.commands.video import video
from edge.detectors import Detection
from edge.errors import CameraError
from edge.quiet import silence_native_libraries
from edge.sources import Frame

SIZE = (64, 48)  # width, height of the fake camera's frames


@click.group(cls=OneLineGroup)
def cli() -> None:
    """The two commands alone."""


cli.add_command(video)
cli.add_command(camera)


def numbered(number: int) -> np.ndarray:
    """Return a frame, (48, 64, 3) uint8, that holds its number."""
    frame = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    frame[0, 0] = (number >> 16 & 255, number >> 8 & 255, number & 255)
    return frame


def number_of(frame: Frame) -> int:
    """Return the number in a frame of `numbered`."""
    high, middle, low = (int(value) for value in frame.picture[0, 0])
    return high << 16 | middle << 8 | low


class FakeDevice:
    """A camera that follows a script: frames, None, exceptions to raise, or functions that make one of these."""

    fps = 30.0

    def __init__(self, script: Iterator[object] | Sequence[object]) -> None:
        self._script = iter(script)
        self.closed = threading.Event()
        self.reads = 0

    def read(self) -> np.ndarray | None:
        self.reads += 1
        step = next(self._script, None)
        if callable(step):
            step = step()
        if isinstance(step, Exception):
            raise step
        return step  # type: ignore[return-value]

    def close(self) -> None:
        self.closed.set()


class FakeFactory:
    """Opens scripted devices one after the other; a script that is an exception is a camera that does not open."""

    def __init__(self, *scripts: Callable[[], Iterator[object] | Sequence[object]] | Exception) -> None:
        self._scripts = list(scripts)
        self.devices: list[FakeDevice] = []
        self.opened_s: list[float] = []

    def __call__(self) -> FakeDevice:
        self.opened_s.append(time.monotonic())
        script = self._scripts.pop(0) if self._scripts else CameraError("no more cameras")
        if isinstance(script, Exception):
            raise script
        self.devices.append(FakeDevice(script()))
        return self.devices[-1]


def steady(begin: int = 0, count: int | None = None, pause_s: float = 0.002) -> Callable[[], Iterator[object]]:
    """Return a script of numbered frames at an even pace."""

    def script() -> Iterator[object]:
        number = begin
        while count is None or number < begin + count:
            time.sleep(pause_s)
            yield numbered(number)
            number += 1

    return script


class ScriptedDetector:
    """A detector that returns the next of its scripted detections each time it runs."""

    name = "scripted"

    def __init__(self, *found: Sequence[Detection]) -> None:
        self._found = list(found)
        self.runs = 0

    def detect(self, image: np.ndarray) -> tuple[Detection, ...]:
        self.runs += 1
        return tuple(self._found.pop(0) if len(self._found) > 1 else self._found[0])


def frame_at(picture: np.ndarray, index: int, fps: float = 30.0) -> Frame:
    """Return a picture as the frame of that index."""
    return Frame(picture, index, index / fps, 0)


def paste(canvas: np.ndarray, face: np.ndarray, centre: tuple[float, float], height: int) -> None:
    """Draw an oval cut of a face, scaled to `height` pixels, onto the canvas about `centre`, in place."""
    width = round(face.shape[1] * height / face.shape[0])
    small = cv2.resize(face, (width, height), interpolation=cv2.INTER_AREA)
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (round(0.46 * width), round(0.48 * height)), 0, 0, 360, 255, -1)
    left, top = round(centre[0] - width / 2), round(centre[1] - height / 2)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(canvas.shape[1], left + width), min(canvas.shape[0], top + height)
    if x0 < x1 and y0 < y1:
        inside = mask[y0 - top : y1 - top, x0 - left : x1 - left] > 0
        canvas[y0:y1, x0:x1][inside] = small[y0 - top : y1 - top, x0 - left : x1 - left][inside]


def astronaut_face() -> np.ndarray:
    """Return the head in scikit-image's public-domain photograph, (210, 190, 3) uint8."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[20:230, 130:320])


def astronaut_frame(x: float, y: float, scale: float = 0.8, width: int = 320, height: int = 240) -> np.ndarray:
    """Return a frame of the photograph with the face's centre at (x, y); the face is about 110 * scale pixels high."""
    from skimage import data

    place = np.array([[scale, 0, x - 223 * scale], [0, scale, y - 120 * scale]], np.float32)
    ground = (120, 120, 120)
    return cv2.warpAffine(data.astronaut(), place, (width, height), flags=cv2.INTER_AREA, borderValue=ground)


def plain_canvas(width: int = 320, height: int = 240) -> np.ndarray:
    """Return a grey ground with some texture, without a face."""
    noise = np.random.default_rng(0).integers(90, 110, (height // 8, width // 8, 1), np.uint8)
    return cv2.resize(np.repeat(noise, 3, axis=2), (width, height), interpolation=cv2.INTER_LINEAR)


def write_video(path: Path, frames: Sequence[np.ndarray], fps: float = 30.0, codec: str = "mp4v") -> Path:
    """Write RGB frames as a video."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


if __name__ == "__main__":
    silence_native_libraries()
    cli(prog_name="fer-edge")
