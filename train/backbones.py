"""Backbones by name, all from raw pictures (0–255) to logits with the same normalization (x − 128)/128.

Every model is ``Input -> Rescaling(1/128, −1) -> backbone -> pooling -> Dropout -> Dense "logits"``; the converter
turns that Rescaling into the fixed input quantizer (scale 1/128, zero point 128), so it costs nothing on the device.
What ImageNet weights expect instead is folded into the first convolution: see ``train.applications``. Grey pictures
enter with three equal channels.

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

A path to a ``.keras`` file takes a user's own network: see ``train.foreign``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers

from edge.errors import DataError
from train import applications, convnext
from train.applications import LOGITS, Features, NameOfLayer, containers, leaves
from train.efficientnet_lite import efficientnet_lite0, efficientnet_lite0_fine, efficientnet_lite0_os16
from train.foreign import adopt, origin
from train.mapping import LUMINANCE
from train.mini_xception import mean_of_class_maps, mini_xception
from train.weights import load_weights_file

RESCALING = "normalize"
MIN_SIDE_PX = 32
COLOURS = ("rgb", "grey")
_OTHER_WEIGHTS = "give --weights FILE, none, or default or small, the models that ship, where the layers are theirs"
Report = Callable[[str], None]


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


def build(
    name: str,
    *,
    height: int,
    width: int,
    classes: int,
    weights: str | Path = "none",
    dropout: float = 0.2,
    stochastic_depth: float = 0.0,
    colour: str = "rgb",
    pictures: np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    report: Report = lambda _: None,
) -> keras.Model:
    """Return a model from pictures ``(n, height, width, 3)`` in 0–255 to logits ``(n, classes)`` in float32.

    Args:
        name: one of ``BACKBONES``, or the path of a user's functional ``.keras`` model.
        height: of the input in pixels, at least 32.
        width: of the input in pixels, at least 32.
        classes: number of logits.
        weights: ``none`` (random; a user's model keeps its own), ``imagenet`` (keras.applications' download), or a
            ``.npz`` / ``.weights.h5`` / ``.keras`` / ``.tflite`` file.
        dropout: rate before the last layer, 0–1; a user's network whose logits stay keeps its own.
        stochastic_depth: rate at which the deepest residual branch is left out in training, 0–1 (1 excluded); the
            others less, linearly in depth. 0 for networks without such branches.
        colour: ``grey`` spreads the first kernel by luminance, which changes nothing on grey pictures and lets the
            fresh network see any coloured picture as its grey version; ``rgb`` leaves it.
        pictures: uint8 ``(n, h, w[, 3])`` of the training data, for weights from a ``.tflite``.
        labels: class names in the order of the logits, likewise: logits of other classes are not taken.
        report: gets a line for each thing that a reader of the flags would not expect.

    Raises:
        DataError: unknown backbone, weights that cannot be had or do not fit, or settings that it cannot take.
    """
    own = name.endswith(".keras")
    _check(name, own, min(height, width), f"{height}x{width}", str(weights), stochastic_depth, colour)
    if own:
        model = adopt(Path(name), height=height, width=width, classes=classes, dropout=dropout, report=report)
    else:
        model = _assemble(name, height, width, classes, dropout, stochastic_depth)
    if str(weights) == "imagenet":
        _take_imagenet(model, name, (height, width, 3))
    elif str(weights) != "none":
        for line in load_weights_file(model, weights, pictures, labels):
            report(line)
    if colour == "grey" and not own:
        _spread_luminance(model)
    return model


def set_trainable(model: keras.Model, trainable: str, freeze: float = 0.0) -> None:
    """Say which layers train; a frozen BatchNormalization keeps its statistics and uses them.

    Args:
        model: from :func:`build`.
        trainable: ``head`` (only the logits) or ``all``.
        freeze: share of the backbone's layers with weights that stay frozen under ``all``, 0–1, counted from the
            input and rounded; 1 leaves the logits alone to train.

    Raises:
        ValueError: another ``trainable``, or a share outside 0–1.
    """
    if trainable not in ("head", "all"):
        raise ValueError(f"expected trainable as head or all; got {trainable!r}")
    if not 0 <= freeze <= 1:
        raise ValueError(f"expected a share of frozen layers in 0-1; got {freeze}")
    heads = head_layers(model)
    backbone = [layer for layer in leaves(model) if layer.weights and layer not in heads]
    frozen = len(backbone) if trainable == "head" else round(freeze * len(backbone))
    # A container that is trainable already passes nothing on to its layers, so each is told by itself.
    for container in containers(model):
        container.trainable = True
    for layer in leaves(model):
        layer.trainable = layer not in backbone[:frozen]


def head_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that are new for this task: the logits."""
    return [model.get_layer(LOGITS)]


