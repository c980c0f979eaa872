"""Predictions of a Keras model over pictures, with or without test-time augmentation."""

from __future__ import annotations

import keras
import numpy as np

from edge.errors import DataError
from edge.pictures.preprocess import fit
from train.augmentation.augment import TTA_VIEWS, compose, shrink_to, warp
from train.devices import kinds
from train.evaluation.calibration import softmax

BATCH = 256
CROP_SHIFT = 0.05


def views(tta: str) -> np.ndarray:
    """Return float64 ``(views, 2, 3)``: the affine maps of one kind of test-time augmentation.

    ``none`` is the picture itself, ``flip`` adds its mirror image, ``crops`` takes five positions (centre and four
    shifts by 5 % of the side) and their mirror images: ten views.

    Raises:
        DataError: another name.
    """
    if tta not in TTA_VIEWS:
        raise DataError(f"expected TTA {', '.join(TTA_VIEWS)}; got {tta!r}; choose one of them")
    step = CROP_SHIFT
    shifts = [(0.0, 0.0)]
    if tta == "crops":
        shifts += [(-step, -step), (-step, step), (step, -step), (step, step)]
    mirrors = [1.0] if tta == "none" else [1.0, -1.0]
    grid = [(shift, mirror) for mirror in mirrors for shift in shifts]
    count = len(grid)
    return compose(
        np.zeros(count), np.ones(count), np.array([shift for shift, _ in grid]), np.array([m for _, m in grid])
    )


def predict_logits(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return float32 logits ``(n, classes)`` of uint8 pictures ``(n, h, w[, 3])``, each fitted to the model's input."""
    return _logits(model, images, views("none")[0])


def predict(model: keras.Model, images: np.ndarray, tta: str = "none") -> np.ndarray:
    """Return float64 probabilities ``(n, classes)``, averaged over the views of ``tta``."""
    return np.asarray(softmax(predict_views(model, images, tta)).mean(axis=0))


def predict_views(model: keras.Model, images: np.ndarray, tta: str) -> np.ndarray:
    """Return float32 logits ``(views, n, classes)``, one row a view of ``tta``; the first is the picture itself."""
    return np.stack([_logits(model, images, matrix) for matrix in views(tta)])


def uses_xla() -> bool:
    """Return whether models should be compiled by XLA: always under JAX, otherwise on accelerators alone.

    TensorFlow's XLA on a CPU runs depthwise convolutions seven times slower than without (26 against 187 pictures a
    second in training EfficientNet-Lite0 at 64 pixels on two cores).
    """
    return keras.backend.backend() == "jax" or accelerated()


def accelerated() -> bool:
    """Return whether the backend computes on a GPU or TPU."""
    return bool(kinds() - {"cpu"})


def _logits(model: keras.Model, images: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    if not model.compiled:
        model.compile(jit_compile=uses_xla())
    height, width = model.inputs[0].shape[1:3]
    plain = np.array_equal(matrix, views("none")[0])
    small = images if plain else shrink_to(images, height, width)
    outputs = []
    for start in range(0, len(small), BATCH):
        chunk = small[start : start + BATCH]
        if plain:  # the device's own resampling; the warp's differs by its grid of 1/32 pixel
            pictures = np.stack([fit(image, height, width) for image in chunk])
        else:
            pictures = warp(chunk, np.repeat(matrix[None], len(chunk), axis=0), height, width)
        short = BATCH - len(pictures)  # one shape for every call: nothing is traced twice
        if short and len(small) > BATCH:
            pictures = np.concatenate([pictures, np.zeros((short, *pictures.shape[1:]), np.uint8)])
        outputs.append(np.asarray(model.predict_on_batch(pictures))[: len(chunk)])
    return np.concatenate(outputs).astype(np.float32)
