"""Building the tf_keras functional model of a lowered graph: one function a kind of layer.

After ``convert.lowering.rules``; what it builds is what tfmot annotates and TFLiteConverter exports. It takes the
normalized picture float32 [batch, height, width, 3] = (raw - zero point) * scale and gives logits float32
[batch, classes].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.lowering.graph import INPUT, Graph, Node
from convert.lowering.reading import UnsupportedLayerError

Wrap = Callable[[Any, Node], Any]


def emit(graph: Graph, wrap: Wrap | None = None, entry: Any = None) -> Any:
    """The ``tf_keras.Model`` of a graph, with its weights.

    Args:
        graph: Lowered; every kind must be in ``EMITTERS``.
        wrap: Called with each new layer and its node, gives the layer to use in its place (the annotation for QAT).
        entry: A layer to put right behind the input.

    Raises:
        UnsupportedLayerError: The rules left a layer that has no form in the exported network.
    """
    import tf_keras

    picture = tf_keras.Input(graph.input_shape, name=INPUT)
    tensors = {INPUT: picture if entry is None else entry(picture)}
    for node in graph:
        if node.name == INPUT:
            continue
        if node.kind not in EMITTERS:
            raise UnsupportedLayerError(
                f"expected layers that the rules can place; came {node.kind} at {node.path!r}, which nothing took up; "
                f"supported after the rules: {', '.join(sorted(EMITTERS))}"
            )
        layer = EMITTERS[node.kind](node)
        layer.trainable = "constant_range" not in node.attributes
        feeds = [tensors[name] for name in node.inputs]
        used = layer if wrap is None else wrap(layer, node)
        tensors[node.name] = used(feeds[0] if len(feeds) == 1 else feeds)
        if node.weights:
            layer.set_weights(list(node.weights.values()))
    return tf_keras.Model(picture, tensors[graph.output], name="lowered")


def with_trained_weights(graph: Graph, model: Any) -> Graph:
    """The graph with the kernels and biases of a model that ``emit`` made of it (as is, or wrapped by tfmot)."""
    layers = {layer.name.removeprefix("quant_"): layer for layer in model.layers}
    for node in graph:
        if "kernel" in node.weights and "constant_range" not in node.attributes:
            graph = graph.put(node.with_weights(**_kernel_and_bias(layers[node.name])))
    return graph


def _kernel_and_bias(layer: Any) -> dict[str, np.ndarray]:
    """The variables of a layer; a wrapped one's own ``kernel`` is tfmot's quantized tensor, so the list is searched."""
    found = {}
    for variable in layer.trainable_weights:
        key = "bias" if variable.name.split(":")[0].endswith("bias") else "kernel"
        found[key] = np.asarray(variable.numpy())
    if sorted(found) != ["bias", "kernel"]:
        raise ValueError(f"expected one kernel and one bias at {layer.name!r}; came {sorted(found)}")
    return found


def _conv2d(node: Node) -> Any:
    from tf_keras import layers

    height, width, _, filters = node.weights["kernel"].shape
    return layers.Conv2D(filters, (height, width), **_settings(node))


def _depthwise(node: Node) -> Any:
    from tf_keras import layers

    return layers.DepthwiseConv2D(node.weights["kernel"].shape[:2], **_settings(node))


def _settings(node: Node) -> dict[str, Any]:
    keys = node.attributes
    return {
        "strides": keys["strides"],
        "padding": keys["padding"],
        "dilation_rate": keys["dilation"],
        "activation": _function(keys.get("activation", "linear")),
        "name": node.name,
    }


def _dense(node: Node) -> Any:
    from tf_keras import layers

    activation = _function(node.attributes.get("activation", "linear"))
    return layers.Dense(node.weights["kernel"].shape[1], activation=activation, name=node.name)


def _activation(node: Node) -> Any:
    from tf_keras import layers

    return layers.Activation(_function(node.attributes["function"]), name=node.name)


def _function(name: str) -> Any:
    """tf_keras' own function, or ReLU6 as TensorFlow's single operator."""
    import tensorflow as tf

    return tf.nn.relu6 if name == "relu6" else name


def _add(node: Node) -> Any:
    from tf_keras import layers

    return layers.Add(name=node.name)


def _multiply(node: Node) -> Any:
    from tf_keras import layers

    return layers.Multiply(name=node.name)


def _global_average_pool(node: Node) -> Any:
    from tf_keras import layers

    return layers.GlobalAveragePooling2D(keepdims=node.attributes["keepdims"], name=node.name)


def _reshape(node: Node) -> Any:
    from tf_keras import layers

    return layers.Reshape(node.shape, name=node.name)


def _layer_norm(node: Node) -> Any:
    from convert.lowering.normalization import ChannelNorm

    return ChannelNorm(node.attributes["epsilon"], plain=not node.weights, name=node.name)


def _max_pool(node: Node) -> Any:
    from tf_keras import layers

    keys = node.attributes
    return layers.MaxPooling2D(keys["window"], keys["strides"], keys["padding"], name=node.name)


def _average_pool(node: Node) -> Any:
    from tf_keras import layers

    keys = node.attributes
    return layers.AveragePooling2D(keys["window"], keys["strides"], keys["padding"], name=node.name)


def _concatenate(node: Node) -> Any:
    from tf_keras import layers

    return layers.Concatenate(name=node.name)


def _zero_pad(node: Node) -> Any:
    from tf_keras import layers

    return layers.ZeroPadding2D(node.attributes["padding"], name=node.name)


EMITTERS: dict[str, Callable[[Node], Any]] = {
    "activation": _activation,
    "add": _add,
    "average_pool": _average_pool,
    "concatenate": _concatenate,
    "conv2d": _conv2d,
    "dense": _dense,
    "depthwise": _depthwise,
    "global_average_pool": _global_average_pool,
    "layer_norm": _layer_norm,
    "max_pool": _max_pool,
    "multiply": _multiply,
    "reshape": _reshape,
    "zero_pad": _zero_pad,
}
