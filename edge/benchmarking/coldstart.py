"""What a model costs from a cold start: loading, first inference and memory, each in a process of its own.

What another model, an earlier run or the benchmark itself left warm does not count there. The file is in the system's
cache: after a boot, reading it comes on top.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

from edge.process import run_python
from edge.system import board
from edge.system.machine import Machine

_MB = 1e6


@dataclass(frozen=True)
class ColdStart:
    """One model's cold start with a number of threads.

    Attributes:
        load_ms: from the file's content to allocated tensors, the runtime already imported.
        first_ms: of the first inference.
        rss_before_load_mb: resident memory of Python, NumPy, OpenCV and the runtime alone, MB (10^6 bytes).
        peak_rss_mb: highest resident memory up to the end of the first inference, MB. Both None where it is not said.
    """

    load_ms: float
    first_ms: float
    rss_before_load_mb: float | None
    peak_rss_mb: float | None


def cold_start(path: str | os.PathLike[str], threads: int) -> ColdStart | None:
    """Return the cold start of a model file, measured in a new process; None where no process can be started.

    Raises:
        EdgeError: the process failed or hung.
    """
    try:
        ran = run_python(["-m", "edge.benchmarking.coldstart", os.fspath(path), str(threads)])
    except OSError:  # a Python under user-mode emulation, or one embedded in another program
        return None
    return ColdStart(**json.loads(ran.stdout.splitlines()[-1]))


def measure(path: str, threads: int) -> ColdStart:
    """Return the cold start of a model file in this process, which must be a new one.

    Raises:
        ModelFileError: the file is no model of ours.
    """
    from edge.benchmarking.benchmark import noise_faces, timed_ms
    from edge.inference.interpreter import Classifier, find_runtime
    from edge.inference.modelfile import read_model

    find_runtime()
    before, _ = board.resident(Machine())
    classifier = Classifier(read_model(path), threads)
    first_ms = timed_ms(classifier, noise_faces(classifier.model.input.shape, seed=0)[0])
    _, peak = board.resident(Machine())
    return ColdStart(classifier.load_ms, first_ms, _mb(before), _mb(peak))


def _mb(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else round(size_bytes / _MB, 3)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(measure(sys.argv[1], int(sys.argv[2])))) + "\n")
