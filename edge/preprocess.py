"""The one preprocessing: training, calibration, evaluation and the device all call these functions.

Pictures are uint8 RGB (height, width, 3); boxes are (left, top, right, bottom) in pixels in the reference convention
(YuNet's box; other detectors are converted to it in `edge.detectors`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from edge.contract import CropSpec

Box = tuple[float, float, float, float]


def fit(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return the whole picture resampled to (height, width, 3) uint8; grey is repeated into the three channels.

    Areas are averaged when the picture shrinks (cv2.INTER_AREA) and interpolated linearly when it grows.

    Args:
        image: (h, w) grey or (h, w, 3) RGB, uint8.
        height: rows wanted, pixels.
        width: columns wanted, pixels.

    Raises:
        ValueError: the array is no such picture, or a size is not positive.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or image.size == 0:
        raise ValueError(
            f"expected a uint8 picture of shape (h, w) or (h, w, 3); got {image.dtype} of shape {image.shape}"
        )
    if height < 1 or width < 1:
        raise ValueError(f"expected a positive size; got {height} x {width}")
    if image.shape[:2] != (height, width):
        shrinks = height * width < image.shape[0] * image.shape[1]
        image = cv2.resize(
            np.ascontiguousarray(image),
            (width, height),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        ).astype(np.uint8, copy=False)
    if image.ndim == 2:
        image = np.repeat(image[:, :, np.newaxis], 3, axis=2)
    return np.ascontiguousarray(image)


def crop_face(image: npt.NDArray[np.uint8], box: Box, crop: CropSpec, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return the face in `box` as the (height, width, 3) uint8 RGB picture that the model was trained for.

    A square of side `crop.side_scale * max(box width, box height)` is cut about the box's centre, which is shifted by
    `crop.offset_x`, `crop.offset_y` (shares of that side); beyond the picture the border is replicated. With
    `crop.resolution_px` the square is first brought to that side, the resolution of the training pictures, so that the
    model meets the sharpness it knows; then to (height, width).

    Args:
        image: (h, w, 3) uint8 RGB.
        box: (left, top, right, bottom) in pixels, in the reference convention; it may reach beyond the picture.
        crop: how the training faces were cut.
        height: rows wanted, pixels.
        width: columns wanted, pixels.

    Raises:
        ValueError: the picture is no such array, or the box is empty, not finite or wholly outside the picture.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected a uint8 picture of shape (h, w, 3); got {image.dtype} of shape {image.shape}")
    left, top, side = crop_square(box, crop)
    if left >= image.shape[1] or top >= image.shape[0] or left + side <= 0 or top + side <= 0:
        raise ValueError(f"expected a box inside the {image.shape[1]} x {image.shape[0]} picture; got {box}")
    return fit_face(_cut(image, left, top, side), crop, height, width)


def fit_face(face: npt.NDArray[np.uint8], crop: CropSpec, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return an already cropped face, (height, width, 3) uint8, by way of `crop.resolution_px` as `crop_face` does.

    Args:
        face: (h, w) grey or (h, w, 3) RGB, uint8.
        crop: how the training faces were cut.
        height: rows wanted, pixels.
        width: columns wanted, pixels.

    Raises:
        ValueError: the array is no such picture, or a size is not positive.
    """
    if crop.resolution_px is not None:
        face = fit(face, crop.resolution_px, crop.resolution_px)
    return fit(face, height, width)


def crop_square(box: Box, crop: CropSpec) -> tuple[int, int, int]:
    """Return (left, top, side) in whole pixels of the square that `crop_face` cuts for a box.

    Raises:
        ValueError: the box is empty or not finite.
    """
    left, top, right, bottom = (float(value) for value in box)
    if not all(math.isfinite(value) for value in (left, top, right, bottom)) or right <= left or bottom <= top:
        raise ValueError(f"expected a box (left, top, right, bottom) with left < right and top < bottom; got {box}")
    side = crop.side_scale * max(right - left, bottom - top)
    centre_x = (left + right) / 2 + crop.offset_x * side
    centre_y = (top + bottom) / 2 + crop.offset_y * side
    return round(centre_x - side / 2), round(centre_y - side / 2), max(1, round(side))


def _cut(image: npt.NDArray[np.uint8], left: int, top: int, side: int) -> npt.NDArray[np.uint8]:
    """Return the (side, side, 3) square at (left, top), which overlaps the picture; the border is replicated."""
    rows, columns = image.shape[:2]
    inside = image[max(0, top) : min(rows, top + side), max(0, left) : min(columns, left + side)]
    margins = (max(0, -top), max(0, top + side - rows), max(0, -left), max(0, left + side - columns))
    if not any(margins):
        return inside
    return cv2.copyMakeBorder(inside, *margins, borderType=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)
