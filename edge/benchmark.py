"""Accuracy of a model on this machine, and what the records of all benchmarks have in common. No printing here.

Latencies are wall-clock milliseconds of set_tensor + invoke + get_tensor by `time.perf_counter_ns`.
"""

from __future__ import annotations

import os
import string
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import edge
from edge import records, statistics
from edge.errors import DataError
from edge.interpreter import Classifier
from edge.packs import Pack, read_folder, read_pack
from edge.preprocess import fit_face
from edge.stability import mad
from edge.system.conditions import Conditions, Course, conditions, ended, facts
from edge.system.machine import Machine

Tick = Callable[[int, int], None]  # (done, in all)

BOOTSTRAP_SEED = 0
PREDICTION_DIGITS = string.digits + string.ascii_lowercase  # one character a sample, its class in base 36
_NOISE_FACES = 8


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
    before = conditions(Machine())
    samples = []
    for i, image in enumerate(pack.images):
        face = fit_face(image, contract.crop, contract.input.height, contract.input.width)[np.newaxis]
        start = time.perf_counter_ns()
        raw = classifier.infer(face)
        samples.append((time.perf_counter_ns() - start) / 1e6)
        predicted[i] = classifier.dequantized(raw).argmax()
        if tick is not None:
            tick(i + 1, len(pack))
    course = ended(Machine(), before)
    confusion = statistics.confusion_matrix(truth, predicted, len(labels))
    return {
        **common("accuracy", classifier, command, course),
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


def summary_ms(samples_ms: Sequence[float]) -> dict[str, float]:
    """Return `percentiles` and mad, the median absolute deviation from the median, milliseconds."""
    return {**percentiles(samples_ms), "mad": mad(samples_ms)}


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


def xnnpack(classifier: Classifier) -> dict[str, Any] | None:
    """Return what a record says of XNNPACK: partitions, operators, those outside; None where it is not said."""
    found = classifier.delegation()
    return None if found is None else found.to_dict()


def common(
    kind: str,
    classifier: Classifier,
    command: Sequence[str],
    course: Course | None = None,
    machine: Machine | None = None,
) -> dict[str, Any]:
    """Return what every record says: what ran, on what, when, by which command.

    Args:
        kind: of the record.
        classifier: that ran.
        command: the words of the running command.
        course: how the machine stood before and after; None: as it stands now, and before is not known.
        machine: where facts are read; None: this machine.
    """
    where = Machine() if machine is None else machine
    during = ended(where, Conditions()) if course is None else course
    return {
        "schema": records.SCHEMA,
        "kind": kind,
        "created": records.now(),
        "fer_edge": edge.__version__,
        "command": list(command),
        "model": model_block(classifier),
        "runtime": dict(classifier.runtime),
        "xnnpack": xnnpack(classifier),
        "threads": classifier.threads,
        "machine": {**records.machine(where), **facts(where, during)},
    }
