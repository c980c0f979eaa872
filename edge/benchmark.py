"""Latency and accuracy of a model on this machine, and the records of them. No printing here.

Latencies are wall-clock milliseconds of set_tensor + invoke + get_tensor by `time.perf_counter_ns`. Two models are
compared in interleaved pairs whose order alternates, so that clock changes and neighbours strike both alike; the
speed-up is the median of the pairs' own ratios.
"""

from __future__ import annotations

import gc
import os
import string
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

import edge
from edge import records, statistics
from edge.errors import DataError
from edge.interpreter import Classifier
from edge.packs import Pack, read_folder, read_pack
from edge.preprocess import fit_face

Tick = Callable[[int, int], None]  # (done, in all)

BOOTSTRAP_SEED = 0
PREDICTION_DIGITS = string.digits + string.ascii_lowercase  # one character a sample, its class in base 36
_NOISE_FACES = 8


def latency_record(
    classifier: Classifier, command: Sequence[str], runs: int, warmup: int, seed: int = 0, tick: Tick | None = None
) -> dict[str, Any]:
    """Return the latency record of one model.

    Args:
        classifier: a freshly loaded model (its first inference is timed apart).
        command: the words of the running command.
        runs: timed inferences, 1 or more.
        warmup: untimed inferences before them.
        seed: of the noise faces.
        tick: called with (runs done, runs in all).

    Raises:
        ValueError: runs or warmup out of range.
    """
    _check_counts(runs, warmup)
    faces = noise_faces(classifier, seed)
    first_ms = timed_ms(classifier, faces[0])
    for i in range(warmup):
        classifier.infer(faces[i % _NOISE_FACES])
    samples = []
    with _no_garbage_collection():
        for i in range(runs):
            samples.append(timed_ms(classifier, faces[i % _NOISE_FACES]))
            if tick is not None:
                tick(i + 1, runs)
    return {
        **common("latency", classifier, command),
        **_latency_fields(classifier, samples, first_ms),
        "warmup": warmup,
        "runs": runs,
    }


def pair_record(
    classifier: Classifier,
    against: Classifier,
    command: Sequence[str],
    pairs: int,
    warmup: int,
    seed: int = 0,
    tick: Tick | None = None,
) -> dict[str, Any]:
    """Return the latency record of a model with another one timed against it in interleaved pairs.

    In pair 0, 2, 4 ... `classifier` runs first, in the others `against`. A ratio is the time of `against` over that of
    `classifier` in one pair: how many times as fast `classifier` is.

    Args:
        classifier: a freshly loaded model.
        against: another one, with the same number of threads.
        command: the words of the running command.
        pairs: 1 or more.
        warmup: untimed inferences of each before them.
        seed: of the noise faces.
        tick: called with (pairs done, pairs in all).

    Raises:
        ValueError: pairs or warmup out of range, or the numbers of threads differ.
    """
    _check_counts(pairs, warmup)
    if classifier.threads != against.threads:
        raise ValueError(f"expected equal threads; got {classifier.threads} and {against.threads}")
    faces, other_faces = noise_faces(classifier, seed), noise_faces(against, seed)
    first_ms, other_first_ms = timed_ms(classifier, faces[0]), timed_ms(against, other_faces[0])
    for i in range(warmup):
        classifier.infer(faces[i % _NOISE_FACES])
        against.infer(other_faces[i % _NOISE_FACES])
    samples, other_samples = [], []
    with _no_garbage_collection():
        for i in range(pairs):
            face, other_face = faces[i % _NOISE_FACES], other_faces[i % _NOISE_FACES]
            if i % 2 == 0:
                samples.append(timed_ms(classifier, face))
                other_samples.append(timed_ms(against, other_face))
            else:
                other_samples.append(timed_ms(against, other_face))
                samples.append(timed_ms(classifier, face))
            if tick is not None:
                tick(i + 1, pairs)
    ratios = np.array(other_samples) / np.array(samples)
    return {
        **common("latency", classifier, command),
        **_latency_fields(classifier, samples, first_ms),
        "warmup": warmup,
        "runs": pairs,
        "against": {**model_block(against), **_latency_fields(against, other_samples, other_first_ms)},
        "pairs": pairs,
        "ratio": {
            "median": float(np.median(ratios)),
            "p10": float(np.percentile(ratios, 10)),
            "p90": float(np.percentile(ratios, 90)),
            "ci95": list(statistics.bootstrap_interval(ratios, BOOTSTRAP_SEED, statistic="median")),
        },
        "ratios": [float(ratio) for ratio in ratios],
    }


