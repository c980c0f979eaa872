"""Metrics of predictions, by scikit-learn: accuracy, macro and weighted F1, the per-class table, confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge.statistics import bootstrap_interval

BOOTSTRAP_SEED = 0


def summarize(labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Return the metrics of one part as plain numbers, ready for JSON.

    Args:
        labels: int64 ``(n,)``, indices into ``names``.
        probabilities: float ``(n, classes)``; rows sum to 1.
        names: class names in label order.

    Returns:
        ``samples``, ``accuracy`` and its 95 % bootstrap interval ``ci95``, ``macro_f1``, ``weighted_f1``,
        ``negative_log_likelihood``, ``per_class`` (precision, recall, f1, support by name) and ``confusion``
        (rows true, columns predicted).
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
    return {
        "samples": len(labels),
        "accuracy": float(correct.mean()),
        "ci95": [float(bound) for bound in bootstrap_interval(correct, seed=BOOTSTRAP_SEED)],
        "macro_f1": float(f1[present].mean()),
        "weighted_f1": float(np.average(f1, weights=support)),
        "negative_log_likelihood": float(log_loss(labels, clipped, labels=indices)),
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(names)
        },
        "confusion": confusion_matrix(labels, predicted, labels=indices).tolist(),
    }


def class_table(summary: dict[str, Any]) -> str:
    """Return the per-class table as Markdown, in the form of the published recipes."""
    lines = ["| Class | Precision | Recall | F1-score | Support |", "|---|---|---|---|---|"]
    for index, (name, row) in enumerate(summary["per_class"].items()):
        lines.append(
            f"| {index} {name} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
        )
    return "\n".join(lines)
