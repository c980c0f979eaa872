from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from edge.benchmarking.resampling import interval_95, macro_f1_interval, resample, resample_pair
from edge.benchmarking.statistics import confusion_matrix, macro_f1s


def test_resampled_counts_keep_their_sum_and_scatter_as_a_share_does() -> None:
    drawn = resample(np.array([[650, 0], [350, 0]]))
    assert (drawn.sum(axis=(1, 2)) == 1000).all()
    assert (drawn[:, :, 1] == 0).all()
    assert drawn[:, 0, 0].std() == pytest.approx((1000 * 0.65 * 0.35) ** 0.5, rel=0.05)


def answers(samples: int, right: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true classes of three, and answers that are right about that often."""
    generator = np.random.default_rng(seed)
    true = generator.integers(0, 3, samples)
    return true, np.where(generator.random(samples) < right, true, generator.integers(0, 3, samples))


def test_the_interval_of_macro_f1_is_that_of_resampled_samples() -> None:
    true, predicted = answers(300, 0.6, 1)
    found = macro_f1_interval(confusion_matrix(true, predicted, 3))
    generator = np.random.default_rng(5)
    scores = []
    for _ in range(400):
        rows = generator.integers(0, 300, 300)
        scores.append(f1_score(true[rows], predicted[rows], average="macro"))
    assert found == pytest.approx(np.percentile(scores, [2.5, 97.5]), abs=0.012)


def test_macro_f1_of_many_matrices_is_that_of_each() -> None:
    true, predicted = answers(300, 0.6, 2)
    generator = np.random.default_rng(3)
    drawn = [generator.integers(0, 300, 40) for _ in range(5)]
    stack = np.stack([confusion_matrix(true[rows], predicted[rows], 4) for rows in drawn])
    expected = [f1_score(true[rows], predicted[rows], average="macro", labels=np.unique(true[rows])) for rows in drawn]
    assert macro_f1s(stack) == pytest.approx(expected)


def test_two_models_are_resampled_together() -> None:
    true, first = answers(300, 0.6, 4)
    one, same = resample_pair(true, first, first, 3)
    assert np.array_equal(one, same)
    second = np.where(first == 0, 1, first)
    one, other = resample_pair(true, first, second, 3)
    assert (one.sum(axis=(1, 2)) == 300).all() and (other.sum(axis=(1, 2)) == 300).all()
    assert np.array_equal(one.sum(axis=2), other.sum(axis=2))  # the same truths in each round
    assert np.array_equal(one[:, :, 0] + one[:, :, 1], other[:, :, 1])  # and the same faces


def test_the_ends_of_an_interval_are_percentiles() -> None:
    assert interval_95(np.arange(1001.0)) == (25.0, 975.0)
