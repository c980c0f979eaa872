from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.lowering.emission import emit
from convert.lowering.graph import Graph, Node
from convert.lowering.layout import GREY_NAME, NAME, lay_out
from convert.lowering.parity import normalize
from convert.lowering.rules import GREY, split_grey
from train.networks.quantized import Operator, laid_back, one_stem


def stem_of(side: int, stride: int, padding: str, width: int = 12, dilation: int = 1) -> Graph:
    """A convolution of 5 filters on a picture 12 high, then logits."""
    generator = np.random.default_rng(side)
    height = -(-12 // stride) if padding == "same" else (12 - side) // stride + 1
    across = -(-width // stride) if padding == "same" else (width - side) // stride + 1
    weights = {"kernel": generator.normal(size=(side, side, 3, 5)).astype(np.float32), "bias": np.ones(5, np.float32)}
    attributes: dict[str, Any] = {"strides": (stride, stride), "padding": padding, "dilation": (dilation, dilation)}
    nodes = {
        "input": Node("input", "input", (), (12, width, 3)),
        "stem": Node("stem", "conv2d", ("input",), (height, across, 5), attributes, weights, "stem"),
        "pool": Node("pool", "global_average_pool", ("stem",), (5,), {"keepdims": False}),
    }
    return Graph(nodes, "pool", 1 / 128, 128)


@pytest.mark.parametrize(
    ("side", "stride", "padding", "shape", "strides"),
    [
        (4, 4, "valid", (4, 1, 12, 5), (4, 1)),
        (2, 2, "valid", (2, 1, 6, 5), (2, 1)),
        (3, 2, "same", (3, 2, 6, 5), (2, 1)),
    ],
)
def test_a_stem_on_pixels_side_by_side_computes_the_same(
    side: int, stride: int, padding: str, shape: tuple[int, ...], strides: tuple[int, int]
) -> None:
    graph = stem_of(side, stride, padding)
    changed = lay_out(graph)
    assert changed["stem"].weights["kernel"].shape == shape
    assert changed["stem"].attributes["strides"] == strides
    assert [node.name for node in changed] == ["input", NAME, "stem", "pool"]
    batch = normalize(np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3)).astype(np.uint8), graph)
    expected = np.asarray(emit(graph)(batch))
    np.testing.assert_allclose(np.asarray(emit(changed)(batch)), expected, rtol=1e-5, atol=1e-5)
    spoilt = changed.put(changed["stem"].with_weights(kernel=changed["stem"].weights["kernel"][:, :, ::-1]))
    assert np.abs(np.asarray(emit(spoilt)(batch)) - expected).max() > 0.1


@pytest.mark.parametrize(
    "graph",
    [
        stem_of(3, 2, "same", width=11),
        stem_of(4, 4, "valid", width=14),
        stem_of(3, 2, "valid"),
        stem_of(3, 1, "same"),
        stem_of(5, 2, "same"),
        stem_of(1, 1, "valid"),
        stem_of(3, 2, "same", dilation=2),
    ],
)
def test_other_stems_stay(graph: Graph) -> None:
    assert lay_out(graph) is graph


@pytest.mark.parametrize(
    ("side", "stride", "padding", "width", "made", "kernel"),
    [
        (3, 2, "same", 12, (1, 2, 12, 8), (3, 1, 4, 5)),  # four pixels a tap, of two windows three values and a filler
        (3, 2, "same", 10, (1, 2, 6, 4), (3, 1, 4, 5)),
        (4, 4, "valid", 12, (1, 1, 12, 4), (4, 1, 4, 5)),
        (2, 2, "valid", 10, (1, 1, 6, 2), (2, 1, 2, 5)),
        (3, 1, "same", 12, (1, 1, 12, 4), (3, 3, 1, 5)),
        (3, 2, "same", 11, (1, 1, 3, 1), (3, 3, 1, 5)),
    ],
)
def test_a_grey_stem_on_pixels_side_by_side_computes_the_same(
    side: int, stride: int, padding: str, width: int, made: tuple[int, ...], kernel: tuple[int, ...]
) -> None:
    graph = split_grey(stem_of(side, stride, padding, width))
    changed = lay_out(graph)
    assert [node.name for node in changed] == ["input", NAME, GREY, GREY_NAME, "stem", "pool"]
    assert changed[GREY].weights["kernel"].shape == made
    assert changed["stem"].weights["kernel"].shape == kernel
    assert (changed[GREY].weights["kernel"].max(axis=(0, 1, 2)) > 0.5).all()  # no channel without a scale
    batch = normalize(np.random.default_rng(0).integers(0, 256, (3, 12, width, 3)).astype(np.uint8), graph)
    expected = np.asarray(emit(graph)(batch))
    np.testing.assert_allclose(np.asarray(emit(changed)(batch)), expected, rtol=1e-5, atol=1e-5)
    spoilt = changed.put(changed[GREY].with_weights(kernel=changed[GREY].weights["kernel"][:, :, ::-1]))
    assert np.abs(np.asarray(emit(spoilt)(batch)) - expected).max() > 0.01


