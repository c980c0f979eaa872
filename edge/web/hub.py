"""Between the stream's thread and the web server's: newest reading, state of the source, last minute's latency."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

from edge.sources.frames import Closing, Status
from edge.streams.stream import StreamReading
from edge.web.latency import LatencyMinute

_DOWN = ("lost", "stalled", "corrupt")


class Bell:
    """Wakes all coroutines that wait for a change; of the event loop's thread alone."""

    def __init__(self) -> None:
        """Begin; within a running loop or before it."""
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake who waits now."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self, timeout_s: float) -> None:
        """Return at the next ring, or when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()


class Hub(Closing):
    """An `Output` for the stream that keeps its newest reading, and what the web server's handlers read.

    Attributes:
        bell: rings when there is something new.
        readings: number of readings so far; with `newest` it says which is the newest.
        changes: counts readings and words about the source.
    """

    def __init__(self) -> None:
        """Begin without a reading."""
        self.bell = Bell()
        self.readings = self.changes = 0
        self.minute = LatencyMinute(time.monotonic())
        self._lock = threading.Lock()
        self._reading: StreamReading | None = None
        self._state: dict[str, str] = {"state": "starting", "text": ""}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending = False

    def connect(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Name the loop whose bell is rung; None: none any more."""
        self._loop = loop

    def write(self, reading: StreamReading) -> None:
        """Take the next reading of a live source; the one before is forgotten."""
        now_s = time.monotonic()
        whole_ms = (now_s - reading.frame.captured_s) * 1e3
        self.minute.add({**reading.latency_ms, "end to end": whole_ms}, now_s, frames=1)
        with self._lock:
            self._reading = reading
            self.readings += 1
            if self._state["state"] == "starting":
                self._state = {"state": "live", "text": ""}
        self._wake()

    def tell(self, status: Status) -> None:
        """Take a word about the source."""
        with self._lock:
            down = status.kind in _DOWN
            self._state = {"state": status.kind if down else "live", "text": status.text}
        self._wake()

    def newest(self) -> tuple[int, StreamReading | None]:
        """Return the number of the newest reading, from 1, and the reading."""
        with self._lock:
            return self.readings, self._reading

    def source(self) -> Mapping[str, str]:
        """Return {"state": "starting", "live", "lost", "stalled" or "corrupt", "text": the last word about it}."""
        with self._lock:
            return self._state

    def seconds(self) -> list[dict[str, Any]]:
        """Return the last minute's latency, see `LatencyMinute.seconds`."""
        return self.minute.seconds(time.monotonic())

    def _wake(self) -> None:
        """Let the loop ring the bell; at most one request to do so is under way."""
        with self._lock:
            self.changes += 1
            if self._pending or self._loop is None:
                return
            self._pending = True
            loop = self._loop
        with contextlib.suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        with self._lock:
            self._pending = False
        self.bell.ring()
