from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from convert.lowering.graph import Graph, Node
from convert.lowering.reading import UnsupportedLayerError
from convert.lowering.rules import (
    GREY,
    GREY_STEPS,
    RULES,
    affine_to_depthwise,
    crop_padding_taps,
    dense_to_pointwise,
    drop_final_softmax,
    drop_identity,
    fold_affine,
    fold_grey,
    fold_input_affine,
    fold_norm,
    fold_zero_padding,
    fuse_activation,
    gelu_to_scaled_silu,
    keepdims_pooling,
    split_depthwise,
    split_grey,
    split_silu,
    split_sums,
)
from train.datasets.mapping import LUMINANCE

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
    assert len(RULES) == 15
    assert [entry.name for entry in RULES.values() if not entry.exact] == ["scaled-silu"]
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
        fold_input_affine(
            chain(affine("norm", "input", (4, 4, 3), scale, offset), convolution(feed="norm", padding="same"))
        )


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


def test_a_normalization_by_channel_goes_into_a_stem_that_does_not_pad() -> None:
    # pixel * s + o = u * (128 s) + (128 s + o) with u = (pixel - 128) / 128
    norm = affine("norm", "input", (4, 4, 3), array(1 / 64, 1 / 32, 1 / 16), array(1, 2, 3))
    stem = convolution(feed="norm", channels=1)
    graph = fold_input_affine(chain(norm, stem))
    assert (graph.input_scale, graph.input_zero_point) == (1 / 128, 128)
    old, new = stem.weights["kernel"], graph["conv"].weights["kernel"]
    np.testing.assert_allclose(new, old * array(2, 4, 8).reshape(1, 1, 3, 1))
    constants = array(2 + 1, 4 + 2, 8 + 3)
    assert graph["conv"].weights["bias"] == pytest.approx(1 + (old.sum(axis=(0, 1))[:, 0] * constants).sum())
    padded = convolution(feed="norm", padding="same")
    with pytest.raises(UnsupportedLayerError, match="in front of one convolution that does not pad"):
        fold_input_affine(chain(norm, padded))


def norm(name: str, feed: str, shape: tuple[int, ...], scale: np.ndarray, offset: np.ndarray) -> Node:
    return Node(name, "layer_norm", (feed,), shape, {"epsilon": 1e-6}, {"scale": scale, "offset": offset}, name)


def test_scale_and_offset_of_a_norm_go_into_the_kernel_that_alone_reads_it() -> None:
    dense = Node("dense", "dense", ("norm",), (1,), {}, {"kernel": array(5, 7)[:, None], "bias": array(11)})
    graph = fold_norm(chain(norm("norm", "input", (2,), array(2, 3), array(1, -1)), dense))
    assert graph["dense"].weights["kernel"].tolist() == [[10], [21]]
    assert graph["dense"].weights["bias"].tolist() == [11 + 5 - 7]
    assert not graph["norm"].weights


def test_scale_and_offset_on_rows_go_into_the_dense_that_alone_reads_them() -> None:
    dense = Node("dense", "dense", ("bn",), (1,), {}, {"kernel": array(5, 7)[:, None], "bias": array(11)})
    graph = fold_norm(chain(affine("bn", "input", (2,), array(2, 3), array(1, -1)), dense))
    assert graph["dense"].weights["kernel"].tolist() == [[10], [21]]
    assert graph["dense"].weights["bias"].tolist() == [11 + 5 - 7]
    assert (graph["dense"].inputs, "bn" in graph.nodes) == (("input",), False)
    one = fold_norm(chain(affine("rescale", "input", (2,), array(2), array(1)), replace(dense, inputs=("rescale",))))
    assert one["dense"].weights["bias"].tolist() == [11 + 5 + 7]


def test_a_norm_keeps_its_scale_before_padding_and_where_two_layers_read_it() -> None:
    first = norm("norm", "input", (4, 4, 3), array(2, 3, 4), array(1, 1, 1))
    padded = chain(first, convolution(feed="norm", padding="same"))
    assert fold_norm(padded) is padded
    shared = chain(first, convolution("a", feed="norm"), convolution("b", feed="norm"))
    assert fold_norm(shared) is shared
    alone = chain(first, convolution(feed="norm"))
    assert not fold_norm(alone)["norm"].weights


