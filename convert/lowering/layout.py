"""An int8 network with pixels side by side where that gives the same results from fewer, wider steps.

Applied by ``convert.quantization.fakequant.for_export`` to the network as it is exported; fine-tuning sees it plain.

The stem: XNNPACK pads the channels of each tap to 8 (4 with dot products), 3 colours and 1 grey alike. In memory
[h, w, 3] is [h, w / n, 3 n] too, so that a tap of n pixels wastes less. Float networks gain nothing (a 3x3 stem is
slower so) and keep theirs.

Squeeze and excite: XNNPACK multiplies each pixel's channels by the scales in a call of its own, which costs more than
the products where there are few channels. On a row of pixels side by side it is one call.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convert.lowering.graph import INPUT, Graph, Node
from convert.lowering.rules import GREY

NAME = "pixels_side_by_side"
GREY_NAME = "grey_side_by_side"
TOGETHER = 4
"""Pixels of one tap of the layer that makes grey: 12 channels."""


FEW_CHANNELS, MANY_PIXELS = 32, 512  # where the calls cost more than repeated scales and two copies


def lay_out(graph: Graph) -> Graph:
    """The graph with its stem and its products with few scales on pixels side by side, where they allow it."""
    return _rows_of_scales(_stem(graph))


def _stem(graph: Graph) -> Graph:
    """The graph with its stem on pixels side by side, where its kernel allows; else the graph as it is.

    Patches (4x4 at stride 4) become rows of one tap each; 3x3 at stride 2 with SAME padding on an even width becomes
    3x2 taps of two pixels, the last of them unused. Where a layer makes the picture grey
    (``convert.lowering.rules.split_grey``) it gives such a stem what one tap of it needs.
    """
    stems = graph.consumers(INPUT)
    if len(stems) != 1 or stems[0].kind != "conv2d":
        return graph
    if stems[0].name == GREY:
        return _grey(graph)
    stem, (height, width, channels) = stems[0], graph.input_shape
    kernel, strides = stem.weights["kernel"], stem.attributes["strides"]
    rows, columns, _, filters = kernel.shape
    if _is_patches(stem, width):
        together = columns
        wide = kernel.reshape(rows, 1, columns * channels, filters)
    elif _is_halving(stem, width):
        together = 2
        wide = np.concatenate([kernel, np.zeros_like(kernel[:, :1])], axis=1).reshape(3, 2, 2 * channels, filters)
    else:
        return graph
    view = Node(NAME, "reshape", (INPUT,), (height, width // together, together * channels), path=stem.path)
    changed = replace(stem, inputs=(NAME,)).with_weights(kernel=wide)
    changed = changed.with_attributes(strides=(strides[0], strides[1] // together))
    return graph.insert_before(view, stem.name).put(changed)


def _is_patches(stem: Node, width: int) -> bool:
    rows, columns = stem.weights["kernel"].shape[:2]
    keys = stem.attributes
    plain = keys["padding"] == "valid" and keys["dilation"] == (1, 1)
    return plain and keys["strides"] == (rows, columns) != (1, 1) and width % columns == 0


def _is_halving(stem: Node, width: int) -> bool:
    keys = stem.attributes
    wanted = ((3, 3), (2, 2), "same", (1, 1))
    return (stem.weights["kernel"].shape[:2], keys["strides"], keys["padding"], keys["dilation"]) == wanted and (
        width % 2 == 0
    )


def _grey(graph: Graph) -> Graph:
    """The layer that makes grey on pixels side by side, and its reader on what that gives."""
    grey, (height, width, _) = graph[GREY], graph.input_shape
    together = next(count for count in (TOGETHER, 2, 1) if width % count == 0)
    shares = grey.weights["kernel"].reshape(3)
    (stem,) = graph.consumers(GREY)
    kernel, keys = stem.weights["kernel"], stem.attributes
    rows, columns, _, filters = kernel.shape
    if _is_halving(stem, width):
        made, shape = _three_for_two(shares, together), (height, width // 2, 4)
        kernel = np.concatenate([kernel.reshape(rows, 1, columns, filters), np.zeros((rows, 1, 1, filters))], axis=2)
        strides = (2, 1)
    else:
        tap = columns if _is_patches(stem, width) else 1
        made, shape = _one_for_one(shares, together), (height, width // tap, tap)
        kernel = kernel.reshape(rows, columns // tap, tap, filters)
        strides = (keys["strides"][0], keys["strides"][1] // tap)
    made_shape = (height, width // together, made.shape[-1])
    bias = np.zeros(made.shape[-1], np.float32)
    view = Node(NAME, "reshape", (INPUT,), (height, width // together, 3 * together), path=grey.path)
    graph = graph.insert_before(view, GREY)
    graph = graph.put(replace(grey, inputs=(NAME,), shape=made_shape).with_weights(kernel=made, bias=bias))
    graph = graph.insert_before(Node(GREY_NAME, "reshape", (GREY,), shape, path=grey.path), stem.name)
    return graph.put(replace(stem, inputs=(GREY_NAME,)).with_weights(kernel=kernel).with_attributes(strides=strides))


def _one_for_one(shares: np.ndarray, together: int) -> np.ndarray:
    """The kernel float32 [1, 1, 3 n, n] that gives n pixels side by side their grey."""
    made = np.zeros((1, 1, together, 3, together), np.float32)
    for pixel in range(together):
        made[0, 0, pixel, :, pixel] = shares
    return made.reshape(1, 1, 3 * together, together)


def _three_for_two(shares: np.ndarray, together: int) -> np.ndarray:
    """The kernel float32 [1, 2, 3 n, 2 n] that gives every second pixel its grey, its right neighbours' two, its own.

    The last value only fills the tap (a channel of zeros would have no scale); its weights in the stem are 0. The
    second column of taps reaches one pixel into the next n.
    """
    made = np.zeros((1, 2, together, 3, together // 2, 4), np.float32)
    for group in range(together // 2):
        for value, pixel in enumerate((2 * group, 2 * group + 1, 2 * group + 2, 2 * group)):
            made[0, pixel // together, pixel % together, :, group, value] = shares
    return made.reshape(1, 2, 3 * together, 2 * together)


def _rows_of_scales(graph: Graph) -> Graph:
    """The graph with ``x * sigmoid(conv(...))`` of few channels computed a row at a time: the scales are repeated."""
    for name in list(graph.nodes):
        node = graph[name]
        if node.kind != "multiply" or len(node.inputs) != 2 or not graph.consumers(name):
            continue
        picture, scales = (graph[feed] for feed in node.inputs)
        maker = graph[scales.inputs[0]] if scales.kind == "activation" else scales
        if not _is_scaled(node, picture, scales) or maker.kind != "conv2d":
            continue
        if not (graph.is_private(scales.name) and graph.is_private(maker.name)):
            continue
        height, width, channels = node.shape
        row = (1, 1, width * channels)
        wide = {key: np.tile(array, width) for key, array in maker.weights.items()}  # along the filters, which are last
        graph = graph.put(replace(scales, shape=row))
        graph = graph.put(replace(maker, shape=row).with_weights(**wide))
        before = Node(f"{name}_rows", "reshape", (picture.name,), (height, 1, width * channels), path=node.path)
        graph = graph.insert_before(before, name)
        graph = graph.put(replace(node, inputs=(before.name, scales.name), shape=before.shape))
        graph = _reshaped_after(graph, node)
    return graph


def _is_scaled(node: Node, picture: Node, scales: Node) -> bool:
    """Whether a product is of a picture of many pixels and few channels, and of a scale for each channel."""
    if len(node.shape) != 3 or picture.shape != node.shape:
        return False
    height, width, channels = node.shape
    return height * width >= MANY_PIXELS and channels <= FEW_CHANNELS and scales.shape == (1, 1, channels)


def _reshaped_after(graph: Graph, node: Node) -> Graph:
    """The graph whose readers of a layer see its output in the shape that ``node`` says."""
    readers = graph.consumers(node.name)
    after = Node(f"{node.name}_pixels", "reshape", (node.name,), node.shape, path=node.path)
    graph = graph.insert_before(after, readers[0].name)
    for reader in readers:
        inputs = tuple(after.name if name == node.name else name for name in reader.inputs)
        graph = graph.put(replace(reader, inputs=inputs))
    return graph
