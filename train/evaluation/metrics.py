"""Metrics of predictions: accuracy, macro and weighted F1, per-class table, confusion matrix, bootstrap intervals.

The figures are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.benchmarking.resampling import macro_f1_interval
from edge.benchmarking.statistics import BOOTSTRAP_SEED, bootstrap_interval
from train.evaluation.calibration import calibration_error


def summarize(labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Return the metrics of one part as plain numbers, ready for JSON.

    Args:
        labels: int64 ``(n,)``, indices into ``names``.
        probabilities: float ``(n, classes)``; rows sum to 1.
        names: class names in label order.

    Returns:
        ``samples``, ``accuracy`` and its 95 % bootstrap interval ``ci95``, ``macro_f1`` (plain mean over the classes
        that occur in ``labels``: scikit-learn's with these classes as its labels; ``edge.benchmarking.statistics``
        takes the same mean) and its ``macro_f1_ci95``, ``weighted_f1``, ``negative_log_likelihood``, ``ece`` (expected
        calibration error), ``per_class`` (precision, recall, f1, support by name) and ``confusion`` (rows true).
    """
    from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

    indices = np.arange(len(names))
    predicted = probabilities.argmax(axis=1)
    columns = precision_recall_fscore_support(labels, predicted, labels=indices, zero_division=0)
    precision, recall, f1, support = (np.asarray(column) for column in columns)
    correct = predicted == labels
    clipped = np.clip(probabilities.astype(np.float64), 1e-7, None)
    clipped /= clipped.sum(axis=1, keepdims=True)
    present = support > 0
    confusion = confusion_matrix(labels, predicted, labels=indices)
    return {
        "samples": len(labels),
        "accuracy": float(correct.mean()),
        "ci95": [float(bound) for bound in bootstrap_interval(correct, seed=BOOTSTRAP_SEED)],
        "macro_f1": float(f1[present].mean()),
        "macro_f1_ci95": list(macro_f1_interval(confusion)),
        "weighted_f1": float(np.average(f1, weights=support)),
        "negative_log_likelihood": float(log_loss(labels, clipped, labels=indices)),
        "ece": calibration_error(probabilities, labels),
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(names)
        },
        "confusion": confusion.tolist(),
    }


def class_table(summary: dict[str, Any]) -> str:
    """Return the per-class table as Markdown, in the form of the published recipes."""
    lines = ["| Class | Precision | Recall | F1-score | Support |", "|---|---|---|---|---|"]
    for index, (name, row) in enumerate(summary["per_class"].items()):
        lines.append(
            f"| {index} {name} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
        )
    return "\n".join(lines)
