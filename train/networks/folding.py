"""A network for inference alone: every batch norm folded into the convolution or dense layer before it.

Outside training a batch norm is a factor and a summand a channel, which the kernel and the bias before it can take up.
What is gone are two passes over every activation, which on a CPU are a large part of a small network's time.

Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", section 3.2.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from train.networks.layers import containers, leaves

# These classes themselves: a subclass may compute something else.
_KERNELS = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)


class _Nothing(layers.Layer):
    """Stands where a batch norm was, in its precision, and takes the arguments that its call was recorded with."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return inputs


def folded(model: keras.Model) -> keras.Model:
    """Return a copy of a model without the batch norms that can be folded; its outputs are those of inference.

    A batch norm is folded where it normalizes the last axis and alone follows a Conv2D, DepthwiseConv2D or Dense
    without an activation, each called once; any other stays. The copy is for models that are never trained or saved.

    Args:
        model: functional or sequential; models in it are copied too.
    """
    shown = {tensor._keras_history.operation for part in containers(model) for tensor in part.outputs}
    pairs = {id(norm): kernel for norm in leaves(model) if (kernel := _kernel_before(norm)) not in {None, *shown}}
    norms = {id(kernel): norm for norm in leaves(model) if (kernel := pairs.get(id(norm))) is not None}
    copies: dict[int, keras.layers.Layer] = {}

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        if id(layer) in pairs:
            return _Nothing(name=layer.name, dtype=layer.dtype_policy)
        settings: dict[str, Any] = layer.get_config()
        if id(layer) in norms:
            settings["use_bias"] = True
        made: keras.layers.Layer = type(layer).from_config(settings)
        copies[id(layer)] = made
        return made

    clone: keras.Model = keras.models.clone_model(model, clone_function=copy, recursive=True)
    for layer in leaves(model):
        if id(layer) in norms:
            copies[id(layer)].set_weights(_folded(layer, norms[id(layer)]))
        elif id(layer) not in pairs and layer.weights:
            copies[id(layer)].set_weights(layer.get_weights())
    return clone


def _kernel_before(layer: keras.layers.Layer) -> keras.layers.Layer | None:
    """The layer that a batch norm can be folded into; None where there is none, and for any other layer."""
    if type(layer) is not layers.BatchNormalization or len(layer._inbound_nodes) != 1:
        return None
    tensors = layer._inbound_nodes[0].input_tensors
    before = tensors[0]._keras_history.operation
    if len(tensors) > 1 or type(before) not in _KERNELS:  # the second one is a mask
        return None
    is_last = layer.axis in (-1, len(tensors[0].shape) - 1)
    is_alone = len(before._inbound_nodes) == len(before._outbound_nodes) == 1
    is_plain = before.activation is keras.activations.linear and before.dtype_policy.quantization_mode is None
    is_usual = getattr(before, "data_format", "channels_last") == "channels_last"
    has_more = getattr(before, "lora_enabled", False)
    return before if is_last and is_alone and is_plain and is_usual and not has_more else None


def _folded(layer: keras.layers.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """Kernel and bias of a layer with the batch norm behind it, worked out in float64."""
    weights = [np.asarray(value, np.float64) for value in layer.get_weights()]
    kernel, bias = weights[0], weights[1] if layer.use_bias else 0.0
    mean, variance = _exact(norm.moving_mean), _exact(norm.moving_variance)
    gamma, beta = _exact(norm.gamma) if norm.scale else 1.0, _exact(norm.beta) if norm.center else 0.0
    factor = gamma / np.sqrt(variance + norm.epsilon)
    by_channel = factor.reshape(kernel.shape[-2:]) if isinstance(layer, layers.DepthwiseConv2D) else factor
    return [kernel * by_channel, (bias - mean) * factor + beta]


def _exact(value: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value), np.float64)
