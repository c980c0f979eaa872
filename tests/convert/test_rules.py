from __future__ import annotations

import numpy as np
import pytest

from convert.graph import Graph, Node
from convert.reading import UnsupportedLayerError
from convert.rules import (
    LUMINANCE,
    RULES,
    affine_to_depthwise,
    dense_to_pointwise,
    drop_final_softmax,
    drop_identity,
    fold_affine,
    fold_grey,
    fold_input_affine,
    fold_zero_padding,
    fuse_activation,
    keepdims_pooling,
    split_silu,
)

PLAIN = {"strides": (1, 1), "padding": "valid", "dilation": (1, 1)}


def chain(*nodes: Node, size: int = 4) -> Graph:
    """A graph of the input [size, size, 3] and the nodes, the last being the output."""
    every = [Node("input", "input", (), (size, size, 3), path="input"), *nodes]
    return Graph({node.name: node for node in every}, every[-1].name)


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def convolution(name: str = "conv", feed: str = "input", channels: int = 2, **settings: object) -> Node:
    kernel = np.arange(1, 1 + 9 * 3 * channels, dtype=np.float32).reshape(3, 3, 3, channels)
    weights = {"kernel": kernel, "bias": np.ones(channels, np.float32)}
    return Node(name, "conv2d", (feed,), (2, 2, channels), {**PLAIN, **settings}, weights, name)


def affine(name: str, feed: str, shape: tuple[int, ...], scale: np.ndarray, offset: np.ndarray) -> Node:
    return Node(name, "affine", (feed,), shape, {}, {"scale": scale, "offset": offset}, name)


def test_every_rule_says_why_it_is_there() -> None:
    assert len(RULES) == 10
    assert all(len(entry.reason) > 20 for entry in RULES.values())


def test_a_rule_that_finds_nothing_returns_the_same_graph() -> None:
    graph = chain(convolution())
    assert all(entry.apply(graph) is graph for entry in RULES.values())


def test_dropout_disappears_and_its_reader_reads_its_input() -> None:
    graph = drop_identity(chain(Node("drop", "identity", ("input",), (4, 4, 3)), convolution(feed="drop")))
    assert graph["conv"].inputs == ("input",)
    assert "drop" not in graph.nodes


def test_a_final_softmax_disappears_but_one_inside_stays() -> None:
    last = Node("softmax", "activation", ("conv",), (2, 2, 2), {"function": "softmax"})
    assert drop_final_softmax(chain(convolution(), last)).output == "conv"
    inside = chain(convolution(), last, Node("more", "reshape", ("softmax",), (8,)))
    assert drop_final_softmax(inside).output == "more"
    assert "softmax" in drop_final_softmax(inside).nodes


def test_rescaling_by_1_128_less_1_is_the_input_scale_with_zero_point_128() -> None:
    rescaling = affine("norm", "input", (4, 4, 3), array(1 / 128), array(-1))
    graph = fold_input_affine(chain(rescaling, convolution(feed="norm")))
    assert (graph.input_scale, graph.input_zero_point) == (1 / 128, 128)
    assert graph["conv"].inputs == ("input",)


def test_two_normalizations_compose_in_order() -> None:
    # (x * 2 - 8) / 256 = (x - 4) / 128
    first = affine("a", "input", (4, 4, 3), array(2), array(-8))
    second = affine("b", "a", (4, 4, 3), array(1 / 256), array(0))
    graph = fold_input_affine(chain(first, second, convolution(feed="b")))
    assert (graph.input_scale, graph.input_zero_point) == (1 / 128, 4)


@pytest.mark.parametrize(
    ("scale", "offset"),
    [
        (array(1 / 127.5), array(-1)),  # zero point 127.5
        (array(0.01, 0.02, 0.03), array(-1)),  # a scale a channel
        (array(1 / 128), array(0.5)),  # zero point -64
    ],
)
def test_a_normalization_without_a_whole_zero_point_is_refused(scale: np.ndarray, offset: np.ndarray) -> None:
    with pytest.raises(UnsupportedLayerError, match=r"expected pixels normalized .* up to 'norm'; re-root"):
        fold_input_affine(chain(affine("norm", "input", (4, 4, 3), scale, offset), convolution(feed="norm")))


def test_batch_norm_goes_into_kernel_and_bias() -> None:
    bn = affine("bn", "conv", (2, 2, 2), array(2, -3), array(10, 20))
    before = convolution()
    graph = fold_affine(chain(before, bn))
    assert graph.output == "conv"
    np.testing.assert_array_equal(graph["conv"].weights["kernel"], before.weights["kernel"] * array(2, -3))
    np.testing.assert_array_equal(graph["conv"].weights["bias"], array(1 * 2 + 10, 1 * -3 + 20))


