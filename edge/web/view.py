"""The live picture: drawn and encoded once for all viewers, only while there is one, the newest reading first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from edge.pictures.images import encode_jpeg
from edge.streams.videos import drawn
from edge.web.hub import Hub

JPEG_QUALITY = 80


class Viewers:
    """Counts those who watch, up to a limit; of the event loop's thread alone."""

    def __init__(self, most: int) -> None:
        """Begin with nobody."""
        self.most, self.now = most, 0

    @contextmanager
    def one(self) -> Iterator[bool]:
        """Yield whether there is room for one more, who counts until the block ends."""
        if self.now >= self.most:
            yield False
            return
        self.now += 1
        try:
            yield True
        finally:
            self.now -= 1


class LiveView:
    """Hands out JPEGs of the newest reading; of the event loop's thread alone."""

    def __init__(self, hub: Hub, executor: Executor, fps: float) -> None:
        """Begin; nothing is encoded before somebody asks.

        Args:
            hub: where readings are.
            executor: where pictures are drawn and encoded.
            fps: pictures a second at most.
        """
        self._hub, self._executor, self._pause_s = hub, executor, 1 / fps
        self._turn = asyncio.Lock()
        self._begun_s = -1e9
        self.number, self.jpeg = 0, b""
        self.encoded = 0  # pictures so far

    async def newer(self, after: int, timeout_s: float) -> tuple[int, bytes]:
        """Return a picture later than number `after`, its number first; the last one where none comes in time.

        Numbers are the hub's readings; 0 with no bytes before the first.
        """
        if self._hub.readings <= after:
            await self._hub.bell.wait(timeout_s)
        if self._hub.readings > after:
            async with self._turn:  # one encodes, the others wait for it and take the same
                if self.number <= after:
                    await self._encode()
        return self.number, self.jpeg

    def forget(self) -> None:
        """Drop the last picture: nobody watches."""
        self.number, self.jpeg = 0, b""

    async def _encode(self) -> None:
        await asyncio.sleep(max(0.0, self._begun_s + self._pause_s - time.monotonic()))
        self._begun_s = time.monotonic()
        number, reading = self._hub.newest()
        if reading is not None:
            loop = asyncio.get_running_loop()
            jpeg = await loop.run_in_executor(self._executor, lambda: encode_jpeg(drawn(reading), JPEG_QUALITY))
            self.number, self.jpeg = number, jpeg
            self.encoded += 1
            now_s = time.monotonic()
            self._hub.minute.add({"view": (now_s - self._begun_s) * 1e3}, now_s)
