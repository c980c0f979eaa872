"""The last minute's latency: a median a second and stage, so that its memory does not grow."""

from __future__ import annotations

import math
import statistics
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

SECONDS = 60


class LatencyMinute:
    """Milliseconds by stage, gathered second by second; any thread may add."""

    def __init__(self, begun_s: float) -> None:
        """Begin.

        Args:
            begun_s: `time.monotonic()` of second 0.
        """
        self._begun_s = begun_s
        self._lock = threading.Lock()
        self._done: deque[dict[str, Any]] = deque(maxlen=SECONDS)
        self._second = 0
        self._frames = 0
        self._samples: dict[str, list[float]] = {}

    def add(self, stages_ms: Mapping[str, float], at_s: float, frames: int = 0) -> None:
        """Take milliseconds by stage; stages that did not run (0) are left out.

        Args:
            stages_ms: milliseconds.
            at_s: `time.monotonic()`.
            frames: how many frames this is of.
        """
        with self._lock:
            self._roll(at_s)
            self._frames += frames
            for stage, ms in stages_ms.items():
                if ms > 0:
                    self._samples.setdefault(stage, []).append(ms)

    def seconds(self, now_s: float) -> list[dict[str, Any]]:
        """Return the last minute's whole seconds, the oldest first: {"second", "frames", "median_ms": {stage: ms}}.

        A second without frames has `frames` 0.
        """
        with self._lock:
            self._roll(now_s)
            return list(self._done)

    def _roll(self, now_s: float) -> None:
        """Close the seconds that have passed."""
        second = math.floor(now_s - self._begun_s)
        if second <= self._second:
            return
        medians = {stage: round(statistics.median(ms), 3) for stage, ms in self._samples.items()}
        self._done.append({"second": self._second, "frames": self._frames, "median_ms": medians})
        for empty in range(max(self._second + 1, second - SECONDS), second):
            self._done.append({"second": empty, "frames": 0, "median_ms": {}})
        self._second, self._frames, self._samples = second, 0, {}