def squeeze_and_excite(channels: int, private: bool = True, last: bool = False, width: int = 32) -> Graph:
    """A picture of many channels times a scale for each, then a sum with something that reads the product too."""
    generator = np.random.default_rng(channels)
    attributes: dict[str, Any] = {"strides": (1, 1), "padding": "same", "dilation": (1, 1)}
    kernel = generator.normal(size=(1, 1, 3, channels)).astype(np.float32)
    wide = {"kernel": kernel, "bias": generator.normal(size=channels).astype(np.float32)}
    kernel = generator.normal(size=(1, 1, channels, channels)).astype(np.float32)
    square = {"kernel": kernel, "bias": wide["bias"] / np.float32(2)}
    one, shape = (1, 1, channels), (16, width, channels)
    nodes: list[Node] = [
        Node("input", "input", (), (16, width, 3)),
        Node("wide", "conv2d", ("input",), shape, attributes, wide),
        Node("mean", "global_average_pool", ("wide",), one, {"keepdims": True}),
        Node("scale", "conv2d", ("mean",), one, attributes, square),
        Node("sigmoid", "activation", ("scale",), one, {"function": "sigmoid"}),
        Node("product", "multiply", ("wide", "sigmoid"), shape),
        Node("sum", "add", ("product", "wide"), shape),
        Node("twice", "add", ("product", "sum") if private else ("sum", "sigmoid"), shape),
    ]
    nodes = nodes[:6] if last else nodes
    return Graph({node.name: node for node in nodes}, nodes[-1].name)


def test_few_channels_are_scaled_a_row_at_a_time_with_the_same_results() -> None:
    graph = squeeze_and_excite(5)
    changed = lay_out(graph)
    assert changed["product"].inputs == ("product_rows", "sigmoid")
    assert changed["product"].shape == (16, 1, 160)
    assert changed["scale"].weights["kernel"].shape == (1, 1, 5, 160)
    assert changed["sum"].inputs == ("product_pixels", "wide")
    assert changed["twice"].inputs == ("product_pixels", "sum")
    batch = np.random.default_rng(0).normal(size=(3, 16, 32, 3)).astype(np.float32)
    expected = np.asarray(emit(graph)(batch))
    np.testing.assert_allclose(np.asarray(emit(changed)(batch)), expected, rtol=1e-5, atol=1e-5)
    spoilt = changed.put(changed["scale"].with_weights(bias=changed["scale"].weights["bias"][::-1]))
    assert np.abs(np.asarray(emit(spoilt)(batch)) - expected).max() > 0.01


@pytest.mark.parametrize(
    "graph",
    [
        squeeze_and_excite(33),
        squeeze_and_excite(5, width=31),
        squeeze_and_excite(5, private=False),
        squeeze_and_excite(5, last=True),
    ],
)
def test_other_scales_stay(graph: Graph) -> None:
    assert lay_out(graph) is graph


def operators(graph: Graph) -> list[Operator]:
    """The convolutions as a file of the network holds them."""
    kernels = [node.weights for node in graph if node.kind == "conv2d"]
    return [Operator("CONV_2D", weights["kernel"], weights["bias"]) for weights in kernels]


@pytest.mark.parametrize(
    ("side", "stride", "padding", "width"),
    [(4, 4, "valid", 12), (2, 2, "valid", 10), (3, 2, "same", 12), (3, 2, "same", 10), (3, 1, "same", 12)],
)
def test_stems_on_pixels_side_by_side_are_taken_back_out_of_a_file(
    side: int, stride: int, padding: str, width: int
) -> None:
    graph = stem_of(side, stride, padding, width)
    kernel = graph["stem"].weights["kernel"]
    (found,) = one_stem(operators(lay_out(graph)), [kernel.shape])
    assert np.array_equal(laid_back(found, kernel.shape).kernel, kernel)
    grey = split_grey(graph)
    expected = grey["stem"].weights["kernel"] * grey[GREY].weights["kernel"].reshape(3)[:, None]
    (found,) = one_stem(operators(lay_out(grey)), [kernel.shape])
    np.testing.assert_allclose(laid_back(found, kernel.shape).kernel, expected, rtol=1e-6)
    assert found.kernel.shape == kernel.shape and np.array_equal(found.bias, graph["stem"].weights["bias"])


def test_repeated_scales_and_taps_that_see_padding_alone_are_taken_back_out_of_a_file() -> None:
    graph = squeeze_and_excite(5)
    _, scale = operators(lay_out(graph))
    back = laid_back(scale, (1, 1, 5, 5))
    assert np.array_equal(back.kernel, graph["scale"].weights["kernel"])
    assert np.array_equal(back.bias, graph["scale"].weights["bias"])
    kernel = np.random.default_rng(0).normal(size=(3, 3, 8, 1)).astype(np.float32)
    padded = laid_back(Operator("DEPTHWISE_CONV_2D", kernel, np.zeros(8)), (5, 5, 8, 1)).kernel
    assert np.array_equal(padded[1:4, 1:4], kernel) and np.abs(padded).sum() == np.abs(kernel).sum()
    for wanted in ((4, 4, 8, 1), (5, 5, 7, 1)):  # no such kernel was cut down to this one
        assert laid_back(Operator("DEPTHWISE_CONV_2D", kernel, np.zeros(8)), wanted).kernel is kernel
