"""What the benchmarks and their records have in common. No printing here.

Latencies are wall-clock milliseconds of set_tensor + invoke + get_tensor by `time.perf_counter_ns`.
"""

from __future__ import annotations

import string
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import edge
from edge.benchmarking import records
from edge.benchmarking.stability import mad
from edge.inference.interpreter import Classifier
from edge.system.conditions import Conditions, Course, ended, facts
from edge.system.machine import Machine

PREDICTION_DIGITS = string.digits + string.ascii_lowercase  # one character a sample, its class in base 36
_NOISE_FACES = 8


def noise_faces(shape: Sequence[int], seed: int) -> npt.NDArray[np.uint8]:
    """Return (8, 1, height, width, channels) uint8 of seeded noise, 0..255.

    Args:
        shape: of a model's input: (1, height, width, channels).
        seed: the same one gives the same noise.
    """
    return np.random.default_rng(seed).integers(0, 256, (_NOISE_FACES, *shape), dtype=np.uint8)


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
