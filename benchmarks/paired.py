"""Two models' records on the same pictures: the drop in accuracy with its paired interval and McNemar's test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.evidence import Accuracy
from edge.benchmarking.statistics import paired_difference
from edge.errors import DataError


@dataclass(frozen=True)
class Drop:
    """What the model lost against its reference, in percentage points (negative: it gained).

    Attributes:
        points: accuracy of the reference minus the model's.
        low: lower end of the paired 95 % score interval of `points`; `high` the upper end.
        lost: samples that only the reference has right; `gained` those that only the model has right.
        p_value: McNemar's exact two-sided p, 0..1.
        agreement: share of samples that both put into the same class, 0..1.
    """

    points: float
    low: float
    high: float
    lost: int
    gained: int
    p_value: float
    agreement: float


def compare(reference: Accuracy, model: Accuracy) -> Drop:
    """Return what `model` lost against `reference` on the same samples.

    Raises:
        DataError: the two were not scored on the same data, on the same faces of it, or not against the same classes.
    """
    if reference.data != model.data:
        raise DataError(
            f"{model.path}: expected the data of {reference.path} ({_data(reference)}); got {_data(model)}; "
            "score both models on the same pack"
        )
    if reference.truth and model.truth and reference.truth != model.truth:
        raise DataError(
            f"{model.path}: expected the true classes of {reference.path}; got others under the same fingerprint; "
            "score both models on the same pack"
        )
    if reference.content_sha256 and model.content_sha256 and reference.content_sha256 != model.content_sha256:
        raise DataError(
            f"{model.path}: expected the very faces of {reference.path}; got others under the same fingerprint "
            f"(content {model.content_sha256[:12]}, not {reference.content_sha256[:12]}); score both models on the "
            "same pack"
        )
    found = paired_difference(np.array(reference.correct, bool), np.array(model.correct, bool))
    same = sum(a == b for a, b in zip(reference.predictions, model.predictions, strict=True))
    return Drop(
        points=found.points,
        low=found.low,
        high=found.high,
        lost=found.only_first,
        gained=found.only_second,
        p_value=found.p_value,
        agreement=same / len(reference.predictions),
    )


def _data(accuracy: Accuracy) -> str:
    data = accuracy.data
    return f"{data.name} {data.part}, {data.samples} samples, fingerprint {data.fingerprint[:12]}"
