from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convert.lowering.graph import Graph, Node
from convert.verification.checks import as_uint8_output
from convert.verification.integers import (
    IntegerNetwork,
    Steps,
    _add,
    _average_pool,
    _kernel_layer,
    _mean,
    _multiply,
    _sigmoid,
)
from tests.convert.networks import SIDE, exported, pictures, small_network


def normalizing_network() -> Any:
    """A ConvNeXt block: LayerNormalization, which computes in float, and GELU."""
    import keras
    from keras import layers

    picture = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 128, offset=-1)(picture)
    x = layers.Conv2D(16, 4, strides=4, name="stem")(x)
    x = layers.LayerNormalization(epsilon=1e-6, name="stem_norm")(x)
    y = layers.DepthwiseConv2D(7, padding="same", name="depthwise")(x)
    y = layers.LayerNormalization(epsilon=1e-6, name="norm")(y)
    y = layers.Dense(32, name="expand")(y)
    y = layers.Activation("gelu", name="gelu")(y)
    y = layers.Dense(16, name="project")(y)
    x = layers.Add(name="residual")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(picture, layers.Dense(7, name="logits")(x), name="normalizing")


def pooling_network() -> Any:
    """Pools, a concatenation and strides of which XNNPACK's kernels have several."""
    import keras
    from keras import layers

    picture = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 128, offset=-1)(picture)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(x)
    y = layers.MaxPooling2D(2, name="max_pool")(x)
    z = layers.AveragePooling2D(2, name="average_pool")(x)
    x = layers.Concatenate(name="both")([y, z])
    x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="narrow")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(picture, layers.Dense(7, name="logits")(x), name="pooling")


def summing_network() -> Any:
    """A sum of three and a product of three, one of which is one number a channel."""
    import keras
    from keras import layers

    picture = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 128, offset=-1)(picture)
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="stem")(x)
    x = layers.Add(name="sum")([x, *(layers.Conv2D(8, 1, name=name)(x) for name in ("first", "second"))])
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="gate")(x)
    x = layers.Multiply(name="product")([gate, x, layers.Conv2D(8, 1, activation="sigmoid", name="mask")(x)])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(picture, layers.Dense(7, name="logits")(x), name="summing")


