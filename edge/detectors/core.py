"""What all detectors share: the detection, scaling to the size that is searched, and what is kept of what was found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import DetectorError
from edge.files import sha256_of
from edge.pictures.preprocess import Box

Point = tuple[float, float]

# Pictures with a longer side are scaled down to this many pixels for detection by YuNet and Haar. Larger is not simply
# better: at 960 YuNet breaks up a face that fills the picture.
DETECTION_SIDE_PX = 640
# Of every detector's own scale; at 0.5 YuNet takes a cup of coffee (scikit-image's `coffee`) for a face.
MIN_SCORE = 0.6
# Shorter side of a box within the picture. The smallest whole face that YuNet finds is 18 pixels wide (photo
# grace_hopper scaled down); 8 leaves room for faces cut by the border and drops boxes that lie all but outside.
MIN_SIDE_PX = 8


@dataclass(frozen=True)
class Detection:
    """One face.

    Attributes:
        box: (left, top, right, bottom) in pixels of the whole picture, in the reference convention; not rounded, and
            it may reach beyond the picture.
        score: 0..1, larger is surer; its definition is the detector's.
        points: (x, y) in pixels of the whole picture: right eye, left eye, nose tip, right and left corner of the
            mouth, right and left being the person's own. YuNet gives all five; BlazeFace the first three (of the mouth
            it knows the centre only); Haar none, so None.
    """

    box: Box
    score: float
    points: tuple[Point, ...] | None = None


class Detector(Protocol):
    """What a recognizer needs of a detector."""

    name: str

    def detect(self, image: npt.NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Return the faces in a (height, width, 3) uint8 RGB picture, the largest first."""


def check_picture(image: npt.NDArray[np.uint8]) -> None:
    """Raise ValueError unless `image` is a (height, width, 3) uint8 picture with pixels."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"expected a uint8 RGB picture of shape (h, w, 3); got {image.dtype} {image.shape}")


def scaled(image: npt.NDArray[np.uint8], side_px: int) -> tuple[npt.NDArray[np.uint8], float, float]:
    """Return the picture with its longer side at most `side_px`, and the factors applied to x and y."""
    check_picture(image)
    height, width = image.shape[:2]
    if max(height, width) <= side_px:
        return np.ascontiguousarray(image), 1.0, 1.0
    scale = side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False), size[0] / width, size[1] / height


def ordered(found: Sequence[Detection]) -> tuple[Detection, ...]:
    """Return the faces by area, largest first, then from left to right and from top to bottom."""
    return tuple(sorted(found, key=lambda face: (-area(face.box), face.box[0], face.box[1])))


def large_enough(found: Sequence[Detection], image: npt.NDArray[np.uint8]) -> list[Detection]:
    """Return the faces whose box, clipped to the picture, is `MIN_SIDE_PX` or more on its shorter side."""
    height, width = image.shape[:2]
    return [
        face
        for face in found
        if min(min(face.box[2], width) - max(face.box[0], 0), min(face.box[3], height) - max(face.box[1], 0))
        >= MIN_SIDE_PX
    ]


def without_overlaps(found: Sequence[Detection]) -> list[Detection]:
    """Return the faces less those of which more than half lies in a surer one, or the reverse."""
    kept: list[Detection] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(shared_area(face.box, other.box) <= 0.5 * min(area(face.box), area(other.box)) for other in kept):
            kept.append(face)
    return kept


def area(box: Box) -> float:
    """Return a box's area in square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def shared_area(a: Box, b: Box) -> float:
    """Return the area in square pixels that two boxes share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


def checked_side(side_px: int) -> int:
    """Return the longest side at which faces are looked for.

    Raises:
        ValueError: it is below 32 pixels.
    """
    if side_px < 32:
        raise ValueError(f"expected a detection side of 32 pixels or more; got {side_px}")
    return side_px


def read_network(path: str | os.PathLike[str], what: str, command: str) -> bytes:
    """Return a detector's file.

    Args:
        path: the file.
        what: what it should be, for the error text ("YuNet's ONNX file").
        command: the command that fetches it.

    Raises:
        DetectorError: it is missing, unreadable or empty.
    """
    remedy = f"fetch it with `{command}`, or name it with --detector-model"
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise DetectorError(f"{path}: expected {what}; got no such file; {remedy}") from None
    except OSError as error:
        raise DetectorError(f"{path}: expected {what}; got: {error.strerror}; {remedy}") from error
    if not content:
        raise DetectorError(f"{path}: expected {what}; got an empty file (0 bytes); {remedy}")
    return content


def check_sha256(path: str | os.PathLike[str], content: bytes, pinned: str, what: str, command: str) -> None:
    """Raise DetectorError where a detector's file is another than the pinned one.

    Args:
        path: the file, for the error text.
        content: its content.
        pinned: sha256 wanted.
        what: what it should be, as in `read_network`.
        command: the command that fetches it.
    """
    came = sha256_of(content)
    if came != pinned:
        raise DetectorError(
            f"{path}: expected {what} with sha256 {pinned[:12]}...; got {len(content):,} bytes with {came[:12]}...; "
            f"fetch it again with `{command}`"
        )
