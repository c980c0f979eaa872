"""Pictures with boxes and emotions drawn in, by OpenCV's built-in strokes: no font file is needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ImageError
from edge.files import write_atomically
from edge.recognizer import Face

WRITABLE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

# Label -> RGB, in the order of `edge.labels.EMOTIONS`; white for labels beyond them. Okabe & Ito's palette, which
# stays apart for colour-blind eyes.
_COLOURS = {
    "angry": (213, 94, 0),
    "disgust": (0, 158, 115),
    "fear": (204, 121, 167),
    "happy": (240, 228, 66),
    "sad": (0, 114, 178),
    "surprise": (230, 159, 0),
    "neutral": (86, 180, 233),
}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(image: npt.NDArray[np.uint8], faces: Sequence[Face]) -> npt.NDArray[np.uint8]:
    """Return a copy of the picture with each face's box, emotion and probability.

    Args:
        image: (height, width, 3) uint8 RGB.
        faces: the faces found in it.
    """
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(max(canvas.shape[:2]) / 400))
    for face in reversed(faces):  # the largest last, on top
        colour = _COLOURS.get(face.emotion, (255, 255, 255))
        left, top, right, bottom = face.box
        cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), colour, thickness)
        _write(canvas, f"{face.emotion} {face.probabilities[face.emotion]:.0%}", face.box, colour, thickness)
    return canvas


def save_image(path: str | os.PathLike[str], image: npt.NDArray[np.uint8]) -> None:
    """Write a picture in the format of the path's suffix, in one step (no partial file).

    Args:
        path: ends in one of `WRITABLE_SUFFIXES`.
        image: (height, width, 3) uint8 RGB.

    Raises:
        ImageError: another suffix, or OpenCV cannot encode the picture.
        OutputError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITABLE_SUFFIXES:
        raise ImageError(f"{path}: expected a name ending in {', '.join(WRITABLE_SUFFIXES)}; got {suffix!r}; rename it")
    try:
        done, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        done = False
    if not done:
        raise ImageError(f"{path}: expected OpenCV to encode {suffix}; got a refusal; write .png or .jpg instead")
    write_atomically(path, encoded.tobytes())


def _write(
    canvas: npt.NDArray[np.uint8],
    text: str,
    box: tuple[int, int, int, int],
    colour: tuple[int, int, int],
    thickness: int,
) -> None:
    """Write a text on a filled bar above the box, or below its upper edge where there is no room; in place."""
    height, width = canvas.shape[:2]
    scale = max(0.35, thickness * 0.35)
    stroke = max(1, round(thickness * 0.6))
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, stroke)
    pad = thickness + 1
    if text_width + 2 * pad > width:  # a narrow picture: smaller letters, so that the whole label is seen
        scale *= max(1, width - 2 * pad - 2) / text_width
        (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, stroke)
    bar_height = text_height + baseline + 2 * pad
    bar_top = box[1] - bar_height if box[1] >= bar_height else box[1]
    bar_left = max(0, min(box[0], width - text_width - 2 * pad))
    bar_bottom = min(height, bar_top + bar_height)
    cv2.rectangle(canvas, (bar_left, bar_top), (bar_left + text_width + 2 * pad, bar_bottom - 1), colour, cv2.FILLED)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 128
    ink = (0, 0, 0) if bright else (255, 255, 255)
    cv2.putText(
        canvas, text, (bar_left + pad, bar_top + pad + text_height), _FONT, scale, ink, stroke, lineType=cv2.LINE_AA
    )
