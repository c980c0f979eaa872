"""Reading a Keras 3 functional model into a flat ``convert.lowering.graph.Graph``.

First step of the conversion. Nested models are flattened; layers that compute nothing at inference become ``identity``.
A layer that is not in ``READERS`` is refused by its class and path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.lowering.graph import INPUT, Graph, Node
from train.networks.identities import IDENTITIES

Parts = list[tuple[str, dict[str, Any], dict[str, np.ndarray]]]
JOINS = ("Add", "Concatenate", "Multiply")
ACTIVATIONS = ("gelu", "linear", "relu", "relu6", "sigmoid", "silu", "softmax")


class UnsupportedLayerError(ValueError):
    """A layer or a setting that the converter has no exact rule for."""


def read(model: Any) -> Graph:
    """The flat graph of a Keras 3 functional or sequential model, nothing simplified yet.

    Args:
        model: ``keras.Model`` with one input [None, height, width, 3] of known size and one output [None, classes].

    Raises:
        UnsupportedLayerError: A layer, setting, input or output shape is not supported; the message names the path.
    """
    functional = _functional(model, "")
    if len(functional.inputs) != 1 or len(functional.outputs) != 1:
        raise UnsupportedLayerError(
            f"expected a model with one input and one output; came {len(functional.inputs)} and "
            f"{len(functional.outputs)}; convert the part that classifies"
        )
    shape = tuple(functional.inputs[0].shape[1:])
    if len(shape) != 3 or shape[2] != 3 or None in shape:
        raise UnsupportedLayerError(
            f"expected an input [None, height, width, 3] of fixed size; came {[None, *shape]}; "
            "build the model with a fixed picture size and three channels"
        )
    came = tuple(functional.outputs[0].shape)
    if len(came) != 2:
        raise UnsupportedLayerError(
            f"expected an output [None, classes]; came {list(came)}; end the model in GlobalAveragePooling2D "
            "or Flatten and Dense"
        )
    nodes = {INPUT: Node(INPUT, "input", (), shape, path=INPUT)}
    names = {id(functional.inputs[0]): INPUT}
    _read_into(functional, "", names, nodes)
    output = names[id(functional.outputs[0])]
    return Graph(nodes, output)


def _functional(model: Any, path: str) -> Any:
    """The functional graph behind a model: itself, or what a built Sequential wraps."""
    inner = getattr(model, "_functional", None) or model
    if not hasattr(inner, "_nodes_by_depth") or not getattr(inner, "inputs", None):
        raise UnsupportedLayerError(
            f"expected a functional or built sequential Keras model{f' at {path}' if path else ''}; came "
            f"{type(model).__name__} {getattr(model, 'name', '')!r}; subclassed models have no graph to read"
        )
    return inner


def _read_into(model: Any, prefix: str, names: dict[int, str], nodes: dict[str, Node]) -> None:
    """Appends the layers of one, possibly nested, model in order; ``names`` maps Keras tensors to layers."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for call in model._nodes_by_depth[depth]:
            layer = call.operation
            if type(layer).__name__ == "InputLayer":
                continue
            path = f"{prefix}{layer.name}"
            feeds = tuple(names[id(tensor)] for tensor in call.input_tensors)
            if hasattr(layer, "_nodes_by_depth") or hasattr(layer, "_functional"):
                inner = _functional(layer, path)
                names.update({id(inside): feed for inside, feed in zip(inner.inputs, feeds, strict=True)})
                _read_into(inner, f"{path}/", names, nodes)
                for inside, outside in zip(inner.outputs, call.outputs, strict=True):
                    names[id(outside)] = names[id(inside)]
                continue
            names[id(call.outputs[0])] = _read_layer(layer, path, feeds, call.outputs, nodes)


