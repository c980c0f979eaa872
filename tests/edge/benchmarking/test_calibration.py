"""Reliability bins, calibration error and likelihood against numbers worked out by hand and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from edge.benchmarking.calibration import PROBABILITY_FLOOR, error_interval, losses, reliability


def random_answers(samples: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return (samples, 7) probabilities and the true classes, which they know little about."""
    generator = np.random.default_rng(0)
    return generator.dirichlet(np.full(7, 0.4), samples), generator.integers(0, 7, samples)


def two_classes(confidence: np.ndarray) -> np.ndarray:
    """Return (n, 2) probabilities whose first class is the likelier one."""
    return np.stack([confidence, 1 - confidence], axis=1)


def test_bins_hold_their_samples_mean_confidence_and_accuracy() -> None:
    # bins of 1/15: 0.61 falls into the tenth (0.6-0.667), 0.62 too, 0.95 and 1.0 into the last
    probabilities = np.array([[0.61, 0.39], [0.38, 0.62], [0.95, 0.05], [1.0, 0.0]])
    found = reliability(probabilities, np.array([0, 0, 0, 0]))
    assert found.count.tolist() == [0] * 9 + [2, 0, 0, 0, 0, 2]
    assert found.confidence[[9, 14]] == pytest.approx([0.615, 0.975])
    assert found.accuracy[[9, 14]].tolist() == [0.5, 1.0]
    assert found.error == pytest.approx((2 * 0.115 + 2 * 0.025) / 4)
    assert found.to_json()["count"] == found.count.tolist()


def test_bins_are_scikit_learns_calibration_curve() -> None:
    probabilities, labels = random_answers()
    found = reliability(probabilities, labels)
    right = probabilities.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=15, strategy="uniform")
    used = found.count > 0
    assert found.accuracy[used] == pytest.approx(accuracy)
    assert found.confidence[used] == pytest.approx(confidence)
    assert found.error == pytest.approx(np.average(np.abs(accuracy - confidence), weights=found.count[used]))


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="expected labelled samples to measure calibration; got none"):
        reliability(np.zeros((0, 7)), np.zeros(0, np.int64))


def test_the_loss_of_a_probability_of_zero_is_that_of_half_a_step() -> None:
    probabilities = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.25, 0.75, 0.0]], np.float32)
    assert losses(probabilities, np.array([0, 2, 0])) == pytest.approx([np.log(2), np.log(512), np.log(4)])
    assert PROBABILITY_FLOOR == 1 / 512
    assert losses(probabilities, np.array([0, 2, 0]), floor=0.3)[1:] == pytest.approx([-np.log(0.3)] * 2)


def test_the_mean_loss_is_scikit_learns_where_the_floor_is_not_reached() -> None:
    probabilities, labels = random_answers()
    above = probabilities / 2 + 0.5 / 7
    assert losses(above, labels).mean() == pytest.approx(log_loss(labels, above))
    assert losses(probabilities, labels).mean() < log_loss(labels, probabilities)


def test_the_interval_of_the_error_repeats_with_its_seed() -> None:
    probabilities, labels = random_answers()
    assert error_interval(probabilities, labels, 1) == error_interval(probabilities, labels, 1)
    assert error_interval(probabilities, labels, 1) != error_interval(probabilities, labels, 2)


def test_a_certain_network_that_is_always_right_has_no_error_to_be_unsure_of() -> None:
    assert error_interval(two_classes(np.ones(50)), np.zeros(50, np.int64), 0) == (0, 0)
    wrong = error_interval(two_classes(np.ones(50)), np.ones(50, np.int64), 0)
    assert wrong == pytest.approx((1, 1))


def test_the_interval_of_one_large_gap_is_the_binomials() -> None:
    # Always sure at 0.9 and right at 0.6: the error is 0.9 minus a share, so its scatter is the share's.
    right = np.arange(1000) < 600
    low, high = error_interval(two_classes(np.full(1000, 0.9)), np.where(right, 0, 1), 0)
    assert (low, high) == pytest.approx((0.3 - 1.96 * 0.0155, 0.3 + 1.96 * 0.0155), abs=0.003)
