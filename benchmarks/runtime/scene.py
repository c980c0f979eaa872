"""A drawn camera for long runs: two faces that come in at one side, cross, leave and return.

It keeps weak references to the frames that it has handed out, so that a run can count those that wait somewhere: a
queue of frames cannot hide.
"""

from __future__ import annotations

import math
import time
import weakref
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.sources.devices import drawn_face

DRAWN_FPS = 30.0  # frames of one drawn second
_GROUND = (96, 112, 128)


@dataclass(frozen=True)
class _Path:
    """How a face goes: `size` is a share of the picture's height, `period_s` from one side to the other and back."""

    size: float
    height: float
    period_s: float
    begin: float


_PATHS = (_Path(0.6, 0.5, 23.0, 0.0), _Path(0.45, 0.45, 31.0, 0.5))


class SceneCamera:
    """The drawn camera, a `Device` of `edge.sources.live`."""

    def __init__(self, width: int, height: int, fps: float = 0.0) -> None:
        """Draw the faces once.

        Args:
            width: of the frames, pixels.
            height: of the frames, pixels.
            fps: frames a second; 0: as many as are read.
        """
        self.fps = fps
        self._size = (width, height)
        self._faces = [(path, drawn_face(max(8, round(path.size * height)))) for path in _PATHS]
        self._ground = np.full((height, width, 3), _GROUND, np.uint8)
        self._count, self._begun_s = 0, 0.0
        self._newest: npt.NDArray[np.uint8] | None = None
        self._delivered: tuple[weakref.ref[npt.NDArray[np.uint8]], ...] = ()

    def read(self) -> npt.NDArray[np.uint8]:
        """Return the next frame, (height, width, 3) uint8 RGB, when its time has come."""
        if self._newest is not None:  # who asks for the next one has put the last one where it belongs
            alive = (ref for ref in self._delivered if ref() is not None)
            self._delivered = (*alive, weakref.ref(self._newest))
            self._newest = None
        if self._count == 0:
            self._begun_s = time.monotonic()
        if self.fps > 0:
            time.sleep(max(0.0, self._begun_s + self._count / self.fps - time.monotonic()))
        frame = self._ground.copy()
        for path, face in self._faces:
            self._paste(frame, face, path, self._count / DRAWN_FPS)
        self._count += 1
        self._newest = frame
        return frame

    def close(self) -> None:
        """Do nothing: it holds nothing."""

    def waiting(self, held: npt.NDArray[np.uint8]) -> int:
        """Return how many delivered frames are still alive beside `held`, the reader's own."""
        alive = [frame for ref in self._delivered if (frame := ref()) is not None]
        return sum(frame is not held for frame in alive)

    def _paste(self, frame: npt.NDArray[np.uint8], face: npt.NDArray[np.uint8], path: _Path, seconds: float) -> None:
        width, height = self._size
        side = len(face)
        share = 0.5 - 0.5 * math.cos(2 * math.pi * (seconds / path.period_s + path.begin))
        left, top = round(-1.5 * side + share * (width + 2 * side)), round(path.height * height - side / 2)
        first, last = max(0, left), min(width, left + side)
        if first < last:
            frame[top : top + side, first:last] = face[:, first - left : last - left]