def dropout_rate(model: keras.Model) -> float:
    """Return the rate of the Dropout right before the logits, 0–1; 0 where none stands there."""
    before = origin(model.get_layer(LOGITS).input)
    while isinstance(before, keras.Model):
        before = origin(before.outputs[0])
    return float(before.rate) if isinstance(before, layers.Dropout) else 0.0


def _check(name: str, own: bool, side: int, size: str, weights: str, stochastic_depth: float, colour: str) -> None:
    if not own and name not in BACKBONES:
        raise DataError(
            f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}; choose one of them, or give a .keras file"
        )
    if side < MIN_SIDE_PX:
        raise DataError(f"expected an input of at least {MIN_SIDE_PX} pixels a side; got {size}; use --size")
    if colour not in COLOURS:
        raise DataError(f"expected the colour {' or '.join(COLOURS)}; got {colour!r}")
    if not 0 <= stochastic_depth < 1:
        raise DataError(f"expected stochastic depth in 0-1 (1 excluded); got {stochastic_depth}")
    if stochastic_depth and (own or not BACKBONES[name].residual):
        raise DataError(
            f"expected no stochastic depth for {name}, which has no residual branches that are known; "
            f"got {stochastic_depth}; set it to 0"
        )
    if weights == "imagenet" and (own or BACKBONES[name].pretrained is None):
        raise DataError(f"no download of ImageNet weights is known for {name}; {_OTHER_WEIGHTS}")


def _assemble(name: str, height: int, width: int, classes: int, dropout: float, stochastic_depth: float) -> keras.Model:
    backbone = BACKBONES[name]
    pictures = keras.Input((height, width, 3), name="pictures")
    x = layers.Rescaling(1 / 128, offset=-1.0, name=RESCALING)(pictures)
    x = backbone.features(x, stochastic_depth)
    logits = (backbone.logits or _pooled_logits(backbone))(x, classes, dropout)
    return keras.Model(pictures, logits, name=name.replace("-", "_"))


def _pooled_logits(backbone: Backbone) -> Callable[[keras.KerasTensor, int, float], keras.KerasTensor]:
    def logits(x: keras.KerasTensor, classes: int, dropout: float) -> keras.KerasTensor:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = x if backbone.head is None else backbone.head(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        return layers.Dense(classes, name=LOGITS, dtype="float32")(x)

    return logits


def _take_imagenet(model: keras.Model, name: str, shape: tuple[int, int, int]) -> None:
    pretrained = BACKBONES[name].pretrained
    if pretrained is None:
        raise DataError(f"no download of ImageNet weights is known for {name}; {_OTHER_WEIGHTS}")
    try:
        application = getattr(keras.applications, pretrained.application)(
            include_top=False, weights="imagenet", input_shape=shape
        )
    except Exception as cause:  # keras.utils.get_file raises a bare Exception where there is no network
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise DataError(
            f"expected to download the ImageNet weights of {name}; {reason[:240]}; "
            "connect to the internet (or put that file into ~/.keras/models), or give --weights FILE or --weights none"
        ) from cause
    applications.take_pretrained(
        model, application, stem=pretrained.stem, caffe=pretrained.caffe, name_of=pretrained.name_of
    )


def _spread_luminance(model: keras.Model) -> None:
    stem = next(layer for layer in leaves(model) if isinstance(layer, layers.Conv2D))
    kernel = keras.ops.convert_to_numpy(stem.kernel)
    spread = kernel.sum(axis=2, keepdims=True) * np.array(LUMINANCE, np.float32)[:, None]
    stem.kernel.assign(spread)
