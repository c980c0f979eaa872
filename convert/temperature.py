"""One temperature for the logits, so that the probabilities mean what they say (temperature scaling).

Fitted on the validation part after the lowering and folded into the last layer before any quantization.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", sections 2 (ECE, 15 bins) and 4.2.
"""

from __future__ import annotations

import numpy as np

from convert.export import probabilities
from convert.graph import Graph

LIMITS = (0.05, 20.0)
BINS = 15


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T that minimizes the negative log-likelihood of softmax(logits / T), within 0.05..20.

    Args:
        logits: float32 [n, classes].
        labels: int64 [n].

    Raises:
        ValueError: There are no samples.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        raise ValueError("expected labelled pictures to fit the temperature; came none; give a validation part")
    found = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits / np.exp(log_t), labels), bounds=np.log(LIMITS), method="bounded"
    )
    return float(np.exp(found.x))


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log p(true class), in nats."""
    wide = logits.astype(np.float64)
    highest = wide.max(axis=1)
    normalizer = highest + np.log(np.exp(wide - highest[:, None]).sum(axis=1))
    return float((normalizer - wide[np.arange(len(labels)), labels]).mean())


def calibration_error(rows: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error, 0..1, over 15 equal bins of the highest probability.

    Args:
        rows: Probabilities, float32 [n, classes].
        labels: int64 [n].
    """
    confidence, right = rows.max(axis=1), rows.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).sum() for b in np.unique(bins)]
    return float(np.sum(gaps) / len(labels))


def fold_temperature(graph: Graph, temperature: float) -> Graph:
    """The graph whose logits are divided by the temperature, in the kernel and bias of its last layer.

    Raises:
        ValueError: The last layer has no kernel, or an activation behind it.
    """
    last = graph[graph.output]
    if last.kind not in ("dense", "conv2d") or last.attributes.get("activation"):
        raise ValueError(
            f"expected a Dense without activation as the last layer; came {last.kind} at {last.path!r}; "
            "give a model that ends with its logits"
        )
    return graph.put(
        last.with_weights(kernel=last.weights["kernel"] / temperature, bias=last.weights["bias"] / temperature)
    )


def summary(logits: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    """Temperature, and calibration error and likelihood before and after it, for the report."""
    after = logits / temperature
    return {
        "temperature": temperature,
        "ece_before": calibration_error(probabilities(logits), labels),
        "ece_after": calibration_error(probabilities(after), labels),
        "nll_before": negative_log_likelihood(logits, labels),
        "nll_after": negative_log_likelihood(after, labels),
    }