def test_gelu_between_kernels_becomes_a_silu_whose_slope_the_kernels_take_up() -> None:
    gelu = Node("gelu", "activation", ("conv",), (2, 2, 2), {"function": "gelu"}, path="gelu")
    after = Node("dense", "dense", ("gelu",), (1,), {}, {"kernel": array(1, 2)[:, None], "bias": array(3)})
    graph = gelu_to_scaled_silu(chain(convolution(), gelu, after))
    before = convolution().weights
    np.testing.assert_allclose(graph["conv"].weights["kernel"], before["kernel"] * 1.702, rtol=1e-6)
    np.testing.assert_allclose(graph["conv"].weights["bias"], before["bias"] * 1.702, rtol=1e-6)
    assert graph["gelu"].attributes["function"] == "silu"
    np.testing.assert_allclose(graph["dense"].weights["kernel"], array(1, 2)[:, None] / 1.702, rtol=1e-6)
    assert graph["dense"].weights["bias"].tolist() == [3]
    # 1.702 * x * sigmoid(1.702 * x) / 1.702 at x = 1 is 0.8458; GELU(1) is 0.8413.
    assert 1 / (1 + np.exp(-1.702)) == pytest.approx(0.8413, abs=0.005)


def test_gelu_without_a_kernel_on_both_sides_stays() -> None:
    gelu = Node("gelu", "activation", ("conv",), (2, 2, 2), {"function": "gelu"}, path="gelu")
    pooled = Node("pool", "global_average_pool", ("gelu",), (2,), {"keepdims": False})
    graph = chain(convolution(), gelu, pooled)
    assert gelu_to_scaled_silu(graph) is graph


def test_a_7x7_kernel_becomes_21_20_and_8_taps_evenly_about_its_centre() -> None:
    whole = depthwise(8, 7)
    graph = split_depthwise(chain(whole, size=8))
    pieces = [node for node in graph if node.kind == "depthwise"]
    taps = whole.weights["kernel"][:, :, 0, 0]
    expected = (
        (taps[:, [1, 3, 5]], (1, 2)),
        (taps[1:6][:, [0, 2, 4, 6]], (1, 2)),
        (taps[[0, 6]][:, [0, 2, 4, 6]], (6, 2)),
    )
    for piece, (kernel, dilation) in zip(pieces, expected, strict=True):
        assert piece.weights["kernel"][:, :, 0, 0].tolist() == kernel.tolist()
        assert piece.attributes["dilation"] == dilation
    assert [node.inputs for node in graph if node.kind == "add"] == [
        ("dw_piece0", "dw_piece1"),
        ("dw_sum1", "dw_piece2"),
    ]
    assert graph.output == "dw"


def test_the_pieces_of_a_large_kernel_add_up_to_it_and_its_bias_counts_once() -> None:
    picture = np.random.default_rng(0).normal(size=(8, 8))
    for side in (7, 9, 11):
        whole = depthwise(8, side)
        whole = whole.with_weights(bias=array(1, 1, 1))
        graph = split_depthwise(chain(whole, size=8))
        pieces = [node for node in graph if node.kind == "depthwise"]
        assert all(np.prod(piece.weights["kernel"].shape[:2]) <= 25 for piece in pieces)
        total = sum(same_by_hand(picture, piece) for piece in pieces)
        np.testing.assert_allclose(total, same_by_hand(picture, whole), atol=1e-9)
        assert sum(piece.weights["bias"][0] for piece in pieces) == 1


@pytest.mark.parametrize(("side", "stride", "dilation"), [(5, 1, 1), (7, 2, 1), (7, 1, 2), (6, 1, 1), (13, 1, 1)])
def test_a_kernel_that_fits_or_cannot_be_split_so_stays(side: int, stride: int, dilation: int) -> None:
    graph = chain(depthwise(16, side, stride, dilation), size=16)
    assert split_depthwise(graph) is graph


