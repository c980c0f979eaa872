"""Augmentation: rotation, shift, zoom and flip composed into one affine resampling an image.

The data set's picture (48 px) goes to the network's size (64 px, say) and through all distortions in a single bilinear
step, so a small face is blurred once and not three times. The same matrices run through OpenCV in worker threads on a
CPU, or through ``keras.ops.image.affine_transform`` on an accelerator. Nothing of it is saved with the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.preprocess import fit


@dataclass(frozen=True)
class Augment:
    """How far a training picture may be moved; all zeros and ``flip=False`` leave it alone.

    Attributes:
        rotation_deg: largest rotation either way, in degrees.
        shift: largest shift either way, as a fraction of the side.
        zoom: largest zoom either way: the scale is drawn log-uniformly from 1/(1 + zoom) to 1 + zoom.
        flip: mirror every second picture, left to right.
    """

    rotation_deg: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    flip: bool = False


NONE = Augment()


def draw_matrices(augment: Augment, rng: np.random.Generator, count: int) -> np.ndarray:
    """Return float64 ``(count, 2, 3)``: maps from output to input in centred units (−0.5…0.5 over a side)."""
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

    Larger ones go through :func:`edge.preprocess.fit` (area averaging), smaller ones come back unchanged.
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
    maps = to_pixels(matrices, images.shape[1:3], (height, width))
    out = np.empty((len(images), height, width, 3), np.uint8)
    for image, matrix, place in zip(images, maps, out, strict=True):
        moved = cv2.warpAffine(
            image,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        place[...] = moved[..., None] if moved.ndim == 2 else moved
    return out


def pad_to(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return uint8 ``(n, height, width, 3)`` with the pictures top left and their last row and column repeated.

    What :func:`device_transform` works on: an affine transform on the accelerator keeps the size of its input.
    """
    images = images[..., None] if images.ndim == 3 else images
    pad = ((0, 0), (0, height - images.shape[1]), (0, width - images.shape[2]), (0, 0))
    padded = np.pad(images, pad, mode="edge")
    return np.ascontiguousarray(np.broadcast_to(padded, (*padded.shape[:3], 3)))


def device_coefficients(matrices: np.ndarray, source: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """Return float32 ``(n, 8)``: the coefficients a0…a2, b0…b2, 0, 0 of ``keras.ops.image.affine_transform``."""
    maps = to_pixels(matrices, source, target).reshape(len(matrices), 6)
    return np.concatenate([maps, np.zeros((len(matrices), 2))], axis=1).astype(np.float32)
