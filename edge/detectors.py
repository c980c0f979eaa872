"""Face detectors: pictures in, boxes in the reference convention out.

The reference convention is YuNet's box (forehead to chin, ear to ear), which `edge.preprocess.crop_face` and the crop
of every contract count on. Haar's square is converted to it here, by constants measured on FER2013 faces.

Sources: YuNet: Wu, Peng & Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector"; file from OpenCV Zoo, MIT.
Haar: Viola & Jones 2001; Lienhart's cascade in OpenCV's wheel.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import DetectorError
from edge.files import cache_dir, sha256_of
from edge.preprocess import Box

YUNET_NAME = "face_detection_yunet_2023mar.onnx"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
HAAR_NAME = "haarcascade_frontalface_default.xml"

# Pictures with a longer side are scaled down to this many pixels for detection; faces narrower than about 2 % of the
# longer side are then missed. Larger is not simply better: at 960 YuNet breaks up a face that fills the picture.
DETECTION_SIDE_PX = 640
MIN_SCORE = 0.6  # of both detectors; at 0.5 YuNet takes a cup of coffee (scikit-image's `coffee`) for a face
# Shorter side of a box within the picture. The smallest whole face that YuNet finds is 18 pixels wide (photo
# grace_hopper scaled down); 8 leaves room for faces cut by the border and drops boxes that lie all but outside.
MIN_SIDE_PX = 8
_YUNET_NMS_THRESHOLD = 0.3
# Smaller pictures are padded with black. In narrower ones OpenCV 4 gives YuNet's network values that change from run to
# run: of 520 faceless pictures of 1 to 40 by 64 to 640 pixels 0 to 33 had a face, of scores up to 1.0; padded, none.
_YUNET_LEAST_SIDE_PX = 64
_PROBE_SIZE = (64, 64)  # of the black picture that tells YuNet's network from others

_HAAR_SCALE_FACTOR = 1.1
_HAAR_MIN_NEIGHBOURS = 5
_HAAR_MIN_SIDE_PX = 30
# Haar's square -> YuNet's box, as shares of the square's side: centre, width, height. Medians over the 899 of 1,200
# random FER2013 training faces (padded by 12 px of replicated border, enlarged to 216 px) that both detectors find;
# quartiles: centre x 0.474-0.525, y 0.486-0.543, width 0.771-0.860, height 1.003-1.138.
_HAAR_CENTRE_X, _HAAR_CENTRE_Y, _HAAR_WIDTH, _HAAR_HEIGHT = 0.498, 0.513, 0.816, 1.071


@dataclass(frozen=True)
class Detection:
    """One face.

    Attributes:
        box: (left, top, right, bottom) in pixels of the whole picture, in the reference convention; not rounded, and
            it may reach beyond the picture.
        score: 0..1, larger is surer; its definition is the detector's.
    """

    box: Box
    score: float


class Detector(Protocol):
    """What a recognizer needs of a detector."""

    name: str

    def detect(self, image: npt.NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Return the faces in a (height, width, 3) uint8 RGB picture, the largest first."""


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
        content = _read_detector(path)
        self._side_px = _checked_side(side_px)
        try:
            self._network: Any = cv2.FaceDetectorYN.create(
                "onnx",
                np.frombuffer(content, np.uint8),
                np.empty(0, np.uint8),
                _PROBE_SIZE,
                MIN_SCORE,
                _YUNET_NMS_THRESHOLD,
            )
            self._network.detect(np.zeros((*_PROBE_SIZE, 3), np.uint8))  # a network of another kind fails here
        except (cv2.error, SystemError) as error:
            raise DetectorError(
                f"{path}: expected YuNet's ONNX file ({YUNET_NAME}); got one that OpenCV {cv2.__version__} cannot run; "
                "fetch it with `fer-edge fetch yunet`"
            ) from error

    def detect(self, image: npt.NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Return the faces in a (height, width, 3) uint8 RGB picture, the largest first."""
        small, scale_x, scale_y = _scaled(image, self._side_px)
        below, beside = (max(0, _YUNET_LEAST_SIDE_PX - side) for side in small.shape[:2])
        padded = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        self._network.setInputSize((padded.shape[1], padded.shape[0]))
        faces = self._network.detect(cv2.cvtColor(padded, cv2.COLOR_RGB2BGR))[1]
        found = []
        for face in () if faces is None else faces:
            left, top, width, height, score = (float(value) for value in (*face[:4], face[14]))
            if math.isfinite(left + top + width + height) and width > 0 and height > 0:
                box = (left / scale_x, top / scale_y, (left + width) / scale_x, (top + height) / scale_y)
                found.append(Detection(box, min(1.0, max(0.0, score))))
        return _ordered(_large_enough(found, image))


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
        self._side_px = _checked_side(side_px)
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
        small, scale_x, scale_y = _scaled(image, self._side_px)
        grey = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        squares, _, margins = self._cascade.detectMultiScale3(
            grey,
            _HAAR_SCALE_FACTOR,
            _HAAR_MIN_NEIGHBOURS,
            minSize=(_HAAR_MIN_SIDE_PX, _HAAR_MIN_SIDE_PX),
            outputRejectLevels=True,
        )
        found = []
        for (left, top, side, _), margin in zip(squares, np.ravel(margins), strict=True):
            left, top, right, bottom = from_haar(float(left), float(top), float(side))
            box = (left / scale_x, top / scale_y, right / scale_x, bottom / scale_y)
            found.append(Detection(box, max(0.0, float(margin)) / (1 + max(0.0, float(margin)))))
        sure = [face for face in _large_enough(found, image) if face.score >= MIN_SCORE]
        return _ordered(_without_overlaps(sure))


def load_detector(
    name: Literal["auto", "yunet", "haar"] = "auto",
    model: str | os.PathLike[str] | None = None,
    side_px: int = DETECTION_SIDE_PX,
) -> Detector:
    """Return a detector.

    Args:
        name: "yunet", "haar", or "auto": YuNet if `model` is given or its file lies in the cache folder, else Haar.
        model: YuNet's ONNX file, of any digest; None: `cache_dir()`'s, which must have the pinned digest.
        side_px: longest side at which faces are looked for.

    Raises:
        DetectorError: the file is missing, is not YuNet, or (in the cache) is not the pinned one.
        ValueError: an unknown name, or a model for Haar.
    """
    if name not in ("auto", "yunet", "haar"):
        raise ValueError(f"expected a detector auto, yunet or haar; got {name!r}")
    if name == "haar" and model is not None:
        raise ValueError(f"expected no detector model with haar; got {model}; leave it out or use yunet")
    cached = cache_dir() / YUNET_NAME
    if name == "haar" or (name == "auto" and model is None and not cached.exists()):
        return Haar(side_px)
    if model is not None:
        return YuNet(model, side_px)
    came = sha256_of(_read_detector(cached))
    if came != YUNET_SHA256:
        raise DetectorError(
            f"{cached}: expected sha256 {YUNET_SHA256[:12]}...; got {came[:12]}...; fetch it again with "
            "`fer-edge fetch yunet`"
        )
    return YuNet(cached, side_px)


def from_haar(left: float, top: float, side: float) -> Box:
    """Return the reference box (left, top, right, bottom) of Haar's square at (left, top), all in pixels."""
    centre_x, centre_y = left + _HAAR_CENTRE_X * side, top + _HAAR_CENTRE_Y * side
    half_width, half_height = _HAAR_WIDTH * side / 2, _HAAR_HEIGHT * side / 2
    return centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height


def _scaled(image: npt.NDArray[np.uint8], side_px: int) -> tuple[npt.NDArray[np.uint8], float, float]:
    """Return the picture with its longer side at most `side_px`, and the factors applied to x and y."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"expected a uint8 RGB picture of shape (h, w, 3); got {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    if max(height, width) <= side_px:
        return np.ascontiguousarray(image), 1.0, 1.0
    scale = side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False), size[0] / width, size[1] / height


def _ordered(found: Sequence[Detection]) -> tuple[Detection, ...]:
    """Return the faces by area, largest first, then from left to right and from top to bottom."""
    return tuple(sorted(found, key=lambda face: (-_area(face.box), face.box[0], face.box[1])))


def _large_enough(found: Sequence[Detection], image: npt.NDArray[np.uint8]) -> list[Detection]:
    """Return the faces whose box, clipped to the picture, is `MIN_SIDE_PX` or more on its shorter side."""
    height, width = image.shape[:2]
    return [
        face
        for face in found
        if min(min(face.box[2], width) - max(face.box[0], 0), min(face.box[3], height) - max(face.box[1], 0))
        >= MIN_SIDE_PX
    ]


def _without_overlaps(found: Sequence[Detection]) -> list[Detection]:
    """Return the faces less those of which more than half lies in a surer one, or the reverse."""
    kept: list[Detection] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(_shared_area(face.box, other.box) <= 0.5 * min(_area(face.box), _area(other.box)) for other in kept):
            kept.append(face)
    return kept


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared_area(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


def _checked_side(side_px: int) -> int:
    if side_px < 32:
        raise ValueError(f"expected a detection side of 32 pixels or more; got {side_px}")
    return side_px


def _read_detector(path: str | os.PathLike[str]) -> bytes:
    remedy = "fetch it with `fer-edge fetch yunet`, or name it with --detector-model"
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise DetectorError(f"{path}: expected YuNet's ONNX file; got no such file; {remedy}") from None
    except OSError as error:
        raise DetectorError(f"{path}: expected YuNet's ONNX file; got: {error.strerror}; {remedy}") from error
    if not content:
        raise DetectorError(f"{path}: expected YuNet's ONNX file; got an empty file (0 bytes); {remedy}")
    return content