def outputs(flatbuffer: bytes, images: np.ndarray) -> np.ndarray:
    """Probabilities of a file, multiples of 1/256."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=flatbuffer, num_threads=1)
    interpreter.allocate_tensors()
    source, output = (get()[0]["index"] for get in (interpreter.get_input_details, interpreter.get_output_details))
    rows = []
    for image in images:
        interpreter.set_tensor(source, image[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(output)[0] / 256)
    return np.asarray(rows, np.float32)


@pytest.mark.parametrize("make", [small_network, pooling_network, summing_network])
def test_a_file_gives_its_networks_very_bytes(make: Any) -> None:
    from convert.tflite.export import probabilities
    from convert.verification.own_steps import own_steps

    flatbuffer, network = exported(make())
    images = pictures(140, seed=1)  # more than one batch
    expected = as_uint8_output(probabilities(network(images)))
    assert len(np.unique(expected, axis=0)) > 70  # so that the pictures matter
    np.testing.assert_array_equal(outputs(flatbuffer, images), expected)
    found = own_steps(flatbuffer, network, images[:16])
    assert (found.share, found.least) == (1, 1)
    assert found.layers >= 4


def test_sums_and_products_of_three_leave_no_operator_in_float() -> None:
    from convert.tflite.inspection import inspect

    flatbuffer, _ = exported(summing_network())
    found = inspect(flatbuffer)
    assert (found.float_operators, found.partitions) == ({}, 1)


def test_normalizations_in_float_leave_a_tie_here_and_there() -> None:
    from convert.tflite.export import probabilities
    from convert.verification.own_steps import own_steps

    flatbuffer, network = exported(normalizing_network())
    images = pictures(140, seed=1)
    expected = as_uint8_output(probabilities(network(images)))
    assert len(np.unique(expected, axis=0)) > 70
    equal = (outputs(flatbuffer, images) == expected).all(axis=1)
    assert equal.mean() > 0.9
    assert own_steps(flatbuffer, network, images[:16]).share > 0.999


def test_layers_kept_in_float_are_computed_in_float() -> None:
    from convert.tflite.export import probabilities

    flatbuffer, network = exported(small_network(), ("project", "depthwise"))
    assert "project" not in network.kernels and "stem" in network.kernels
    images = pictures(140, seed=1)
    expected = as_uint8_output(probabilities(network(images)))
    assert (outputs(flatbuffer, images) == expected).all(axis=1).mean() > 0.9


def test_sums_of_more_than_two_are_left_to_the_networks_own_layer() -> None:
    _, network = exported(small_network())
    (first, second) = network.graph["residual"].inputs
    three = Node("residual", "add", (first, second, first), (8, 8, 8))
    assert network._is_integer(network.graph["residual"]) and not network._is_integer(three)


def test_a_network_with_other_weights_is_not_the_files() -> None:
    from convert.tflite.export import probabilities
    from convert.verification.own_steps import own_steps

    flatbuffer, network = exported(small_network())
    kernel, bias, scales = network.kernels["project"]
    network.kernels["project"] = np.where(kernel == kernel.max(), kernel - 40, kernel), bias, scales
    images = pictures(16, seed=1)
    assert (outputs(flatbuffer, images) != as_uint8_output(probabilities(network(images)))).any()
    found = own_steps(flatbuffer, network, images)
    assert found.layer == "project"
    assert found.least < 0.9 < found.share < 1


def test_a_file_with_another_scale_is_not_taken_for_the_networks() -> None:
    flatbuffer, network = exported(small_network())
    reference, steps = network.reference, network.steps["project"]
    ranges = reference.get_layer("quant_project")._output_quantizer_vars
    ranges["maximum"].assign(ranges["maximum"] * 1.001)
    other = IntegerNetwork(flatbuffer, network.graph, reference).steps["project"]
    assert other.scale != steps.scale
    ranges["maximum"].assign(ranges["maximum"] / 1.001)
    assert IntegerNetwork(flatbuffer, network.graph, reference).steps["project"].scale == steps.scale


def test_no_picture_gives_no_logits() -> None:
    _, network = exported(small_network())
    assert network(np.zeros((0, SIDE, SIDE, 3), np.uint8)).shape == (0, 7)


def stub(steps: dict[str, tuple[float, int]], **more: Any) -> Any:
    """What the functions of single layers read of a network."""
    return SimpleNamespace(
        steps={name: Steps(np.float32(scale), point) for name, (scale, point) in steps.items()}, **more
    )


def tensor(*values: float) -> Any:
    import tensorflow as tf

    return tf.constant(values, tf.float32)


def node(kind: str, *inputs: str, **attributes: Any) -> Node:
    return Node("out", kind, inputs, (3,), attributes)


def test_products_round_ties_to_even_and_end_at_the_borders() -> None:
    # (a - 1) * (b + 2) * 0.5 * 0.5 / 0.5 - 3: 5*1/2 = 2.5 -> 2, 7*1/2 = 3.5 -> 4, 99*127/2 -> 127.
    network = stub({"a": (0.5, 1), "b": (0.5, -2), "out": (0.5, -3)})
    came = _multiply(network, node("multiply", "a", "b"), [tensor(6, 8, 100), tensor(-1, -1, 125)])
    assert came.numpy().tolist() == [2 - 3, 4 - 3, 127]


def test_sums_round_ties_up() -> None:
    # (a + b) / 2: 1.5 -> 2, 2.5 -> 3, -1.5 -> -1 (not -2), 127 + 127 over 2 is 127; plus the zero point 1.
    network = stub({"a": (1, 0), "b": (1, 0), "out": (2, 1)})
    came = _add(network, node("add", "a", "b"), [tensor(1, 3, -1, 127), tensor(2, 2, -2, 127)])
    assert came.numpy().tolist() == [3, 4, 0, 127]


def test_means_divide_by_the_pixels() -> None:
    import tensorflow as tf

    # [[1, 2], [4, 3]] less 1: 6 over 4 pixels at scale 1 to 0.5: 3, zero point -5.
    network = stub({"a": (1, 1), "out": (0.5, -5)}, graph=Graph({"a": Node("a", "conv2d", (), (2, 2, 1))}, "a"))
    picture = tf.constant([[1, 2], [4, 3]], tf.float32)[tf.newaxis, ..., tf.newaxis]
    came = _mean(network, node("global_average_pool", "a", keepdims=False), [picture])
    assert came.numpy().tolist() == [[-2]]


def test_pools_round_ties_away_from_zero_and_count_no_padding() -> None:
    import tensorflow as tf

    # Windows of 2 at stride 2 over 5 columns, padded: (1 + 2) / 2 -> 2, (-1 - 2) / 2 -> -2, 7 / 1 -> 7.
    keys = {"window": (1, 2), "strides": (1, 2), "padding": "same"}
    row = tf.constant([1, 2, -1, -2, 7], tf.float32)[tf.newaxis, tf.newaxis, :, tf.newaxis]
    pool = Node("out", "average_pool", ("a",), (1, 3, 1), keys)
    steps = {"a": (1.0, 0), "out": (1.0, 0)}
    assert _average_pool(stub(steps), pool, [row]).numpy().ravel().tolist() == [2, -2, 7]


def test_sigmoids_are_read_from_a_table() -> None:
    # Scale 1, zero point 0: sigmoid(0) = 128/256, sigmoid(2) = 225.5/256 -> 225, sigmoid(-128) = 0.
    network = stub({"a": (1, 0), "out": (1 / 256, -128)})
    came = _sigmoid(network, node("activation", "a", function="sigmoid"), [tensor(0, 2, -128)])
    assert came.numpy().tolist() == [0, np.rint(256 / (1 + np.exp(-2.0))) - 128, -128]


@pytest.mark.parametrize(("activation", "expected"), [("linear", [-50, 90]), ("relu", [-10, 90]), ("relu6", [-10, 50])])
def test_an_activation_is_a_border_of_the_integers(activation: str, expected: list[int]) -> None:
    # x * 1 + 0 at scale 1, out at scale 0.1, zero point -10: -4 -> -50, 10 -> 90; 0 is -10 and 6 is 50.
    kernels = {"out": (np.ones((1, 1)), np.zeros(1), np.ones(1, np.float32))}
    network = stub({"a": (1, 0), "out": (0.1, -10)}, kernels=kernels)
    came = _kernel_layer(network, node("dense", "a", activation=activation), [tensor(-4, 10)[:, None]])
    assert came.numpy().ravel().tolist() == expected


def test_sums_beyond_float32s_whole_numbers_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    from convert.verification import integers

    # 600 * 127 * 255 + 1 = 19,431,001 needs 25 bits: float32 would drop the 1.
    kernels = {"out": (np.full((600, 1), 127.0), np.ones(1), np.ones(1, np.float32))}
    network = stub({"a": (1, -128), "out": (1, 0)}, kernels=kernels)
    seen: list[Any] = []
    monkeypatch.setattr(integers, "_requantized", lambda total, *rest: seen.append(total))
    _kernel_layer(network, node("dense", "a"), [tf.fill((1, 600), 127.0)])
    assert seen[0].numpy().tolist() == [[19431001]]
