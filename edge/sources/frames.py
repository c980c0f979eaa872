"""What every source hands out: frames, and a word when something is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a source.

    Attributes:
        picture: (height, width, 3) uint8 RGB.
        index: from 0; counts every frame that the source produced, those too that were not handed out.
        captured_s: seconds on a clock that never runs back: `time.monotonic()` when a camera's frame arrived; the
            time within the video for a file; index / fps for pictures.
        dropped: frames of the source skipped since the last one handed out.
    """

    picture: npt.NDArray[np.uint8]
    index: int
    captured_s: float
    dropped: int


@dataclass(frozen=True)
class Status:
    """Something that a user should hear about a source, once: not per frame.

    Attributes:
        kind: "lost" (the device fails or is gone), "stalled" (it delivers nothing), "corrupt" (it delivers what is no
            picture), "resumed" (frames again after one of these), "cut-short" (a file ended before it should),
            "skipped" (a picture that cannot be read was left out).
        text: one line.
        at_s: `time.monotonic()` when it was noticed.
    """

    kind: Literal["lost", "stalled", "corrupt", "resumed", "cut-short", "skipped"]
    text: str
    at_s: float


OnStatus = Callable[[Status], None]  # called by the thread that takes the frames


class Source(Protocol):
    """Where frames come from.

    Attributes:
        name: what to call it in messages.
        live: whether it goes on by itself, so that a slow reader loses frames.
        width: of the frames in pixels, as announced or as of the first frame.
        height: of the frames in pixels.
        fps: frames a second as announced; 0 where unknown.
        total: frames that it will hand out; None where unknown or without end.
    """

    name: str
    live: bool
    width: int
    height: int
    fps: float
    total: int | None

    def frames(self) -> Iterator[Frame]:
        """Yield the frames until the source ends or is stopped."""

    def stop(self) -> None:
        """Let `frames` end soon; may be called from a signal handler or another thread."""

    def close(self) -> None:
        """Give the device or file back; more than once is allowed."""

    def __enter__(self) -> Self:
        """Return the source."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""


class Closing:
    """A context manager that calls `close` at its end."""

    def close(self) -> None:
        """Give back what is held."""

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
