"""The flatbuffer of each recipe: uint8 [1, h, w, 3] raw pixels in, [1, classes] calibrated probabilities out.

After ``convert.quantization.fakequant``; ``convert.tflite.packaging`` then adds the metadata.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from convert.lowering.graph import Graph
from train.evaluation.calibration import softmax

RECIPES = ("float32", "float16", "dynamic-int8", "ptq-int8", "qat-int8")
INT8_RECIPES = ("ptq-int8", "qat-int8")


def export_float(graph: Graph, model: Any, recipe: str) -> bytes:
    """The flatbuffer of a lowered float model: float32, float16 weights, or int8 weights with float activations.

    Args:
        graph: For the input scale and zero point.
        model: Of ``convert.lowering.emission.emit``.
        recipe: "float32", "float16" or "dynamic-int8".
    """
    import tensorflow as tf

    scale, zero_point = graph.input_scale, graph.input_zero_point

    def serve(pixels: Any) -> Any:
        picture = (tf.cast(pixels, tf.float32) - float(zero_point)) * scale
        return tf.nn.softmax(model(picture, training=False))

    converter = _converter(serve, graph, tf.uint8, model)
    if recipe != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if recipe == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return _convert(converter)


def export_int8(graph: Graph, snapped: Any) -> bytes:
    """The all-integer flatbuffer of a calibrated (and fine-tuned) fake-quant model; uint8 output at scale 1/256.

    Args:
        graph: For the input shape.
        snapped: Of ``convert.quantization.fakequant.for_export``.
    """
    import tensorflow as tf

    from convert.quantization.fakequant import UNIT_RANGE

    def serve(picture: Any) -> Any:
        probabilities = tf.nn.softmax(snapped(picture, training=False))
        return tf.quantization.fake_quant_with_min_max_args(probabilities, *UNIT_RANGE, 8)

    converter = _converter(serve, graph, tf.float32, snapped)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return _convert(converter)


def _converter(serve: Any, graph: Graph, dtype: Any, model: Any) -> Any:
    import tensorflow as tf

    signature = tf.TensorSpec((1, *graph.input_shape), dtype, name="picture")
    concrete = tf.function(serve, input_signature=[signature]).get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)


def _convert(converter: Any) -> bytes:
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        with quiet():
            return bytes(converter.convert())
    except ConverterError as error:
        first = (str(error).strip() or "no reason given").splitlines()[0]
        raise ValueError(
            f"expected a network that TFLiteConverter takes; it says: {first[:300]}; report the model's layers"
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TensorFlow's C++ chatter off the terminal, by pointing the process' stderr at nothing for a while."""
    import sys

    sys.stderr.flush()
    saved = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nothing)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, float32, of logits [n, classes]."""
    return np.asarray(softmax(logits), np.float32)
