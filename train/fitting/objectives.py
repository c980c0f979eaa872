"""Losses on logits for hard, soft and mixed targets, and of distillation, as one Keras class.

Each takes targets float32 ``(n, classes)`` whose rows sum to 1 and logits ``(n, classes)`` of any float type, works in
float32 whatever the precision policy, and is linear in the targets: that is what lets MixUp and CutMix mix class
weights exactly (:func:`train.augmentation.mixing.mix_targets`).

Source: Lin et al. 2017, "Focal loss for dense object detection", equation 4; Hinton et al. 2015, "Distilling the
knowledge in a neural network", section 2; Szegedy et al. 2016, "Rethinking the Inception architecture", section 7
(label smoothing).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from edge.errors import DataError
from train.losses import LOSSES, Distillation

SMALLEST = 1e-7  # of 1 − p: a power below 1 has no finite slope at 0


def make_loss(
    kind: str,
    *,
    label_smoothing: float = 0.0,
    focal_gamma: float = 2.0,
    distillation: Distillation | None = None,
) -> keras.losses.Loss:
    """Return a Keras loss: targets ``(n, classes)`` and logits ``(n, classes)`` -> mean over the batch, weighted.

    With ``distillation`` the predictions are ``(n, 2 · classes)``: the student's logits, then the teacher's, and the
    loss is (1 − weight) · labels' term + weight · T² · KL(teacher ‖ student) at temperature T.

    Args:
        kind: one of :data:`LOSSES`.
        label_smoothing: share of a target that is spread over all classes, 0–1.
        focal_gamma: how strongly the focal loss turns away from easy pictures, 0 or more; 0 is cross-entropy.
        distillation: the teacher's part; None for labels alone.

    Raises:
        DataError: another kind, or a number out of its range.
    """
    if kind not in LOSSES:
        raise DataError(f"expected a loss of {', '.join(LOSSES)}; got {kind!r}; choose one of them")
    if not 0 <= label_smoothing <= 1:
        raise DataError(f"expected label smoothing from 0 to 1; got {label_smoothing}; mend the recipe")
    if not 0 <= focal_gamma < np.inf:
        raise DataError(f"expected a focal gamma of 0 or more; got {focal_gamma}; mend the recipe")
    return Objective(label_smoothing, focal_gamma if kind == "focal" else 0.0, distillation)


def make_accuracy(classes: int) -> keras.metrics.Metric:
    """Return a metric ``accuracy``: how often the highest of the first ``classes`` logits is the target's highest.

    For the predictions of a distillation, where the teacher's logits follow.
    """

    def hit(targets: Any, predictions: Any) -> Any:
        return ops.cast(ops.argmax(targets, axis=-1) == ops.argmax(predictions[:, :classes], axis=-1), "float32")

    return keras.metrics.MeanMetricWrapper(hit, name="accuracy")


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
