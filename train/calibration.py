"""Whether probabilities mean what they say: likelihood, calibration error, reliability bins, and one temperature.

The temperature is fitted on a validation part, never on the part that is reported. Conversion folds it into the last
layer before any quantization; evaluation says what it would do.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", sections 2 (ECE, 15 bins) and 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LIMITS = (0.05, 20.0)
BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often the network is right, by how sure it says it is: equal bins of the highest probability.

    Attributes:
        count: int64 ``(bins,)``: samples whose highest probability falls into the bin.
        confidence: float64 ``(bins,)``, 0–1: their mean highest probability; 0 in an empty bin.
        accuracy: float64 ``(bins,)``, 0–1: the share of them that is right; 0 in an empty bin.
    """

    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error, 0–1: the bins' gaps between confidence and accuracy, by their samples."""
        return float((np.abs(self.accuracy - self.confidence) * self.count).sum() / self.count.sum())

    def to_json(self) -> dict[str, list[float]]:
        """Return the three arrays as plain lists."""
        return {
            "count": self.count.tolist(),
            "confidence": self.confidence.tolist(),
            "accuracy": self.accuracy.tolist(),
        }


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


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """Return the reliability bins of probabilities ``(n, classes)`` and int64 labels ``(n,)``.

    Raises:
        ValueError: there are no samples.
    """
    if not len(labels):
        raise ValueError("expected labelled samples to measure calibration; got none; give a part with pictures")
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    shared = np.maximum(count, 1)
    return Reliability(
        count=count,
        confidence=np.bincount(place, confidence, minlength=bins) / shared,
        accuracy=np.bincount(place, right, minlength=bins) / shared,
    )


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
