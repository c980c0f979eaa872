"""Tiny networks for the peers' tests: files of one pixel whose numbers can be worked out by hand, and Keras models."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import numpy as np

SIDE = 32


def passing_on(dtype: str, low: float = 0.0, high: float = 255.0) -> bytes:
    """A file that gives the three values of one pixel back, (1, 1, 1, 3) in and (1, 3) out.

    In float32, or in uint8 or int8 with the scale and zero point of the range from low to high.
    """
    import tensorflow as tf

    from convert.tflite.export import quiet

    def network(picture: Any) -> Any:
        if dtype != "float32":
            picture = tf.quantization.fake_quant_with_min_max_args(picture, low, high, 8)
        return tf.reshape(picture, (1, 3))

    function = tf.function(network, [tf.TensorSpec((1, 1, 1, 3), tf.float32)])
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's, about its own defaults
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
        if dtype != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.inference_input_type = converter.inference_output_type = tf.as_dtype(dtype)
        return bytes(converter.convert())


def pixel(*values: int) -> np.ndarray:
    """One picture of one pixel, uint8 (1, 1, 1, 3)."""
    return np.array(values, np.uint8).reshape(1, 1, 1, 3)


def plain_network(side: int = SIDE, refused: bool = False) -> Any:
    """A small Keras network on raw pixels, with squeeze and excite; `refused`: with an operator that TFLite has not."""
    import keras
    from keras import layers

    picture = keras.Input((side, side, 3), name="pictures")
    x = layers.Rescaling(1 / 128, offset=-1)(picture)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.Activation("relu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same")(x)
    share = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Conv2D(8, 1, activation="sigmoid")(share)])
    if refused:
        x = keras.ops.erfinv(keras.ops.tanh(x) * 0.5)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, layers.Dense(7, name="logits")(x), name="plain")


def quietly(work: Any) -> Any:
    """What `work` returns, with TensorFlow's words about it kept off the terminal."""
    from convert.tflite.export import quiet

    with quiet(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return work()
