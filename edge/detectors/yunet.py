"""YuNet, the detector whose box is the reference convention.

Source: Wu, Peng & Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector"; file from OpenCV Zoo, MIT.
"""

from __future__ import annotations

import math
import os
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
    read_network,
    scaled,
)
from edge.errors import DetectorError

YUNET_NAME = "face_detection_yunet_2023mar.onnx"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
YUNET_FETCH = "fer-edge fetch yunet"
YUNET_FILE = "YuNet's ONNX file"

_NMS_THRESHOLD = 0.3
# Smaller pictures are padded with black. In narrower ones OpenCV 4 gives YuNet's network values that change from run to
# run: of 520 faceless pictures of 1 to 40 by 64 to 640 pixels 0 to 33 had a face, of scores up to 1.0; padded, none.
_LEAST_SIDE_PX = 64
_PROBE_SIZE = (64, 64)  # of the black picture that tells YuNet's network from others
_POINTS_AT, _SCORE_AT = 4, 14  # in a row of the network's: x, y, width, height, five points' x, y, score


class YuNet:
    """YuNet by `cv2.FaceDetectorYN`; the score is sqrt(class score * objectness) of its network."""

    name = "yunet"

    def __init__(self, path: str | os.PathLike[str], side_px: int = DETECTION_SIDE_PX) -> None:
        """Load the network.

        Args:
            path: YuNet's ONNX file.
            side_px: longest side at which faces are looked for.

        Raises:
            DetectorError: the file is missing or not a network that OpenCV can run as YuNet.
        """
        content = read_network(path, YUNET_FILE, YUNET_FETCH)
        self._side_px = checked_side(side_px)
        try:
            self._network: Any = cv2.FaceDetectorYN.create(
                "onnx",
                np.frombuffer(content, np.uint8),
                np.empty(0, np.uint8),
                _PROBE_SIZE,
                MIN_SCORE,
                _NMS_THRESHOLD,
            )
            self._network.detect(np.zeros((*_PROBE_SIZE, 3), np.uint8))  # a network of another kind fails here
        except (cv2.error, SystemError) as error:
            raise DetectorError(
                f"{path}: expected YuNet's ONNX file ({YUNET_NAME}); got one that OpenCV {cv2.__version__} cannot run; "
                f"fetch it with `{YUNET_FETCH}`"
            ) from error

    def detect(self, image: npt.NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Return the faces in a (height, width, 3) uint8 RGB picture, the largest first."""
        small, scale_x, scale_y = scaled(image, self._side_px)
        below, beside = (max(0, _LEAST_SIDE_PX - side) for side in small.shape[:2])
        padded = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        self._network.setInputSize((padded.shape[1], padded.shape[0]))
        faces = self._network.detect(cv2.cvtColor(padded, cv2.COLOR_RGB2BGR))[1]
        found = []
        for face in () if faces is None else faces:
            left, top, width, height, *points = (float(value) for value in face[:_SCORE_AT])
            if math.isfinite(sum((left, top, width, height, *points))) and width > 0 and height > 0:
                box = (left / scale_x, top / scale_y, (left + width) / scale_x, (top + height) / scale_y)
                places = tuple((x / scale_x, y / scale_y) for x, y in zip(points[::2], points[1::2], strict=True))
                found.append(Detection(box, min(1.0, max(0.0, float(face[_SCORE_AT]))), places))
        return ordered(large_enough(found, image))
