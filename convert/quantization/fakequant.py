"""The fake-quant network: tfmot's annotation of a lowered graph from a table of layer kinds.

After ``convert.lowering.emission``, before ``convert.quantization.finetune`` and ``convert.tflite.export``. tfmot's
default scheme is not used: it has no rule for Multiply, quantizes depthwise kernels as one tensor and learns the
input's range (2/255, not 1/128).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from tensorflow_model_optimization.python.core.quantization.keras.quantize import (
    quantize_annotate_layer,
    quantize_apply,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_config import QuantizeConfig
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layout_transform import (
    QuantizeLayoutTransform,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_registry import QuantizeRegistry
from tensorflow_model_optimization.python.core.quantization.keras.quantize_scheme import QuantizeScheme
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import Quantizer

from convert.lowering.emission import emit, with_trained_weights
from convert.lowering.graph import FLOAT_KINDS, INPUT, Graph, Node
from convert.lowering.layout import lay_out
from convert.lowering.normalization import ChannelNorm
from convert.quantization.quantizers import ChannelQuantizer, FixedQuantizer, RangeQuantizer, snap_kernel

PREFIX = "quant_"
KERNEL_AXIS = {"conv2d": 3, "depthwise": 2, "dense": 1}
RANGED = ("add", "concatenate", "conv2d", "dense", "depthwise", "global_average_pool", "layer_norm", "multiply")
SAME_SCALE = ("average_pool", "max_pool", "reshape", "zero_pad")
UNIT_FUNCTIONS = ("sigmoid", "softmax")
UNIT_RANGE = (0.0, 255 / 256)
"""TFLite fixes LOGISTIC's and SOFTMAX's int8 output at scale 1/256, zero point -128."""


class LayerConfig(QuantizeConfig):
    """What tfmot quantizes of one layer: its kernel, or nothing, and its output after the fused activation.

    Args:
        kernel_axis: Output-channel axis of the kernel; None for a layer without one.
        output: (minimum, maximum) of a fixed range; None to learn it.
    """

    def __init__(self, kernel_axis: int | None = None, output: tuple[float, float] | None = None) -> None:
        self.kernel_axis, self.output = kernel_axis, output

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Quantizer]]:
        """The kernel, by channel."""
        return [] if self.kernel_axis is None else [(_kernel(layer), ChannelQuantizer(self.kernel_axis))]

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Quantizer]]:
        """Nothing: a fused activation is quantized as the layer's output."""
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Puts the quantized kernel in the layer's place for it while tfmot calls the layer."""
        if quantize_weights:
            setattr(layer, _kernel_name(layer), quantize_weights[0])

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """Does nothing, as there are none."""

    def get_output_quantizers(self, layer: Any) -> list[Quantizer]:
        """One, with a learned or a fixed range."""
        return [RangeQuantizer() if self.output is None else FixedQuantizer(*self.output)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"kernel_axis": self.kernel_axis, "output": self.output}


# tfmot replaces the attribute by the quantized tensor while it calls the layer.
def _kernel_name(layer: Any) -> str:
    return "depthwise_kernel" if hasattr(layer, "depthwise_kernel") else "kernel"


def _kernel(layer: Any) -> Any:
    return getattr(layer, _kernel_name(layer))


