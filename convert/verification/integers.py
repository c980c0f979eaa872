"""The fake-quant network computed in integers, step for step as XNNPACK computes the int8 file of it.

``convert.verification.checks`` asks of every int8 file that it gives the classes of its network. In float32 the network
itself cannot say: where a sum lies on the border of two steps, float arithmetic and integers round it apart, one value
in some hundred thousand, and in a deep network with swish and squeeze-and-excite that one moves others until classes
differ (EfficientNet-B0: 98.8 % of the pictures agree, though no layer is at fault). So the network's kernels and
biases, its layers and its ranges are computed here as integers; a file that differs differs in what it computes.

Kernels, sums, products, means, average pools and sigmoids are integers; any other layer (a normalization, one kept in
float) is the network's own float layer, rounded to its output's step, where a tie may still fall either way. Around a
concatenation TFLiteConverter merges scales, so that values there are a step apart. Only the scales' last bits are the
file's, which holds them in float32.

Source: XNNPACK, src/qs8-*/ (fp32 requantization: accumulator times float32 scale, rounded to the nearest, ties to
even), src/microparams-init.c (fixed-point factors of qs8-vadd), src/operators/unary-elementwise-nc.c (tables);
TFLite, kernels/internal/reference/integer_ops/pooling.h (AveragePool).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.lowering.graph import INPUT, Graph, Node
from convert.lowering.parity import normalize
from convert.quantization.fakequant import KERNEL_AXIS, PREFIX, SAME_SCALE, output_range
from convert.quantization.quantizers import snap_kernel
from convert.tflite.inspection import KERNEL_OPERATORS
from convert.verification.layer_error import keeping_interpreter, layer_tensors

LEAST, MOST = -128, 127
EXACT_IN_FLOAT32 = 2**24
"""Whole numbers below it are exact in float32; larger sums are taken in float64."""
SAME_TO_ROUNDING = 1e-5
"""Relative difference below which a file's scale is the network's, rounded otherwise."""
ADD_BITS = 20
MOST_INPUTS = 2
"""TFLite makes several sums of one with more."""
BATCH = 128


@dataclass(frozen=True)
class Steps:
    """How the integers of one tensor are to be read: value = (integer - zero_point) * scale."""

    scale: np.float32
    zero_point: int

    def read(self, integers: Any) -> Any:
        """Float32 values of a TensorFlow tensor of integers in float32."""
        return (integers - float(self.zero_point)) * self.scale

    def rounded(self, values: Any) -> Any:
        """Integers in float32, ties to even, of float32 values."""
        import tensorflow as tf

        return tf.clip_by_value(tf.round(values / self.scale) + float(self.zero_point), LEAST, MOST)


class IntegerNetwork:
    """A fake-quant network whose int8 layers compute in integers; call it with pictures for its logits.

    Operators run one by one: TensorFlow's graph optimizer rearranges them and moves ties.

    Attributes:
        steps: By layer, of those whose output is integers.
        kernels: By layer, of those that compute in integers: kernel and bias as whole numbers in float64, and the
            kernel's scales float32 [channels].
    """

    def __init__(self, flatbuffer: bytes, graph: Graph, reference: Any) -> None:
        """Takes the layers of the network and the scales' last bits from the file.

        Args:
            flatbuffer: The int8 file, for its scales alone.
            graph: Of the exported network (``convert.lowering.layout.lay_out``); its weights are not looked at.
            reference: Of ``convert.quantization.fakequant.for_export``: kernels and biases on their grids, ranges set.
        """
        self.graph, self.reference = graph, reference
        interpreter = keeping_interpreter(flatbuffer)
        self.tensors = {
            name: details for name, details in layer_tensors(interpreter, graph).items() if details["dtype"] == np.int8
        }
        self._in_float = _in_float(interpreter, self.tensors)
        self.steps = {INPUT: Steps(np.float32(graph.input_scale), graph.input_zero_point + LEAST)}
        for node in graph:
            if node.name in self.tensors:
                self.steps[node.name] = self._steps_of(node)
            elif node.kind == "reshape" and node.inputs[0] in self.steps:
                self.steps[node.name] = self.steps[node.inputs[0]]
        scales = _kernel_scales(interpreter, self.tensors)
        layers = [node for node in graph if node.name in scales and self._is_integer(node)]
        self.kernels = {node.name: self._kernel(node, scales[node.name]) for node in layers}

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Logits float32 [n, classes] for raw pictures uint8 [n, height, width, 3]."""
        import tensorflow as tf

        rows = []
        for start in range(0, len(pictures), BATCH):
            batch = pictures[start : start + BATCH]
            rows.append(self._logits(tf.constant(normalize(batch, self.graph))).numpy())
        return np.concatenate(rows) if rows else np.zeros((0, *self.graph[self.graph.output].shape), np.float32)

    def layer(self, name: str, feeds: list[Any]) -> Any:
        """One layer's output from its inputs: integers in float32 where ``steps`` has its name, else float values.

        Args:
            name: Of the layer.
            feeds: TensorFlow tensors float32 [n, ...], each integers where ``steps`` has that input's name.
        """
        node = self.graph[name]
        if self._is_integer(node) and (node.kind not in KERNEL_AXIS or name in self.kernels):
            compute = _INTEGER.get(node.kind if node.kind != "activation" else str(node.attributes["function"]))
            if compute is not None:
                return compute(self, node, feeds)
        values = [
            self.steps[feed].read(value) if feed in self.steps else value
            for feed, value in zip(node.inputs, feeds, strict=True)
        ]
        came = self.layer_of(name)(values[0] if len(values) == 1 else values, training=False)
        return self.steps[name].rounded(came) if name in self.steps else came

    def layer_of(self, name: str) -> Any:
        """The network's own layer, wrapped by tfmot or not."""
        names = {layer.name for layer in self.reference.layers}
        return self.reference.get_layer(PREFIX + name if PREFIX + name in names else name)

    def _is_integer(self, node: Node) -> bool:
        is_known = all(name in self.steps for name in (node.name, *node.inputs))
        return is_known and node.name not in self._in_float and len(node.inputs) <= MOST_INPUTS

    def _kernel(self, node: Node, file_scales: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        layer = self.layer_of(node.name)
        kernel, bias = (np.asarray(value) for value in getattr(layer, "layer", layer).get_weights()[:2])
        _, own = snap_kernel(kernel, KERNEL_AXIS[node.kind])
        scales = _settled(own, file_scales)
        shaped = scales[:, np.newaxis] if node.kind == "depthwise" else scales
        step = self.steps[node.inputs[0]].scale.astype(np.float64) * scales
        return np.rint(kernel / shaped).astype(np.float64), np.rint(bias / step), scales

    def _logits(self, pictures: Any) -> Any:
        values = {INPUT: self.steps[INPUT].rounded(pictures)}
        for node in self.graph:
            if node.name != INPUT:
                values[node.name] = self.layer(node.name, [values[feed] for feed in node.inputs])
        output = self.graph.output
        return self.steps[output].read(values[output]) if output in self.steps else values[output]

    def _steps_of(self, node: Node) -> Steps:
        """The network's own, with the file's last bits: a file with other ranges is to differ."""
        scale, zero_point = self.tensors[node.name]["quantization"]
        if node.kind in SAME_SCALE:
            return Steps(np.float32(scale), int(zero_point))
        low, high = output_range(self.graph, self.reference, node.name)
        own = np.float32((high - low) / 255)
        settled = _settled(own, np.float32(scale))
        return Steps(np.float32(settled), int(zero_point) if settled == np.float32(scale) else LEAST - round(low / own))


def _settled(own: Any, file: Any) -> np.ndarray:
    """The file's scales where they are the network's own but for float32's last bits, else the network's."""
    own, file = np.asarray(own, np.float32), np.asarray(file, np.float32)
    return file if own.shape == file.shape and bool(np.all(np.abs(file / own - 1) < SAME_TO_ROUNDING)) else own


def _kernel_scales(interpreter: Any, tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The scales float32 [channels] of each layer's kernel in the file."""
    details = {entry["index"]: entry for entry in interpreter.get_tensor_details()}
    layer_by_tensor = {int(entry["index"]): name for name, entry in tensors.items()}
    found = {}
    for entry in interpreter._get_ops_details():
        name = layer_by_tensor.get(int(entry["outputs"][0]))
        if name is not None and entry["op_name"] in KERNEL_OPERATORS:
            kernel = details[int(entry["inputs"][1])]
            found[name] = np.asarray(kernel["quantization_parameters"]["scales"], np.float32)
    return found


def _in_float(interpreter: Any, tensors: Mapping[str, Any]) -> set[str]:
    """The layers whose integers in the file only round what was computed before (``convert.tflite.islands``)."""
    rounded = {int(e["outputs"][0]) for e in interpreter._get_ops_details() if e["op_name"] == "QUANTIZE"}
    return {name for name, details in tensors.items() if int(details["index"]) in rounded}


def _centred(network: IntegerNetwork, node: Node, feeds: list[Any]) -> list[Any]:
    """The inputs less their zero points."""
    return [value - float(network.steps[feed].zero_point) for feed, value in zip(node.inputs, feeds, strict=True)]


def _requantized(accumulator: Any, factor: np.ndarray | np.float32, steps: Steps, activation: str = "linear") -> Any:
    """Integers of the output from whole accumulators; the activation is a border of its integers."""
    import tensorflow as tf

    least, most = float(LEAST), float(MOST)
    if activation in ("relu", "relu6"):
        least = float(max(LEAST, steps.zero_point))
    if activation == "relu6":
        most = float(min(MOST, np.rint(np.float32(6) / steps.scale) + steps.zero_point))
    rounded = tf.round(tf.cast(accumulator, tf.float32) * factor) + float(steps.zero_point)
    return tf.clip_by_value(rounded, least, most)


def _kernel_layer(network: IntegerNetwork, node: Node, feeds: list[Any]) -> Any:
    import tensorflow as tf

    (source,), steps = _centred(network, node, feeds), network.steps[node.name]
    kernel, bias, scales = network.kernels[node.name]
    reach = np.abs(kernel).sum(axis=tuple(i for i in range(kernel.ndim) if i != KERNEL_AXIS[node.kind]))
    exact = float((255 * reach + np.abs(bias)).max()) < EXACT_IN_FLOAT32
    dtype = tf.float32 if exact else tf.float64
    source, weights = tf.cast(source, dtype), tf.constant(kernel, dtype)
    keys = node.attributes
    if node.kind == "dense":
        came = tf.matmul(source, weights)
    elif node.kind == "conv2d":
        came = tf.nn.conv2d(source, weights, keys["strides"], keys["padding"].upper(), dilations=keys["dilation"])
    else:
        strides = (1, *keys["strides"], 1)
        came = tf.nn.depthwise_conv2d(source, weights, strides, keys["padding"].upper(), dilations=keys["dilation"])
    factor = (network.steps[node.inputs[0]].scale * scales / steps.scale).astype(np.float32)
    return _requantized(tf.round(came) + tf.constant(bias, dtype), factor, steps, keys.get("activation", "linear"))


def _multiply(network: IntegerNetwork, node: Node, feeds: list[Any]) -> Any:
    first, second = _centred(network, node, feeds)
    one, other = (network.steps[feed].scale for feed in node.inputs)
    steps = network.steps[node.name]
    return _requantized(first * second, np.float32(one * other) / steps.scale, steps)


def _add(network: IntegerNetwork, node: Node, feeds: list[Any]) -> Any:
    """Fixed-point, as XNNPACK adds: factors of 20 bits, one shift, rounded half up."""
    import tensorflow as tf

    steps = network.steps[node.name]
    ratios = [np.float32(network.steps[feed].scale / steps.scale) for feed in node.inputs]
    shift = ADD_BITS - (int(np.frexp(max(ratios))[1]) - 1)
    factors = [int(np.rint(np.ldexp(np.float64(ratio), shift))) for ratio in ratios]
    terms = [
        tf.cast(value, tf.int32) * factor for value, factor in zip(_centred(network, node, feeds), factors, strict=True)
    ]
    total = tf.bitwise.right_shift(terms[0] + terms[1] + (1 << (shift - 1)), shift)
    return tf.clip_by_value(tf.cast(total, tf.float32) + float(steps.zero_point), LEAST, MOST)


def _mean(network: IntegerNetwork, node: Node, feeds: list[Any]) -> Any:
    import tensorflow as tf

    (source,), steps = _centred(network, node, feeds), network.steps[node.name]
    height, width = network.graph[node.inputs[0]].shape[:2]
    total = tf.reduce_sum(source, axis=(1, 2), keepdims=bool(node.attributes["keepdims"]))
    factor = network.steps[node.inputs[0]].scale / (steps.scale * np.float32(height * width))
    return _requantized(total, np.float32(factor), steps)


def _average_pool(network: IntegerNetwork, node: Node, feeds: list[Any]) -> Any:
    """TFLite's own kernel, which XNNPACK leaves to it: ties away from zero, padding not counted, the scale kept."""
    import tensorflow as tf

    keys, channels = node.attributes, node.shape[-1]
    window = tf.ones((*keys["window"], channels, 1))
    strides, padding = (1, *keys["strides"], 1), keys["padding"].upper()
    total = tf.nn.depthwise_conv2d(feeds[0], window, strides, padding)
    count = tf.nn.depthwise_conv2d(tf.ones_like(feeds[0]), window, strides, padding)
    return tf.sign(total) * tf.floor((tf.abs(total) + tf.floor(count / 2)) / count)


def _sigmoid(network: IntegerNetwork, node: Node, feeds: list[Any]) -> Any:
    """A table of 256 entries, worked out in float32."""
    import tensorflow as tf

    source, steps = network.steps[node.inputs[0]], network.steps[node.name]
    values = source.scale * np.arange(LEAST - source.zero_point, MOST + 1 - source.zero_point).astype(np.float32)
    with np.errstate(over="ignore"):  # 1 / infinity is the 0 that is meant
        sigmoid = np.float32(1) / (np.float32(1) + np.exp(-values))
    entries = np.clip(np.rint(sigmoid / steps.scale) + steps.zero_point, LEAST, MOST)
    return tf.gather(tf.constant(entries, tf.float32), tf.cast(feeds[0], tf.int32) - LEAST)


_INTEGER: dict[str, Any] = {
    "add": _add,
    "average_pool": _average_pool,
    "conv2d": _kernel_layer,
    "dense": _kernel_layer,
    "depthwise": _kernel_layer,
    "global_average_pool": _mean,
    "multiply": _multiply,
    "sigmoid": _sigmoid,
}
