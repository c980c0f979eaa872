"""The soak's child with a fault planted: `leak` keeps bytes at each frame, `queue` keeps the camera's frames waiting.

python -m tests.benchmarks.leaky_soak leak '{"frames": ...}'
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from benchmarks.runtime import soak_child
from benchmarks.runtime.scene import SceneCamera
from edge.streams.stream import Stream

KEPT: list[Any] = []


def leak() -> None:
    """Keep 100 kB at every frame."""
    real = Stream.__call__

    def leaking(self: Stream, frame: Any) -> Any:
        KEPT.append(np.ones(100_000, np.uint8))
        return real(self, frame)

    Stream.__call__ = leaking  # type: ignore[method-assign]


def queue() -> None:
    """Keep the last three frames that the camera drew, as a queue would."""
    real = SceneCamera.read

    def queueing(self: SceneCamera) -> Any:
        KEPT.append(real(self))
        del KEPT[:-4]
        return KEPT[-1]

    SceneCamera.read = queueing  # type: ignore[method-assign]


if __name__ == "__main__":
    {"leak": leak, "queue": queue, "die": lambda: sys.exit("planted end")}[sys.argv[1]]()
    soak_child.run(json.loads(sys.argv[2]))
