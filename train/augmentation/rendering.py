"""A batch of augmented pictures: draw what happens to each, then make them with OpenCV or in the training model.

The order is look-up table, one resampling, erasing, mixing. :func:`draw` decides everything from one random generator;
:func:`render` makes the pictures on a CPU, ``batches.augmenting`` inside a Keras model on an accelerator. Same draws,
same pictures (but for OpenCV's rounding of positions to 1/32 pixel and of values to whole levels).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from train.augmentation import mixing, randaugment
from train.augmentation.augment import Augment, chain, draw_matrices, resample, to_pixels, to_rgb

PARAMETERS = 16  # of a picture: 6 of the map, 4 of the erased box, its level, 4 of the pasted box, its opacity


@dataclass(frozen=True, eq=False)
class Draws:
    """What happens to each of ``n`` pictures; None where nothing of that kind can happen.

    Attributes:
        matrices: float64 ``(n, 2, 3)``, maps from output to input in centred units.
        tables: uint8 ``(n, 256)``, grey level -> grey level, applied before the resampling.
        erased: int32 boxes ``(n, 4)`` in pixels of the result, and uint8 levels ``(n,)``.
        pasted: int32 boxes ``(n, 4)`` in pixels of the result, and float32 opacities ``(n,)`` of the next picture.
    """

    matrices: np.ndarray
    tables: np.ndarray | None = None
    erased: tuple[np.ndarray, np.ndarray] | None = None
    pasted: tuple[np.ndarray, np.ndarray] | None = None


def draw(augment: Augment, rng: np.random.Generator, images: np.ndarray, size: tuple[int, int]) -> Draws:
    """Return what happens to ``images``, uint8 ``(n, h, w[, 3])``, on their way to ``size`` (height, width)."""
    count = len(images)
    matrices = draw_matrices(augment, rng, count)
    tables = None
    if augment.randaugment_ops > 0:
        chosen, signs = randaugment.draw_operations(rng, count, augment.randaugment_ops)
        matrices = chain(matrices, randaugment.matrices(chosen, signs, augment.randaugment_magnitude))
        tables = randaugment.tables(chosen, signs, augment.randaugment_magnitude, images)
    erased = mixing.draw_erasing(augment, rng, count, size) if augment.erasing > 0 else None
    mixes = augment.mixing > 0 and max(augment.mixup_alpha, augment.cutmix_alpha) > 0
    return Draws(matrices, tables, erased, mixing.draw_pasting(augment, rng, count, size) if mixes else None)


def render(images: np.ndarray, draws: Draws, height: int, width: int) -> np.ndarray:
    """Return uint8 ``(n, height, width, 3)``: the pictures ``(n, h, w[, 3])`` after their draws, by OpenCV.

    Grey pictures stay on one channel until the end: a third of the work.
    """
    if draws.tables is not None:
        images = np.stack([cv2.LUT(image, table) for image, table in zip(images, draws.tables, strict=True)])
    pictures = resample(images, draws.matrices, height, width)
    if draws.erased is not None:
        mixing.erase(pictures, *draws.erased)
    if draws.pasted is not None:
        pictures = mixing.paste(pictures, *draws.pasted)
    return to_rgb(pictures)


def pack(images: np.ndarray, draws: Draws, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the inputs of a model of :func:`train.augmentation.batches.augmenting`: pictures, tables, parameters.

    Pictures are uint8 ``(n, h, w, 1 or 3)``, as small as they came; tables uint8 ``(n, 256)``; parameters float32
    ``(n, 16)``.
    """
    count = len(images)
    pictures = images[..., None] if images.ndim == 3 else images
    tables = draws.tables
    if tables is None:
        tables = np.tile(np.arange(randaugment.LEVELS, dtype=np.uint8), (count, 1))
    maps = to_pixels(draws.matrices, (images.shape[1], images.shape[2]), size).reshape(count, 6)
    empty = (np.zeros((count, 4), np.int32), np.zeros(count, np.float32))
    columns = [maps]
    for boxes, values in (draws.erased or empty, draws.pasted or empty):
        columns += [boxes, values[:, None]]
    return pictures, tables, np.concatenate(columns, axis=1).astype(np.float32)