def _read_layer(layer: Any, path: str, feeds: tuple[str, ...], outputs: list[Any], nodes: dict[str, Node]) -> str:
    """Appends one layer (and the activation that it carries) and returns the name of its result."""
    kind = type(layer).__name__
    reader = READERS.get(kind)
    if reader is None or len(outputs) != 1:
        raise UnsupportedLayerError(
            f"expected layers that the converter can lower; came {kind} at {path!r}; "
            f"supported: {', '.join(sorted(READERS))}"
        )
    if kind in JOINS and len(feeds) < 2:  # x * 0.5 is Keras' operation Multiply, whose constant is no feed
        raise UnsupportedLayerError(
            f"expected {kind} at {path!r} to join two layers or more; came {len(feeds)} and a constant; use a "
            "Rescaling for constants"
        )
    shape = tuple(outputs[0].shape[1:])
    if None in shape:
        raise UnsupportedLayerError(f"expected fixed sizes; came {kind} at {path!r} giving {[None, *shape]}")
    name = ""
    for suffix, (part, attributes, weights) in enumerate(reader(layer, path)):
        name = _free_name(path if suffix == 0 else f"{path}_{part}", nodes)
        nodes[name] = Node(name, part, feeds, shape, attributes, weights, path)
        feeds = (name,)
    return name


def _free_name(path: str, nodes: dict[str, Node]) -> str:
    stem = path.replace("/", ".")
    name, count = stem, 1
    while name in nodes:
        name, count = f"{stem}_{count}", count + 1
    return name


# One function a layer class: what it computes, in the converter's terms.


def _array(value: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(value), np.float32)


def _require(fits: bool, path: str, expected: str, came: object) -> None:
    if not fits:
        raise UnsupportedLayerError(
            f"expected {expected} at {path!r}; came {came}; the converter has no exact rule for that"
        )


def _activation_parts(activation: Any, path: str) -> Parts:
    name = getattr(activation, "__name__", str(activation))
    name = {"swish": "silu"}.get(name, name)
    _require(name in ACTIVATIONS, path, f"an activation out of {', '.join(ACTIVATIONS)}", name)
    return [] if name == "linear" else [("activation", {"function": name}, {})]


def _bias(layer: Any, size: int) -> np.ndarray:
    return _array(layer.bias) if layer.use_bias else np.zeros(size, np.float32)


def _convolution(layer: Any, path: str) -> Parts:
    _require(layer.data_format == "channels_last", path, "channels_last", layer.data_format)
    kernel = _array(layer.kernel)
    by_channel = layer.groups > 1 and layer.groups == kernel.shape[3] and kernel.shape[2] == 1
    _require(layer.groups == 1 or by_channel, path, "one group, or one a channel", f"{layer.groups} groups")
    settings = {"strides": tuple(layer.strides), "padding": layer.padding, "dilation": tuple(layer.dilation_rate)}
    weights = {"kernel": kernel, "bias": _bias(layer, kernel.shape[-1])}
    if by_channel:
        weights["kernel"] = kernel.transpose(0, 1, 3, 2)
    return [("depthwise" if by_channel else "conv2d", settings, weights), *_activation_parts(layer.activation, path)]


def _depthwise(layer: Any, path: str) -> Parts:
    _require(layer.data_format == "channels_last", path, "channels_last", layer.data_format)
    _require(layer.depth_multiplier == 1, path, "depth multiplier 1", layer.depth_multiplier)
    kernel = _array(layer.kernel)
    settings = {"strides": tuple(layer.strides), "padding": layer.padding, "dilation": tuple(layer.dilation_rate)}
    weights = {"kernel": kernel, "bias": _bias(layer, kernel.shape[2])}
    return [("depthwise", settings, weights), *_activation_parts(layer.activation, path)]


def _dense(layer: Any, path: str) -> Parts:
    kernel = _array(layer.kernel)
    weights = {"kernel": kernel, "bias": _bias(layer, kernel.shape[1])}
    return [("dense", {}, weights), *_activation_parts(layer.activation, path)]


def _batch_norm(layer: Any, path: str) -> Parts:
    mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
    gamma = _array(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = _array(layer.beta) if layer.center else np.zeros_like(mean)
    _require(layer.axis in (-1, layer.input_spec.ndim - 1), path, "normalization over the last axis", layer.axis)
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + layer.epsilon)
    offset = beta - mean * scale
    return [("affine", {}, {"scale": scale.astype(np.float32), "offset": offset.astype(np.float32)})]


