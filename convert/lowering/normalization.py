"""LayerNormalization over the channels as the plain float operators that XNNPACK has.

Emitted for the kind ``layer_norm``. In an int8 network it is a float island between DEQUANTIZE and QUANTIZE: in int8,
RSQRT and SQUARED_DIFFERENCE run outside XNNPACK, and variance loses most of its bits (four in a row: 1.6 ms against
0.11 ms in float).

Source: Ba et al. 2016, "Layer Normalization", equation 4.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras


class ChannelNorm(tf_keras.layers.Layer):
    """(x - mean) / sqrt(variance + epsilon) * scale + offset over the last axis; scale and offset are not trained.

    Where both are trivial (folded into the next layer), their operators are left out.

    Args:
        epsilon: Added to the variance.
        plain: Whether scale and offset are left out.
    """

    def __init__(self, epsilon: float, plain: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self.epsilon, self.plain = epsilon, plain

    def build(self, input_shape: Any) -> None:
        """Makes scale and offset, float32 [channels]."""
        if not self.plain:
            self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones", trainable=False)
            self.offset = self.add_weight("offset", (input_shape[-1],), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        """The normalized tensor, of the same shape."""
        centred = inputs - tf.reduce_mean(inputs, axis=-1, keepdims=True)
        variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
        normal = centred * tf.math.rsqrt(variance + self.epsilon)
        return normal if self.plain else normal * self.scale + self.offset

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"epsilon": self.epsilon, "plain": self.plain}
