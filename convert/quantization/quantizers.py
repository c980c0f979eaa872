"""Fake quantizers for tfmot: signed kernels by channel, learned and fixed ranges of activations.

Used by ``convert.quantization.fakequant``. All are 8 bit and round as ``tf.quantization.fake_quant_with_min_max_vars``
does, which TFLiteConverter reads as the scale and zero point of the tensor.

Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", section 3; per-channel kernels: TensorFlow Lite 8-bit quantization specification.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import Quantizer

RANGE_DECAY = 0.99


class ChannelQuantizer(Quantizer):
    """Symmetric int8 by output channel, -127..127, the range being the channel's largest magnitude at every step.

    It keeps no state: the range follows the kernel, so that no channel is ever clipped.

    Args:
        axis: The kernel's output-channel axis: 3 of Conv2D, 2 of DepthwiseConv2D (tfmot's own takes the last, of size
            1, which is one scale for the whole kernel), 1 of Dense.
    """

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """The variables it keeps."""
        return {}

    def __call__(self, inputs: tf.Tensor, training: Any, weights: dict[str, Any], **kwargs: Any) -> tf.Tensor:
        """The tensor on its grid; the gradient passes inside the range."""
        inputs = tf.convert_to_tensor(inputs)
        shape = inputs.shape
        rows = tf.squeeze(inputs, -1) if self.axis != len(shape) - 1 else inputs
        largest = tf.stop_gradient(tf.reduce_max(tf.abs(rows), axis=list(range(len(rows.shape) - 1))))
        largest = tf.maximum(largest, 1e-8)
        rows = tf.quantization.fake_quant_with_min_max_vars_per_channel(rows, -largest, largest, 8, narrow_range=True)
        return tf.expand_dims(rows, -1) if rows.shape != shape else rows

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"axis": self.axis}


def snap_kernel(kernel: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The kernel that ``ChannelQuantizer(axis)`` gives, float32 of the same shape, and its scales float32 [channels].

    The exported network holds these values as constants: TFLiteConverter derives the same scale (largest magnitude /
    127) for each channel from them. It cannot read the fake-quant operator of a depthwise kernel: folding the reshape
    around it, the converter of TensorFlow 2.21 keeps the wrong quantized axis and fails on its own check of
    ``tfl.reshape``.
    """
    others = tuple(index for index in range(kernel.ndim) if index != axis)
    largest = np.maximum(np.abs(kernel).max(axis=others, keepdims=True), np.float32(1e-8))
    scale = largest / np.float32(127)
    snapped = np.clip(np.round(kernel / scale), -127, 127) * scale
    return np.asarray(snapped, np.float32), np.asarray(scale.reshape(-1), np.float32)


class RangeQuantizer(Quantizer):
    """Asymmetric int8 of a whole tensor; the range is started by calibration and follows a moving average in training.

    The range always holds 0, so that zero padding is exact.
    """

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """The variables it keeps."""
        zeros = tf.zeros_initializer()
        return {
            "minimum": layer.add_weight(f"{name}_minimum", shape=(), initializer=zeros, trainable=False),
            "maximum": layer.add_weight(f"{name}_maximum", shape=(), initializer=zeros, trainable=False),
        }

    def __call__(self, inputs: tf.Tensor, training: Any, weights: dict[str, Any], **kwargs: Any) -> tf.Tensor:
        """The tensor on its grid; the gradient passes inside the range."""
        minimum, maximum = weights["minimum"], weights["maximum"]
        if training:
            lowest = tf.minimum(tf.reduce_min(inputs), 0.0)
            highest = tf.maximum(tf.reduce_max(inputs), 0.0)
            minimum.assign(RANGE_DECAY * minimum + (1 - RANGE_DECAY) * lowest)
            maximum.assign(RANGE_DECAY * maximum + (1 - RANGE_DECAY) * highest)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, minimum, maximum, 8)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}


class FixedQuantizer(Quantizer):
    """Asymmetric int8 of a whole tensor with a range that never changes.

    Args:
        minimum: Value of the lowest of the 256 steps.
        maximum: Value of the highest.
    """

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """The variables it keeps."""
        return {}

    def __call__(self, inputs: tf.Tensor, training: Any, weights: dict[str, Any], **kwargs: Any) -> tf.Tensor:
        """The tensor on its grid; the gradient passes inside the range."""
        return tf.quantization.fake_quant_with_min_max_args(inputs, self.minimum, self.maximum, 8)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"minimum": self.minimum, "maximum": self.maximum}
