"""Accuracy, F1, bootstrap intervals and McNemar's test in numpy alone: a device scores a model without scikit-learn.

Rows of a confusion matrix are the true classes, columns the predicted ones. A test holds the figures against
scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb, copysign, inf, sqrt
from typing import Literal, TypedDict

import numpy as np
import numpy.typing as npt

BOOTSTRAP_SEED = 0
"""Of the bootstrap in every record, so that the same samples give the same interval wherever it is computed."""
_Z95 = 1.959963984540054  # standard deviations of a normal distribution to each side that hold 95 %
_BISECTIONS = 50  # halvings of an interval of 2: beyond a float's digits
_CHUNK_ROUNDS = 100  # resamples drawn at once: 100 x 7,178 samples of int64 are 6 MB


class ClassScore(TypedDict):
    """One class's precision, recall and F1 (each 0..1; 0 where undefined) and its number of true samples."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class PairedDifference:
    """The accuracy of a first model minus a second one's on the same samples.

    Attributes:
        points: the difference in percentage points.
        low: lower end of its paired 95 % score interval in points; `high` the upper end.
        only_first: samples that only the first model has right; `only_second` those that only the second has right.
        p_value: McNemar's exact two-sided p, 0..1.
    """

    points: float
    low: float
    high: float
    only_first: int
    only_second: int
    p_value: float


def confusion_matrix(
    true: npt.NDArray[np.integer], predicted: npt.NDArray[np.integer], classes: int
) -> npt.NDArray[np.int64]:
    """Return the (classes, classes) int64 counts; row = true class, column = predicted class.

    Args:
        true: (n,) integers, 0..classes-1.
        predicted: (n,) integers, 0..classes-1.
        classes: number of classes.

    Raises:
        ValueError: the two differ in length, are empty, or hold a value outside 0..classes-1.
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.ndim != 1 or true.shape != predicted.shape or true.size == 0:
        raise ValueError(f"expected two non-empty lists of equal length; got shapes {true.shape} and {predicted.shape}")
    for values in (true, predicted):
        if values.min() < 0 or values.max() >= classes:
            raise ValueError(f"expected classes 0..{classes - 1}; got {values.min()}..{values.max()}")
    flat = true.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def accuracy(confusion: npt.NDArray[np.integer]) -> float:
    """Return the share (0..1) of samples on the diagonal of a (classes, classes) confusion matrix."""
    return float(np.trace(confusion) / confusion.sum())


def per_class(confusion: npt.NDArray[np.integer], names: Sequence[str]) -> dict[str, ClassScore]:
    """Return each class's precision, recall, F1 and support, by name, from a (classes, classes) confusion matrix.

    Raises:
        ValueError: the number of names differs from the number of classes.
    """
    if len(names) != len(confusion):
        raise ValueError(f"expected {len(confusion)} class names; got {len(names)}")
    precision, recall, f1, support = _scores(confusion)
    return {
        name: ClassScore(
            precision=float(precision[i]), recall=float(recall[i]), f1=float(f1[i]), support=int(support[i])
        )
        for i, name in enumerate(names)
    }


def macro_f1(confusion: npt.NDArray[np.integer]) -> float:
    """Return the plain mean F1 (0..1) of the classes that occur in the truth.

    A class without samples has no recall, and would pull the mean down for a single answer that names it.

    Source: scikit-learn's `f1_score(average="macro", labels=...)` with the classes that occur in the truth as labels.
    """
    return float(macro_f1s(confusion[np.newaxis])[0])


def macro_f1s(confusions: npt.NDArray[np.number]) -> npt.NDArray[np.float64]:
    """Return (m,) float64: the `macro_f1` of each of (m, classes, classes) confusion matrices."""
    _, _, f1, support = _scores(confusions)
    present = support > 0
    means: npt.NDArray[np.float64] = (f1 * present).sum(axis=1) / present.sum(axis=1)
    return means


def weighted_f1(confusion: npt.NDArray[np.integer]) -> float:
    """Return the mean F1 (0..1) weighted by each class's number of true samples."""
    _, _, f1, support = _scores(confusion)
    return float((f1 * support).sum() / support.sum())