def _layer_norm(layer: Any, path: str) -> Parts:
    axis = layer.axis if isinstance(layer.axis, int) else tuple(layer.axis)
    rank = len(layer.input.shape)
    _require(axis in (-1, rank - 1, (-1,), (rank - 1,)), path, "normalization over the last axis", layer.axis)
    _require(not getattr(layer, "rms_scaling", False), path, "a LayerNormalization that subtracts the mean", "RMS")
    channels = layer.input.shape[-1]
    scale = _array(layer.gamma) if layer.scale else np.ones(channels, np.float32)
    offset = _array(layer.beta) if layer.center else np.zeros(channels, np.float32)
    return [("layer_norm", {"epsilon": float(layer.epsilon)}, {"scale": scale, "offset": offset})]


def _layer_scale(layer: Any, path: str) -> Parts:
    scale = _array(layer.gamma).reshape(-1)
    return [("affine", {}, {"scale": scale, "offset": np.zeros_like(scale)})]


def _rescaling(layer: Any, path: str) -> Parts:
    scale, offset = np.asarray(layer.scale, np.float32), np.asarray(layer.offset, np.float32)
    return [("affine", {}, {"scale": scale.reshape(-1), "offset": offset.reshape(-1)})]


def _normalization(layer: Any, path: str) -> Parts:
    mean, variance = _array(layer.mean).reshape(-1), _array(layer.variance).reshape(-1)
    deviation = np.maximum(np.sqrt(variance), 1e-7)
    _require(not layer.invert, path, "a Normalization that is not inverted", "invert=True")
    return [("affine", {}, {"scale": 1 / deviation, "offset": -mean / deviation})]


def _relu(layer: Any, path: str) -> Parts:
    plain = not layer.negative_slope and not layer.threshold
    _require(plain, path, "ReLU without slope or threshold", f"{layer.negative_slope}, {layer.threshold}")
    _require(layer.max_value in (None, 6), path, "max_value None or 6", layer.max_value)
    return [("activation", {"function": "relu" if layer.max_value is None else "relu6"}, {})]


def _pooling(layer: Any, path: str) -> Parts:
    _require(layer.data_format == "channels_last", path, "channels_last", layer.data_format)
    return [("global_average_pool", {"keepdims": bool(layer.keepdims)}, {})]


def _window(kind: str) -> Callable[[Any, str], Parts]:
    def read_pooling(layer: Any, path: str) -> Parts:
        _require(layer.data_format == "channels_last", path, "channels_last", layer.data_format)
        settings = {"window": tuple(layer.pool_size), "strides": tuple(layer.strides), "padding": layer.padding}
        return [(kind, settings, {})]

    return read_pooling


def _concatenate(layer: Any, path: str) -> Parts:
    _require(layer.axis in (-1, 3), path, "concatenation of channels", f"axis {layer.axis}")
    return [("concatenate", {}, {})]


def _zero_padding(layer: Any, path: str) -> Parts:
    (top, bottom), (left, right) = layer.padding
    return [("zero_pad", {"padding": ((int(top), int(bottom)), (int(left), int(right)))}, {})]


def _softmax(layer: Any, path: str) -> Parts:
    _require(layer.axis in (-1, 1), path, "softmax over the last axis", layer.axis)
    return [("activation", {"function": "softmax"}, {})]


def _plain(kind: str) -> Callable[[Any, str], Parts]:
    return lambda layer, path: [(kind, {}, {})]


READERS: dict[str, Callable[[Any, str], Parts]] = {
    "Activation": lambda layer, path: _activation_parts(layer.activation, path) or [("identity", {}, {})],
    "Add": _plain("add"),
    "AveragePooling2D": _window("average_pool"),
    "BatchNormalization": _batch_norm,
    "Concatenate": _concatenate,
    "Conv2D": _convolution,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Flatten": _plain("reshape"),
    "GlobalAveragePooling2D": _pooling,
    "LayerNormalization": _layer_norm,
    "LayerScale": _layer_scale,
    "MaxPooling2D": _window("max_pool"),
    "Multiply": _plain("multiply"),
    "Normalization": _normalization,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _plain("reshape"),
    "Softmax": _softmax,
    "ZeroPadding2D": _zero_padding,
    **dict.fromkeys(IDENTITIES, _plain("identity")),
}
