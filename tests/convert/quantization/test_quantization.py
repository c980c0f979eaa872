from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.lowering.emission import emit
from convert.lowering.graph import Graph, Node
from convert.lowering.parity import normalize
from convert.lowering.rules import split_grey
from tests.convert.networks import SIDE, lowered_network, pictures

PLAIN = {"strides": (1, 1), "padding": "valid", "dilation": (1, 1)}


def calibrated(graph: Graph, images: np.ndarray) -> Any:
    from convert.quantization.fakequant import calibrate, fake_quantize

    model = fake_quantize(graph)
    calibrate(model, graph, [normalize(images, graph)])
    return model


def ready(graph: Graph, images: np.ndarray) -> Any:
    """Calibrated, with kernels and biases on their integer grids."""
    from convert.quantization.fakequant import for_export

    return for_export(graph, calibrated(graph, images))


def channels_500_apart(kind: str) -> Node:
    """A layer whose first output channel's weights are 500 times smaller than the other's."""
    generator = np.random.default_rng(0)
    shape, axis = {"depthwise": ((3, 3, 3, 1), 2), "conv2d": ((3, 3, 3, 2), 3), "dense": ((48, 2), 1)}[kind]
    kernel = generator.uniform(0.5, 1, shape).astype(np.float32)
    np.moveaxis(kernel, axis, 0)[0] /= 500
    weights = {"kernel": kernel, "bias": np.zeros(shape[axis], np.float32)}
    return Node(kind, kind, ("input",), (2, 2, shape[axis]), PLAIN if kind != "dense" else {}, weights)


@pytest.mark.parametrize(("kind", "axis"), [("depthwise", 2), ("conv2d", 3), ("dense", 1)])
def test_a_channel_500_times_smaller_keeps_its_weights_in_int8(kind: str, axis: int) -> None:
    import tensorflow as tf

    from convert.quantization.quantizers import ChannelQuantizer, snap_kernel

    kernel = channels_500_apart(kind).weights["kernel"]
    came = ChannelQuantizer(axis)(tf.constant(kernel), True, {}).numpy()
    error = np.abs(np.moveaxis(came - kernel, axis, 0)[0]).max() / np.abs(np.moveaxis(kernel, axis, 0)[0]).max()
    assert error <= 0.5 / 127 * 1.001
    np.testing.assert_allclose(snap_kernel(kernel, axis)[0], came, rtol=1e-5, atol=1e-9)


def test_tfmots_own_depthwise_quantizer_wipes_that_channel_out() -> None:
    """The trap that the table avoids: without it this module would not be needed."""
    import tensorflow as tf
    import tf_keras
    from tensorflow_model_optimization.python.core.quantization.keras.quantize import quantize_model

    layer = tf_keras.layers.DepthwiseConv2D(3, use_bias=False, input_shape=(3, 3, 3))
    model = tf_keras.Sequential([layer])
    kernel = channels_500_apart("depthwise").weights["kernel"]
    layer.set_weights([kernel])
    ones = tf.ones((1, 3, 3, 3))
    quantized = quantize_model(model)
    quantized(ones, training=True)
    wrapper = quantized.layers[-1]
    wrapper(ones, training=True)
    used = wrapper.layer.depthwise_kernel
    assert np.abs(np.asarray(used)[:, :, 0]).max() == 0
    assert np.abs(kernel[:, :, 0]).max() > 0.0009


def test_the_file_keeps_a_depthwise_channel_500_times_smaller_than_its_neighbours() -> None:
    from ai_edge_litert.interpreter import Interpreter

    from convert.tflite.export import export_int8

    _, graph = lowered_network()
    kernel = graph["depthwise"].weights["kernel"].copy()
    kernel[:, :, 0] /= 500 * np.abs(kernel[:, :, 0]).max() / np.abs(kernel).max()
    graph = graph.put(graph["depthwise"].with_weights(kernel=kernel))
    interpreter = Interpreter(model_content=export_int8(graph, ready(graph, pictures(32))))
    interpreter.allocate_tensors()
    operator = next(entry for entry in interpreter._get_ops_details() if entry["op_name"] == "DEPTHWISE_CONV_2D")
    index = int(operator["inputs"][1])
    details = next(entry for entry in interpreter.get_tensor_details() if entry["index"] == index)
    scales = details["quantization_parameters"]["scales"]
    assert details["quantization_parameters"]["quantized_dimension"] == 3
    assert scales.shape == (8,)
    stored = interpreter.get_tensor(index)[0] * scales
    assert np.abs(stored[:, :, 0] - kernel[:, :, 0, 0]).max() <= 0.51 * np.abs(kernel[:, :, 0]).max() / 127


def test_the_input_range_is_fixed_at_1_128_whatever_the_pictures_hold() -> None:
    from convert.tflite.export import export_int8
    from convert.tflite.inspection import inspect

    _, graph = lowered_network()
    dark = np.full((8, SIDE, SIDE, 3), 60, np.uint8)
    found = inspect(export_int8(graph, ready(graph, dark)))
    assert found.input == (1 / 128, 128)
    assert found.output == (1 / 256, 0)