def depthwise(size: int, side: int, stride: int = 1, dilation: int = 1) -> Node:
    """A depthwise kernel of three channels whose taps are numbered 1, 2, 3 ... on a SAME-padded square map."""
    taps = np.arange(1, side * side + 1, dtype=np.float32).reshape(side, side, 1, 1)
    settings = {"strides": (stride, stride), "padding": "same", "dilation": (dilation, dilation)}
    weights = {"kernel": np.repeat(taps, 3, axis=2), "bias": np.zeros(3, np.float32)}
    out = -(-size // stride)
    return Node("dw", "depthwise", ("input",), (out, out, 3), settings, weights, "dw")


def test_a_5x5_kernel_on_a_2x2_map_keeps_the_3x3_taps_that_meet_the_map() -> None:
    graph = crop_padding_taps(chain(depthwise(2, 5), size=2))
    kept = graph["dw"].weights["kernel"][:, :, 0, 0]
    assert kept.tolist() == [[7, 8, 9], [12, 13, 14], [17, 18, 19]]
    assert graph["dw"].attributes["padding"] == "same"


def test_a_3x3_kernel_on_one_pixel_keeps_its_centre() -> None:
    assert crop_padding_taps(chain(depthwise(1, 3), size=1))["dw"].weights["kernel"].tolist() == [[[[5]] * 3]]


@pytest.mark.parametrize(
    ("size", "side", "stride", "dilation"),
    # 4x4 at stride 2 pads (1, 2): all five taps are read. 3x3: the corners reach two away. Dilation 1 on 4x4 alike.
    [(4, 5, 2, 1), (3, 5, 1, 1), (2, 3, 1, 1), (4, 5, 1, 1), (3, 3, 1, 2)],
)
def test_a_kernel_whose_every_tap_meets_the_map_stays(size: int, side: int, stride: int, dilation: int) -> None:
    graph = chain(depthwise(size, side, stride, dilation), size=size)
    assert crop_padding_taps(graph) is graph


def test_even_kernels_and_strides_crop_to_what_is_read() -> None:
    # 6 taps at stride 3 on 2: one output at rows -2..3, whose taps 2 and 3 are read.
    whole = crop_padding_taps(chain(depthwise(2, 6, 3), size=2))
    assert whole["dw"].weights["kernel"][:, :, 0, 0].tolist() == [[15, 16], [21, 22]]
    # 6 taps at stride 2 on 3: outputs start at rows -2 and 0, so the last tap is never read.
    assert crop_padding_taps(chain(depthwise(3, 6, 2), size=3))["dw"].weights["kernel"].shape == (5, 5, 3, 1)


def test_a_crop_that_same_padding_cannot_express_is_left_out() -> None:
    # 8 taps at dilation 3 on 8 are padded by 10, so that taps 1 to 5 meet the map. Five taps are padded by 6, not by
    # the 7 = 10 - 3 that would keep them in place.
    graph = chain(depthwise(8, 8, dilation=3), size=8)
    assert crop_padding_taps(graph) is graph
    valid = chain(depthwise(2, 2).with_attributes(padding="valid"), size=2)
    assert crop_padding_taps(valid) is valid


def same_by_hand(picture: np.ndarray, node: Node) -> np.ndarray:
    """One channel of a SAME-padded depthwise convolution, tap by tap."""
    taps = node.weights["kernel"][:, :, 0, 0]
    stride, dilations = node.attributes["strides"][0], node.attributes["dilation"]
    size = len(picture)
    out = -(-size // stride)
    top, left = (
        max((out - 1) * stride + (side - 1) * dilation + 1 - size, 0) // 2
        for side, dilation in zip(taps.shape, dilations, strict=True)
    )
    result = np.zeros((out, out))
    for row, column, y, x in np.ndindex(out, out, *taps.shape):
        at = (row * stride + y * dilations[0] - top, column * stride + x * dilations[1] - left)
        if min(at) >= 0 and max(at) < size:
            result[row, column] += taps[y, x] * picture[at]
    return result


def test_a_cropped_kernel_computes_the_same_for_every_size_stride_and_dilation() -> None:
    picture = np.random.default_rng(0).normal(size=(4, 4))
    cropped = 0
    for size, side, stride, dilation in itertools.product((1, 2, 3, 4), (1, 2, 3, 5, 6), (1, 2, 3), (1, 2)):
        node = depthwise(size, side, stride, dilation)
        lowered = crop_padding_taps(chain(node, size=size))["dw"]
        cropped += lowered is not node
        patch = picture[:size, :size]
        np.testing.assert_allclose(same_by_hand(patch, lowered), same_by_hand(patch, node), atol=1e-9)
    assert cropped > 30


def test_pooling_and_reshape_become_one_pooling_that_keeps_its_dimensions() -> None:
    pool = Node("pool", "global_average_pool", ("input",), (3,), {"keepdims": False})
    graph = keepdims_pooling(chain(pool, Node("reshape", "reshape", ("pool",), (1, 1, 3))))
    assert graph.output == "pool"
    assert graph["pool"].attributes["keepdims"] is True
    assert graph["pool"].shape == (1, 1, 3)


def test_two_poolings_in_a_row_both_keep_their_dimensions() -> None:
    def pooling(name: str, feed: str) -> list[Node]:
        pool = Node(name, "global_average_pool", (feed,), (3,), {"keepdims": False})
        return [pool, Node(f"{name}_reshape", "reshape", (name,), (1, 1, 3))]

    graph = keepdims_pooling(chain(*pooling("first", "input"), *pooling("second", "first_reshape")))
    assert {node.name: node.inputs for node in graph} == {"input": (), "first": ("input",), "second": ("first",)}


def test_pooling_before_another_shape_stays() -> None:
    pool = Node("pool", "global_average_pool", ("input",), (3,), {"keepdims": False})
    graph = chain(pool, Node("reshape", "reshape", ("pool",), (3, 1)))
    assert keepdims_pooling(graph) is graph


@pytest.mark.parametrize("kind", ["add", "multiply"])
def test_a_sum_or_product_of_four_becomes_three_of_two_in_order(kind: str) -> None:
    gate = Node("gate", "global_average_pool", ("input",), (1, 1, 3), {"keepdims": True})
    many = Node("many", kind, ("gate", "gate", "input", "gate"), (4, 4, 3), path="many")
    graph = split_sums(chain(gate, many))
    assert [(node.name, node.kind, node.inputs, node.shape) for node in graph][2:] == [
        ("many_of2", kind, ("gate", "gate"), (1, 1, 3)),
        ("many_of3", kind, ("many_of2", "input"), (4, 4, 3)),
        ("many", kind, ("many_of3", "gate"), (4, 4, 3)),
    ]
    assert graph.output == "many"
    two = chain(gate, Node("two", kind, ("gate", "input"), (4, 4, 3)))
    assert split_sums(two) is two


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
    np.testing.assert_allclose(stem.weights["kernel"].sum(axis=2), grey, rtol=1e-6)


def test_grey_of_its_own_layer_leaves_the_stem_the_summed_kernel_and_grey_pixels_unchanged() -> None:
    before = convolution()
    graph = split_grey(chain(before))
    assert [node.name for node in graph] == ["input", GREY, "conv"]
    np.testing.assert_allclose(graph["conv"].weights["kernel"], before.weights["kernel"].sum(axis=2, keepdims=True))
    shares = graph[GREY].weights["kernel"].reshape(3)
    np.testing.assert_allclose(shares, LUMINANCE, atol=0.002)
    levels = np.arange(-128, 128)
    steps = shares / (shares.max() / 127)  # whole numbers: the int8 kernel of scale largest / 127
    np.testing.assert_allclose(steps, GREY_STEPS, rtol=1e-6)
    assert (np.round(levels * np.round(steps).sum() * shares.max() / 127) == levels).all()


@pytest.mark.parametrize("grey", [fold_grey, split_grey])
def test_grey_without_a_convolution_on_the_picture_is_refused(grey: Callable[[Graph], Graph]) -> None:
    pool = Node("pool", "global_average_pool", ("input",), (3,), {"keepdims": False}, path="head/pool")
    with pytest.raises(UnsupportedLayerError, match=r"expected one Conv2D .* came global_average_pool at 'head/pool'"):
        grey(chain(pool))
