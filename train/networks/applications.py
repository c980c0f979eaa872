"""Backbones of ``keras.applications`` behind our normalization, and their ImageNet weights brought over to it.

Each network was pretrained on pixels normalized in its own way, z = scale · pixel + offset by channel (some in BGR
order); ours all see u = (pixel − 128) / 128. With pixel = 128 u + 128 the first convolution W absorbs the difference:

    W' = 128 · scale · W (input channels in RGB order),    bias' = bias + Σ W · (128 · scale + offset)

A BatchNormalization right after it takes the shift instead where the convolution has no bias. That is exact wherever
the kernel lies on the picture. Where it meets zero padding, zero meant ImageNet's mean colour (124, 116, 104) and now
means mid-grey (128, 128, 128): our network gives what the application's own convolution gives for the picture framed
in mid-grey. Only ConvNeXt's stem is unpadded, so only ConvNeXt is exact up to the border. What the border leaves over
was measured with random weights at 64 pixels, as the largest difference of a pooled feature in percent of their range:
EfficientNet-B0 3.0, ResNet-50 1.4, VGG-16 0.3; without folding 20, 99 and 99.

| backbone | its pixels in pretraining | here |
|---|---|---|
| efficientnet-b0, efficientnetv2-b0 | (x/255 − mean) / std, RGB | folded; exact but for the padding's colour |
| resnet50, vgg16 | x − mean, BGR ("caffe") | folded; exact but for the padding's colour |
| convnext-tiny | (x/255 − mean) / std, RGB | folded exactly |
| efficientnet-lite0 | (x − 127) / 128 | 1/128 darker everywhere, not folded |

Source: keras.applications (``imagenet_utils.preprocess_input`` and the layers before each stem).
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from edge.errors import DataError
from train.networks.layers import LOGITS, leaves
from train.networks.residual import drop_branch

OURS_SCALE, OURS_ZERO = 128.0, 128.0
CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)
BUILT_IN_RATE = 0.2  # stochastic depth of keras.applications' EfficientNets
Features = Callable[[keras.KerasTensor, float], keras.KerasTensor]
NameOfLayer = Callable[[str], str | None]


def efficientnet_b0(x: keras.KerasTensor, stochastic_depth: float) -> keras.KerasTensor:
    """Return the feature map ``(n, ⌈h/32⌉, ⌈w/32⌉, 1280)`` of EfficientNet-B0."""
    application = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=tuple(x.shape[1:]))
    stem = application.get_layer("stem_conv_pad")
    body = keras.Model(stem.input, application.output, name="efficientnet_b0")
    return _with_rate(body, stochastic_depth)(x)


def efficientnet_v2_b0(x: keras.KerasTensor, stochastic_depth: float) -> keras.KerasTensor:
    """Return the feature map ``(n, ⌈h/32⌉, ⌈w/32⌉, 1280)`` of EfficientNetV2-B0."""
    body = keras.applications.EfficientNetV2B0(
        include_top=False,
        weights=None,
        input_shape=tuple(x.shape[1:]),
        include_preprocessing=False,
        name="efficientnetv2-b0",
    )
    return _with_rate(body, stochastic_depth)(x)


def resnet50(x: keras.KerasTensor, stochastic_depth: float) -> keras.KerasTensor:
    """Return the feature map ``(n, ⌈h/32⌉, ⌈w/32⌉, 2048)`` of ResNet-50.

    Its block b of 16 is left out in training at b/16 of the rate (Huang et al. 2016, equation 4).
    """
    body = keras.applications.ResNet50(include_top=False, weights=None, input_shape=tuple(x.shape[1:]))
    blocks = [layer.name for layer in body.layers if isinstance(layer, keras.layers.Add)]

    def call(layer: keras.layers.Layer, *inputs: list[keras.KerasTensor], **settings: object) -> keras.KerasTensor:
        if layer.name not in blocks:
            return layer(*inputs, **settings)
        shortcut, branch = inputs[0]
        rate = stochastic_depth * (blocks.index(layer.name) + 1) / len(blocks)
        return layer([shortcut, drop_branch(branch, rate, layer.name.replace("_add", "_drop"))])

    return (keras.models.clone_model(body, call_function=call) if stochastic_depth else body)(x)


def vgg16(x: keras.KerasTensor, stochastic_depth: float) -> keras.KerasTensor:
    """Return the feature map ``(n, h/32, w/32, 512)`` (rounded down) of VGG-16 without its three Dense layers."""
    return keras.applications.VGG16(include_top=False, weights=None, input_shape=tuple(x.shape[1:]))(x)


def take_pretrained(
    model: keras.Model,
    application: keras.Model,
    *,
    stem: str,
    caffe: bool = False,
    name_of: NameOfLayer = lambda name: name,
) -> None:
    """Put the weights of a ``keras.applications`` network into ours, its preprocessing folded into the stem.

    Args:
        model: of ours; layers without a counterpart (the logits) keep their weights.
        application: pictures in 0–255 (as ``preprocess_input`` leaves them) -> feature map.
        stem: name of the first convolution in ``application``.
        caffe: the application's pictures are mean-free BGR, which no layer of it says.
        name_of: the application's name of a layer of ours; None for the application's last layer.

    Raises:
        DataError: a layer of ours has no counterpart of its size, or the stem is of another make than known.
    """
    theirs = {layer.name: layer for layer in leaves(application)}
    ours = {
        name_of(layer.name) or application.layers[-1].name: layer
        for layer in leaves(model)
        if layer.weights and layer.name != LOGITS
    }
    for name, layer in ours.items():
        values = theirs[name].get_weights() if name in theirs else []
        if [value.size for value in values] != [int(np.prod(weight.shape)) for weight in layer.weights]:
            raise DataError(
                f"expected the layer {name} of {application.name} to fit {layer.name}; this Keras "
                f"({keras.__version__}) builds it otherwise; give --weights FILE or none"
            )
        # Same order in memory: (7, 7, 1, c) of a grouped convolution is (7, 7, c, 1) of a depthwise one.
        layer.set_weights([value.reshape(weight.shape) for value, weight in zip(values, layer.weights, strict=True)])
    scale, offset = (np.ones(3), -np.array(CAFFE_MEAN_RGB)) if caffe else preprocessing(application, stem)
    names = list(theirs)
    fold(ours[stem], ours.get(names[names.index(stem) + 1]), scale, offset, reverse=caffe)


def preprocessing(application: keras.Model, stem: str) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and offset, float64 (3,), of the layers before ``stem``: z = scale · pixel + offset.

    Raises:
        DataError: something other than Rescaling, Normalization and padding lies before the stem.
    """
    scale, offset = np.ones(3), np.zeros(3)
    for layer in leaves(application):
        if layer.name == stem:
            return scale, offset
        if isinstance(layer, keras.layers.Rescaling):
            factor, shift = np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
        elif isinstance(layer, keras.layers.Normalization):
            mean, variance = (
                np.asarray(keras.ops.convert_to_numpy(value), np.float64).reshape(-1)
                for value in (layer.mean, layer.variance)
            )
            factor = 1 / np.maximum(np.sqrt(variance), 1e-7)
            shift = -mean * factor
        elif isinstance(layer, (keras.layers.InputLayer, keras.layers.ZeroPadding2D)):
            continue
        else:
            break
        scale, offset = scale * factor, offset * factor + shift
    raise DataError(
        f"expected Rescaling, Normalization and padding before {stem} of {application.name}; this Keras "
        f"({keras.__version__}) builds it otherwise; give --weights FILE or none"
    )


