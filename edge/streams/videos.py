"""The annotated video: the only output that pictures go to, and only where it is asked for."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.annotate import annotate
from edge.errors import OutputError
from edge.files import atomic_path
from edge.recognizer import Face
from edge.sources.frames import Closing
from edge.streams.stream import StreamReading

# Codecs by suffix, tried in this order: what FFmpeg in OpenCV's wheels and OpenCV's own writer can always encode first.
CODECS: Mapping[str, Sequence[str]] = {".mp4": ("mp4v", "avc1"), ".avi": ("MJPG", "XVID", "mp4v")}
DEFAULT_VIDEO_FPS = 25.0
_LONGEST_STILL_S = 2.0  # a longer gap in a camera's frames, and longer than its pace, is cut from the video
_LONGEST_STILL_OF_A_FILE_S = 600.0  # a longer one is a clock that jumped, not a still
_KEPT_FREE_BYTES = 8 << 20  # room to finish the video in
_LOOK_EVERY = 15  # frames of the video between two looks at the free space


class AnnotatedVideo(Closing):
    """A video with the faces drawn in, at a constant rate: frames are repeated or left out to keep the source's time.

    It grows under a temporary name and is moved into place by `close`.
    """

    def __init__(self, path: str | os.PathLike[str], width: int, height: int, fps: float, live: bool = True) -> None:
        """Open the writer.

        Args:
            path: ends in .mp4 or .avi.
            width: of the frames, pixels; others are fitted into them, black beside.
            height: of the frames, pixels.
            fps: frames a second; 0: 25.
            live: the frames are a camera's, which may be away for hours: its longer gaps are cut. A file's are kept, up
                to ten minutes each.

        Raises:
            OutputError: another suffix, an unwritable place, or no codec that this OpenCV can write.
        """
        self.path = path
        suffix = Path(path).suffix.lower()
        if suffix not in CODECS:
            raise OutputError(f"{path}: expected a name ending in {' or '.join(CODECS)}; got {suffix!r}; rename it")
        self._size, self._fps = (width, height), fps or DEFAULT_VIDEO_FPS
        self._longest_still_s = max(_LONGEST_STILL_S, 1 / self._fps) if live else _LONGEST_STILL_OF_A_FILE_S
        self._stack = ExitStack()
        self._temporary = self._stack.enter_context(atomic_path(path))
        self.codec, self._writer = self._open(CODECS[suffix])
        self.count = 0  # frames in the video
        self._offset_s: float | None = None
        self._last_s = 0.0

    def write(self, reading: StreamReading) -> None:
        """Add a frame as often as the time since the last one asks for.

        Raises:
            OutputError: the disk is all but full; what was written can still be closed soundly.
        """
        seconds = reading.frame.captured_s
        if self._offset_s is None:
            self._offset_s = seconds
        else:
            self._offset_s += max(0.0, seconds - self._last_s - self._longest_still_s)
        self._last_s = seconds
        wanted = round((seconds - self._offset_s) * self._fps) + 1
        if wanted > self.count:
            shown = drawn(reading)
            if shown.shape[1::-1] != self._size:
                shown = _fitted(shown, *self._size)
            picture = cv2.cvtColor(shown, cv2.COLOR_RGB2BGR)
            while self.count < wanted:
                if self.count % _LOOK_EVERY == 0:
                    self._check_room()
                self._writer.write(picture)
                self.count += 1

    def close(self) -> None:
        """Finish the video and move it into place.

        Raises:
            OutputError: what was written cannot be read back, or not moved.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        with self._stack:
            if self.count and not _holds(self._temporary, self.count):
                raise OutputError(
                    f"expected to write {self.path}; got a file without all of its {self.count:,} frames; check the "
                    "free space of its disk"
                )
            if not self.count:
                raise OutputError(f"expected frames to write to {self.path}; got none; no file was made")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; without a frame yet, what ends the block passes through and no file is made."""
        if error is None or self.count or self._writer is None:
            self.close()
            return
        self._writer.release()
        self._writer = None
        self._stack.__exit__(kind, error, trace)

    def _check_room(self) -> None:
        """Raise OutputError where the disk is all but full."""
        free = shutil.disk_usage(self._temporary.parent).free
        if free < _KEPT_FREE_BYTES:
            raise OutputError(
                f"expected room on the disk for {self.path}; got {free:,} bytes free; the video ends here, make "
                "room and run it again"
            )

    def _open(self, codecs: Sequence[str]) -> tuple[str, Any]:
        for codec in codecs:
            writer = cv2.VideoWriter(str(self._temporary), cv2.VideoWriter.fourcc(*codec), self._fps, self._size)
            if writer.isOpened():
                return codec, writer
            writer.release()
            self._temporary.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._stack.close()
        raise OutputError(
            f"{self.path}: expected a codec of {', '.join(codecs)} in OpenCV {cv2.__version__}; got none that opens; "
            "try the other of .mp4 and .avi"
        )


def drawn(reading: StreamReading) -> npt.NDArray[np.uint8]:
    """Return a copy of the frame, (height, width, 3) uint8 RGB, with each face's box, number, emotion and share."""
    faces = []
    for face in reading.faces:
        top = max(face.probabilities.values())
        faces.append(Face(face.box, face.detection_score, face.emotion, {face.emotion: top}))
    canvas = annotate(reading.frame.picture, faces)
    scale = max(0.4, max(canvas.shape[:2]) / 1200)
    for face in reading.faces:
        place = (face.box[0] + 4, face.box[3] - 5)
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):  # readable on any ground
            cv2.putText(
                canvas, f"#{face.track}", place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA
            )
    return canvas


def _holds(path: Path, frames: int) -> bool:
    """Return whether a video can be opened and holds all but one of so many frames (containers round their count)."""
    capture = cv2.VideoCapture(str(path))
    try:
        return bool(capture.isOpened() and capture.get(cv2.CAP_PROP_FRAME_COUNT) >= frames - 1 and capture.read()[0])
    finally:
        capture.release()


def _fitted(picture: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return a (h, w, 3) picture as large as fits into (height, width, 3), in the middle, black beside."""
    rows, columns = picture.shape[:2]
    scale = min(width / columns, height / rows)
    inner = (min(width, max(1, round(columns * scale))), min(height, max(1, round(rows * scale))))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    small = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas[top : top + inner[1], left : left + inner[0]] = small
    return canvas
