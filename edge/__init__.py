"""fer-edge on the device: find the face, crop it, say its emotion.

The first of the project's four packages (edge <- train <- convert <- benchmarks); it imports none of the others.
Nothing heavy is loaded by `import edge`: the public names below arrive on first use.

    import edge
    recognizer = edge.load()                 # the model that ships in the package
    reading = recognizer(picture)            # picture: (height, width, 3) uint8 RGB
    for face in reading.faces:
        print(face.box, face.emotion, face.probabilities)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.errors import CameraError as CameraError
    from edge.errors import ContractError as ContractError
    from edge.errors import DataError as DataError
    from edge.errors import DetectorError as DetectorError
    from edge.errors import DownloadError as DownloadError
    from edge.errors import EdgeError as EdgeError
    from edge.errors import ImageError as ImageError
    from edge.errors import ModelFileError as ModelFileError
    from edge.errors import OutputError as OutputError
    from edge.inference.contract import Contract as Contract
    from edge.inference.contract import CropSpec as CropSpec
    from edge.inference.contract import InputSpec as InputSpec
    from edge.inference.modelfile import read_model as read_model
    from edge.labels import EMOTIONS as EMOTIONS
    from edge.pictures.images import read_image as read_image
    from edge.recognizer import Face as Face
    from edge.recognizer import Reading as Reading
    from edge.recognizer import Recognizer as Recognizer
    from edge.recognizer import load as load
    from edge.sources import open_source as open_source
    from edge.streams.stream import Stream as Stream
    from edge.streams.stream import StreamSettings as StreamSettings

__version__ = "0.1.0"  # the one place: setup.cfg and the records read it from here

_HOMES = {
    "Contract": "edge.inference.contract",
    "CropSpec": "edge.inference.contract",
    "InputSpec": "edge.inference.contract",
    "CameraError": "edge.errors",
    "ContractError": "edge.errors",
    "DataError": "edge.errors",
    "DetectorError": "edge.errors",
    "DownloadError": "edge.errors",
    "EdgeError": "edge.errors",
    "ImageError": "edge.errors",
    "ModelFileError": "edge.errors",
    "OutputError": "edge.errors",
    "read_image": "edge.pictures.images",
    "EMOTIONS": "edge.labels",
    "read_model": "edge.inference.modelfile",
    "Face": "edge.recognizer",
    "Reading": "edge.recognizer",
    "Recognizer": "edge.recognizer",
    "load": "edge.recognizer",
    "open_source": "edge.sources",
    "Stream": "edge.streams.stream",
    "StreamSettings": "edge.streams.stream",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edge' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
