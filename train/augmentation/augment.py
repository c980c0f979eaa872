"""Augmentation: what may happen to a training picture, and the one affine resampling that moves it.

Rotation, shift, zoom, flip and RandAugment's geometric operations are composed into one matrix, so the data set's
picture (48 px) goes to the network's size (64 px, say) in a single bilinear step: a small face is blurred once and not
five times. ``randaugment`` draws RandAugment's operations, ``mixing`` erasing, MixUp and CutMix, and ``rendering`` puts
them together; nothing of it is saved with the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.errors import DataError
from edge.pictures.preprocess import fit

MAGNITUDE_MAX = 10.0


@dataclass(frozen=True)
class Augment:
    """What may happen to a training picture; the defaults leave it alone.

    Attributes:
        rotation_deg: largest rotation either way, in degrees.
        shift: largest shift either way, as a fraction of the side.
        zoom: largest zoom either way: the scale is drawn log-uniformly from 1/(1 + zoom) to 1 + zoom.
        flip: mirror every second picture, left to right.
        randaugment_ops: RandAugment's N: operations drawn a picture, on top of the above.
        randaugment_magnitude: RandAugment's M, 0–10; :mod:`train.augmentation.randaugment` says what 10 means.
        erasing: probability that a rectangle of a picture is painted over, 0–1.
        mixup_alpha: MixUp's Beta(α, α); 0 is off. Where CutMix is on too, each picture gets one of the two by a coin.
        cutmix_alpha: CutMix's Beta(α, α); 0 is off.
        mixing: probability that a picture is mixed at all where MixUp or CutMix is on, 0–1.
    """

    rotation_deg: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    flip: bool = False
    randaugment_ops: int = 0
    randaugment_magnitude: float = 0.0
    erasing: float = 0.0
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    mixing: float = 1.0

    def __post_init__(self) -> None:
        for name in ("rotation_deg", "shift", "zoom", "randaugment_ops", "mixup_alpha", "cutmix_alpha"):
            self._check(name, np.inf)
        self._check("randaugment_magnitude", MAGNITUDE_MAX)
        self._check("erasing", 1.0)
        self._check("mixing", 1.0)

    def _check(self, name: str, highest: float) -> None:
        value = getattr(self, name)
        if not 0 <= value <= highest:
            bounds = "of 0 or more" if highest == np.inf else f"from 0 to {highest:g}"
            raise DataError(f"expected an augmentation's {name} {bounds}; got {value}; mend the recipe")


NONE = Augment()
TTA_VIEWS = ("none", "flip", "crops")
"""Kinds of test-time augmentation; ``train.evaluation.predict.views`` says what each looks at."""


def draw_matrices(augment: Augment, rng: np.random.Generator, count: int) -> np.ndarray:
    """Return float64 ``(count, 2, 3)``: maps from output to input in centred units (−0.5…0.5 over a side).

    Rotation, shift, zoom and flip alone: RandAugment's come on top in :func:`train.augmentation.rendering.draw`.
    """
    angle = np.deg2rad(rng.uniform(-augment.rotation_deg, augment.rotation_deg, count))
    scale = np.exp(rng.uniform(-1, 1, count) * np.log1p(augment.zoom))
    shift = rng.uniform(-augment.shift, augment.shift, (count, 2))
    mirror = np.where(augment.flip & (rng.random(count) < 0.5), -1.0, 1.0)
    return compose(angle, scale, shift, mirror)


def compose(angle: np.ndarray, scale: np.ndarray, shift: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Return float64 ``(n, 2, 3)`` from angles (rad), scales (>1 enlarges), shifts ``(n, 2)`` and mirrors (±1)."""
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    matrices = np.empty((len(angle), 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1] = cos * mirror, -sin
    matrices[:, 1, 0], matrices[:, 1, 1] = sin * mirror, cos
    matrices[:, :, 2] = shift
    return matrices


def chain(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return float64 ``(n, 2, 3)``: the maps of pictures that go through ``first`` and then through ``second``.

    Both map from output to input, so a point of the final picture goes through ``second``'s map before ``first``'s.
    """
    linear = first[:, :, :2] @ second[:, :, :2]
    offset = first[:, :, :2] @ second[:, :, 2:] + first[:, :, 2:]
    return np.concatenate([linear, offset], axis=2)


def to_pixels(matrices: np.ndarray, source: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """Return the maps in pixels: from target (x, y) to source (x, y), pixel centres at whole numbers.

    Args:
        matrices: float64 ``(n, 2, 3)`` in centred units.
        source: (height, width) of the pictures, in pixels.
        target: (height, width) of the network's input, in pixels.
    """
    source_xy = np.array([source[1], source[0]], np.float64)
    target_xy = np.array([target[1], target[0]], np.float64)
    linear = matrices[:, :, :2] * source_xy[None, :, None] / target_xy[None, None, :]
    centre = matrices[:, :, 2] * source_xy + (source_xy - 1) / 2
    offset = centre - linear @ ((target_xy - 1) / 2)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def shrink_to(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return pictures no larger than the network's input, so that the affine step only ever enlarges.

    Larger ones go through :func:`edge.pictures.preprocess.fit` (area averaging), smaller ones come back unchanged.
    """
    if images.shape[1] <= height and images.shape[2] <= width:
        return images
    grey = images.ndim == 3
    fitted = np.stack([fit(image, height, width) for image in images])
    return np.ascontiguousarray(fitted[..., 0]) if grey else fitted


def warp(images: np.ndarray, matrices: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return uint8 ``(n, height, width, 3)``: every picture through its matrix, borders repeated.

    Args:
        images: uint8 ``(n, h, w)`` or ``(n, h, w, 3)``, at most ``height`` x ``width``.
        matrices: float64 ``(n, 2, 3)`` in centred units.
        height: of the result, in pixels.
        width: of the result, in pixels.
    """
    return to_rgb(resample(images, matrices, height, width))


def resample(images: np.ndarray, matrices: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return what :func:`warp` does, but grey pictures ``(n, h, w)`` stay grey: uint8 ``(n, height, width[, 3])``."""
    maps = to_pixels(matrices, images.shape[1:3], (height, width))
    out = np.empty((len(images), height, width, *images.shape[3:]), np.uint8)
    for image, matrix, place in zip(images, maps, out, strict=True):
        cv2.warpAffine(
            image,
            matrix,
            (width, height),
            dst=place,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out


def to_rgb(pictures: np.ndarray) -> np.ndarray:
    """Return uint8 ``(n, h, w, 3)`` of pictures ``(n, h, w)``, their grey three times; coloured ones as they are."""
    if pictures.ndim == 4:
        return pictures
    count, height, width = pictures.shape
    return cv2.cvtColor(pictures.reshape(count * height, width), cv2.COLOR_GRAY2RGB).reshape(count, height, width, 3)