def test_ranges_are_the_mean_of_the_batches_extremes_and_hold_zero() -> None:
    import tf_keras

    from convert.quantization.fakequant import calibrate, fake_quantize, ranged_layers

    weights = {"kernel": np.ones((1, 1, 3, 1), np.float32), "bias": np.array([10], np.float32)}
    layer = Node("conv", "conv2d", ("input",), (2, 2, 1), PLAIN, weights)
    graph = Graph({"input": Node("input", "input", (), (2, 2, 3)), "conv": layer}, "conv", 1 / 128, 128)
    model = fake_quantize(graph)
    batches = [np.full((1, 2, 2, 3), value, np.float32) for value in (-1.0, 0.5)]
    # 10 - 3 = 7 and 10 + 1.5 = 11.5: least mean 9.25, widened to 0; largest mean 9.25
    assert calibrate(model, graph, batches) == {"conv": (0.0, 9.25)}
    assert [layer.name for layer in ranged_layers(model)] == ["quant_conv"]
    assert isinstance(model, tf_keras.Model)


def test_calibration_without_pictures_is_refused() -> None:
    from convert.quantization.fakequant import calibrate, fake_quantize

    _, graph = lowered_network()
    with pytest.raises(ValueError, match="expected calibration pictures; came none"):
        calibrate(fake_quantize(graph), graph, [])


def test_a_kind_without_a_row_in_the_table_is_refused() -> None:
    from convert.quantization.fakequant import config_of

    with pytest.raises(ValueError, match="came affine at 'a/b'"):
        config_of(Node("b", "affine", ("input",), (3,), path="a/b"))


def test_the_fake_quant_network_is_near_the_float_one_and_on_a_grid_of_256_values() -> None:
    _, graph = lowered_network()
    images = pictures(64)
    came = calibrated(graph, images).predict(normalize(images, graph), verbose=0)
    expected = emit(graph).predict(normalize(images, graph), verbose=0)
    assert np.abs(came - expected).max() < 0.15 * np.ptp(expected)
    assert 3 < len(np.unique(came)) <= 256


def test_training_moves_the_ranges_and_inference_does_not() -> None:
    from convert.quantization.fakequant import ranged_layers

    _, graph = lowered_network()
    model = calibrated(graph, pictures(8))
    variable = ranged_layers(model)[0]._output_quantizer_vars["maximum"]
    before = float(variable.numpy())
    model(normalize(pictures(8, seed=5), graph), training=False)
    assert float(variable.numpy()) == before
    model(3 * normalize(pictures(8, seed=5), graph), training=True)
    assert float(variable.numpy()) != before


def test_grey_and_coloured_versions_of_a_face_agree_in_the_int8_network() -> None:
    import cv2

    _, graph = lowered_network()
    coloured = pictures(32)
    grey = np.stack([cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for p in coloured])
    apart = {}
    for name, used in (("grey", split_grey(graph)), ("free", graph)):
        model = calibrated(used, np.concatenate([coloured, grey]))
        rows = [model.predict(normalize(images, used), verbose=0) for images in (coloured, grey)]
        apart[name] = np.abs(rows[0] - rows[1]).mean() / rows[0].std()
    assert apart["grey"] < 0.15
    assert apart["free"] > 2 * apart["grey"]


def test_a_bias_is_put_on_the_grid_of_input_scale_times_kernel_scale_and_the_file_holds_that() -> None:
    from ai_edge_litert.interpreter import Interpreter

    from convert.lowering.emission import with_trained_weights
    from convert.tflite.export import export_int8

    _, graph = lowered_network()
    snapped = ready(graph, pictures(32))
    interpreter = Interpreter(model_content=export_int8(graph, snapped))
    interpreter.allocate_tensors()
    details = {entry["index"]: entry for entry in interpreter.get_tensor_details()}
    stem = next(entry for entry in interpreter._get_ops_details() if entry["op_name"] == "CONV_2D")
    stored = interpreter.get_tensor(int(stem["inputs"][2]))
    kernel_scales = details[int(stem["inputs"][1])]["quantization_parameters"]["scales"]
    bias = with_trained_weights(graph, snapped)["stem"].weights["bias"]
    steps = bias / (kernel_scales / 128)  # the input's scale is 1/128
    np.testing.assert_allclose(steps, stored, atol=0.01)
    before = graph["stem"].weights["bias"] / (kernel_scales / 128)
    assert np.abs(before - np.round(before)).max() > 0.1  # it was off the grid


def small_convnext() -> Any:
    """Four stages of one block each, 8 filters, at 64 pixels: maps of 16, 8, 4 and 2."""
    import keras

    from convert.lowering.parity import randomize
    from train.networks.convnext import Size, convnext

    picture = keras.Input((64, 64, 3))
    x = convnext(keras.layers.Rescaling(1 / 128, offset=-1)(picture), Size((1, 1, 1, 1), (8, 8, 8, 8)), 0.0)
    model = keras.Model(picture, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    randomize(model)
    return model


def test_convnext_is_one_partition_in_int8_whose_only_float_operators_are_its_normalizations() -> None:
    from convert.lowering.parity import patchwork
    from convert.lowering.reading import read
    from convert.lowering.rules import lower
    from convert.tflite.export import export_int8
    from convert.tflite.inspection import inspect
    from convert.verification.checks import require_sound

    graph, used = lower(read(small_convnext()), approximate=True)
    assert {"crop-padding", "fold-norm", "split-depthwise", "scaled-silu"} <= set(used)
    images = patchwork(64, (64, 64, 3), np.random.default_rng(0))
    content = export_int8(graph, ready(graph, images))
    found = inspect(content)
    assert found.partitions == 1
    assert found.float_operators["RSQRT"] == sum(node.kind == "layer_norm" for node in graph) == 8
    assert require_sound("qat-int8", graph, found) == []
    assert "GELU" not in found.operators


def rows_of(content: bytes, images: np.ndarray) -> np.ndarray:
    """Probabilities float32 [n, classes] of a bare flatbuffer with a uint8 output of scale 1/256."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    rows = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0] / np.float32(256))
    return np.array(rows, np.float32)
