"""fer-edge beside other packages on the same pictures: each in a process and an environment of its own, in turns.

All processes are bound to one core and told to use one thread, and reach no network. In every round each tool reads
every picture once; speeds are compared round by round, on the pictures where every tool found one face.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.turns import ratio
from benchmarks.runtime.environment import plain_environment, site_packages
from benchmarks.runtime.footprint import footprint, without_installers
from benchmarks.runtime.record import common_fields
from benchmarks.runtime.tools import OURS, TOOLS, YUNET
from edge.benchmarking.benchmark import percentiles
from edge.benchmarking.turns import order_of_round
from edge.errors import DataError, EdgeError

KIND = "faces"
MEASURED, FAILED = "measured", "not runnable offline"
WORKER = Path(__file__).with_name("faces_worker.py")
_NOWHERE = "http://127.0.0.1:9"  # nothing listens there
_ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    )
}  # fmt: skip


@dataclass
class _Worker:
    """A tool's process, and what it measured: milliseconds by round and picture, and the last answers."""

    name: str
    process: subprocess.Popen[str]
    home: str
    version: str = ""
    error: str | None = None
    rows: list[list[float]] = field(default_factory=list)
    faces: list[list[dict[str, Any]]] = field(default_factory=list)

    def hear(self) -> dict[str, Any]:
        """Return its next line; an end counts as an error."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        said: dict[str, Any] = json.loads(line) if line else {"error": f"ended with code {self.process.wait()}"}
        if "error" in said:
            words = str(said["error"]).replace(self.home, "~").encode("ascii", "ignore").decode("ascii")
            self.error = " ".join(words.split())[:400]
        return said

    def read(self, pictures: int) -> None:
        """Let it read every picture once."""
        row, faces = [], []
        for index in range(pictures):
            if self.error is None and self.process.stdin is not None:
                print(index, file=self.process.stdin, flush=True)
                said = self.hear()
                row.append(said.get("ms", 0.0))
                faces.append(said.get("faces", []))
        if self.error is None:
            self.rows.append(row)
            self.faces = faces


def compare(
    pythons: Mapping[str, Path],
    pictures: Mapping[str, Path],
    rounds: int,
    warmup: int,
    command: Sequence[str],
    yunet: Path | None = None,
) -> dict[str, Any]:
    """Return the record of a comparison.

    Args:
        pythons: by a tool's name (a key of `TOOLS`), the Python of its environment.
        pictures: by name, files that OpenCV decodes.
        rounds: 1 or more.
        warmup: rounds before them that do not count.
        command: words of the command.
        yunet: the file of YuNet, for the tool that needs it.

    Raises:
        DataError: fer-edge is not among the tools, or does not run.
        EdgeError: this system cannot bind a process to a core.
    """
    if OURS not in pythons:
        raise DataError(f"expected {OURS} among the tools; got {', '.join(pythons)}; name it")
    if not hasattr(os, "sched_setaffinity"):
        raise EdgeError("expected a system that binds processes to a core; got none of that here; run this on Linux")
    core = min(os.sched_getaffinity(0))
    files = [str(path.resolve()) for path in pictures.values()]
    with ExitStack() as stack:
        workers = [_started(name, python, files, core, stack, yunet) for name, python in pythons.items()]
        for worker in workers:
            worker.version = worker.hear().get("ready", "")
        running = [worker for worker in workers if worker.error is None]
        for number in range(warmup + rounds):
            for index in order_of_round(number, len(running)):
                running[index].read(len(files))
            if number == warmup - 1:
                for worker in running:
                    worker.rows.clear()
    ours = next(worker for worker in workers if worker.name == OURS)
    if ours.error is not None:
        raise DataError(f"expected {OURS} to run; got: {ours.error}; install its wheel anew")
    measured = [worker for worker in workers if worker.error is None]
    common = [i for i in range(len(files)) if all(len(worker.faces[i]) == 1 for worker in measured)]
    return {
        **common_fields(KIND, command),
        "load_average": os.getloadavg()[0],
        "threads": 1,
        "rounds": rounds,
        "warmup": warmup,
        "pictures": list(pictures),
        "compared": [list(pictures)[i] for i in common],
        "tools": [_block(worker, pythons[worker.name], list(pictures), common) for worker in workers],
        "ratios": [
            _ratio(model, other, common)
            for model in measured for other in measured
            if model.name.startswith(OURS) and not other.name.startswith(OURS) and common
        ],
    }  # fmt: skip


def _started(
    name: str, python: Path, files: Sequence[str], core: int, stack: ExitStack, yunet: Path | None
) -> _Worker:
    home = stack.enter_context(tempfile.TemporaryDirectory(prefix="fer-edge-faces-"))
    nowhere = {name: _NOWHERE for low in ("http_proxy", "https_proxy") for name in (low, low.upper())}
    alone = {"HOME": home, "DEEPFACE_HOME": home, "FER_EDGE_CACHE": home, "FER_EDGE_NO_NOTICE": "1", "NO_PROXY": ""}
    alone |= {"FER_EDGE_DETECTOR_MODEL": str(yunet.resolve())} if yunet and name == YUNET else {}
    process = subprocess.Popen(
        [str(python), str(WORKER), TOOLS[name].adapter, *files],
        cwd=home, env=plain_environment() | nowhere | alone | _ONE_THREAD | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    os.sched_setaffinity(process.pid, {core})
    stack.callback(process.communicate)
    stack.callback(process.kill)
    return _Worker(name, process, home)


def _block(worker: _Worker, python: Path, pictures: Sequence[str], common: Sequence[int]) -> dict[str, Any]:
    installed = without_installers(footprint([site_packages(python)]))
    tool = TOOLS[worker.name]
    block = {
        "name": worker.name,
        "note": tool.note,
        "requirements": list(tool.requirements),
        "status": MEASURED if worker.error is None else FAILED,
        "size_bytes": installed["size_bytes"],
        "packages": {name: entry["version"] for name, entry in installed["packages"].items()},
    }
    if worker.error is not None:
        return block | {"error": worker.error}
    samples = _samples(worker, common)
    return block | {
        "version": worker.version,
        "answers": dict(zip(pictures, worker.faces, strict=True)),
        "face_ms": percentiles(samples) if samples else None,
        "samples_ms": samples,
        "picture_ms": {
            name: float(np.median([row[i] for row in worker.rows])) for i, name in enumerate(pictures)
        },
    }  # fmt: skip


def _samples(worker: _Worker, common: Sequence[int]) -> list[float]:
    """Return the milliseconds of a face in each round: the mean over the pictures that are compared."""
    return [float(np.mean([row[i] for i in common])) for row in worker.rows] if common else []


def _ratio(ours: _Worker, other: _Worker, common: Sequence[int]) -> dict[str, Any]:
    found = ratio(_samples(ours, common), _samples(other, common))
    return {"model": ours.name, "against": other.name, **found}


def drawn_pictures(folder: Path) -> dict[str, Path]:
    """Return two drawn faces as files in a folder: 640×480 and 320×240, one face each."""
    import cv2

    from edge.sources.devices import SyntheticCamera

    found = {}
    for width, height in ((640, 480), (320, 240)):
        name = f"drawn face, {width}×{height}"
        path = folder / f"drawn-{width}.png"
        picture = SyntheticCamera(width, height, 0).read()
        if picture is None or not cv2.imwrite(str(path), picture[..., ::-1]):
            raise DataError(f"expected to write {path}; got a refusal; check the folder")
        found[name] = path
    return found


def astronaut(folder: Path) -> dict[str, Path]:
    """Return scikit-image's photograph of Eileen Collins (NASA, public domain) as a file in a folder.

    Raises:
        DataError: scikit-image is not installed.
    """
    import cv2

    try:
        from skimage import data
    except ImportError as error:
        raise DataError(
            f"expected scikit-image, which brings the photograph; got none; {sys.executable} -m pip install "
            "scikit-image, or leave the photograph out with --no-photograph"
        ) from error
    path = folder / "astronaut.png"
    cv2.imwrite(str(path), data.astronaut()[..., ::-1])
    return {"astronaut, 512×512": path}
