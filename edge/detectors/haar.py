"""Haar: OpenCV's cascade of frontal faces, and what its square is in the reference convention.

Source: Viola & Jones 2001; Lienhart's cascade in OpenCV's wheel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from edge.preprocess import Box

HAAR_NAME = "haarcascade_frontalface_default.xml"

_SCALE_FACTOR = 1.1
_MIN_NEIGHBOURS = 5
_MIN_SIDE_PX = 30
# Haar's square -> YuNet's box, as shares of the square's side: centre, width, height. Medians over the 899 of 1,200
# random FER2013 training faces (padded by 12 px of replicated border, enlarged to 216 px) that both detectors find;
# quartiles: centre x 0.474-0.525, y 0.486-0.543, width 0.771-0.860, height 1.003-1.138.
_CENTRE_X, _CENTRE_Y, _WIDTH, _HEIGHT = 0.498, 0.513, 0.816, 1.071


class Haar:
    """OpenCV's frontal-face cascade; needs no file beyond OpenCV's own wheel and finds frontal faces only.

    The score is w / (1 + w), w being the cascade's margin in its last stage. It orders detections and is no
    probability: on 916 FER2013 faces its 5th, 50th and 95th percentiles are 0.73, 0.87 and 0.91.
    """

    name = "haar"

    def __init__(self, side_px: int = DETECTION_SIDE_PX) -> None:
        """Load the cascade.

        Args:
            side_px: longest side at which faces are looked for.

        Raises:
            DetectorError: this OpenCV comes without the cascade.
        """
        self._side_px = checked_side(side_px)
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
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        squares, _, margins = self._cascade.detectMultiScale3(
            grey,
            _SCALE_FACTOR,
            _MIN_NEIGHBOURS,
            minSize=(_MIN_SIDE_PX, _MIN_SIDE_PX),
            outputRejectLevels=True,
        )
        found = []
        for (left, top, side, _), margin in zip(squares, np.ravel(margins), strict=True):
            left, top, right, bottom = from_haar(float(left), float(top), float(side))
            box = (left / scale_x, top / scale_y, right / scale_x, bottom / scale_y)
            found.append(Detection(box, max(0.0, float(margin)) / (1 + max(0.0, float(margin)))))
        sure = [face for face in large_enough(found, image) if face.score >= MIN_SCORE]
        return ordered(without_overlaps(sure))


def from_haar(left: float, top: float, side: float) -> Box:
    """Return the reference box (left, top, right, bottom) of Haar's square at (left, top), all in pixels."""
    centre_x, centre_y = left + _CENTRE_X * side, top + _CENTRE_Y * side
    half_width, half_height = _WIDTH * side / 2, _HEIGHT * side / 2
    return centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height
