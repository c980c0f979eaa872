"""A detector for tests that know what is to be found."""

from __future__ import annotations

import numpy as np

from edge.detectors import Detection


class Fixed:
    """A detector that always finds the same, or nothing."""

    name = "fixed"

    def __init__(self, *found: Detection) -> None:
        self._found = found

    def detect(self, image: np.ndarray) -> tuple[Detection, ...]:
        return self._found
