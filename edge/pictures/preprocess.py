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
    from edge.inference.contract import CropSpec

Box = tuple[float, float, float, float]

# A large crop is first averaged down, to no less than this many times the resolution wanted. An upright one by halves,
# then interpolated to the multiple of that resolution below: OpenCV averages whole blocks of pixels several times as
# fast as shares of pixels. A turned one before it is turned: sampled at the resolution itself, it would be smoother
# than an upright one.
_OVERSAMPLING = 2


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
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, height), interpolation=interpolation).astype(np.uint8, copy=False)
    if image.ndim == 2:
        image = np.repeat(image[:, :, np.newaxis], 3, axis=2)
    return np.ascontiguousarray(image)


def crop_face(
    image: npt.NDArray[np.uint8],
    box: Box,
    crop: CropSpec,
    height: int,
    width: int,
    roll_deg: float = 0.0,
) -> npt.NDArray[np.uint8]:
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
        roll_deg: degrees by which the face is tilted clockwise, as `roll_of` gives; the square is turned with it about
            the box's centre, so that the face comes out upright. 0 cuts pixels as they are.

    Raises:
        ValueError: the picture is no such array, the box is empty, not finite or not `in_view`, or the angle is not
            finite.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected a uint8 picture of shape (h, w, 3); got {image.dtype} of shape {image.shape}")
    if not math.isfinite(roll_deg):
        raise ValueError(f"expected a finite angle; got {roll_deg}")
    if not in_view(box, crop, image.shape[1], image.shape[0]):
        raise ValueError(f"expected a box inside the {image.shape[1]} x {image.shape[0]} picture; got {box}")
    resolution_px = crop.resolution_px or max(height, width)
    if roll_deg == 0:
        left, top, side = crop_square(box, crop)
        face = _cut_small(image, left, top, side, resolution_px)
    else:
        face = _cut_turned(image, box, crop, roll_deg, resolution_px)
    return fit_face(face, crop, height, width)


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


def in_view(box: Box, crop: CropSpec, width: int, height: int) -> bool:
    """Return whether the square that `crop_face` cuts for a box overlaps the picture; it can be cut only then.

    Args:
        box: (left, top, right, bottom) in pixels, in the reference convention.
        crop: how the training faces were cut.
        width: of the picture, pixels.
        height: of the picture, pixels.

    Raises:
        ValueError: the box is empty or not finite.
    """
    left, top, side = crop_square(box, crop)
    return left < width and top < height and left + side > 0 and top + side > 0


def clipped(box: Box, image: npt.NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """Return a box in whole pixels within the picture, or None where nothing of it lies inside."""
    height, width = image.shape[:2]
    left, top, right, bottom = (round(value) for value in box)
    left, right = max(0, left), min(width, right)
    top, bottom = max(0, top), min(height, bottom)
    return (left, top, right, bottom) if left < right and top < bottom else None


def roll_of(right_eye: tuple[float, float], left_eye: tuple[float, float]) -> float:
    """Return by how many degrees a face is tilted clockwise, -180..180; 0 is upright.

    Args:
        right_eye: (x, y) in pixels; the person's own right eye, at the left of an upright face.
        left_eye: (x, y) in pixels.
    """
    return math.degrees(math.atan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0]))


def _cut_small(
    image: npt.NDArray[np.uint8], left: int, top: int, side: int, resolution_px: int
) -> npt.NDArray[np.uint8]:
    """Return the square at (left, top), halved while `_OVERSAMPLING * resolution_px` pixels a side or more are left.

    Its side is brought to the nearest multiple of what it is divided by, which moves a border by half of that at most.
    What is then left, 2 to 4 times `resolution_px`, is interpolated to 2 or 3 times, for `fit` to average whole blocks.
    """
    halvings = max(1, side // (_OVERSAMPLING * resolution_px)).bit_length() - 1
    size = round(side / 2**halvings)
    moved = (side - (size << halvings)) // 2
    rows, columns = image.shape[:2]
    if halvings and (left + moved + (size << halvings) <= 0 or top + moved + (size << halvings) <= 0):
        return _cut(image, left, top, side)
    if halvings and (left + moved >= columns or top + moved >= rows):
        return _cut(image, left, top, side)
    face = _cut(image, left + moved, top + moved, size << halvings)
    for _ in range(halvings):
        face = fit(face, face.shape[0] // 2, face.shape[1] // 2)
    whole = face.shape[0] // resolution_px * resolution_px
    if whole < _OVERSAMPLING * resolution_px or whole == face.shape[0]:
        return face
    return cv2.resize(face, (whole, whole), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _cut(image: npt.NDArray[np.uint8], left: int, top: int, side: int) -> npt.NDArray[np.uint8]:
    """Return the (side, side, 3) square at (left, top), which overlaps the picture; the border is replicated."""
    rows, columns = image.shape[:2]
    inside = image[max(0, top) : min(rows, top + side), max(0, left) : min(columns, left + side)]
    margins = (max(0, -top), max(0, top + side - rows), max(0, -left), max(0, left + side - columns))
    if not any(margins):
        return inside
    return cv2.copyMakeBorder(inside, *margins, borderType=cv2.BORDER_REPLICATE).astype(np.uint8, copy=False)


def _cut_turned(
    image: npt.NDArray[np.uint8], box: Box, crop: CropSpec, roll_deg: float, resolution_px: int
) -> npt.NDArray[np.uint8]:
    """Return the square of `crop_face`, turned by `roll_deg` about the box's centre, upright.

    Large ones are shrunk before they are turned, to no less than `_OVERSAMPLING * resolution_px` a side, so
    that neither time nor memory grows with the picture and no pixel is skipped.
    """
    left, top, right, bottom = (float(value) for value in box)
    side = crop.side_scale * max(right - left, bottom - top)
    cosine, sine = math.cos(math.radians(roll_deg)), math.sin(math.radians(roll_deg))
    centre_x = (left + right) / 2 + (crop.offset_x * cosine - crop.offset_y * sine) * side
    centre_y = (top + bottom) / 2 + (crop.offset_x * sine + crop.offset_y * cosine) * side
    reach = side * (abs(cosine) + abs(sine)) / 2 + 2  # half the upright square about the turned one, and some margin
    rows, columns = image.shape[:2]
    x0, x1 = (min(columns - 1, max(0, math.floor(centre_x - reach))), min(columns, math.ceil(centre_x + reach)))
    y0, y1 = (min(rows - 1, max(0, math.floor(centre_y - reach))), min(rows, math.ceil(centre_y + reach)))
    inside = image[y0 : max(y0 + 1, y1), x0 : max(x0 + 1, x1)]
    shrink = max(1, int(side / (_OVERSAMPLING * resolution_px)))
    small = fit(inside, max(1, inside.shape[0] // shrink), max(1, inside.shape[1] // shrink))
    scale_y, scale_x = small.shape[0] / inside.shape[0], small.shape[1] / inside.shape[1]
    size = max(1, round(side / shrink))
    step, middle = side / size, (size - 1) / 2
    # Pixel (u, v) of the result lies at centre + step * turned (u - middle, v - middle); pixel centres are at halves.
    places = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0]]) * step
    places[:, 2] = (centre_x - x0, centre_y - y0) - places[:, :2] @ (middle, middle)
    places *= np.array([[scale_x], [scale_y]])
    places[:, 2] -= 0.5
    turned = cv2.warpAffine(
        small,
        places,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return turned.astype(np.uint8, copy=False)
