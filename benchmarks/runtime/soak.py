"""A soak: the real stream (detector, tracker, classifier, smoothing) over drawn frames, in a process of its own.

Two legs. In the first every frame is read, and memory, file descriptors and threads must stay where they are. In the
second a camera outruns a slow reader: frames must be dropped, at most one may wait, and memory must stay flat too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.runtime.flatness import BLOCKS, FLAT, WARM_UP, flatness
from benchmarks.runtime.record import common_fields
from edge.errors import EdgeError

KIND = "soak"
TOLERANCE_MB = 5.0
MOST_WAITING = 1
CHILD = (sys.executable, "-m", "benchmarks.runtime.soak_child")
_ROOT = Path(__file__).resolve().parents[2]
_SAMPLES = 500  # of a leg, at most
Tick = Callable[[str, int, int], None]  # (leg, frames done, in all)


@dataclass(frozen=True)
class SoakConfig:
    """The flags.

    Attributes:
        frames: of the first leg; at least 50.
        slow_frames: that the slow reader reads; at least 50.
        width: of the frames, pixels.
        height: of the frames, pixels.
        detect_every: the detector runs on each n-th frame.
        detector: "haar" needs no file.
        slow_fps: frames a second of the second leg's camera.
        slow_pause_ms: pause of its reader after each frame.
        model: a .tflite; None: the one that ships.
    """

    frames: int = 100_000
    slow_frames: int = 2_000
    width: int = 160
    height: int = 120
    detect_every: int = 3
    detector: Literal["auto", "yunet", "blazeface", "haar"] = "haar"
    slow_fps: float = 100.0
    slow_pause_ms: float = 30.0
    model: str | None = None

    def legs(self) -> dict[str, dict[str, Any]]:
        """Return what the child is told, by leg."""
        common = {name: getattr(self, name) for name in ("width", "height", "detect_every", "detector", "model")}
        steady = {"frames": self.frames, "fps": 0.0, "pause_ms": 0.0}
        slow = {"frames": self.slow_frames, "fps": self.slow_fps, "pause_ms": self.slow_pause_ms}
        legs = {"every frame": steady, "slow reader": slow}
        return {name: common | leg | {"every": max(1, leg["frames"] // _SAMPLES)} for name, leg in legs.items()}


def soak(
    config: SoakConfig,
    command: Sequence[str],
    tick: Tick = lambda leg, done, total: None,
    child: Sequence[str] = CHILD,
) -> dict[str, Any]:
    """Return the record of a soak.

    Args:
        config: resolved flags.
        command: words of the command.
        tick: told of every sample.
        child: words that start the process of a leg.

    Raises:
        EdgeError: a leg's process failed; the text ends with its last line.
    """
    said: dict[str, Any] = {}
    legs = []
    for name, leg in config.legs().items():
        said, samples, seconds = _run(name, leg, child, tick)
        legs.append({"name": name, **leg, "seconds": seconds, **judged(samples, slow=bool(leg["fps"]))})
    return {
        **common_fields(KIND, command),
        "config": asdict(config),
        "model": said["model"],
        "runtime": said["runtime"],
        "threads": 1,
        "warm_up_share": WARM_UP,
        "blocks": BLOCKS,
        "tolerance_mb": TOLERANCE_MB,
        "legs": legs,
        "verdict": FLAT if all(leg["verdict"] == FLAT for leg in legs) else "not flat",
    }


def judged(samples: Sequence[dict[str, Any]], slow: bool) -> dict[str, Any]:
    """Return a leg's figures, what is wrong with them, and its verdict: "flat", or the first thing that is wrong.

    Args:
        samples: as the child says them.
        slow: whether frames must have been dropped.
    """
    at = [sample["frames"] for sample in samples]
    memory = flatness(at, [sample["rss_mb"] for sample in samples], TOLERANCE_MB)
    wrong = [] if memory.verdict == FLAT else [f"memory {memory.verdict}"]
    for name in ("descriptors", "threads"):
        warm = [sample[name] for sample in samples if sample["frames"] >= WARM_UP * at[-1]]
        wrong += [f"{name} grow"] if max(warm) > warm[0] else []
    last = samples[-1]
    wrong += [f"{last['waiting']} frames wait"] if last["waiting"] > MOST_WAITING else []
    wrong += ["no frame was dropped"] if slow and not last["dropped"] else []
    return {
        **{name: last[name] for name in ("dropped", "faces", "events", "waiting")},
        **{name: [min(found), max(found)] for name in ("descriptors", "threads")
           if (found := [sample[name] for sample in samples])},
        "memory_mb": memory.block(),
        "wrong": wrong,
        "verdict": wrong[0] if wrong else FLAT,
        "rss_mb": [[sample["frames"], sample["rss_mb"]] for sample in samples],
    }  # fmt: skip


def _run(
    name: str, leg: dict[str, Any], child: Sequence[str], tick: Tick
) -> tuple[dict[str, Any], list[dict[str, Any]], float]:
    """Return what the child said first, its samples, and its seconds; it ends when this does."""
    samples: list[dict[str, Any]] = []
    head: dict[str, Any] = {}
    seconds = None
    with tempfile.TemporaryFile("w+") as noise:
        words = [*child, json.dumps(leg)]
        process = subprocess.Popen(words, cwd=_ROOT, stdout=subprocess.PIPE, stderr=noise, text=True)
        try:
            for line in process.stdout or ():
                said = json.loads(line)
                if "frames" in said:
                    samples.append(said)
                    tick(name, said["frames"], leg["frames"])
                elif "done" in said:
                    seconds = float(said["seconds"])
                else:
                    head = said
            process.wait()
        finally:
            process.kill()
            process.communicate()
        if seconds is None or process.returncode:
            noise.seek(0)
            lines = noise.read().strip().splitlines() or ["no word"]
            raise EdgeError(
                f"soak, {name}: expected {leg['frames']} frames; got exit code {process.returncode} after "
                f"{samples[-1]['frames'] if samples else 0}: {lines[-1][:300]}"
            )
    return head, samples, seconds
