"""What a loss is set by: its kinds, class weights and distillation, for recipes, which need no Keras.

The losses themselves are in :mod:`train.fitting.objectives`.

Source: Cui et al. 2019, "Class-balanced loss based on effective number of samples", equation 2 and section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.errors import DataError

LOSSES = ("cross-entropy", "focal")
CLASS_WEIGHTS = ("none", "sqrt", "balanced", "effective")
EFFECTIVE_BETA = 0.9999


@dataclass(frozen=True)
class Distillation:
    """How much a student listens to its teacher.

    Attributes:
        weight: share of the teacher's term in the loss, 0–1; the labels' term gets the rest.
        temperature: both distributions are softened by it, more than 0.
    """

    weight: float = 0.5
    temperature: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise DataError(f"expected a distillation weight from 0 to 1; got {self.weight}; mend the recipe")
        if not 0 < self.temperature < np.inf:
            raise DataError(f"expected a distillation temperature above 0; got {self.temperature}; mend the recipe")


def class_weights(labels: np.ndarray, classes: int, kind: str, beta: float = EFFECTIVE_BETA) -> np.ndarray:
    """Return float32 ``(classes,)`` loss weights whose mean over the rows is 1; absent classes get 0.

    ``balanced`` weighs each class by the inverse of its share, ``sqrt`` by the square root of that, ``effective`` by
    the inverse of its effective number, ``none`` by 1. The mean of 1 keeps a learning rate's meaning from kind to kind;
    :func:`effective_number_weights` has the paper's own scale.

    Args:
        labels: integers ``(n,)``, 0 to ``classes`` − 1.
        classes: how many there are.
        kind: one of :data:`CLASS_WEIGHTS`.
        beta: of ``effective``, 0 or more and less than 1.

    Raises:
        DataError: another kind, or ``beta`` out of its range.
    """
    if kind not in CLASS_WEIGHTS:
        raise DataError(f"expected class weights {', '.join(CLASS_WEIGHTS)}; got {kind!r}; choose one of them")
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    if kind == "effective":
        weights = effective_number_weights(counts, beta).astype(np.float64)
    else:
        power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
        weights = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0.0)
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


def effective_number_weights(counts: np.ndarray, beta: float) -> np.ndarray:
    """Return float32 ``(classes,)``: (1 − β)/(1 − β^n) of each class, scaled to sum to the number of classes.

    β = 0 weighs all classes alike, β → 1 by the inverse of their counts. Absent classes get 0.

    Args:
        counts: pictures of each class, ``(classes,)``.
        beta: 0 or more and less than 1; the paper tries 0.9, 0.99, 0.999 and 0.9999.

    Raises:
        DataError: ``beta`` out of its range.
    """
    if not 0 <= beta < 1:
        raise DataError(f"expected an effective number's beta from 0 to below 1; got {beta}; mend the recipe")
    counts = np.asarray(counts, np.float64)
    numbers = -np.expm1(counts * np.log(beta)) if beta > 0 else np.minimum(counts, 1.0)
    weights = np.where(counts > 0, (1 - beta) / np.where(counts > 0, numbers, 1.0), 0.0)
    return (weights * len(counts) / weights.sum()).astype(np.float32)
