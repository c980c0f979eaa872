"""Haar: OpenCV's cascade of frontal faces, and what its square is in the reference convention.

Source: Viola & Jones 2001; Lienhart's cascade in OpenCV's wheel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge.detectors.core import (
    DETECTION_SIDE_PX,
    MIN_SCORE,
    Detection,
    checked_side,
    large_enough,
    ordered,
    scaled,
    without_overlaps,
)
from edge.errors import DetectorError
from edge.pictures.preprocess import Box

HAAR_NAME = "haarcascade_frontalface_default.xml"

# Of a picture's grey levels, these shares are cut off at the dark and at the bright end before the rest is spread.
_DARKEST, _BRIGHTEST = 0.01, 0.99
_LEAST_SPAN = 16  # grey levels; a nearly even picture's noise is not blown up further
# Haar's square -> YuNet's box, as shares of the square's side: centre, width, height. Medians over the 899 of 1,200
# random FER2013 training faces (padded by 12 px of replicated border, enlarged to 216 px) that both detectors find;
# quartiles: centre x 0.474-0.525, y 0.486-0.543, width 0.771-0.860, height 1.003-1.138. They are of the former settings
# (scale factor 1.1, 5 neighbours, equalized); today's, on 877 such faces, give 0.495, 0.509, 0.815, 1.067.
_CENTRE_X, _CENTRE_Y, _WIDTH, _HEIGHT = 0.498, 0.513, 0.816, 1.071


@dataclass(frozen=True)
class HaarSettings:
    """How the cascade searches; `python -m benchmarks detectors` measures what other settings find and cost.

    Attributes:
        scale_factor: of the searched squares' sides, from one to the next, above 1.
        min_neighbours: squares that must lie upon each other for a face, 0 or more.
        min_side_px: side of the smallest square, in pixels of the picture that is searched.
        contrast: what the grey levels go through first: "stretched" as by `stretched`, "equalized" as by
            cv2.equalizeHist.
    """

    scale_factor: float = 1.2
    min_neighbours: int = 3
    min_side_px: int = 30
    contrast: Literal["stretched", "equalized"] = "stretched"

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 1 < self.scale_factor < math.inf:
            raise ValueError(f"expected scale_factor above 1; got {self.scale_factor}")
        if self.min_neighbours < 0 or self.min_side_px < 1:
            raise ValueError(
                f"expected min_neighbours 0 or more and min_side_px 1 or more; got {self.min_neighbours} and "
                f"{self.min_side_px}"
            )
        if self.contrast not in ("stretched", "equalized"):
            raise ValueError(f"expected contrast stretched or equalized; got {self.contrast!r}")


class Haar:
    """OpenCV's frontal-face cascade; needs no file beyond OpenCV's own wheel and finds frontal faces only.

    The score is w / (1 + w), w being the cascade's margin in its last stage. It orders detections and is no
    probability: on 892 FER2013 faces its 5th, 50th and 95th percentiles are 0.68, 0.86 and 0.91.
    """

    name = "haar"

    def __init__(self, side_px: int = DETECTION_SIDE_PX, settings: HaarSettings | None = None) -> None:
        """Load the cascade.

        Args:
            side_px: longest side at which faces are looked for.
            settings: None: the defaults.

        Raises:
            DetectorError: this OpenCV comes without the cascade.
        """
        self._side_px = checked_side(side_px)
        self._settings = settings or HaarSettings()
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        file = Path(folder) / HAAR_NAME
        if not hasattr(cv2, "CascadeClassifier") or not file.is_file():
            raise DetectorError(
                f"expected an OpenCV with {HAAR_NAME}; got OpenCV {cv2.__version__} without it; run "
                "`pip install 'opencv-python-headless<5'`, or use YuNet: `fer-edge fetch yunet`"
            )
        self._cascade: Any = cv2.CascadeClassifier(str(file))
        if self._cascade.empty():
            raise DetectorError(f"{file}: expected a sound cascade; got one that OpenCV cannot load; reinstall OpenCV")

    def detect(self, image: npt.NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Return the frontal faces in a (height, width, 3) uint8 RGB picture, the largest first."""
        small, scale_x, scale_y = scaled(image, self._side_px)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
        settings = self._settings
        squares, _, margins = self._cascade.detectMultiScale3(
            stretched(grey) if settings.contrast == "stretched" else cv2.equalizeHist(grey),
            settings.scale_factor,
            settings.min_neighbours,
            minSize=(settings.min_side_px, settings.min_side_px),
            outputRejectLevels=True,
        )
        found = []
        for (left, top, side, _), margin in zip(squares, np.ravel(margins), strict=True):
            left, top, right, bottom = from_haar(float(left), float(top), float(side))
            box = (left / scale_x, top / scale_y, right / scale_x, bottom / scale_y)
            found.append(Detection(box, max(0.0, float(margin)) / (1 + max(0.0, float(margin)))))
        sure = [face for face in large_enough(found, image) if face.score >= MIN_SCORE]
        return ordered(without_overlaps(sure))


def stretched(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a grey picture, (h, w) uint8, with its levels spread: the 1st percentile to 0, the 99th to 255.

    The cascade divides each square by its own deviation, so a linear map changes little of what it sees in an
    ordinary picture; but OpenCV passes over squares of less than 10 levels' deviation, which in the dark are faces.
    """
    counts = np.cumsum(cv2.calcHist([grey], [0], None, [256], [0, 256]), dtype=np.float64)
    low, high = (int(np.searchsorted(counts, share * counts[-1])) for share in (_DARKEST, _BRIGHTEST))
    levels = (np.arange(256) - low) * (255 / max(high - low, _LEAST_SPAN))
    return cv2.LUT(grey, np.clip(np.rint(levels), 0, 255).astype(np.uint8)).astype(np.uint8, copy=False)


def from_haar(left: float, top: float, side: float) -> Box:
    """Return the reference box (left, top, right, bottom) of Haar's square at (left, top), all in pixels."""
    centre_x, centre_y = left + _CENTRE_X * side, top + _CENTRE_Y * side
    half_width, half_height = _WIDTH * side / 2, _HEIGHT * side / 2
    return centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height
