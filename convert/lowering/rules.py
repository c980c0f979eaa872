"""The rewriting rules of the lowering, each exact in real arithmetic but one: a function a rule, and its reason.

Between ``convert.lowering.reading`` and ``convert.lowering.emission``. ``lower`` applies them in the order of the
table; a rule leaves alone what it does not know. The approximate one is for int8 networks alone, which are calibrated
and fine-tuned after it. Measurements behind them: int8 networks through XNNPACK on ai-edge-litert 2.3.0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np

from convert.lowering.graph import INPUT, Graph, Node
from convert.lowering.reading import UnsupportedLayerError
from train.datasets.mapping import LUMINANCE

WEIGHTED = ("conv2d", "depthwise", "dense")
FUSED_ACTIVATIONS = ("relu", "relu6")
MOST_TAPS = 25
"""XNNPACK has no depthwise micro-kernel for more: a 7x7 in int8 takes 100 times as long as a 5x5."""
SEVEN_BY_SEVEN = (
    ((0, 1, 2, 3, 4, 5, 6), (1, 3, 5)),
    ((1, 2, 3, 4, 5), (0, 2, 4, 6)),
    ((0, 6), (0, 2, 4, 6)),
)
"""Rows and columns of the three pieces of a 7x7 kernel."""
SILU_SLOPE = 1.702


@dataclass(frozen=True)
class Rule:
    """A named rewriting of the graph and why it is there; an exact one changes no output."""

    name: str
    reason: str
    apply: Callable[[Graph], Graph]
    exact: bool = True


RULES: dict[str, Rule] = {}


def rule(name: str, reason: str, exact: bool = True) -> Callable[[Callable[[Graph], Graph]], Callable[[Graph], Graph]]:
    """Enters the function below it into ``RULES`` at the next place."""

    def register(function: Callable[[Graph], Graph]) -> Callable[[Graph], Graph]:
        RULES[name] = Rule(name, reason, function, exact)
        return function

    return register


def lower(graph: Graph, *, approximate: bool = False, without: Collection[str] = ()) -> tuple[Graph, list[str]]:
    """The graph after the rules, and the names of the rules that changed it.

    Args:
        graph: Of ``convert.lowering.reading``.
        approximate: Whether the rules that are not exact are applied too.
        without: Rules to leave out.

    Raises:
        ValueError: There is no rule of a name in ``without``.
    """
    unknown = sorted(set(without) - set(RULES))
    if unknown:
        raise ValueError(
            f"expected rules out of {', '.join(RULES)} to leave out; came {', '.join(unknown)}; check --without"
        )
    used = []
    for entry in RULES.values():
        if entry.name in without or not (entry.exact or approximate):
            continue
        lowered = entry.apply(graph)
        if lowered is not graph:
            used.append(entry.name)
        graph = lowered
    return graph, used


@rule("drop-identity", "Dropout, noise and linear activations compute nothing at inference")
def drop_identity(graph: Graph) -> Graph:
    """Drops layers that compute nothing, and reshapes to the same shape."""
    for name in list(graph.nodes):
        node = graph[name]
        same_shape = node.kind == "reshape" and node.shape == graph[node.inputs[0]].shape
        if node.kind == "identity" or same_shape:
            graph = graph.without(node.name)
    return graph


@rule("drop-final-softmax", "the export puts one calibrated softmax after the logits of every network")
def drop_final_softmax(graph: Graph) -> Graph:
    """Drops a softmax at the very end."""
    last = graph[graph.output]
    if last.kind == "activation" and last.attributes["function"] == "softmax":
        return graph.without(last.name)
    return graph


@rule(
    "input-affine", "Rescaling and Normalization of the raw pixels become the scale and zero point of the uint8 input"
)
def fold_input_affine(graph: Graph) -> Graph:
    """Turns what normalizes the raw pixels into ``input_scale`` and ``input_zero_point``.

    Raises:
        UnsupportedLayerError: The channels differ, or the zero point is not a whole pixel value.
    """
    scale, offset = np.ones(3), np.zeros(3)
    path = INPUT
    while graph.is_private(INPUT) and graph.consumers(INPUT)[0].kind == "affine":
        node = graph.consumers(INPUT)[0]
        scale = scale * node.weights["scale"]
        offset = offset * node.weights["scale"] + node.weights["offset"]
        graph, path = graph.without(node.name), node.path
    if path == INPUT:
        return graph
    step = float(scale[0])
    zero_point = float(-offset[0] / step)
    uniform = np.allclose(scale, scale[0], rtol=1e-6) and np.allclose(offset, offset[0], rtol=1e-6, atol=1e-7)
    if uniform and step > 0 and abs(zero_point - round(zero_point)) <= 1e-3 and 0 <= round(zero_point) <= 255:
        return replace(graph, input_scale=step, input_zero_point=round(zero_point))
    readers = graph.consumers(INPUT)
    if len(readers) != 1 or readers[0].kind != "conv2d" or readers[0].attributes["padding"] != "valid":
        raise UnsupportedLayerError(
            f"expected pixels normalized by one scale and one whole zero point within 0..255, such as (x - 128) / 128, "
            f"or otherwise in front of one convolution that does not pad; "
            f"came scale {np.round(scale, 6).tolist()} and offset {np.round(offset, 6).tolist()} up to {path!r}; "
            "re-root the network on Rescaling(1/128, offset=-1) and train it so"
        )
    # x * scale + offset = (x - 128) / 128 * (128 scale) + (128 scale + offset), exact where nothing is padded.
    stem = readers[0]
    by_channel = (128 * scale)[:, None]
    constant = (128 * scale + offset)[:, None]
    bias = stem.weights["bias"] + (stem.weights["kernel"] * constant).sum(axis=(0, 1, 2))
    graph = graph.put(stem.with_weights(kernel=stem.weights["kernel"] * by_channel, bias=bias))
    return replace(graph, input_scale=1 / 128, input_zero_point=128)


@rule("fold-affine", "BatchNormalization goes into the kernel before it, so that its folded channels get a scale each")
def fold_affine(graph: Graph) -> Graph:
    """Scales the output channels of the kernel before an affine layer and moves its bias."""
    for name in list(graph.nodes):
        node = graph[name]
        if node.kind != "affine":
            continue
        source = graph[node.inputs[0]]
        if source.kind not in WEIGHTED or not graph.is_private(source.name):
            continue
        scale = np.broadcast_to(node.weights["scale"], source.shape[-1:]).astype(np.float64)
        by_channel = scale[:, None] if source.kind == "depthwise" else scale
        bias = source.weights["bias"] * scale + node.weights["offset"]
        graph = graph.put(source.with_weights(kernel=source.weights["kernel"] * by_channel, bias=bias))
        graph = graph.without(node.name)
    return graph


@rule("affine-to-depthwise", "a scale and an offset by channel that nothing can take is a 1x1 depthwise convolution")
def affine_to_depthwise(graph: Graph) -> Graph:
    """Replaces affine layers on pictures that are left."""
    settings = {"strides": (1, 1), "padding": "valid", "dilation": (1, 1)}
    for node in graph:
        if node.kind == "affine" and len(node.shape) == 3:
            channels = node.shape[-1:]
            kernel = np.broadcast_to(node.weights["scale"], channels).reshape(1, 1, -1, 1)
            bias = np.broadcast_to(node.weights["offset"], channels)
            bare = replace(node, kind="depthwise", attributes=settings, weights={})
            graph = graph.put(bare.with_weights(kernel=kernel, bias=bias))
    return graph


@rule("same-padding", "ZeroPadding2D that equals SAME padding of the convolution after it saves a PAD and a copy")
def fold_zero_padding(graph: Graph) -> Graph:
    """Merges explicit padding into the convolution where the two are the same."""
    for node in graph:
        if node.kind != "zero_pad" or not graph.is_private(node.name):
            continue
        reader = graph.consumers(node.name)[0]
        if reader.kind not in ("conv2d", "depthwise") or reader.attributes["padding"] != "valid":
            continue
        sizes = graph[node.inputs[0]].shape[:2]
        if all(_same_padding(reader, sizes, axis) == node.attributes["padding"][axis] for axis in (0, 1)):
            graph = graph.put(reader.with_attributes(padding="same")).without(node.name)
    return graph


def _same_padding(node: Node, sizes: tuple[int, ...], axis: int) -> tuple[int, int]:
    """(before, after) of TensorFlow's SAME padding along one axis."""
    stride, dilation = node.attributes["strides"][axis], node.attributes["dilation"][axis]
    reach = (node.weights["kernel"].shape[axis] - 1) * dilation + 1
    total = max((-(-sizes[axis] // stride) - 1) * stride + reach - sizes[axis], 0)
    return total // 2, total - total // 2


@rule("crop-padding", "taps of a kernel that see nothing but padding cost time and file size: 5x5 on 2x2 maps is 3x3")
def crop_padding_taps(graph: Graph) -> Graph:
    """Crops a SAME-padded kernel to the taps that meet the picture, where SAME padding of the smaller one agrees."""
    for node in graph:
        if node.kind not in ("conv2d", "depthwise") or node.attributes["padding"] != "same":
            continue
        sizes = graph[node.inputs[0]].shape[:2]
        rows, columns = (_taps_on_picture(node, sizes, axis) for axis in (0, 1))
        kernel = node.weights["kernel"][rows, columns]
        cropped = node.with_weights(kernel=kernel)
        before = [
            _same_padding(node, sizes, axis)[0] - taps.start * node.attributes["dilation"][axis]
            for axis, taps in enumerate((rows, columns))
        ]
        agrees = [_same_padding(cropped, sizes, axis)[0] for axis in (0, 1)] == before
        if agrees and kernel.size < node.weights["kernel"].size:
            graph = graph.put(cropped)
    return graph


def _taps_on_picture(node: Node, sizes: tuple[int, ...], axis: int) -> slice:
    """The taps along one axis that lie on the picture for at least one output, first to last; all, where none does."""
    size, stride, dilation = sizes[axis], node.attributes["strides"][axis], node.attributes["dilation"][axis]
    before, _ = _same_padding(node, sizes, axis)
    positions = np.arange(-(-size // stride))[:, None] * stride - before
    taps = np.arange(node.weights["kernel"].shape[axis])
    on_picture = positions + taps * dilation
    meets = ((on_picture >= 0) & (on_picture < size)).any(axis=0)
    first, last = (taps[meets][0], taps[meets][-1]) if meets.any() else (taps[0], taps[-1])
    return slice(int(first), int(last) + 1)


@rule(
    "keepdims-pooling", "squeeze-excite's pooling and Reshape would emit SHAPE and PACK and cut the graph at each block"
)
def keepdims_pooling(graph: Graph) -> Graph:
    """Merges pooling and the Reshape to [1, 1, channels] after it."""
    for name in [node.name for node in graph if node.kind == "global_average_pool"]:
        node = graph[name]
        if node.attributes["keepdims"] or not graph.is_private(name):
            continue
        reader = graph.consumers(node.name)[0]
        wanted = (1, 1, *node.shape)
        if reader.kind == "reshape" and reader.shape == wanted:
            graph = graph.put(replace(node, shape=wanted).with_attributes(keepdims=True)).without(reader.name)
    return graph


@rule("dense-on-pictures", "a Dense on rank 4 is a 1x1 convolution, which XNNPACK runs with weights by channel")
def dense_to_pointwise(graph: Graph) -> Graph:
    """Replaces Dense layers on pictures."""
    settings = {"strides": (1, 1), "padding": "valid", "dilation": (1, 1)}
    for node in graph:
        if node.kind == "dense" and len(node.shape) == 3:
            bare = replace(node, kind="conv2d", attributes=settings)
            graph = graph.put(bare.with_weights(kernel=node.weights["kernel"][None, None]))
    return graph


@rule("fold-norm", "a normalization's scale and offset go into the kernel after it: two float operators less each")
def fold_norm(graph: Graph) -> Graph:
    """Folds scale and offset into the one layer that reads them; a padded convolution would need them at its border.

    So too those of a BatchNormalization on rows, such as between pooling and Dense, which no kernel before it took.
    """
    for node in graph:
        if node.kind not in ("layer_norm", "affine") or not node.weights or not graph.is_private(node.name):
            continue
        reader = graph.consumers(node.name)[0]
        if reader.kind not in ("conv2d", "dense") or reader.attributes.get("padding") == "same":
            continue
        kernel = reader.weights["kernel"].astype(np.float64)
        inputs = tuple(range(kernel.ndim - 1))
        scale, offset = (np.broadcast_to(node.weights[key], node.shape[-1:])[:, None] for key in ("scale", "offset"))
        bias = reader.weights["bias"] + (kernel * offset).sum(axis=inputs)
        graph = graph.put(reader.with_weights(kernel=kernel * scale, bias=bias))
        graph = graph.without(node.name) if node.kind == "affine" else graph.put(replace(node, weights={}))
    return graph


@rule(
    "scaled-silu",
    "GELU(x) is nearly silu(1.702 x) / 1.702: int8 GELU runs outside XNNPACK, LOGISTIC and MUL inside",
    exact=False,
)
def gelu_to_scaled_silu(graph: Graph) -> Graph:
    """Replaces GELU between two layers with kernels, which take up the constants.

    Source: Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2.
    """
    for node in graph:
        if node.kind != "activation" or node.attributes["function"] != "gelu" or not graph.is_private(node.name):
            continue
        before, after = graph[node.inputs[0]], graph.consumers(node.name)[0]
        if before.kind not in WEIGHTED or after.kind not in WEIGHTED or not graph.is_private(before.name):
            continue
        scaled = {name: value * SILU_SLOPE for name, value in before.weights.items()}
        graph = graph.put(before.with_weights(**scaled)).put(node.with_attributes(function="silu"))
        graph = graph.put(after.with_weights(kernel=after.weights["kernel"] / SILU_SLOPE))
    return graph


@rule("split-silu", "swish is LOGISTIC and MUL, both int8 in XNNPACK; each gets its own scale")
def split_silu(graph: Graph) -> Graph:
    """Replaces swish by a sigmoid and a product."""
    for node in graph:
        if node.kind == "activation" and node.attributes["function"] == "silu":
            gate = replace(node, name=f"{node.name}_sigmoid").with_attributes(function="sigmoid")
            product = replace(node, kind="multiply", inputs=(*node.inputs, gate.name), attributes={})
            graph = graph.insert_before(gate, node.name).put(product)
    return graph


@rule("binary-sums", "ADD and MUL take two inputs: what lies between three has no range and would be float in int8")
def split_sums(graph: Graph) -> Graph:
    """Replaces a sum or product of three and more by a chain of twos, in order, each with a range of its own."""
    for node in graph:
        shapes = [graph[feed].shape for feed in node.inputs]
        if node.kind not in ("add", "multiply") or len(shapes) < 3 or len({len(shape) for shape in shapes}) > 1:
            continue
        total, shape = node.inputs[0], shapes[0]
        for index, (feed, other) in enumerate(zip(node.inputs[1:-1], shapes[1:-1], strict=True), start=1):
            shape = tuple(np.broadcast_shapes(shape, other))
            step = replace(node, name=f"{node.name}_of{index + 1}", inputs=(total, feed), shape=shape)
            graph, total = graph.insert_before(step, node.name), step.name
        graph = graph.put(replace(node, inputs=(total, node.inputs[-1])))
    return graph


@rule("split-depthwise", "XNNPACK has no depthwise micro-kernel past 25 taps: 7x7 becomes 21 + 20 + 8 taps, dilated")
def split_depthwise(graph: Graph) -> Graph:
    """Replaces a large depthwise kernel by a sum of dilated ones, each of taps that lie evenly about its centre.

    SAME padding puts each in its place, so that nothing is padded, cut or copied. The last sum takes the place of the
    layer.
    """
    for node in graph:
        if node.kind != "depthwise" or not _is_splittable(node):
            continue
        pieces = [_piece(node, index, *taps) for index, taps in enumerate(_pieces(node))]
        for piece in pieces:
            graph = graph.insert_before(piece, node.name)
        total = pieces[0].name
        for index, piece in enumerate(pieces[1:], start=1):
            add = Node(f"{node.name}_sum{index}", "add", (total, piece.name), node.shape, path=node.path)
            if index == len(pieces) - 1:
                graph = graph.put(replace(add, name=node.name))
            else:
                graph = graph.insert_before(add, node.name)
            total = add.name
    return graph


def _is_splittable(node: Node) -> bool:
    height, width = node.weights["kernel"].shape[:2]
    plain = (node.attributes["strides"], node.attributes["dilation"]) == ((1, 1), (1, 1))
    fits = height * width > MOST_TAPS >= 2 * height and width % 2 == 1
    return plain and fits and node.attributes["padding"] == "same"


def _pieces(node: Node) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """(rows, columns) of a kernel's pieces: every tap once, each piece evenly spaced and alike about the centre.

    A micro-kernel costs by its size, not by the taps it is given (instructions on a Pi for 16 channels and a pixel: 99
    up to 9 taps, 251 up to 25, a sum 39), so that 7x7 is cheapest as 7x3 + 5x4 + 2x4. Others are cut into columns.
    """
    height, width = node.weights["kernel"].shape[:2]
    if (height, width) == (7, 7):
        return SEVEN_BY_SEVEN
    rows, centre = tuple(range(height)), width // 2
    pairs = [(centre - far, centre + far) for far in range(centre, 0, -1)]
    middle = (centre,)
    columns = [(pairs[0][0], centre, pairs[0][1]), *pairs[1:]] if 3 * height <= MOST_TAPS else [middle, *pairs]
    return tuple((rows, chosen) for chosen in columns)


def _piece(node: Node, index: int, rows: tuple[int, ...], columns: tuple[int, ...]) -> Node:
    dilation = tuple(taps[1] - taps[0] if len(taps) > 1 else 1 for taps in (rows, columns))
    bias = node.weights["bias"] if index == 0 else np.zeros_like(node.weights["bias"])
    piece = node.with_weights(kernel=node.weights["kernel"][np.ix_(rows, columns)], bias=bias)
    return replace(piece.with_attributes(dilation=dilation), name=f"{node.name}_piece{index}")


@rule("fuse-relu", "ReLU and ReLU6 run inside the layer before them: one output range instead of two")
def fuse_activation(graph: Graph) -> Graph:
    """Merges ReLU and ReLU6 into the weighted layer before them."""
    for name in list(graph.nodes):
        node = graph[name]
        if node.kind != "activation" or node.attributes["function"] not in FUSED_ACTIVATIONS:
            continue
        source = graph[node.inputs[0]]
        if source.kind in WEIGHTED and graph.is_private(source.name) and "activation" not in source.attributes:
            graph = graph.put(source.with_attributes(activation=node.attributes["function"])).without(node.name)
    return graph


GREY = "grey_picture"
GREY_STEPS = (65, 127, 25)
"""``LUMINANCE`` on the int8 grid, of 217: they add up to 1, so that a grey picture passes unchanged."""


def fold_grey(graph: Graph) -> Graph:
    """A network trained on grey faces (r = g = b) that turns a coloured picture into grey by itself, in its stem.

    The first kernel's channels are summed (what it does to grey) and spread by the luminance weights; a linear map of
    normalized pixels, so padding stays exact. For float files; ``split_grey`` is for int8.

    Raises:
        UnsupportedLayerError: Something but one convolution reads the picture.
    """
    stem = _grey_stem(graph)
    kernel = stem.weights["kernel"].sum(axis=2, keepdims=True) * np.asarray(LUMINANCE, np.float32).reshape(1, 1, 3, 1)
    return graph.put(stem.with_weights(kernel=kernel))


def split_grey(graph: Graph) -> Graph:
    """A network trained on grey faces that turns a coloured picture into grey by a layer of its own, for int8.

    The stem then has one channel to read instead of three (``convert.lowering.layout``), the grey picture is rounded as
    an 8-bit grey picture is, and no fine-tuning can drive the channels apart.

    Raises:
        UnsupportedLayerError: Something but one convolution reads the picture.
    """
    stem = _grey_stem(graph)
    height, width, _ = graph.input_shape
    steps = np.asarray(GREY_STEPS, np.float32).reshape(1, 1, 3, 1)
    attributes = {"strides": (1, 1), "padding": "same", "dilation": (1, 1), "constant_range": graph.input_range}
    weights = {"kernel": steps / steps.sum(), "bias": np.zeros(1, np.float32)}
    grey = Node(GREY, "conv2d", (INPUT,), (height, width, 1), attributes, weights, path=stem.path)
    kernel = stem.weights["kernel"].sum(axis=2, keepdims=True)
    return graph.insert_before(grey, stem.name).put(replace(stem, inputs=(GREY,)).with_weights(kernel=kernel))


def _grey_stem(graph: Graph) -> Node:
    readers = graph.consumers(INPUT)
    if len(readers) != 1 or readers[0].kind != "conv2d":
        kinds = ", ".join(f"{node.kind} at {node.path!r}" for node in readers)
        raise UnsupportedLayerError(f"expected one Conv2D on the picture of a grey-trained network; came {kinds}")
    return readers[0]
