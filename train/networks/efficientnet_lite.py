"""EfficientNet-Lite0: B0 without squeeze-and-excite and with ReLU6, made for integer arithmetic; two variants of it.

Source: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite
variant from the TensorFlow TPU repository (models/official/efficientnet/lite): stem and head keep their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
from keras import layers

from train.networks.residual import drop_branch

BATCH_NORM_EPSILON = 1e-3
STEM_FILTERS = 32
HEAD_FILTERS = 1280
OS16_STAGES = 5  # up to 1/16 of the picture's side; what follows holds four fifths of the weights
OS16_HEAD_FILTERS = 512


class Stage(NamedTuple):
    """Blocks of one resolution: repeats, output filters, expansion ratio, depthwise kernel, first stride."""

    repeats: int
    filters: int
    expansion: int
    kernel: int
    stride: int


STAGES = (
    Stage(1, 16, 1, 3, 1),
    Stage(2, 24, 6, 3, 2),
    Stage(2, 40, 6, 5, 2),
    Stage(3, 80, 6, 3, 2),
    Stage(3, 112, 6, 5, 1),
    Stage(4, 192, 6, 5, 2),
    Stage(1, 320, 6, 3, 1),
)
FINE_STAGES = (*STAGES[:5], STAGES[5]._replace(stride=1), *STAGES[6:])


def efficientnet_lite0(x: keras.KerasTensor, stochastic_depth: float = 0.0) -> keras.KerasTensor:
    """Return the feature map ``(n, h/32, w/32, 1280)`` of normalized pictures ``(n, h, w, 3)`` in −1…1.

    Block ``b`` of 16 is left out in training with probability ``stochastic_depth`` · b / 16.
    """
    return _conv(_stages(x, STAGES, stochastic_depth), HEAD_FILTERS, 1, 1, "head")


def efficientnet_lite0_os16(x: keras.KerasTensor, stochastic_depth: float = 0.0) -> keras.KerasTensor:
    """Return the feature map ``(n, h/16, w/16, 512)`` of the network cut before its last stride, with its own head.

    Its layers but the head bear Lite0's names and take Lite0's weights. Faces of 48 pixels leave the last two stages
    2×2 values to look at, and those stages are four fifths of the network. Source: the output stride of Chen et al.,
    "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017, without the atrous blocks.
    """
    return _conv(_stages(x, STAGES[:OS16_STAGES], stochastic_depth), OS16_HEAD_FILTERS, 1, 1, "os16_head")


def efficientnet_lite0_fine(x: keras.KerasTensor, stochastic_depth: float = 0.0) -> keras.KerasTensor:
    """Return the feature map ``(n, h/16, w/16, 1280)`` of Lite0 without its last stride.

    Its layers bear the names of Lite0's, have their sizes and take their weights. Of a face of 64 pixels the last two
    stages see 4×4 places; Lite0's see 2×2, and of one of 80 pixels 3×3.
    """
    return _conv(_stages(x, FINE_STAGES, stochastic_depth), HEAD_FILTERS, 1, 1, "head")


def only_in_whole_lite0() -> frozenset[str]:
    """Return the layers with weights that Lite0 has and its first part (``efficientnet_lite0_os16``) has not."""
    first = sum(stage.repeats for stage in STAGES[:OS16_STAGES])
    kinds = [f"{part}_{kind}" for part in ("expand", "dw", "project") for kind in ("conv", "bn")]
    blocks = range(first, sum(stage.repeats for stage in STAGES))
    return frozenset({"head_conv", "head_bn", *(f"block{block}_{kind}" for block in blocks for kind in kinds)})


def _stages(x: keras.KerasTensor, stages: Sequence[Stage], stochastic_depth: float) -> keras.KerasTensor:
    rate_a_block = stochastic_depth / sum(stage.repeats for stage in stages)
    x = _conv(x, STEM_FILTERS, 3, 2, "stem")
    block, filters = 0, STEM_FILTERS
    for stage in stages:
        for repeat in range(stage.repeats):
            stride = stage.stride if repeat == 0 else 1
            x = _block(x, filters, stage, stride, rate_a_block * block, f"block{block}")
            filters = stage.filters
            block += 1
    return x


def names_in_efficientnet_b0() -> dict[str, str]:
    """Return, by the name of a layer of Lite0 with weights, ``keras.applications.EfficientNetB0``'s of the same size.

    The two networks have the same convolutions and batch norms; B0 adds squeeze-and-excite, and swish for ReLU6.
    """
    kinds = {"dw_conv": "dwconv", "dw_bn": "bn"}
    kinds |= {kind: kind for kind in ("expand_conv", "expand_bn", "project_conv", "project_bn")}
    blocks = [f"block{stage}{'abcd'[repeat]}" for stage in range(1, 8) for repeat in range(STAGES[stage - 1].repeats)]
    names = {f"block{b}_{ours}": f"{block}_{its}" for b, block in enumerate(blocks) for ours, its in kinds.items()}
    return names | {"stem_conv": "stem_conv", "stem_bn": "stem_bn", "head_conv": "top_conv", "head_bn": "top_bn"}


def _block(
    x: keras.KerasTensor, filters_in: int, stage: Stage, stride: int, rate: float, name: str
) -> keras.KerasTensor:
    shortcut = x
    if stage.expansion != 1:
        x = _conv(x, filters_in * stage.expansion, 1, 1, f"{name}_expand")
    x = layers.DepthwiseConv2D(stage.kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_dw_conv")(x)
    x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"{name}_dw_bn")(x)
    x = layers.ReLU(6.0, name=f"{name}_dw_act")(x)
    x = layers.Conv2D(stage.filters, 1, padding="same", use_bias=False, name=f"{name}_project_conv")(x)
    x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"{name}_project_bn")(x)
    if stride == 1 and filters_in == stage.filters:
        x = layers.Add(name=f"{name}_add")([shortcut, drop_branch(x, rate, f"{name}_drop")])
    return x


def _conv(x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_act")(x)
