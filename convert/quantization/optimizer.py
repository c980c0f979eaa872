"""Adam whose steps are shares of each channel's largest weight.

Used by ``convert.quantization.finetune``. Folding batch normalization leaves kernels that differ by a thousand times
(EfficientNet-Lite0's depthwise ones reach 100, its expanding ones 0.1): one absolute rate would stand still here,
destroy there. A rate of 1/127 moves the largest weight of a channel by one int8 step.

Source: Kingma & Ba 2015, "Adam", algorithm 1; relative step sizes: Shazeer & Stern 2018, "Adafactor", section 8.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

BETA_1, BETA_2, EPSILON = 0.9, 0.99, 1e-8


class RelativeAdam:
    """Adam over a fixed list of variables.

    Args:
        variables: Trainable variables.
        axes: Of each variable the axis of its output channels; None for a bias, which moves by shares of the largest
            magnitude among all its values.
    """

    def __init__(self, variables: list[Any], axes: list[int | None]) -> None:
        self._variables = variables
        self._sizes = [tf.constant(_sizes(value.numpy(), axis)) for value, axis in zip(variables, axes, strict=True)]
        self._first = [tf.Variable(tf.zeros_like(value), trainable=False) for value in variables]
        self._second = [tf.Variable(tf.zeros_like(value), trainable=False) for value in variables]
        self._count = tf.Variable(0.0, trainable=False)

    @property
    def state(self) -> list[Any]:
        """The variables to keep for a resumed run, in a fixed order."""
        return [self._count, *self._first, *self._second]

    def apply(self, gradients: list[Any], rate: Any) -> None:
        """Moves every variable by at most about ``rate`` times its channel's size."""
        self._count.assign_add(1.0)
        first_bias, second_bias = 1 - BETA_1**self._count, 1 - BETA_2**self._count
        groups = zip(self._variables, gradients, self._sizes, self._first, self._second, strict=True)
        for variable, gradient, size, first, second in groups:
            first.assign(BETA_1 * first + (1 - BETA_1) * gradient)
            second.assign(BETA_2 * second + (1 - BETA_2) * tf.square(gradient))
            step = (first / first_bias) / (tf.sqrt(second / second_bias) + EPSILON)
            variable.assign_sub(rate * size * step)


def _sizes(value: np.ndarray, axis: int | None) -> np.ndarray:
    """The largest magnitude of each channel, in a shape that broadcasts; a dead channel's is 0, so it stays dead."""
    others = tuple(i for i in range(value.ndim) if i != axis)
    return np.asarray(np.abs(value).max(axis=others, keepdims=True), np.float32)
