"""Random erasing, MixUp and CutMix: rectangles of a batch painted over, or blended with the next picture's.

All three are one kind of thing, a rectangle and an opacity: erasing paints a grey level, CutMix lays a piece of the
partner over the picture, MixUp blends the partner in over the whole picture. The partner is the next picture of the
batch (the last one's is the first): batches are shuffled, so that is as random as a permutation and needs no gathering.

Source: Zhong et al. 2020, "Random erasing data augmentation"; Zhang et al. 2018, "mixup: Beyond empirical risk
minimization"; Yun et al. 2019, "CutMix". Differences: erasing paints one random level (the paper's variants are noise
or a constant) and cuts a rectangle to the side where the paper draws again; mixing ratios are drawn for each picture
(the papers draw one a batch), which the losses below allow since they are linear in the targets.
"""

from __future__ import annotations

import cv2
import numpy as np

from train.augmentation.augment import Augment

ERASED_SHARE = (0.02, 0.25)  # of the area; the paper's 0.4 hides eyes and mouth of a tight crop at once
ERASED_ASPECT = 0.3  # height : width is drawn log-uniformly from this to its inverse


def draw_erasing(
    augment: Augment, rng: np.random.Generator, count: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (left, top, right, bottom) int32 ``(count, 4)`` in pixels, and uint8 ``(count,)`` levels for them.

    A picture that stays whole has an empty box. ``size`` is (height, width) in pixels.
    """
    erased = rng.random(count) < augment.erasing
    area = rng.uniform(*ERASED_SHARE, count)
    aspect = np.exp(rng.uniform(-1, 1, count) * np.log(ERASED_ASPECT))
    sides = np.stack([np.sqrt(area / aspect), np.sqrt(area * aspect)], axis=1)
    place = rng.random((count, 2))
    levels = rng.integers(0, 256, count).astype(np.uint8)
    extent = np.array([size[1], size[0]])
    sides_px = np.clip(np.rint(sides * extent), 1, extent)
    start = np.floor(place * (extent - sides_px + 1))
    return _boxes(start, start + sides_px, erased), levels


def draw_pasting(
    augment: Augment, rng: np.random.Generator, count: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes int32 ``(count, 4)`` and float32 ``(count,)`` opacities of the partner's pixels in them.

    MixUp: the whole picture at opacity 1 − λ. CutMix: a box of 1 − λ of the area (less where it is cut at the border)
    at opacity 1. λ is Beta(α, α). A picture that is not mixed has an empty box.
    """
    alphas = (augment.mixup_alpha, augment.cutmix_alpha)
    mixed = (rng.random(count) < augment.mixing) & any(alpha > 0 for alpha in alphas)
    chance = 0.5 if all(alpha > 0 for alpha in alphas) else float(augment.cutmix_alpha > 0)
    cut = rng.random(count) < chance
    others = np.where(cut, _beta(rng, augment.cutmix_alpha, count), _beta(rng, augment.mixup_alpha, count))
    centre = rng.random((count, 2))
    extent = np.array([size[1], size[0]])
    half = np.sqrt(others)[:, None] / 2
    start = np.where(cut[:, None], np.clip(np.rint((centre - half) * extent), 0, extent), 0)
    stop = np.where(cut[:, None], np.clip(np.rint((centre + half) * extent), 0, extent), extent)
    return _boxes(start, stop, mixed), np.where(cut, 1.0, others).astype(np.float32)


def partner_shares(boxes: np.ndarray, opacities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return float32 ``(n,)``: how much of each picture is its partner's, 0–1, counted in pixels and opacity."""
    left, top, right, bottom = boxes.T
    return ((right - left) * (bottom - top) * opacities / (size[0] * size[1])).astype(np.float32)


def erase(pictures: np.ndarray, boxes: np.ndarray, levels: np.ndarray) -> None:
    """Paint the boxes of uint8 ``pictures`` ``(n, h, w[, 3])`` over, in place."""
    for picture, (left, top, right, bottom), level in zip(pictures, boxes.tolist(), levels.tolist(), strict=True):
        picture[top:bottom, left:right] = level


def paste(pictures: np.ndarray, boxes: np.ndarray, opacities: np.ndarray) -> np.ndarray:
    """Return uint8 pictures of the same shape ``(n, h, w[, 3])``, each with its partner's pixels blended in."""
    mixed = pictures.copy()
    partners = np.roll(np.arange(len(pictures)), -1).tolist()
    for index, ((left, top, right, bottom), opacity) in enumerate(zip(boxes.tolist(), opacities.tolist(), strict=True)):
        if left == right or top == bottom:
            continue
        own, other = (pictures[i][top:bottom, left:right] for i in (index, partners[index]))
        mixed[index][top:bottom, left:right] = (
            other if opacity == 1 else cv2.addWeighted(own, 1 - opacity, other, opacity, 0)
        )
    return mixed


def mix_targets(targets: np.ndarray, weights: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 targets ``(n, classes)`` and weights ``(n,)`` of pictures mixed with their partners.

    With λ = 1 − share, the loss of a mixed picture shall be λ·w·L(t, p) + (1 − λ)·w'·L(t', p): each half keeps the
    weight of its own class. Every loss here is linear in the targets, so that is exactly the weight
    W = λ·w + (1 − λ)·w' on the target (λ·w·t + (1 − λ)·w'·t') / W, which still sums to 1. With equal weights it is
    MixUp's own λ·t + (1 − λ)·t'. (Averaging weights and targets apart would lend a rare class's weight to the frequent
    class that it is mixed with.) A distillation term does not look at the targets; it is weighed by W.

    Args:
        targets: float32 ``(n, classes)``, rows that sum to 1.
        weights: float32 ``(n,)``, 0 or more.
        shares: float32 ``(n,)``, the partner's share of each picture, 0–1.
    """
    own, others = (1 - shares) * weights, shares * np.roll(weights, -1)
    total = own + others
    known = total > 0  # two weightless pictures count for nothing, whatever their target
    own_share = np.where(known, own / np.where(known, total, 1), 1 - shares)[:, None]
    mixed = own_share * targets + (1 - own_share) * np.roll(targets, -1, axis=0)
    return mixed.astype(np.float32), total.astype(np.float32)


def _beta(rng: np.random.Generator, alpha: float, count: int) -> np.ndarray:
    return rng.beta(alpha, alpha, count) if alpha > 0 else np.zeros(count)


def _boxes(start: np.ndarray, stop: np.ndarray, used: np.ndarray) -> np.ndarray:
    return np.where(used[:, None], np.concatenate([start, stop], axis=1), 0).astype(np.int32)
