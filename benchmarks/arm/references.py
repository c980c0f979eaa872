"""The networks whose time on a Raspberry Pi 4 others have published, as files to count: what an estimate is fitted to.

    python -m benchmarks references --out FOLDER

writes MobileNetV1 and MobileNetV2 for 224 pixels with random weights (the count does not depend on them), float32 and
full int8 by TensorFlow Lite's own converter, for

    python -m benchmarks instructions FOLDER/*.tflite --board pi4 --cache
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

SIDE_PX = 224
CALIBRATION = 2  # pictures of noise; ranges need not be good
NAMES = {"mobilenet-v1": "MobileNet", "mobilenet-v2": "MobileNetV2"}
"""Names of the files, and in keras.applications."""


def write(folder: Path) -> list[Path]:
    """Return the four files, written into a folder; the same ones for the same versions.

    Raises:
        OutputError: the folder cannot be written.
        PeerError: the converter failed.
    """
    import numpy as np

    from benchmarks.peers.exports import Making, make
    from edge.files import write_atomically

    noise = np.random.default_rng(0).integers(0, 256, (CALIBRATION, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    written = []
    for name, application in NAMES.items():
        making = Making(_network(application), noise, {}, sys.executable)
        for recipe, peer in (("float32", "plain-float32-batch1"), ("int8", "plain-int8-batch1")):
            path = folder / f"{name}-{recipe}.tflite"
            write_atomically(path, make(peer, making))
            written.append(path)
    return written


def _network(application: str) -> Any:
    """Return a network of keras.applications with random weights."""
    import keras

    keras.utils.set_random_seed(0)
    return getattr(keras.applications, application)(weights=None, input_shape=(SIDE_PX, SIDE_PX, 3))
