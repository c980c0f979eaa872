"""How a found face is turned upright before it is cut: by the line through its eyes, or by all of its points.

Both give a box and an angle for `edge.pictures.preprocess.crop_face`, so that any model's crop follows. "eyes" turns
the detector's box about its centre. "points" fits the places of a detector's points in FER2013's pictures to those
found, by a similarity (turn, scale, shift), and takes centre, size and angle from the fit. Which of them reads more
faces right is measured by `python -m benchmarks alignment`; see docs/runtime.md.

Source: Umeyama 1991, "Least-Squares Estimation of Transformation Parameters Between Two Point Patterns", IEEE TPAMI
13(4), equations 40 to 43. In the plane a turn and scale is one complex factor, and his minimum over true rotations,
reflections excluded, is a linear regression through the means. The template's role is ArcFace's (Deng et al. 2019).
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge.detectors import Detection, Point
from edge.pictures.preprocess import Box, roll_of

Alignment = Literal["auto", "none", "eyes", "points"]
ALIGNMENTS: tuple[Alignment, ...] = ("auto", "none", "eyes", "points")
# "auto" turns by the eyes where they are tilted by more than this many degrees. By the record of `python -m benchmarks
# alignment` (docs/runtime.md), thresholds of 0 to 10 read as many faces right, and one of 20 fewer of YuNet's. All
# points instead of the eyes read fewer of BlazeFace's right (it gives three here), and of YuNet's, which gives five,
# more by less than a point, which may be chance; and they push half-profiles aside. So "auto" stays with the eyes.
ALIGN_FROM_DEG = 10.0

# Where a detector's points lie in FER2013's 48 x 48 pixels (x, y), by their number: YuNet gives five, BlazeFace three.
# Medians over Training faces, rounded to 0.1; a test holds them against the record of `python -m benchmarks alignment`.
TEMPLATES: Mapping[int, tuple[Point, ...]] = {
    5: ((14.4, 18.7), (32.7, 19.1), (22.9, 28.2), (16.1, 35.7), (31.1, 36.0)),
    3: ((15.2, 19.1), (32.7, 18.9), (24.2, 28.9)),
}
# The reference box in the same pixels, from which FER2013's crop was derived (train/datasets/fer2013.py).
_BOX_CENTRE, _BOX_SIDE = (23.5, 24.5), 47.0
# A fit is refused beyond these; they stop what cannot be a face and leave faces in half profile in. Points that are
# mirrored or lie on a line have residuals above the limit.
_MOST_RESIDUAL = 0.5
_MOST_SCALE = 2.0  # of the fitted box to the detector's, either way
_MOST_SHIFT = 0.5  # of the fitted box's centre from the detector's, as a share of its longer side


@dataclass(frozen=True)
class Similarity:
    """A turn, scale and shift of the plane.

    Attributes:
        scale: of lengths, 0 or more.
        roll_deg: turn clockwise as pictures are seen (y downwards), -180..180.
        shift_px: (x, y) to which the origin goes.
        residual: root mean square distance that is left, as a share of the points' own from their mean, 0..1.
    """

    scale: float
    roll_deg: float
    shift_px: Point
    residual: float

    def __call__(self, x: float, y: float) -> Point:
        """Return where a point goes."""
        factor = cmath.rect(self.scale, math.radians(self.roll_deg))
        moved = factor * complex(x, y) + complex(*self.shift_px)
        return moved.real, moved.imag


def similarity(template: Sequence[Point], points: Sequence[Point]) -> Similarity:
    """Return the similarity that takes the template nearest to the points, in the sense of least squares.

    A mirrored set is met by the best turn, as Umeyama's sign matrix asks, never by a reflection; its residual is large.

    Args:
        template: (x, y) of two points or more, not all the same.
        points: (x, y) of as many, in the same order.

    Raises:
        ValueError: the numbers differ, one is not finite, or all points of a set are the same.
    """
    if len(template) != len(points) or len(points) < 2:
        raise ValueError(f"expected two or more points and as many of the template; got {len(points)}, {len(template)}")
    source, target = (np.array([complex(x, y) for x, y in each]) for each in (template, points))
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise ValueError(f"expected finite points; got {tuple(points)}")
    source_mean, target_mean = complex(source.mean()), complex(target.mean())
    source, target = source - source_mean, target - target_mean
    source_spread, target_spread = float(np.vdot(source, source).real), float(np.vdot(target, target).real)
    if source_spread == 0 or target_spread == 0:
        raise ValueError(f"expected points at different places; got {tuple(points)}")
    factor = complex(np.vdot(source, target)) / source_spread
    left = target - factor * source
    shift = target_mean - factor * source_mean
    return Similarity(
        scale=abs(factor),
        roll_deg=math.degrees(cmath.phase(factor)),
        shift_px=(shift.real, shift.imag),
        residual=math.sqrt(float(np.vdot(left, left).real) / target_spread),
    )


def placed(found: Detection, align: Alignment, width: int, height: int) -> tuple[Box, float]:
    """Return the box about which a face is cut, and the degrees clockwise by which it is turned back.

    Without points, and where a fit is refused, that is the detector's box as it is, and 0.

    Args:
        found: the face.
        align: "none", "eyes", "points" or "auto" ("eyes" above `ALIGN_FROM_DEG`).
        width: of the picture, pixels.
        height: of the picture, pixels.
    """
    if align == "none" or found.points is None or len(found.points) < 2:
        return found.box, 0.0
    if align == "points":
        fitted = _fitted(found, width, height)
        return (found.box, 0.0) if fitted is None else fitted
    roll = roll_of(found.points[0], found.points[1])
    return found.box, roll if align == "eyes" or abs(roll) > ALIGN_FROM_DEG else 0.0


def _fitted(found: Detection, width: int, height: int) -> tuple[Box, float] | None:
    """Return box and angle by all points; None where they have no template, are degenerate or do not fit a face."""
    points = found.points or ()
    template = TEMPLATES.get(len(points))
    if template is None:
        return None
    try:
        fit = similarity(template, points)
    except ValueError:  # points that are not finite, or all the same
        return None
    left, top, right, bottom = found.box
    box_side, side = max(right - left, bottom - top), _BOX_SIDE * fit.scale
    x, y = fit(*_BOX_CENTRE)
    shift = math.hypot(x - (left + right) / 2, y - (top + bottom) / 2)
    if fit.residual > _MOST_RESIDUAL or shift > _MOST_SHIFT * box_side:
        return None
    if not box_side / _MOST_SCALE <= side <= box_side * _MOST_SCALE or not (0 <= x < width and 0 <= y < height):
        return None
    return (x - side / 2, y - side / 2, x + side / 2, y + side / 2), fit.roll_deg
