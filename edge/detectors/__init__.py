"""Face detectors: pictures in, boxes in the reference convention out.

The reference convention is YuNet's box (forehead to chin, ear to ear), which `edge.pictures.preprocess.crop_face` and
the crop of every contract count on. Haar's and BlazeFace's squares become it by constants measured on FER2013 faces.

Small faces, measured on the photographs grace_hopper and astronaut, scaled, at eight places in 1920 x 1440 pixels:
YuNet at 640 pixels begins to miss faces 2 % of the longer side wide, at 320 pixels 4 %. Haar misses one in thirty down
to 6 %, most from 5 % (measured with its former, finer steps). BlazeFace, whose network sees 128 pixels, begins to miss
at 11 % and misses all at 8 %. Letting it look at tiles too was not worth it: halving that share takes ten looks, and
YuNet at 320 pixels sees smaller faces in the time of two.
"""

from __future__ import annotations

import os
from typing import Literal

from edge.detectors.blazeface import (
    BLAZEFACE_NAME,
    BLAZEFACE_SHA256,
    BlazeFace,
    from_blazeface,
)
from edge.detectors.core import DETECTION_SIDE_PX, MIN_SCORE, MIN_SIDE_PX, Detection, Detector, Point, check_sha256
from edge.detectors.core import read_network as _read_network
from edge.detectors.haar import HAAR_NAME, Haar, HaarSettings, from_haar
from edge.detectors.yunet import YUNET_FETCH, YUNET_FILE, YUNET_NAME, YUNET_SHA256, YuNet
from edge.errors import EdgeError
from edge.files import cache_dir
from edge.inference.flatbuffer import IDENTIFIER

__all__ = [
    "BLAZEFACE_NAME",
    "BLAZEFACE_SHA256",
    "DETECTION_SIDE_PX",
    "DETECTORS",
    "HAAR_NAME",
    "MIN_SCORE",
    "MIN_SIDE_PX",
    "YUNET_NAME",
    "YUNET_SHA256",
    "BlazeFace",
    "Detection",
    "Detector",
    "DetectorName",
    "Haar",
    "HaarSettings",
    "Point",
    "YuNet",
    "from_blazeface",
    "from_haar",
    "load_detector",
]

DetectorName = Literal["auto", "yunet", "blazeface", "haar"]
DETECTORS: tuple[DetectorName, ...] = ("auto", "yunet", "blazeface", "haar")


def load_detector(
    name: DetectorName = "auto",
    model: str | os.PathLike[str] | None = None,
    side_px: int = DETECTION_SIDE_PX,
) -> Detector:
    """Return a detector.

    Args:
        name: "yunet", "blazeface", "haar", or "auto": what `model` is (a TFLite file is BlazeFace's, another one
            YuNet's); without it YuNet if its file lies in the cache folder, else BlazeFace if its file does, else Haar.
        model: YuNet's ONNX file, of any digest, or BlazeFace's TFLite file; None: `cache_dir()`'s. BlazeFace's, and
            YuNet's in the cache, must have the pinned digest.
        side_px: longest side at which YuNet and Haar look for faces; BlazeFace's is fixed.

    Raises:
        DetectorError: the file is missing, is not the detector's, or is not the pinned one where it must be.
        EdgeError: a file of the cache folder is needed on an account without a home folder.
        ValueError: an unknown name, or a model for Haar.
    """
    if name not in DETECTORS:
        raise ValueError(f"expected a detector {', '.join(DETECTORS[:-1])} or {DETECTORS[-1]}; got {name!r}")
    if name == "haar" and model is not None:
        raise ValueError(f"expected no detector model with haar; got {model}; leave it out, or use yunet or blazeface")
    if name == "auto":
        name = _best_cached() if model is None else "blazeface" if _is_tflite(model) else "yunet"
    if name == "haar":
        return Haar(side_px)
    if name == "blazeface":
        return BlazeFace(cache_dir() / BLAZEFACE_NAME if model is None else model)
    if model is None:
        model = cache_dir() / YUNET_NAME
        check_sha256(model, _read_network(model, YUNET_FILE, YUNET_FETCH), YUNET_SHA256, YUNET_FILE, YUNET_FETCH)
    return YuNet(model, side_px)


def _best_cached() -> DetectorName:
    """Return the best detector whose file lies in the cache folder; Haar, which needs none, where there is no other."""
    try:
        folder = cache_dir()
    except EdgeError:  # an account without a home folder has nothing cached
        return "haar"
    return "yunet" if (folder / YUNET_NAME).exists() else "blazeface" if (folder / BLAZEFACE_NAME).exists() else "haar"


def _is_tflite(path: str | os.PathLike[str]) -> bool:
    """Return whether a file can be read and carries TFLite's mark."""
    try:
        with open(path, "rb") as stream:
            return stream.read(8)[4:] == IDENTIFIER
    except OSError:
        return False
