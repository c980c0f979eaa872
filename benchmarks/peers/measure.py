"""What each file is, how right it is, and how long it takes: `Candidate` in, `Scored` or `Failed` out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.exports import PeerError, PeerNotRunError
from benchmarks.peers.record import FAILED, MEASURED, NOT_RUN
from benchmarks.peers.runner import RAW, AnyRunner, OnnxRunner, Runner
from benchmarks.peers.turns import take_turns
from convert.reporting.progress import Progress
from convert.tflite.inspection import Inspection, inspect
from convert.verification.delegation import require_kernel_scales
from edge.benchmarking.benchmark import encode_classes, noise_faces, percentiles
from edge.benchmarking.statistics import (
    BOOTSTRAP_SEED,
    accuracy,
    bootstrap_interval,
    confusion_matrix,
    macro_f1,
    paired_difference,
)
from edge.errors import ModelFileError
from edge.files import sha256_of

SAMPLE_DIGITS = 6  # of a millisecond: the nanoseconds that the clock counts


@dataclass(frozen=True, eq=False)
class Candidate:
    """A file to measure.

    Attributes:
        name: "plain-int8", "ours-qat-int8" ...
        ours: whether `python -m convert` made it.
        file: its file name.
        content: the file, or why there is none.
        as_bytes: its input takes the pixels' own uint8.
        network: of a rival, its name; None for files of the model itself.
        pictures: as that network takes them, uint8 (n, height, width, channels); None for the model's own.
        span: what the network takes for a pixel's 0 and 255.
        note: what a reader should know of the file.
    """

    name: str
    ours: bool
    file: str
    content: bytes | PeerError
    as_bytes: bool
    network: str | None = None
    pictures: npt.NDArray[np.uint8] | None = None
    span: tuple[float, float] = RAW
    note: str = ""

    def facts(self) -> dict[str, str]:
        """Return what the record says about a rival's file beside its figures."""
        return {key: value for key, value in (("network", self.network), ("note", self.note)) if value}


@dataclass(frozen=True, eq=False)
class Truth:
    """The pictures and what is to be said about them.

    Attributes:
        images: uint8 (n, height, width, 3).
        labels: int64 (n,).
        keras: int64 (n,) the Keras model's classes.
        names: of the classes.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    keras: npt.NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def encoded(self) -> str:
        """The true classes as the record keeps them, one character a picture."""
        return encode_classes(self.labels)


@dataclass(frozen=True)
class Failed:
    """A file that could not be made or run, and the first line of why; `status` says whether it was tried."""

    name: str
    ours: bool
    error: str
    status: str = FAILED

    def block(self) -> dict[str, Any]:
        """Return it as the record keeps it."""
        return {"name": self.name, "ours": self.ours, "status": self.status, "error": self.error}


@dataclass(frozen=True, eq=False)
class Scored:
    """A measured file.

    Attributes:
        runtime: the interpreter's name and version.
        figures: what the record says beside the times.
        samples_ms: one time a round, milliseconds.
    """

    name: str
    ours: bool
    runtime: dict[str, str]
    figures: dict[str, Any]
    samples_ms: list[float]

    def block(self) -> dict[str, Any]:
        """Return it as the record keeps it."""
        return {
            "name": self.name,
            "ours": self.ours,
            "status": MEASURED,
            **self.figures,
            "latency_ms": percentiles(self.samples_ms),
            "samples_ms": self.samples_ms,
        }


def measure(
    candidates: Sequence[Candidate],
    truth: Truth,
    rounds: int,
    warmup: int,
    threads: int,
    seed: int,
    progress: Progress,
) -> list[Scored | Failed]:
    """Return what was found about each file, in the order given.

    Args:
        candidates: the files.
        truth: the pictures to score on.
        rounds: timed rounds.
        warmup: untimed rounds before them.
        threads: of the interpreter.
        seed: of noise faces.
        progress: where to tell.
    """
    failed: dict[str, Failed] = {}
    running: dict[str, tuple[Candidate, AnyRunner, dict[str, Any]]] = {}
    for candidate in candidates:
        try:
            with progress.bar(candidate.name, len(truth.images)) as advance:
                runner, figures = _scored(candidate, truth, threads, advance)
            running[candidate.name] = candidate, runner, figures
        except (PeerError, ModelFileError, ValueError, RuntimeError) as error:
            status = NOT_RUN if isinstance(error, PeerNotRunError) else FAILED
            failed[candidate.name] = Failed(candidate.name, candidate.ours, _first_line(error), status)
            progress.say(f"{candidate.name} {status}: {failed[candidate.name].error}")
    samples = np.empty((rounds, 0))
    if running:
        with progress.bar("rounds", rounds + warmup) as advance:
            timed = [_timed(runner, noise_faces((1, *runner.shape), seed)) for _, runner, _ in running.values()]
            samples = take_turns(timed, rounds, warmup, advance)
    scored = {
        name: Scored(name, candidate.ours, runner.runtime, figures, [round(float(ms), SAMPLE_DIGITS) for ms in column])
        for (name, (candidate, runner, figures)), column in zip(running.items(), samples.T, strict=True)
    }
    return [failed.get(candidate.name) or scored[candidate.name] for candidate in candidates]


def reference_block(truth: Truth) -> dict[str, Any]:
    """Return the Keras model's own figures as the record keeps them."""
    return _score(truth.keras, truth)


