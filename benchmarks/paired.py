"""Two models on the same pictures: the drop in accuracy with a paired interval, and McNemar's test.

Comparing the two accuracies' own intervals would ignore that both models saw the same samples; pairing sample by
sample resolves differences several times smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from benchmarks.evidence import Accuracy
from edge.errors import DataError
from edge.statistics import bootstrap_interval

_SEED = 2013


@dataclass(frozen=True)
class Drop:
    """What the model lost against its reference, in percentage points (negative: it gained).

    Attributes:
        points: accuracy of the reference minus the model's.
        low: lower end of the paired 95 % bootstrap interval of `points`; `high` the upper end.
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
        DataError: the two were not scored on the same data.
    """
    if reference.data != model.data:
        raise DataError(
            f"{model.path}: expected the data of {reference.path} ({_data(reference)}); got {_data(model)}; "
            "score both models on the same pack"
        )
    right, wrong = np.array(reference.correct), np.array(model.correct)
    differences = right.astype(np.int8) - wrong.astype(np.int8)
    low, high = bootstrap_interval(differences, seed=_SEED)
    lost, gained = int((differences > 0).sum()), int((differences < 0).sum())
    same = sum(a == b for a, b in zip(reference.predictions, model.predictions, strict=True))
    return Drop(
        points=100 * float(differences.mean()),
        low=100 * low,
        high=100 * high,
        lost=lost,
        gained=gained,
        p_value=mcnemar(lost, gained),
        agreement=same / len(reference.predictions),
    )


def mcnemar(lost: int, gained: int) -> float:
    """Return the exact two-sided p (0..1) that so uneven a split of the discordant samples is chance.

    Args:
        lost: samples that only the first model has right.
        gained: samples that only the second model has right.

    Raises:
        ValueError: a count is negative.

    Source: McNemar 1947, Psychometrika 12; the exact form is the sign test on the discordant pairs.
    """
    if lost < 0 or gained < 0:
        raise ValueError(f"expected counts of at least 0; got {lost} and {gained}")
    discordant, fewer = lost + gained, min(lost, gained)
    tail = sum(comb(discordant, k) for k in range(fewer + 1))
    return min(1.0, (2 * tail) / (1 << discordant))


def _data(accuracy: Accuracy) -> str:
    data = accuracy.data
    return f"{data.name} {data.part}, {data.samples} samples, fingerprint {data.fingerprint[:12]}"
