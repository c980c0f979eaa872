"""A still picture that a viewer sends: its faces as `fer-edge image --json` says them, and the picture drawn in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.annotate import annotate
from edge.cli import printable
from edge.pictures.images import decode_image, encode_jpeg
from edge.recognizer import Recognizer
from edge.web.view import JPEG_QUALITY

MAX_BYTES = 32 << 20
MAX_PIXELS = 1 << 25  # half of what a file may have: a stream runs beside it
SHOWN_SIDE_PX = 2048  # longest side of the picture that goes back
_LONGEST_NAME = 200


class Stills:
    """Reads pictures with a recognizer of its own, so that the stream does not wait; of one thread alone."""

    def __init__(self, load: Callable[[], Recognizer]) -> None:
        """Take what loads the recognizer, when the first picture comes."""
        self._load = load
        self._recognizer: Recognizer | None = None

    def read(self, content: bytes, name: str) -> tuple[dict[str, Any], bytes]:
        """Return `fer-edge image --json`'s object, and the picture with its faces drawn in as JPEG, scaled down.

        Args:
            content: a picture file's bytes.
            name: what to call it.

        Raises:
            ImageError: as `decode_image`; more than `MAX_PIXELS` pixels.
            EdgeError: the recognizer cannot be loaded.
        """
        start = time.perf_counter_ns()
        picture = decode_image(content, MAX_PIXELS)
        decode_ms = (time.perf_counter_ns() - start) / 1e6
        if self._recognizer is None:
            self._recognizer = self._load()
        reading = self._recognizer(picture)
        return (
            {**reading.to_dict(printable(name)[:_LONGEST_NAME], decode_ms), **self._recognizer.about()},
            encode_jpeg(_scaled(annotate(picture, reading.faces)), JPEG_QUALITY),
        )


def _scaled(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a picture whose longer side is `SHOWN_SIDE_PX` at most."""
    height, width = picture.shape[:2]
    scale = SHOWN_SIDE_PX / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