class _NoTransform(QuantizeLayoutTransform):
    """The rules of ``convert.lowering.rules`` have rewritten the network already."""

    def apply(self, model: Any, layer_quantize_map: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return model, layer_quantize_map


class _NoRegistry(QuantizeRegistry):
    """Every layer is annotated by ``config_of``; nothing is looked up by class."""

    def supports(self, layer: Any) -> bool:
        return False

    def get_quantize_config(self, layer: Any) -> QuantizeConfig:
        raise ValueError(f"expected an annotated layer; came {layer.name!r} without a configuration")


class TableScheme(QuantizeScheme):
    """tfmot's scheme in which only the annotations count."""

    def get_layout_transformer(self) -> QuantizeLayoutTransform:
        """None in effect."""
        return _NoTransform()

    def get_quantize_registry(self) -> QuantizeRegistry:
        """An empty one."""
        return _NoRegistry()


def config_of(node: Node, kernels: bool = True) -> LayerConfig | None:
    """The quantization of one layer by its kind; None where it keeps its input's scale (reshape, padding).

    Args:
        node: Of a lowered graph.
        kernels: Whether its kernel is quantized.

    Raises:
        ValueError: The table has no row for that kind.
    """
    if node.kind in SAME_SCALE:
        return None
    if "constant_range" in node.attributes:
        return LayerConfig(output=node.attributes["constant_range"])
    if node.kind in KERNEL_AXIS:
        return LayerConfig(KERNEL_AXIS[node.kind] if kernels else None)
    if node.kind in RANGED:
        return LayerConfig()
    if node.kind == "activation" and node.attributes["function"] in UNIT_FUNCTIONS:
        return LayerConfig(output=UNIT_RANGE)
    if node.kind == "activation":
        return LayerConfig()
    raise ValueError(
        f"expected a kind with a row in the table; came {node.kind} at {node.path!r}; "
        "add it to convert.quantization.fakequant"
    )


def fake_quantize(graph: Graph, kernels: bool = True, kept: frozenset[str] = frozenset()) -> Any:
    """The tfmot model of a lowered graph, its activation ranges not yet set (``calibrate``).

    Takes the normalized picture like ``emit``'s model and gives fake-quantized logits.

    Args:
        graph: Lowered.
        kernels: Whether kernels are fake-quantized; without it they are used as they are (``for_export``).
        kept: Layers that compute in float (``convert.tflite.islands``).
    """
    from tf_keras import layers
    from tf_keras.utils import custom_object_scope

    free = unrounded(graph, kept)

    def wrap(layer: Any, node: Node) -> Any:
        config = config_of(node, kernels and node.name not in kept)
        return layer if config is None or node.name in free else quantize_annotate_layer(layer, config)

    pixels = layers.Activation("linear", name="pixels")
    with custom_object_scope({"LayerConfig": LayerConfig, "ChannelNorm": ChannelNorm}):
        entry = quantize_annotate_layer(pixels, LayerConfig(output=graph.input_range))
        return quantize_apply(emit(graph, wrap, entry), scheme=TableScheme(), quantized_layer_name_prefix=PREFIX)


def unrounded(graph: Graph, kept: Collection[str]) -> frozenset[str]:
    """The layers among ``kept`` whose result is not rounded: all its readers compute in float as well.

    A result is rounded for all its readers or for none, so that each layer means one thing.
    """

    def is_float(node: Node) -> bool:
        return node.name in kept or node.kind in FLOAT_KINDS

    return frozenset(
        name for name in kept if name != graph.output and all(is_float(reader) for reader in graph.consumers(name))
    )


def calibrate(model: Any, graph: Graph, batches: Iterable[np.ndarray]) -> dict[str, tuple[float, float]]:
    """Sets the activation ranges of a fake-quant model from the float network; gives them by layer.

    A range is the mean over the batches of each batch's least and largest value, widened to hold 0.

    Args:
        model: Of ``fake_quantize(graph)``; changed in place.
        graph: The lowered graph.
        batches: Normalized pictures, float32 [n, height, width, 3] each.

    Raises:
        ValueError: There was no batch.
    """
    import tensorflow as tf
    import tf_keras

    float_model = emit(graph)
    variables = {layer.name.removeprefix(PREFIX): layer._output_quantizer_vars for layer in ranged_layers(model)}
    outputs = [float_model.get_layer(name).output for name in variables]

    @tf.function(jit_compile=False)
    def extremes(pictures: Any) -> tuple[Any, Any]:
        came = probe(pictures, training=False)
        values = came if len(outputs) > 1 else [came]
        return tf.stack([tf.reduce_min(v) for v in values]), tf.stack([tf.reduce_max(v) for v in values])

    probe = tf_keras.Model(float_model.input, outputs)
    seen = [[part.numpy() for part in extremes(tf.constant(pictures))] for pictures in batches]
    if not seen:
        raise ValueError("expected calibration pictures; came none; give a data set with a training part")
    lowest, highest = np.minimum(np.mean([s[0] for s in seen], 0), 0), np.maximum(np.mean([s[1] for s in seen], 0), 0)
    ranges = {}
    for (name, pair), low, high in zip(variables.items(), lowest, highest, strict=True):
        high = max(high, low + 1e-6)
        pair["minimum"].assign(low)
        pair["maximum"].assign(high)
        ranges[name] = (float(low), float(high))
    return ranges


def for_export(graph: Graph, model: Any, kept: frozenset[str] = frozenset()) -> Any:
    """The same network with its kernels and biases put on their integer grids as constants, for TFLiteConverter.

    It is also what a file must agree with. A bias is int32 at input scale times kernel scale. Left off that grid, one
    value of the stem in a thousand comes out a step away; the next layers multiply that, until by the third stage every
    second value differs and 1.4 % of the pictures change their class (FER2013, EfficientNet-Lite0 at 56 pixels).

    Args:
        graph: The lowered graph that ``model`` was made of.
        model: Fake-quant, calibrated, perhaps fine-tuned; not changed.
        kept: Layers that compute in float: their weights stay off the grid, and results that only such layers read are
            not rounded.
    """
    trained = lay_out(with_trained_weights(graph, model))
    for node in trained:
        if node.kind in KERNEL_AXIS and node.name not in kept:
            kernel, scale = snap_kernel(node.weights["kernel"], KERNEL_AXIS[node.kind])
            low, high = output_range(trained, model, node.inputs[0])
            step = (high - low) / 255 * scale.astype(np.float64)
            bias = np.round(node.weights["bias"] / step) * step
            trained = trained.put(node.with_weights(kernel=kernel, bias=bias))
    snapped = fake_quantize(trained, kernels=False, kept=kept)
    ranges = {layer.name: layer._output_quantizer_vars for layer in ranged_layers(model)}
    for layer in ranged_layers(snapped):
        for key, variable in layer._output_quantizer_vars.items():
            variable.assign(ranges[layer.name][key])
    return snapped


def output_range(graph: Graph, model: Any, name: str) -> tuple[float, float]:
    """(minimum, maximum) of a layer's output in a fake-quant model; of its input's where it keeps that.

    Args:
        graph: That ``model`` was made of.
        model: Fake-quant, calibrated.
        name: Of the layer.
    """
    node = graph[name]
    if node.kind in SAME_SCALE:
        return output_range(graph, model, node.inputs[0])
    if name == INPUT:
        return graph.input_range
    if node.kind == "activation" and node.attributes["function"] in UNIT_FUNCTIONS:
        return UNIT_RANGE
    if "constant_range" in node.attributes:
        low, high = node.attributes["constant_range"]
        return float(low), float(high)
    variables = model.get_layer(f"{PREFIX}{name}")._output_quantizer_vars
    return float(variables["minimum"]), float(variables["maximum"])


def ranged_layers(model: Any) -> list[Any]:
    """The wrapped layers of a fake-quant model whose output range is learned."""
    return [layer for layer in model.layers if getattr(layer, "_output_quantizer_vars", None)]