def bootstrap_interval(
    values: npt.NDArray[np.number] | npt.NDArray[np.bool_],
    seed: int,
    rounds: int = 2000,
    statistic: Literal["mean", "median"] = "mean",
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval (low, high) of the mean or the median.

    Args:
        values: (n,) numbers; for an accuracy: whether each sample is right; for a paired comparison: the
            difference of the two models' right/wrong on each sample.
        seed: seed of the resampling; the same seed gives the same interval.
        rounds: number of resamples.
        statistic: what is computed on each resample.

    Raises:
        ValueError: the values are empty or not finite.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        raise ValueError(f"expected a non-empty list of finite numbers; got shape {numbers.shape}")
    measure = np.mean if statistic == "mean" else np.median
    generator = np.random.default_rng(seed)
    results = np.empty(rounds)
    for start in range(0, rounds, _CHUNK_ROUNDS):
        count = min(_CHUNK_ROUNDS, rounds - start)
        drawn = numbers[generator.integers(0, numbers.size, size=(count, numbers.size))]
        results[start : start + count] = measure(drawn, axis=1)
    low, high = np.percentile(results, [2.5, 97.5])
    return float(low), float(high)


def share_interval(hits: int, samples: int) -> tuple[float, float]:
    """Return the 95 % score interval (low, high) of a share, of some width also where all or none are hits.

    Args:
        hits: samples that count.
        samples: all samples.

    Raises:
        ValueError: not 0 <= hits <= samples, or no samples.

    Source: Wilson 1927, Journal of the American Statistical Association 22.
    """
    if not 0 <= hits <= samples or samples == 0:
        raise ValueError(f"expected hits of 0..samples, and samples; got {hits} and {samples}")
    share, z2 = hits / samples, _Z95**2
    middle = (share + z2 / (2 * samples)) / (1 + z2 / samples)
    half = _Z95 * sqrt(share * (1 - share) / samples + z2 / (4 * samples**2)) / (1 + z2 / samples)
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == samples else middle + half)


def paired_difference(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> PairedDifference:
    """Return how much more often the first model is right than the second, sample by sample.

    Comparing the two accuracies' own intervals would ignore that both models saw the same samples; pairing resolves
    differences several times smaller. A bootstrap's interval would have no width where the two differ on no sample,
    and too little where they differ on few; the score interval holds its rate there too.

    Args:
        first: (n,) whether the first model has each sample right.
        second: (n,) whether the second model has the same sample right.

    Raises:
        ValueError: the two differ in length or are empty.
    """
    if first.ndim != 1 or first.shape != second.shape or first.size == 0:
        raise ValueError(f"expected two non-empty lists of equal length; got shapes {first.shape} and {second.shape}")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    low, high = difference_interval(only_first, only_second, first.size)
    return PairedDifference(
        points=100 * (only_first - only_second) / first.size,
        low=100 * low,
        high=100 * high,
        only_first=only_first,
        only_second=only_second,
        p_value=mcnemar(only_first, only_second),
    )


def difference_interval(only_first: int, only_second: int, samples: int) -> tuple[float, float]:
    """Return the 95 % score interval (low, high), in -1..1, of a difference of two shares of the same samples.

    Args:
        only_first: samples that only the first has right.
        only_second: samples that only the second has right.
        samples: all samples.

    Raises:
        ValueError: a count is negative, or the two are more than all samples, or there are none.

    Source: Tango 1998, Statistics in Medicine 17, equations 16 to 21.
    """
    if min(only_first, only_second) < 0 or only_first + only_second > samples or samples == 0:
        raise ValueError(f"expected counts of 0..samples, and samples; got {only_first}, {only_second} of {samples}")

    def score(difference: float) -> float:
        """Deviations by which the samples are above a true difference, its variance estimated under it."""
        second = 2 * samples
        first = -only_first - only_second + (2 * samples - only_first + only_second) * difference
        constant = -only_second * difference * (1 - difference)
        share = (sqrt(max(first**2 - 4 * second * constant, 0.0)) - first) / (2 * second)
        variance = samples * (2 * share + difference * (1 - difference))
        above = only_first - only_second - samples * difference
        return above / sqrt(variance) if variance > 0 else copysign(inf, above)

    middle = (only_first - only_second) / samples
    return _crossing(score, _Z95, -1.0, middle), _crossing(score, -_Z95, middle, 1.0)


def _crossing(score: Callable[[float], float], goal: float, low: float, high: float) -> float:
    """Return where a falling function passes a goal between two ends; the end nearest to it where it does not."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle) > goal else (low, middle)
    return (low + high) / 2


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p (0..1) that so uneven a split of the discordant samples is chance.

    Args:
        only_first: samples that only the first model has right.
        only_second: samples that only the second model has right.

    Raises:
        ValueError: a count is negative.

    Source: McNemar 1947, Psychometrika 12; the exact form is the sign test on the discordant pairs.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"expected counts of at least 0; got {only_first} and {only_second}")
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(discordant, k) for k in range(fewer + 1))
    return min(1.0, (2 * tail) / (1 << discordant))


def _scores(
    confusion: npt.NDArray[np.number],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return (..., classes) precision, recall, F1 (0 where the denominator is 0) and support."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    support = confusion.sum(axis=-1).astype(np.int64)
    predicted = confusion.sum(axis=-2).astype(np.float64)
    precision = np.divide(hits, predicted, out=np.zeros_like(hits), where=predicted > 0)
    recall = np.divide(hits, support, out=np.zeros_like(hits), where=support > 0)
    both = predicted + support
    f1 = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
    return precision, recall, f1, support