def fold(
    stem: keras.layers.Layer,
    follower: keras.layers.Layer | None,
    scale: np.ndarray,
    offset: np.ndarray,
    *,
    reverse: bool = False,
) -> None:
    """Let a first convolution that knows z = scale · pixel + offset take u = (pixel − 128) / 128 instead.

    Args:
        stem: Conv2D of kernel (rows, columns, 3, filters).
        follower: the layer after it, which takes the shift where the stem has no bias: a BatchNormalization.
        scale: float64 (3,), RGB.
        offset: float64 (3,), RGB.
        reverse: the kernel's input channels are in BGR order.

    Raises:
        DataError: neither a bias nor a BatchNormalization is there to take the shift.
    """
    kernel = np.asarray(keras.ops.convert_to_numpy(stem.kernel), np.float64)
    kernel = kernel[:, :, ::-1] if reverse else kernel
    shift = np.einsum("ijcf,c->f", kernel, OURS_ZERO * scale + offset)
    stem.kernel.assign((kernel * (OURS_SCALE * scale)[:, None]).astype(np.float32))
    if stem.use_bias:
        stem.bias.assign((np.asarray(keras.ops.convert_to_numpy(stem.bias)) + shift).astype(np.float32))
    elif isinstance(follower, keras.layers.BatchNormalization):
        mean = np.asarray(keras.ops.convert_to_numpy(follower.moving_mean))
        follower.moving_mean.assign((mean - shift).astype(np.float32))
    else:
        raise DataError(f"expected a bias in {stem.name} or a BatchNormalization after it; got neither; use none")


def _with_rate(body: keras.Model, stochastic_depth: float) -> keras.Model:
    """Return an EfficientNet with another rate of stochastic depth than the one that Keras builds in."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        settings = layer.get_config()
        if isinstance(layer, keras.layers.Dropout):
            settings["rate"] *= stochastic_depth / BUILT_IN_RATE
        return type(layer).from_config(settings)

    def call(layer: keras.layers.Layer, *inputs: keras.KerasTensor, **settings: object) -> keras.KerasTensor:
        left_out = isinstance(layer, keras.layers.Dropout) and not stochastic_depth
        return inputs[0] if left_out else layer(*inputs, **settings)

    return keras.models.clone_model(body, clone_function=clone, call_function=call)
