"""A network to train: a backbone or a user's own, with the weights that it begins with, and which of it learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import layers

from edge.errors import DataError
from train.datasets.mapping import LUMINANCE
from train.networks import applications
from train.networks.backbones import BACKBONES, assemble
from train.networks.foreign import Report, adopt, origin
from train.networks.layers import LOGITS, containers, head_layers, leaves
from train.networks.weights import load_weights_file

MIN_SIDE_PX = 32
COLOURS = ("rgb", "grey")
_OTHER_WEIGHTS = "give --weights FILE, none, or default or small, the models that ship, where the layers are theirs"


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
        model = assemble(name, height, width, classes, dropout, stochastic_depth)
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
