"""Simulations in which the truth is known: a 95 % interval holds it in about 95 of 100 trials.

With 400 trials, an exact 95 % interval holds the truth in 0.95 +- 0.011 (one sigma) of them; bootstrap intervals of a
few hundred samples are a little short. Each band has a partner that must fall outside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta

from edge.benchmarking.calibration import error_interval, reliability
from edge.benchmarking.resampling import macro_f1_interval
from edge.benchmarking.statistics import bootstrap_interval, confusion_matrix, macro_f1, paired_difference

Interval = tuple[float, float]
TRIALS = 400
STATED = (0.92, 0.98)


def coverage(truth: float, interval: Callable[[np.random.Generator, int], Interval], trials: int = TRIALS) -> float:
    """Return in which share of the trials the interval holds the truth."""
    generator = np.random.default_rng(2013)
    held = [low <= truth <= high for low, high in (interval(generator, trial) for trial in range(trials))]
    return float(np.mean(held))


def halved(interval: Interval) -> Interval:
    """Return an interval of half the width about the same middle."""
    (low, high), middle = interval, sum(interval) / 2
    return (low + middle) / 2, (high + middle) / 2


def of_accuracy(generator: np.random.Generator, seed: int) -> Interval:
    return bootstrap_interval(generator.random(300) < 0.65, seed, rounds=500)


def test_the_interval_of_an_accuracy_holds_the_truth_at_its_stated_rate() -> None:
    assert STATED[0] <= coverage(0.65, of_accuracy) <= STATED[1]


def test_an_interval_of_half_the_width_does_not() -> None:
    # 0.98 sigmas to each side hold 67 of 100.
    assert coverage(0.65, lambda generator, seed: halved(of_accuracy(generator, seed))) < 0.75


def test_the_interval_of_a_paired_difference_holds_the_truth_at_its_stated_rate() -> None:
    def interval(generator: np.random.Generator, seed: int) -> Interval:
        draw = generator.random(300)  # 8 of 100 faces only for the first model, 5 only for the second, 60 for both
        found = paired_difference(draw < 0.68, (draw < 0.60) | (draw > 0.95))
        return found.low, found.high

    assert STATED[0] <= coverage(3.0, interval, trials=200) <= STATED[1]


SPARSE = (55, 0.03, 0.01)  # a small class: faces, and the shares of them that only one model has right


def sparse(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return which of a small class's faces two models have right that seldom differ."""
    samples, only_first, only_second = SPARSE
    draw = generator.random(samples)
    return draw < 0.5 + only_first, (draw < 0.5) | (draw > 1 - only_second)


def test_the_interval_of_a_paired_difference_holds_where_the_models_seldom_differ() -> None:
    def interval(generator: np.random.Generator, seed: int) -> Interval:
        found = paired_difference(*sparse(generator))
        return found.low, found.high

    assert coverage(100 * (SPARSE[1] - SPARSE[2]), interval) >= STATED[0]


def test_the_bootstrap_of_a_paired_difference_does_not() -> None:
    def interval(generator: np.random.Generator, seed: int) -> Interval:
        first, second = sparse(generator)
        low, high = bootstrap_interval(first.astype(int) - second.astype(int), seed, rounds=500)
        return 100 * low, 100 * high

    assert coverage(100 * (SPARSE[1] - SPARSE[2]), interval) < 0.85


def test_the_interval_of_macro_f1_holds_the_truth_at_its_stated_rate() -> None:
    cells = np.array([[20, 4, 6], [3, 8, 1], [8, 2, 48]]) / 100
    truth = macro_f1((1000 * cells).astype(int))

    def interval(generator: np.random.Generator, seed: int) -> Interval:
        drawn = generator.choice(9, 400, p=cells.ravel())
        return macro_f1_interval(confusion_matrix(drawn // 3, drawn % 3, 3), seed)

    assert STATED[0] <= coverage(truth, interval, trials=300) <= STATED[1]


def simulated(
    gap: float, generator: np.random.Generator, samples: int = 800, above: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of two classes and true ones; right less often than said by `gap`, in the bins `above`."""
    confidence = 0.55 + 0.45 * generator.beta(2, 1.2, samples)
    right = generator.random(samples) < confidence - gap * (confidence >= above)
    return np.stack([confidence, 1 - confidence], axis=1), np.where(right, 0, 1)


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.1])
def test_the_interval_of_the_calibration_error_holds_the_truth_about_as_often(gap: float) -> None:
    def interval(generator: np.random.Generator, seed: int) -> Interval:
        return error_interval(*simulated(gap, generator), seed, rounds=300)

    assert 0.89 <= coverage(gap, interval, trials=200) <= 1


def test_the_interval_of_a_calibration_error_in_few_bins_holds_the_truth_less_often() -> None:
    truth = 0.08 * beta.sf((0.8 - 0.55) / 0.45, 2, 1.2)  # 0.8 is where a bin begins

    def interval(generator: np.random.Generator, seed: int) -> Interval:
        return error_interval(*simulated(0.08, generator, above=0.8), seed, rounds=300)

    assert 0.84 <= coverage(truth, interval, trials=200) < 0.95


def test_the_percentile_bootstrap_never_finds_that_a_calibrated_network_is_calibrated() -> None:
    def percentile(generator: np.random.Generator, seed: int) -> Interval:
        probabilities, labels = simulated(0.0, generator)
        errors = []
        for _ in range(200):
            rows = generator.integers(0, len(labels), len(labels))
            errors.append(reliability(probabilities[rows], labels[rows]).error)
        low, high = np.percentile(errors, [2.5, 97.5])
        return float(low), float(high)

    assert coverage(0.0, percentile, trials=20) == 0
