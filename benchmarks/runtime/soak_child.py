"""The process that a soak watches: one stream over drawn frames, which says what it holds, one JSON line a sample.

python -m benchmarks.runtime.soak_child '{"frames": 1000, ...}'
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.runtime.scene import DRAWN_FPS, SceneCamera
from edge.sources import Frame


def main() -> None:
    """Run the leg that the one argument describes."""
    from edge.quiet import silence_native_libraries

    silence_native_libraries()
    run(json.loads(sys.argv[1]))


def run(leg: dict[str, Any]) -> None:
    """Read the frames of a leg and print a sample every so many of them.

    Args:
        leg: frames, every (frames between samples), width, height, fps (of the camera; 0: frames are handed over one
            by one, none is lost), pause_ms (of the reader), detect_every, detector, model.
    """
    import cv2

    from edge.recognizer import load
    from edge.streams.outputs import JsonLines
    from edge.streams.stream import Stream, StreamSettings

    cv2.setNumThreads(1)
    recognizer = load(leg["model"], leg["detector"], threads=1)
    stream = Stream(recognizer, StreamSettings(detect_every=leg["detect_every"]))
    camera = SceneCamera(leg["width"], leg["height"], leg["fps"])
    model, runtime = recognizer.classifier.model, recognizer.classifier.runtime
    _say({"model": {"name": model.contract.name, "sha256": model.sha256}, "runtime": runtime})
    count = dropped = faces = waiting = events = 0
    begun = time.monotonic()
    with JsonLines.to_file(os.devnull, {}) as output:
        for frame in _frames(camera, leg):
            reading = stream(frame)
            output.write(reading)
            count, dropped, faces = count + 1, dropped + frame.dropped, faces + len(reading.faces)
            events += len(reading.events)
            time.sleep(leg["pause_ms"] / 1000)
            waiting = max(waiting, camera.waiting(frame.picture))
            if count % leg["every"] == 0 or count == leg["frames"]:
                held = {"rss_mb": resident_mb(), "descriptors": descriptors(), "threads": threads()}
                _say({"frames": count, "dropped": dropped, "faces": faces, "events": events, "waiting": waiting} | held)
            if count == leg["frames"]:
                break
    _say({"done": True, "seconds": round(time.monotonic() - begun, 2)})


def _frames(camera: SceneCamera, leg: dict[str, Any]) -> Iterator[Frame]:
    """Yield every drawn frame in turn, or, of a camera with a pace of its own, the newest."""
    if leg["fps"]:
        from edge.sources import LiveSource

        with LiveSource("scene", lambda: camera) as source:
            yield from source.frames()
        return
    for index in range(leg["frames"]):
        yield Frame(camera.read(), index, index / DRAWN_FPS, 0)


def resident_mb() -> float:
    """Return this process's resident memory in MB (10^6 bytes)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 3)


def descriptors() -> int:
    """Return how many file descriptors are open (the one that lists them counts too)."""
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    """Return how many threads this process has."""
    return len(os.listdir("/proc/self/task"))


def _say(words: dict[str, Any]) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
