"""Temperature, calibration error and reliability bins against numbers worked out by hand and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from train.calibration import (
    calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    softmax,
    temperature_effect,
)


def test_overconfident_logits_get_the_temperature_that_undoes_it() -> None:
    # Right 3 times of 4 with logits (5, 0): p = 0.75 needs a gap of log 3, so T = 5 / log 3 = 4.551.
    logits = np.tile(np.array([[5, 0]], np.float32), (400, 1))
    labels = np.tile(np.array([0, 0, 0, 1]), 100)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(5 / np.log(3), rel=1e-3)
    figures = temperature_effect(logits, labels, found)
    assert figures["ece_before"] == pytest.approx(1 / (1 + np.exp(-5)) - 0.75, abs=1e-6)
    assert figures["ece_after"] == pytest.approx(0, abs=1e-3)
    assert figures["nll_after"] < figures["nll_before"]


def test_likelihood_and_calibration_error_of_two_pictures() -> None:
    logits = np.log(np.array([[0.8, 0.2], [0.6, 0.4]]))
    assert negative_log_likelihood(logits, np.array([0, 1])) == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2)
    # one right at 0.8, one wrong at 0.6, in two bins: (0.2 + 0.6) / 2
    assert calibration_error(np.exp(logits), np.array([0, 1])) == pytest.approx(0.4)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="expected labelled pictures to fit the temperature"):
        fit_temperature(np.zeros((0, 7), np.float32), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="expected labelled samples to measure calibration; got none"):
        reliability(np.zeros((0, 7)), np.zeros(0, np.int64))


def test_bins_hold_their_samples_mean_confidence_and_accuracy() -> None:
    # bins of 1/15: 0.60 falls into the tenth (0.6-0.667), 0.62 too, 0.95 and 1.0 into the last
    probabilities = np.array([[0.61, 0.39], [0.38, 0.62], [0.95, 0.05], [1.0, 0.0]])
    found = reliability(probabilities, np.array([0, 0, 0, 0]))
    assert found.count.tolist() == [0] * 9 + [2, 0, 0, 0, 0, 2]
    assert found.confidence[[9, 14]] == pytest.approx([0.615, 0.975])
    assert found.accuracy[[9, 14]].tolist() == [0.5, 1.0]
    assert found.error == pytest.approx((2 * 0.115 + 2 * 0.025) / 4)
    assert found.to_json()["count"] == found.count.tolist()


def test_bins_are_scikit_learns_calibration_curve() -> None:
    generator = np.random.default_rng(0)
    probabilities = softmax(generator.normal(size=(400, 7), scale=2))
    labels = generator.integers(0, 7, 400)
    found = reliability(probabilities, labels)
    right = probabilities.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=15, strategy="uniform")
    used = found.count > 0
    assert found.accuracy[used] == pytest.approx(accuracy)
    assert found.confidence[used] == pytest.approx(confidence)


def test_temperature_changes_no_answer_and_stays_within_its_limits() -> None:
    logits = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0]], np.float32)
    assert fit_temperature(logits, np.array([0, 1])) < 0.06  # all right: as sure as the limit allows
    assert fit_temperature(logits, np.array([2, 0])) > 19  # all wrong: as unsure as the limit allows
    assert (softmax(logits / 7).argmax(axis=1) == softmax(logits).argmax(axis=1)).all()
