"""Temperature and calibration error against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from train.evaluation.calibration import (
    calibration_error,
    fit_temperature,
    negative_log_likelihood,
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


def test_temperature_changes_no_answer_and_stays_within_its_limits() -> None:
    logits = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0]], np.float32)
    assert fit_temperature(logits, np.array([0, 1])) < 0.06  # all right: as sure as the limit allows
    assert fit_temperature(logits, np.array([2, 0])) > 19  # all wrong: as unsure as the limit allows
    assert (softmax(logits / 7).argmax(axis=1) == softmax(logits).argmax(axis=1)).all()
