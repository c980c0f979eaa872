"""Backbones by name, all from raw pictures (0–255) to logits with the same normalization (x − 128)/128.

Every model is ``Input -> Rescaling(1/128, −1) -> backbone -> pooling -> Dropout -> Dense "logits"``; the converter
turns that Rescaling into the fixed input quantizer (scale 1/128, zero point 128), so it costs nothing on the device.
What ImageNet weights expect instead is folded into the first convolution: see ``train.networks.applications``. Grey
pictures enter with three equal channels.

| backbone | feature map at 32, 48, 64 px | weights without logits | ``imagenet`` |
|---|---|---|---|
| efficientnet-lite0 | 1×1, 2×2, 2×2 | 3.4 M | from a file |
| efficientnet-lite0-os16 | 2×2, 3×3, 4×4 | 0.78 M | Lite0's, from a file |
| efficientnet-lite0-fine | 2×2, 3×3, 4×4 | 3.4 M | Lite0's, from a file |
| efficientnet-b0 | 1×1, 2×2, 2×2 | 4.0 M | download |
| efficientnetv2-b0 | 1×1, 2×2, 2×2 | 5.9 M | download |
| convnext-tiny | 1×1, 1×1, 2×2 | 27.8 M | download |
| convnext-atto | 1×1, 1×1, 2×2 | 3.4 M | from a file |
| resnet50 | 1×1, 2×2, 2×2 | 23.6 M | download |
| vgg16 | 1×1, 1×1, 2×2 | 14.7 M | download |
| mini-xception | 2×2, 3×3, 4×4 | 0.05 M | from a file |

mini-xception ends in a convolution "logits" and the mean of its maps instead.

A path to a ``.keras`` file takes a user's own network: see ``train.networks.foreign``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
from keras import layers

from train.networks import applications, convnext
from train.networks.applications import Features, NameOfLayer
from train.networks.efficientnet_lite import efficientnet_lite0, efficientnet_lite0_fine, efficientnet_lite0_os16
from train.networks.layers import LOGITS, normalized
from train.networks.mini_xception import mean_of_class_maps, mini_xception


@dataclass(frozen=True)
class Pretrained:
    """Where a backbone's ImageNet weights come from.

    Attributes:
        application: its name in ``keras.applications``.
        stem: name of the application's first convolution.
        caffe: it was pretrained on mean-free BGR.
        name_of: the application's name of a layer of ours.
    """

    application: str
    stem: str
    caffe: bool = False
    name_of: NameOfLayer = lambda name: name


@dataclass(frozen=True)
class Backbone:
    """How one backbone is built.

    Attributes:
        features: normalized pictures ``(n, h, w, 3)`` and a rate of stochastic depth -> feature map ``(n, h', w', c)``.
        source: paper or code that it follows.
        pretrained: where ``imagenet`` weights come from; None where no download is known.
        head: what stands between pooling and Dropout, if anything.
        residual: whether it has branches for stochastic depth.
        logits: feature map, number of classes and rate of Dropout -> logits, where that is not pooling, ``head``,
            Dropout and Dense.
    """

    features: Features
    source: str
    pretrained: Pretrained | None = None
    head: Callable[[keras.KerasTensor], keras.KerasTensor] | None = None
    residual: bool = True
    logits: Callable[[keras.KerasTensor, int, float], keras.KerasTensor] | None = None


BACKBONES: dict[str, Backbone] = {
    "efficientnet-lite0": Backbone(
        efficientnet_lite0, "Tan and Le 2019; TensorFlow TPU repository, models/official/efficientnet/lite"
    ),
    "efficientnet-lite0-os16": Backbone(
        efficientnet_lite0_os16, "EfficientNet-Lite0's first five stages (1/16 of the side) and a head of 512 channels"
    ),
    "efficientnet-lite0-fine": Backbone(
        efficientnet_lite0_fine, "EfficientNet-Lite0 without its last stride (features at 1/16 of the side)"
    ),
    "efficientnet-b0": Backbone(
        applications.efficientnet_b0,
        "Tan and Le 2019; keras.applications.EfficientNetB0",
        Pretrained("EfficientNetB0", "stem_conv"),
    ),
    "efficientnetv2-b0": Backbone(
        applications.efficientnet_v2_b0,
        "Tan and Le 2021; keras.applications.EfficientNetV2B0",
        Pretrained("EfficientNetV2B0", "stem_conv"),
    ),
    "convnext-tiny": Backbone(
        lambda x, rate: convnext.convnext(x, convnext.TINY, rate),
        "Liu et al. 2022; weights from keras.applications.ConvNeXtTiny",
        Pretrained("ConvNeXtTiny", "convnext_tiny_stem_conv", name_of=convnext.application_name),
        head=convnext.head_norm,
    ),
    "convnext-atto": Backbone(
        lambda x, rate: convnext.convnext(x, convnext.ATTO, rate),
        "Liu et al. 2022; size from timm's convnext_atto",
        head=convnext.head_norm,
    ),
    "resnet50": Backbone(
        applications.resnet50,
        "He et al. 2016; keras.applications.ResNet50",
        Pretrained("ResNet50", "conv1_conv", caffe=True),
    ),
    "vgg16": Backbone(
        applications.vgg16,
        "Simonyan and Zisserman 2015; keras.applications.VGG16",
        Pretrained("VGG16", "block1_conv1", caffe=True),
        residual=False,
    ),
    "mini-xception": Backbone(
        mini_xception,
        "Arriaga, Valdenegro-Toro and Plöger 2017, arXiv 1710.07557",
        residual=False,
        logits=mean_of_class_maps,
    ),
}


def assemble(
    name: str, height: int, width: int, classes: int, dropout: float = 0.2, stochastic_depth: float = 0.0
) -> keras.Model:
    """Return a fresh network: pictures ``(n, height, width, 3)`` in 0–255 -> logits ``(n, classes)`` in float32.

    Args:
        name: one of ``BACKBONES``.
        height: of the input in pixels.
        width: of the input in pixels.
        classes: number of logits.
        dropout: rate before the last layer, 0–1.
        stochastic_depth: rate at which the deepest residual branch is left out in training, 0–1 (1 excluded).
    """
    backbone = BACKBONES[name]
    pictures = keras.Input((height, width, 3), name="pictures")
    x = backbone.features(normalized(pictures), stochastic_depth)
    logits = (backbone.logits or _pooled_logits(backbone))(x, classes, dropout)
    return keras.Model(pictures, logits, name=name.replace("-", "_"))


def _pooled_logits(backbone: Backbone) -> Callable[[keras.KerasTensor, int, float], keras.KerasTensor]:
    def logits(x: keras.KerasTensor, classes: int, dropout: float) -> keras.KerasTensor:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = x if backbone.head is None else backbone.head(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        return layers.Dense(classes, name=LOGITS, dtype="float32")(x)

    return logits