def test_batch_norm_scales_a_depthwise_kernel_by_its_third_axis() -> None:
    kernel = np.ones((1, 1, 3, 1), np.float32)
    layer = Node("dw", "depthwise", ("input",), (4, 4, 3), PLAIN, {"kernel": kernel, "bias": array(0, 0, 0)})
    graph = fold_affine(chain(layer, affine("bn", "dw", (4, 4, 3), array(1, 2, 3), array(4, 5, 6))))
    np.testing.assert_array_equal(graph["dw"].weights["kernel"].ravel(), [1, 2, 3])
    np.testing.assert_array_equal(graph["dw"].weights["bias"], [4, 5, 6])


def test_batch_norm_after_a_convolution_that_others_read_becomes_depthwise() -> None:
    bn = affine("bn", "conv", (2, 2, 2), array(2, 3), array(4, 5))
    graph = chain(convolution(), bn, Node("sum", "add", ("conv", "bn"), (2, 2, 2)))
    assert fold_affine(graph) is graph
    replaced = affine_to_depthwise(graph)["bn"]
    assert replaced.kind == "depthwise"
    np.testing.assert_array_equal(replaced.weights["kernel"][0, 0, :, 0], [2, 3])
    np.testing.assert_array_equal(replaced.weights["bias"], [4, 5])


@pytest.mark.parametrize(("padding", "folds"), [(((0, 1), (0, 1)), True), (((1, 1), (1, 1)), False)])
def test_padding_folds_only_where_it_equals_same(padding: tuple[tuple[int, int], ...], folds: bool) -> None:
    # 4 pixels, kernel 3, stride 2: SAME gives 2 outputs and pads 0 before and 1 after.
    pad = Node("pad", "zero_pad", ("input",), (5, 5, 3), {"padding": padding})
    graph = fold_zero_padding(chain(pad, convolution(feed="pad", strides=(2, 2))))
    assert ("pad" not in graph.nodes) is folds
    assert (graph["conv"].attributes["padding"] == "same") is folds


def test_pooling_and_reshape_become_one_pooling_that_keeps_its_dimensions() -> None:
    pool = Node("pool", "global_average_pool", ("input",), (3,), {"keepdims": False})
    graph = keepdims_pooling(chain(pool, Node("reshape", "reshape", ("pool",), (1, 1, 3))))
    assert graph.output == "pool"
    assert graph["pool"].attributes["keepdims"] is True
    assert graph["pool"].shape == (1, 1, 3)


def test_pooling_before_another_shape_stays() -> None:
    pool = Node("pool", "global_average_pool", ("input",), (3,), {"keepdims": False})
    graph = chain(pool, Node("reshape", "reshape", ("pool",), (3, 1)))
    assert keepdims_pooling(graph) is graph


def test_dense_on_pictures_becomes_a_pointwise_convolution_and_dense_on_rows_stays() -> None:
    weights = {"kernel": np.ones((3, 5), np.float32), "bias": np.zeros(5, np.float32)}
    on_pictures = dense_to_pointwise(chain(Node("dense", "dense", ("input",), (4, 4, 5), {}, weights)))
    assert on_pictures["dense"].kind == "conv2d"
    assert on_pictures["dense"].weights["kernel"].shape == (1, 1, 3, 5)
    on_rows = chain(Node("dense", "dense", ("input",), (5,), {}, weights))
    assert dense_to_pointwise(on_rows) is on_rows


def test_swish_is_the_product_of_its_input_and_a_sigmoid() -> None:
    swish = Node("act", "activation", ("conv",), (2, 2, 2), {"function": "silu"})
    graph = split_silu(chain(convolution(), swish))
    assert graph["act"].kind == "multiply"
    assert graph["act"].inputs == ("conv", "act_sigmoid")
    assert graph["act_sigmoid"].attributes["function"] == "sigmoid"
    assert list(graph.nodes) == ["input", "conv", "act_sigmoid", "act"]


def test_relu6_is_fused_unless_another_layer_reads_before_it() -> None:
    relu = Node("relu", "activation", ("conv",), (2, 2, 2), {"function": "relu6"})
    fused = fuse_activation(chain(convolution(), relu))
    assert fused.output == "conv"
    assert fused["conv"].attributes["activation"] == "relu6"
    shared = chain(convolution(), relu, Node("sum", "add", ("conv", "relu"), (2, 2, 2)))
    assert fuse_activation(shared) is shared


def test_grey_fold_gives_every_channel_its_luminance_share_of_the_summed_kernel() -> None:
    before = convolution()
    stem = fold_grey(chain(before))["conv"]
    grey = before.weights["kernel"].sum(axis=2)
    for channel, share in enumerate(LUMINANCE):
        np.testing.assert_allclose(stem.weights["kernel"][:, :, channel], grey * share, rtol=1e-6)
    assert stem.attributes["tied"] == LUMINANCE
    np.testing.assert_allclose(stem.weights["kernel"].sum(axis=2), grey, rtol=1e-6)


def test_grey_fold_without_a_convolution_on_the_picture_is_refused() -> None:
    pool = Node("pool", "global_average_pool", ("input",), (3,), {"keepdims": False}, path="head/pool")
    with pytest.raises(UnsupportedLayerError, match=r"expected one Conv2D .* came global_average_pool at 'head/pool'"):
        fold_grey(chain(pool))