def _scored(
    candidate: Candidate, truth: Truth, threads: int, advance: Callable[[int], None]
) -> tuple[AnyRunner, dict[str, Any]]:
    if isinstance(candidate.content, PeerError):
        raise candidate.content
    runner, inspected = _loaded(candidate, candidate.content, threads)
    images = truth.images if candidate.pictures is None else candidate.pictures
    predicted, ties = runner.classes(images, advance)
    drop = paired_difference(truth.keras == truth.labels, predicted == truth.labels)
    return runner, {
        **candidate.facts(),
        "file": candidate.file,
        "sha256": sha256_of(candidate.content),
        "size_bytes": len(candidate.content),
        "input": {"dtype": str(runner.dtype), "scale": runner.scale, "zero_point": runner.zero_point},
        "output": {"dtype": str(runner.output_dtype)},
        **inspected,
        **_score(predicted, truth),
        "drop": asdict(drop),
        "agreement": float((predicted == truth.keras).mean()),
        "ties": ties,
    }


def _loaded(candidate: Candidate, content: bytes, threads: int) -> tuple[AnyRunner, dict[str, Any]]:
    """Return a file ready to run, and what the record says about its operators."""
    from convert.tflite.export import quiet

    if candidate.file.endswith(".onnx"):
        onnx = OnnxRunner(content, candidate.file, threads)
        unknown = dict.fromkeys(("partitions", "outside", "float_operators"))
        return onnx, {"runtime": onnx.runtime, "operators": onnx.operators, **unknown}
    require_kernel_scales(content)
    found = inspect(content)
    with quiet():
        return Runner(content, candidate.file, candidate.as_bytes, threads, candidate.span), _inspected(found)


def _inspected(found: Inspection) -> dict[str, Any]:
    facts = asdict(found)
    return {name: facts[name] for name in ("operators", "partitions", "outside", "float_operators")} | {
        "tensor_kernels": list(found.tensor_kernels)
    }


def _score(predicted: npt.NDArray[np.int64], truth: Truth) -> dict[str, Any]:
    table = confusion_matrix(truth.labels, predicted, len(truth.names))
    return {
        "accuracy": accuracy(table),
        "accuracy_ci95": list(bootstrap_interval(predicted == truth.labels, BOOTSTRAP_SEED)),
        "macro_f1": macro_f1(table),
        "predictions": encode_classes(predicted),
    }


def _timed(runner: AnyRunner, noise: npt.NDArray[np.uint8]) -> Callable[[int], object]:
    """Return a function that runs one inference on a face prepared beforehand: type and scale are not timed."""
    prepared = [runner.prepared(face) for face in noise]
    return lambda number: runner.infer(prepared[number % len(prepared)])


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
