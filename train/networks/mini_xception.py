"""mini-Xception: 58 thousand weights for emotions at 48 pixels, what small devices are often given.

The depthwise and the pointwise half of each separable convolution are layers of their own: the same arithmetic, and
what the converter reads. The network ends in a convolution with one channel a class, whose mean over the picture is the
logit. Left out: the paper's L2 penalty, which is the recipe's matter (weight decay).

Source: Arriaga, Valdenegro-Toro and Plöger 2017, "Real-time Convolutional Neural Networks for Emotion and Gender
Classification" (arXiv 1710.07557), section III, figure 1. Grey 48×48 pictures there, 58,423 weights for 7 classes; here
three channels enter, so that the first kernel has 144 more.
"""

from __future__ import annotations

import keras
from keras import layers

from train.networks.layers import LOGITS

STEM_FILTERS = 8
FILTERS = (16, 32, 64, 128)  # of the four residual blocks, each of which halves the map


def mini_xception(x: keras.KerasTensor, stochastic_depth: float = 0.0) -> keras.KerasTensor:
    """Return the feature map ``(n, (h − 4)/16, (w − 4)/16, 128)``, rounded up, of normalized pictures ``(n, h, w, 3)``.

    ``stochastic_depth`` must be 0: the shortcuts are convolutions, so that no block can be left out.
    """
    for name in ("stem1", "stem2"):
        x = layers.Conv2D(STEM_FILTERS, 3, use_bias=False, name=f"{name}_conv")(x)
        x = layers.BatchNormalization(name=f"{name}_bn")(x)
        x = layers.ReLU(name=f"{name}_act")(x)
    for number, filters in enumerate(FILTERS, start=1):
        x = _block(x, filters, f"block{number}")
    return x


def mean_of_class_maps(x: keras.KerasTensor, classes: int, dropout: float) -> keras.KerasTensor:
    """Return the logits ``(n, classes)`` of a feature map: a 3×3 convolution to class maps, and each map's mean."""
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Conv2D(classes, 3, padding="same", name=LOGITS, dtype="float32")(x)
    return layers.GlobalAveragePooling2D(name="pool", dtype="float32")(x)


def _block(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    shortcut = layers.Conv2D(filters, 1, strides=2, padding="same", use_bias=False, name=f"{name}_shortcut_conv")(x)
    shortcut = layers.BatchNormalization(name=f"{name}_shortcut_bn")(shortcut)
    x = _separable(x, filters, f"{name}_sep1")
    x = layers.ReLU(name=f"{name}_act")(x)
    x = _separable(x, filters, f"{name}_sep2")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)
    return layers.Add(name=f"{name}_add")([x, shortcut])


def _separable(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_dw_conv")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_pw_conv")(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)
