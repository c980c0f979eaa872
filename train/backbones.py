"""Backbones by name, all from raw pictures (0–255) to logits with the same normalization (x − 128)/128.

Every model is ``Input -> Rescaling(1/128, −1) -> backbone -> pooling -> Dropout -> Dense "logits"``; the converter
turns that Rescaling into the fixed input quantizer (scale 1/128, zero point 128), so it costs nothing on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
from keras import layers

from edge.errors import DataError
from train.weights import load_npz_weights

LOGITS = "logits"
RESCALING = "normalize"
MIN_SIDE_PX = 32


@dataclass(frozen=True)
class Backbone:
    """How one backbone is built.

    Attributes:
        features: normalized pictures ``(n, h, w, 3)`` -> feature map ``(n, h', w', c)``; its second argument is
            ``weights`` as keras.applications takes it (``None`` or ``imagenet``).
        downloads: whether ``imagenet`` weights come by keras.applications' own download.
        source: paper or code that it follows.
    """

    features: Callable[[keras.KerasTensor, str | None], keras.KerasTensor]
    downloads: bool
    source: str


def _lite0(x: keras.KerasTensor, weights: str | None) -> keras.KerasTensor:
    from train.efficientnet_lite import efficientnet_lite0

    return efficientnet_lite0(x)


def _b0(x: keras.KerasTensor, weights: str | None) -> keras.KerasTensor:
    application = keras.applications.EfficientNetB0(include_top=False, weights=weights, input_shape=tuple(x.shape[1:]))
    # From the stem's padding on: the application's own Rescaling and Normalization are replaced by ours.
    stem = application.get_layer("stem_conv_pad")
    body = keras.Model(stem.input, application.output, name="efficientnet_b0")
    return body(x)


BACKBONES: dict[str, Backbone] = {
    "efficientnet-lite0": Backbone(_lite0, False, "Tan and Le 2019; TensorFlow TPU repository, efficientnet/lite"),
    "efficientnet-b0": Backbone(_b0, True, "Tan and Le 2019; keras.applications.EfficientNetB0"),
}


def build(
    name: str, *, height: int, width: int, classes: int, weights: str | Path = "none", dropout: float = 0.2
) -> keras.Model:
    """Return a model from pictures ``(n, height, width, 3)`` in 0–255 to logits ``(n, classes)`` in float32.

    Args:
        name: one of ``BACKBONES``.
        height: of the input in pixels, at least 32.
        width: of the input in pixels, at least 32.
        classes: number of logits.
        weights: ``none`` (random), ``imagenet`` (keras.applications' download), or a ``.npz`` / ``.weights.h5`` /
            ``.keras`` file.
        dropout: rate before the last layer, 0–1.

    Raises:
        DataError: unknown backbone, weights that cannot be had or do not fit.
    """
    if name not in BACKBONES:
        raise DataError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}; choose one of them")
    if min(height, width) < MIN_SIDE_PX:
        raise DataError(f"expected an input of at least {MIN_SIDE_PX} pixels a side; got {height}x{width}; use --size")
    backbone = BACKBONES[name]
    if weights == "imagenet" and not backbone.downloads:
        raise DataError(f"no download of ImageNet weights is known for {name}; give --weights FILE.npz or none")
    pictures = keras.Input((height, width, 3), name="pictures")
    x = layers.Rescaling(1 / 128, offset=-1.0, name=RESCALING)(pictures)
    x = _with_weights(backbone, x, name, weights)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    model = keras.Model(pictures, layers.Dense(classes, name=LOGITS, dtype="float32")(x), name=name.replace("-", "_"))
    if str(weights) not in ("none", "imagenet"):
        load_weights_file(model, Path(weights))
    return model


def load_weights_file(model: keras.Model, path: Path) -> None:
    """Put a file's weights into the model: ``.npz`` by layer name, ``.weights.h5`` or ``.keras`` by Keras itself.

    Raises:
        DataError: no such file, another kind of file, or weights that do not fit the model.
    """
    if not path.is_file():
        raise DataError(f"expected a weights file, none or imagenet; nothing is at {path}; check --weights")
    if path.suffix == ".npz":
        load_npz_weights(model, path)
        return
    if path.suffix not in (".h5", ".keras"):
        raise DataError(f"expected weights as .npz, .weights.h5 or .keras; got {path.name}; check --weights")
    try:
        model.load_weights(path, skip_mismatch=False)
    except (ValueError, OSError, KeyError) as cause:
        first = str(cause).strip().splitlines()[0]
        raise DataError(f"expected weights of {model.name} in {path}; {first}; check --weights") from cause


def head_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that are new for this task: the logits."""
    return [model.get_layer(LOGITS)]


def _with_weights(backbone: Backbone, x: keras.KerasTensor, name: str, weights: str | Path) -> keras.KerasTensor:
    if weights != "imagenet":
        return backbone.features(x, None)
    try:
        return backbone.features(x, "imagenet")
    except Exception as cause:  # keras.utils.get_file raises a bare Exception where there is no network
        raise DataError(
            f"expected to download the ImageNet weights of {name}; {str(cause).splitlines()[0][:160]}; "
            "connect to the internet, or give --weights FILE or --weights none"
        ) from cause
