"""A file as a camera: played at its own speed, over and over, late frames left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from edge.errors import CameraError
from edge.sources.files import DEFAULT_FPS
from edge.sources.frames import Closing, Frame, OnStatus, Source

_LOOK_S = 0.05  # how often a waiting reader looks at `stop`
_LONGEST_SKIP_S = 0.5  # a file that is decoded slower than it plays still shows a frame that often


class Paced(Closing):
    """A file's frames at the times that it gives them; the newest wins, as with a camera."""

    live = True
    total: int | None = None

    def __init__(self, open_file: Callable[[OnStatus | None], Source], on_status: OnStatus | None = None) -> None:
        """Open the file.

        Args:
            open_file: returns the file as a source; called again for every round.
            on_status: told what the first round meets; the others would say it again.

        Raises:
            CameraError: it cannot be opened.
            ImageError: a picture cannot be read.
        """
        self._open_file = open_file
        self._source = open_file(on_status)
        self._stopped = False
        self._count = self._dropped = 0  # frames so far; those of them left out since the last one handed out
        self.name, self.fps = self._source.name, self._source.fps or DEFAULT_FPS
        self.width, self.height = self._source.width, self._source.height

    def frames(self) -> Iterator[Frame]:
        """Yield frames until stopped; `captured_s` is `time.monotonic()` when a frame's time has come.

        Raises:
            CameraError: the file is gone or has no frames any more.
        """
        while not self._stopped:
            before = self._count
            yield from self._round()
            if self._count == before and not self._stopped:
                raise CameraError(f"{self.name}: expected frames; got none; check the file")
            self._source.close()
            if not self._stopped:
                self._source = self._open_file(None)

    def stop(self) -> None:
        """Let `frames` end within a fraction of a second; takes no lock, so a signal handler may call it."""
        self._stopped = True

    def close(self) -> None:
        """Close the file."""
        self._stopped = True
        self._source.close()

    def _round(self) -> Iterator[Frame]:
        """Yield the frames of one round, counted on from the last one."""
        begun_s, shown_s, base = time.monotonic(), -_LONGEST_SKIP_S, self._count
        first_s: float | None = None
        for frame in self._source.frames():
            self._count = base + frame.index + 1
            self._dropped += frame.dropped
            first_s = frame.captured_s if first_s is None else first_s
            due_s = begun_s + frame.captured_s - first_s
            now_s = time.monotonic()
            if now_s > due_s + 1 / self.fps and now_s - shown_s < _LONGEST_SKIP_S:
                self._dropped += 1
                continue
            self._wait_until(due_s)
            if self._stopped:
                return
            shown_s = time.monotonic()
            dropped, self._dropped = self._dropped, 0
            yield Frame(frame.picture, base + frame.index, shown_s, dropped)
        self._wait_until(time.monotonic() + 1 / self.fps)  # the last frame's own time

    def _wait_until(self, due_s: float) -> None:
        while not self._stopped and (left_s := due_s - time.monotonic()) > 0:
            time.sleep(min(_LOOK_S, left_s))
