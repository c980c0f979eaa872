"""How long whole commands take from process start to exit: what a user waits for. No printing here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.benchmarking.benchmark import common
from edge.benchmarking.pipeline import JPEG_QUALITY
from edge.benchmarking.stability import Series, judge
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import read_model
from edge.pictures.images import encode_jpeg
from edge.process import run_python
from edge.sources.devices import SyntheticCamera
from edge.system.conditions import conditions, ended
from edge.system.machine import Machine

THREADS = 1  # of the interpreter
Tick = Callable[[int, int], None]  # (done, in all)


def startup_record(
    repeats: int,
    detector: str,
    command: Sequence[str],
    picture: str | None = None,
    tick: Tick | None = None,
    machine: Machine | None = None,
) -> dict[str, Any]:
    """Return the startup record of `fer-edge --help` and `fer-edge image`, run in turns after an untimed round.

    The interpreter of `fer-edge image` has as many threads as the record says. The files are in the system's cache by
    then: after a boot, reading them comes on top.

    Args:
        repeats: timed rounds, 1 or more.
        detector: that `fer-edge image` uses: "haar", "yunet" or "blazeface".
        command: the words of the running command.
        picture: a file to read; None: a drawn face of 640 x 480.
        tick: called with (rounds done, rounds in all).
        machine: where facts are read; None: this machine.

    Raises:
        EdgeError: a command failed or hung.
        ValueError: repeats out of range.
    """
    if repeats < 1:
        raise ValueError(f"expected 1 or more repeats; got {repeats}")
    where = Machine() if machine is None else machine
    before = conditions(where)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "face.jpg"
        if picture is None:
            path.write_bytes(encode_jpeg(SyntheticCamera(fps=0).read(), JPEG_QUALITY))
        image = ["image", str(picture or path), "--json", "--detector", detector, "--threads", str(THREADS)]
        words = {"fer-edge --help": ["--help"], "fer-edge image": image}
        samples: dict[str, list[float]] = {name: [] for name in words}
        for repeat in range(-1, repeats):
            for name, arguments in words.items():
                seconds = process_s(["-m", "edge", *arguments])
                if repeat >= 0:
                    samples[name].append(seconds)
            if tick is not None and repeat >= 0:
                tick(repeat + 1, repeats)
    course = ended(where, before)
    series = [Series(name, seconds) for name, seconds in samples.items()]
    return {
        **common("startup", Classifier(read_model(None), THREADS), command, course, where),
        "detector": detector,
        "commands": [summary(name, seconds) for name, seconds in samples.items()],
        "stability": judge(series, course, threads=THREADS),
    }


def summary(name: str, seconds: Sequence[float]) -> Mapping[str, Any]:
    """Return a command's block of the record."""
    median, p90 = np.percentile(seconds, [50, 90])
    figures = {"median": float(median), "p90": float(p90), "min": min(seconds), "max": max(seconds)}
    return {"name": name, "repeats": len(seconds), "seconds": figures, "samples_s": [round(s, 6) for s in seconds]}


def process_s(arguments: Sequence[str]) -> float:
    """Return the seconds from a Python process's start to its end, with this very package on its path.

    Raises:
        EdgeError: it failed, or did not end.
        OSError: it could not be started.
    """
    start = time.perf_counter()
    run_python(arguments)
    return time.perf_counter() - start
