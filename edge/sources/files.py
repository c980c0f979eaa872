"""Videos and pictures as sources: every frame is handed out, none is lost to a slow reader."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import CameraError, ImageError
from edge.pictures.images import list_images, read_image
from edge.sources.devices import sound_fps
from edge.sources.frames import Closing, Frame, OnStatus, Status

DEFAULT_FPS = 25.0  # of pictures, and of videos that announce none
# A file that ends this much earlier than it announces is said to be cut short; announcements are often a little off.
_SHORT_SHARE, _SHORT_FRAMES = 0.95, 5


class VideoFile(Closing):
    """A video by OpenCV's FFmpeg."""

    live = False

    def __init__(self, path: str | os.PathLike[str], every: int = 1, on_status: OnStatus | None = None) -> None:
        """Open the file and decode its first frame.

        Args:
            path: an ordinary file. From a playlist in one, FFmpeg follows no address on the network.
            every: hand out each n-th frame, beginning with the first.
            on_status: told if the file ends before it should.

        Raises:
            CameraError: missing, empty, no ordinary file, or without a frame that can be decoded.
            ValueError: `every` below 1.
        """
        self._every = _checked_every(every)
        self.name = str(path)
        _check_file(path)
        self._on_status = on_status
        self._stopped = False
        self._capture: Any = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        self._first = self._capture.read()[1] if self._capture.isOpened() else None
        if self._first is None:
            self._capture.release()
            raise CameraError(
                f"{path}: expected a video; got a file without a frame that OpenCV {cv2.__version__} can decode; copy "
                "it again, or convert it to MP4"
            )
        self.height, self.width = self._first.shape[:2]
        self.fps = sound_fps(self._capture.get(cv2.CAP_PROP_FPS)) / self._every
        announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._announced = int(announced) if math.isfinite(announced) and announced >= 1 else None
        self.total = None if self._announced is None else -(-self._announced // self._every)

    def frames(self) -> Iterator[Frame]:
        """Yield each n-th frame in its order; may be called once."""
        bgr, index, last_s = self._first, 0, -math.inf
        self._first = None
        while bgr is not None and not self._stopped:
            seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if not math.isfinite(seconds) or seconds <= last_s:  # a container without sound time stamps
                seconds = index / (self.fps * self._every or DEFAULT_FPS)
            last_s = max(last_s, seconds)
            picture = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
            yield Frame(picture, index, last_s, self._every - 1 if index else 0)
            for _ in range(self._every - 1):
                self._capture.grab()
            index += self._every
            bgr = self._capture.read()[1]
        if not self._stopped:
            self._report_if_short(index, last_s)

    def stop(self) -> None:
        """Let `frames` end with the frame that it is at."""
        self._stopped = True

    def close(self) -> None:
        """Close the file."""
        self._stopped = True
        self._capture.release()

    def _report_if_short(self, came: int, last_s: float) -> None:
        """Tell of a file that announced more frames and more seconds than it held."""
        if self._announced is None or self._on_status is None:
            return
        rate = self.fps * self._every or DEFAULT_FPS
        missing = self._announced - came > _SHORT_FRAMES and came < _SHORT_SHARE * self._announced
        if missing and last_s + 1 / rate < _SHORT_SHARE * self._announced / rate:
            text = f"{self.name}: it ends after {came:,} of {self._announced:,} announced frames: damaged or cut short"
            self._on_status(Status("cut-short", text, time.monotonic()))


class Pictures(Closing):
    """A picture, or a folder of pictures by name, as the frames of a video."""

    live = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float | None = None,
        every: int = 1,
        on_status: OnStatus | None = None,
    ) -> None:
        """List the pictures and read the first.

        Args:
            path: a picture or a folder.
            fps: pictures a second; None: 25.
            every: hand out each n-th picture, beginning with the first.
            on_status: told of each picture that cannot be read and is left out.

        Raises:
            ImageError: no picture there, or the first cannot be read.
            ValueError: `every` below 1.
        """
        self._every = _checked_every(every)
        self.name = str(path)
        self._paths = list_images([path])
        self._on_status = on_status
        self._stopped = False
        self._first: npt.NDArray[np.uint8] | None = read_image(self._paths[0])
        self.height, self.width = self._first.shape[:2]
        self.fps = (fps or DEFAULT_FPS) / self._every
        self.total: int | None = -(-len(self._paths) // self._every)

    def frames(self) -> Iterator[Frame]:
        """Yield each n-th picture; one that cannot be read is reported and left out."""
        following = 0
        for index in range(0, len(self._paths), self._every):
            if self._stopped:
                return
            try:
                picture = self._read(index)
            except ImageError as error:
                if self._on_status is not None:
                    self._on_status(Status("skipped", str(error), time.monotonic()))
                continue
            yield Frame(picture, index, index / (self.fps * self._every), index - following)
            following = index + 1

    def stop(self) -> None:
        """Let `frames` end with the picture that it is at."""
        self._stopped = True

    def _read(self, index: int) -> npt.NDArray[np.uint8]:
        """Return a picture; the first one was read when the folder was opened, and is kept until it is handed out."""
        if index == 0 and self._first is not None:
            first, self._first = self._first, None
            return first
        return read_image(self._paths[index])


def is_picture_folder_or_file(path: Path) -> bool:
    """Return whether a path is a folder, or a file whose suffix is a picture's."""
    from edge.pictures.images import SUFFIXES

    return os.path.isdir(path) or path.suffix.lower() in SUFFIXES


def _check_file(path: str | os.PathLike[str]) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise CameraError(f"{path}: expected a video; got: {reason}; check the path") from error
    if not stat.S_ISREG(status.st_mode):
        raise CameraError(f"{path}: expected an ordinary file; got a device, folder or pipe; name a video")
    if status.st_size == 0:
        raise CameraError(f"{path}: expected a video; got an empty file (0 bytes); copy it again")


def _checked_every(every: int) -> int:
    if every < 1:
        raise ValueError(f"expected every 1 or more; got {every}")
    return every