def accuracy_record(
    classifier: Classifier, pack: Pack, file: str, command: Sequence[str], tick: Tick | None = None
) -> dict[str, Any]:
    """Return the accuracy record of a model on a pack: one inference a face, no test-time augmentation.

    Args:
        classifier: the model.
        pack: labelled faces; its classes must be among the model's labels.
        file: where the pack came from.
        command: the words of the running command.
        tick: called with (faces done, faces in all).

    Raises:
        DataError: the pack has a class that the model does not know.
    """
    labels = classifier.labels
    strangers = [name for name in pack.classes if name not in labels]
    if strangers:
        raise DataError(
            f"{file}: expected classes among the model's ({', '.join(labels)}); got {', '.join(strangers)}; use a "
            "model with these labels"
        )
    truth = np.array([labels.index(name) for name in pack.classes])[pack.labels]
    contract = classifier.model.contract
    predicted = np.empty(len(pack), np.int64)
    samples = []
    for i, image in enumerate(pack.images):
        face = fit_face(image, contract.crop, contract.input.height, contract.input.width)[np.newaxis]
        start = time.perf_counter_ns()
        raw = classifier.infer(face)
        samples.append((time.perf_counter_ns() - start) / 1e6)
        predicted[i] = classifier.dequantized(raw).argmax()
        if tick is not None:
            tick(i + 1, len(pack))
    confusion = statistics.confusion_matrix(truth, predicted, len(labels))
    return {
        **common("accuracy", classifier, command),
        "data": {
            "name": str(pack.meta["dataset"]),
            "part": str(pack.meta["part"]),
            "fingerprint": str(pack.meta["fingerprint"]),
            "samples": len(pack),
            "file": file,
        },
        "labels": list(labels),
        "accuracy": statistics.accuracy(confusion),
        "accuracy_ci95": list(statistics.bootstrap_interval(truth == predicted, BOOTSTRAP_SEED)),
        "macro_f1": statistics.macro_f1(confusion),
        "weighted_f1": statistics.weighted_f1(confusion),
        "per_class": statistics.per_class(confusion, labels),
        "confusion": confusion.tolist(),
        "predictions": encode_classes(predicted),
        "truth": encode_classes(truth),
        "correct": encode_classes((predicted == truth).astype(np.int64)),
        "latency_ms": percentiles(samples),
    }


def read_data(path: str, classifier: Classifier, tick: Tick | None = None) -> Pack:
    """Return the labelled faces of a pack file or of a folder with one sub-folder a class.

    Raises:
        DataError: neither, or damaged.
        ImageError: a picture of the folder cannot be read.
    """
    if os.path.isdir(path):
        contract = classifier.model.contract
        return read_folder(path, classifier.labels, contract.input.height, contract.input.width, contract.crop, tick)
    return read_pack(path)


def noise_faces(classifier: Classifier, seed: int) -> npt.NDArray[np.uint8]:
    """Return (8, 1, height, width, 3) uint8 of seeded noise, 0..255, in the model's input size."""
    shape = (_NOISE_FACES, *classifier.model.input.shape)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def timed_ms(classifier: Classifier, face: npt.NDArray[np.uint8]) -> float:
    """Return the milliseconds of one inference on a (1, height, width, 3) uint8 face."""
    start = time.perf_counter_ns()
    classifier.infer(face)
    return (time.perf_counter_ns() - start) / 1e6


def percentiles(samples_ms: Sequence[float]) -> dict[str, float]:
    """Return p50, p90, p99 (linear between neighbours), mean, min and max of latencies, milliseconds."""
    values = np.asarray(samples_ms)
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return {
        "p50": float(p50),
        "p90": float(p90),
        "p99": float(p99),
        "mean": float(values.mean()),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def encode_classes(classes: npt.NDArray[np.integer]) -> str:
    """Return class numbers 0..35 as one character each."""
    return "".join(PREDICTION_DIGITS[number] for number in classes)


def model_block(classifier: Classifier) -> dict[str, Any]:
    """Return what a record says about its model."""
    model = classifier.model
    return {
        "name": model.contract.name,
        "recipe": model.contract.recipe,
        "backbone": model.contract.backbone,
        "file": model.path.name,
        "sha256": model.sha256,
        "size_bytes": model.size_bytes,
        "input": list(model.input.shape[1:]),
    }


def common(kind: str, classifier: Classifier, command: Sequence[str]) -> dict[str, Any]:
    """Return what every record says: what ran, on what, when, by which command."""
    return {
        "schema": records.SCHEMA,
        "kind": kind,
        "created": records.now(),
        "fer_edge": edge.__version__,
        "command": list(command),
        "model": model_block(classifier),
        "runtime": dict(classifier.runtime),
        "threads": classifier.threads,
        "machine": records.machine(),
    }


def _latency_fields(classifier: Classifier, samples: Sequence[float], first_ms: float) -> Mapping[str, Any]:
    return {
        "latency_ms": percentiles(samples),
        "samples_ms": [round(sample, 6) for sample in samples],
        "first_inference_ms": first_ms,
        "load_ms": classifier.load_ms,
    }


def _check_counts(runs: int, warmup: int) -> None:
    if runs < 1 or warmup < 0:
        raise ValueError(f"expected 1 or more runs and 0 or more for warm-up; got {runs} and {warmup}")


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python's collector from pausing a timed run."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
