"""ConvNeXt in the two sizes of the registry: patch stem, 7×7 depthwise blocks with LayerScale, exact GELU.

Built here and not by ``keras.applications``, whose ConvNeXt has no stochastic depth, no size below Tiny, grouped
convolutions that CPUs cannot train, and Dense layers on pictures; weights of its Tiny fit by :func:`application_name`.

Source: Liu et al., "A ConvNet for the 2020s", CVPR 2022 (figure 4, section 2 and table 5 for the starting values); the
size Atto from timm's ``convnext_atto`` (2-2-6-2 blocks of 40-80-160-320 filters, pointwise convolutions, patch stem).
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from train.layerscale import LayerScale
from train.networks.residual import drop_branch

EPSILON = 1e-6
STEM_STRIDE = 4
EXPANSION = 4


@dataclass(frozen=True)
class Size:
    """Blocks and filters of the four stages."""

    depths: tuple[int, int, int, int]
    filters: tuple[int, int, int, int]


ATTO = Size((2, 2, 6, 2), (40, 80, 160, 320))
TINY = Size((3, 3, 9, 3), (96, 192, 384, 768))


def convnext(x: keras.KerasTensor, size: Size, stochastic_depth: float) -> keras.KerasTensor:
    """Return the feature map ``(n, h', w', filters)`` of normalized pictures ``(n, h, w, 3)`` in −1…1.

    Each of the stem (4) and three further steps (2) drops what is left over, so ``h'`` is h/32 rounded down: 48
    pixels give a map of 1×1, 64 of 2×2. ``stochastic_depth`` is the last block's rate; it grows linearly from 0.
    """
    rates = iter(np.linspace(0.0, stochastic_depth, sum(size.depths)).tolist())
    for stage, (depth, filters) in enumerate(zip(size.depths, size.filters, strict=True)):
        if stage == 0:
            x = _convolution(filters, STEM_STRIDE, "stem_conv", strides=STEM_STRIDE)(x)
            x = layers.LayerNormalization(epsilon=EPSILON, name="stem_layernorm")(x)
        else:
            x = layers.LayerNormalization(epsilon=EPSILON, name=f"downsampling_layernorm_{stage - 1}")(x)
            x = _convolution(filters, 2, f"downsampling_conv_{stage - 1}", strides=2)(x)
        for block in range(depth):
            x = _block(x, filters, next(rates), f"stage_{stage}_block_{block}")
    return x


def head_norm(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return pooled features ``(n, c)`` normalized, as ConvNeXt does between pooling and logits."""
    return layers.LayerNormalization(epsilon=EPSILON, name="head_layernorm")(x)


def application_name(name: str) -> str | None:
    """Return how ``keras.applications.ConvNeXtTiny`` calls the layer ``name`` of ours; None where it names none."""
    return None if name == "head_layernorm" else f"convnext_tiny_{name}"


def _block(x: keras.KerasTensor, filters: int, rate: float, name: str) -> keras.KerasTensor:
    shortcut = x
    x = layers.DepthwiseConv2D(7, padding="same", depthwise_initializer=_start(), name=f"{name}_depthwise_conv")(x)
    x = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_layernorm")(x)
    x = _convolution(EXPANSION * filters, 1, f"{name}_pointwise_conv_1")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = _convolution(filters, 1, f"{name}_pointwise_conv_2")(x)
    x = LayerScale(name=f"{name}_layer_scale")(x)
    return layers.Add(name=f"{name}_add")([shortcut, drop_branch(x, rate, f"{name}_drop")])


def _convolution(filters: int, kernel: int, name: str, strides: int = 1) -> layers.Conv2D:
    return layers.Conv2D(filters, kernel, strides=strides, kernel_initializer=_start(), name=name)


def _start() -> keras.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.02)
