"""RandAugment for grey faces: N operations a picture, all of one magnitude M, as one matrix and one look-up table.

Source: Cubuk et al. 2020, "RandAugment: Practical automated data augmentation with a reduced search space", section 3:
N operations drawn uniformly, with replacement, at one constant magnitude; signs by a coin. Of its list we leave out
colour (pictures are grey), sharpness (neither affine nor pointwise) and solarize (it turns a well-lit face into a
negative with the shading, and so the expression, gone: seen on FER2013), and add gamma. What magnitude 10 means is
bounded so that an expression stays readable: see the constants.
"""

from __future__ import annotations

import numpy as np

from train.augmentation.augment import MAGNITUDE_MAX, chain, compose

GEOMETRIC = ("rotate", "shear-x", "shear-y", "shift-x", "shift-y")
PHOTOMETRIC = ("brightness", "contrast", "gamma", "posterize", "equalize", "autocontrast")
OPERATIONS = ("identity", *GEOMETRIC, *PHOTOMETRIC)

# At magnitude 10.
ROTATION_DEG = 30.0
SHEAR = 0.3
SHIFT = 0.15  # of the side; AutoAugment's 0.45 moves the mouth out of a tight crop
BRIGHTNESS = 0.4  # factors 0.6 and 1.4
CONTRAST = 0.6  # factors 0.4 and 1.6 about the picture's mean
GAMMA_OCTAVES = 1.0  # exponents 0.5 and 2
POSTERIZE_BITS = 4  # of 8 taken away

LEVELS = 256


def draw_operations(rng: np.random.Generator, count: int, operations: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices into :data:`OPERATIONS` and signs (±1), both ``(count, operations)``."""
    chosen = rng.integers(0, len(OPERATIONS), (count, operations))
    return chosen, np.where(rng.random((count, operations)) < 0.5, -1.0, 1.0)


def matrices(chosen: np.ndarray, signs: np.ndarray, magnitude: float) -> np.ndarray:
    """Return float64 ``(n, 2, 3)``: the geometric operations of each picture, composed in their order.

    Args:
        chosen: indices into :data:`OPERATIONS`, ``(n, operations)``.
        signs: ±1, of the same shape.
        magnitude: 0–10.
    """
    count = len(chosen)
    total = compose(np.zeros(count), np.ones(count), np.zeros((count, 2)), np.ones(count))
    share = magnitude / MAGNITUDE_MAX
    for names, sign in zip(chosen.T, signs.T, strict=True):
        strength = {name: np.where(names == OPERATIONS.index(name), sign * share, 0.0) for name in GEOMETRIC}
        shift = SHIFT * np.stack([strength["shift-x"], strength["shift-y"]], axis=1)
        step = compose(np.deg2rad(ROTATION_DEG) * strength["rotate"], np.ones(count), shift, np.ones(count))
        step[:, 0, 1] += SHEAR * strength["shear-x"]
        step[:, 1, 0] += SHEAR * strength["shear-y"]
        total = chain(total, step)
    return total


def tables(chosen: np.ndarray, signs: np.ndarray, magnitude: float, images: np.ndarray) -> np.ndarray:
    """Return uint8 ``(n, 256)``: the photometric operations of each picture as one table, grey level -> grey level.

    Contrast, equalize and autocontrast look at the picture's own histogram, all channels together.

    Args:
        chosen: indices into :data:`OPERATIONS`, ``(n, operations)``.
        signs: ±1, of the same shape.
        magnitude: 0–10.
        images: uint8 ``(n, h, w)`` or ``(n, h, w, 3)``.
    """
    levels = np.tile(np.arange(LEVELS, dtype=np.uint8), (len(chosen), 1))
    share = magnitude / MAGNITUDE_MAX
    for names, sign in zip(chosen.T, signs.T, strict=True):
        for name in PHOTOMETRIC:
            rows = np.flatnonzero(names == OPERATIONS.index(name))
            if len(rows):
                levels[rows] = _apply(name, levels[rows], sign[rows, None] * share, images[rows])
    return levels


def _apply(name: str, levels: np.ndarray, strength: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return the tables ``(k, 256)`` with one more operation behind them; ``strength`` is ``(k, 1)``, −1…1."""
    if name == "brightness":
        return _whole(levels * (1 + BRIGHTNESS * strength))
    if name == "gamma":
        return _whole(255 * (levels / 255.0) ** np.exp2(GAMMA_OCTAVES * strength))
    if name == "posterize":
        bits = np.rint(POSTERIZE_BITS * np.abs(strength)).astype(np.uint8)
        return (levels >> bits) << bits
    counts = _histograms(levels, images)
    if name == "contrast":
        mean = (counts @ np.arange(LEVELS) / counts.sum(axis=1))[:, None]
        return _whole(mean + (levels - mean) * (1 + CONTRAST * strength))
    return np.take_along_axis(_equalize(counts) if name == "equalize" else _stretch(counts), levels.astype(int), axis=1)


def _histograms(levels: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return int64 ``(k, 256)``: how often each grey level occurs in the pictures after their tables."""
    flat = images.reshape(len(images), -1)
    counts = [
        np.bincount(table, weights=np.bincount(pixels, minlength=LEVELS), minlength=LEVELS)
        for table, pixels in zip(levels, flat, strict=True)
    ]
    return np.asarray(counts, np.int64)


def _equalize(counts: np.ndarray) -> np.ndarray:
    """Return uint8 tables that spread the grey levels evenly, by OpenCV's formula; a flat picture stays."""
    below = counts.cumsum(axis=1)
    darkest = np.take_along_axis(counts, (counts > 0).argmax(axis=1)[:, None], axis=1)
    spread = below[:, -1:] - darkest
    even = (below - darkest) * 255.0 / np.maximum(spread, 1)
    return _whole(np.where(spread > 0, even, np.arange(LEVELS)))


def _stretch(counts: np.ndarray) -> np.ndarray:
    """Return uint8 tables that put the darkest level to 0 and the brightest to 255; a flat picture stays."""
    dark = (counts > 0).argmax(axis=1)[:, None]
    bright = LEVELS - 1 - (counts[:, ::-1] > 0).argmax(axis=1)[:, None]
    grey = np.arange(LEVELS)
    return _whole(np.where(bright > dark, (grey - dark) * 255.0 / np.maximum(bright - dark, 1), grey))


def _whole(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
