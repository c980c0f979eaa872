"""Whether probabilities mean what they say: likelihood, calibration error, and one temperature.

The temperature is fitted on a validation part, never on the part that is reported. Conversion folds it into the last
layer before any quantization; evaluation says what it would do. Reliability bins: `edge.benchmarking.calibration`.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2.
"""

from __future__ import annotations

import numpy as np

from edge.benchmarking.calibration import reliability

LIMITS = (0.05, 20.0)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return float64 probabilities over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponents = np.exp(shifted)
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the T that minimizes the negative log-likelihood of softmax(logits / T), within 0.05–20.

    Args:
        logits: float32 ``(n, classes)``.
        labels: int64 ``(n,)``.

    Raises:
        ValueError: there are no samples.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        raise ValueError("expected labelled pictures to fit the temperature; got none; give a validation part")
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits / np.exp(log_t), labels), bounds=np.log(LIMITS), method="bounded"
    )
    return float(np.exp(found.x))


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of −log p(true class) in nats, of logits ``(n, classes)`` and int64 labels ``(n,)``."""
    wide = logits.astype(np.float64)
    highest = wide.max(axis=1)
    normalizer = highest + np.log(np.exp(wide - highest[:, None]).sum(axis=1))
    return float((normalizer - wide[np.arange(len(labels)), labels]).mean())


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error, 0–1, over 15 equal bins of the highest probability.

    Args:
        probabilities: float ``(n, classes)``.
        labels: int64 ``(n,)``.
    """
    return reliability(probabilities, labels).error


def temperature_effect(logits: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    """Return the temperature, and calibration error and likelihood before and after it."""
    after = logits / temperature
    return {
        "temperature": temperature,
        "ece_before": calibration_error(softmax(logits), labels),
        "ece_after": calibration_error(softmax(after), labels),
        "nll_before": negative_log_likelihood(logits, labels),
        "nll_after": negative_log_likelihood(after, labels),
    }
