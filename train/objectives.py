"""The losses of :mod:`train.losses` as one Keras class (apart, since importing Keras takes seconds)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from train.losses import SMALLEST, Distillation


class Objective(keras.losses.Loss):
    """Cross-entropy or focal loss on logits, alone or beside a teacher's distribution.

    Keras' own ``CategoricalFocalCrossentropy`` goes through probabilities clipped to 1e-7: with logits further than 16
    apart a wrong prediction has no gradient left. Here all is taken from the logarithm of the softmax.
    """

    def __init__(self, label_smoothing: float, focal_gamma: float, distillation: Distillation | None) -> None:
        super().__init__(name="objective", dtype="float32")
        self._smoothing, self._gamma, self._distillation = label_smoothing, focal_gamma, distillation

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return float32 ``(n,)`` losses of targets ``(n, classes)`` and predictions ``(n, classes | 2 · classes)``."""
        targets, predictions = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        classes = targets.shape[-1]
        logits = predictions[:, :classes]
        smoothed = targets * (1 - self._smoothing) + self._smoothing / classes
        labels = focal_cross_entropy(smoothed, logits, self._gamma)
        if self._distillation is None:
            return labels
        teacher = ops.stop_gradient(predictions[:, classes:])
        share = self._distillation.weight
        return (1 - share) * labels + share * distillation_loss(teacher, logits, self._distillation.temperature)


def focal_cross_entropy(targets: Any, logits: Any, gamma: float) -> Any:
    """Return float32 ``(n,)``: −Σ t (1 − p)^γ log p over the classes; γ = 0 is soft-label cross-entropy."""
    log_p = ops.log_softmax(logits, axis=-1)
    terms = targets * log_p
    if gamma > 0:
        terms = terms * ops.power(ops.maximum(-ops.expm1(log_p), SMALLEST), gamma)
    return -ops.sum(terms, axis=-1)


def distillation_loss(teacher: Any, student: Any, temperature: float) -> Any:
    """Return float32 ``(n,)``: T² · KL(teacher ‖ student) of both logits ``(n, classes)`` at temperature T.

    The square keeps the size of the gradient, which the temperature would shrink by its square.
    """
    log_t = ops.log_softmax(teacher / temperature, axis=-1)
    log_s = ops.log_softmax(student / temperature, axis=-1)
    return temperature**2 * ops.sum(ops.exp(log_t) * (log_t - log_s), axis=-1)
