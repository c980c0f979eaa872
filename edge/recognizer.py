"""The device's Python API: a picture in, its faces with their emotions out.

recognizer = edge.load()
reading = recognizer(picture)            # (height, width, 3) uint8 RGB
reading.faces[0].emotion                 # the largest face's
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.alignment import ALIGNMENTS, Alignment, placed
from edge.detectors import DETECTION_SIDE_PX, Detection, Detector, DetectorName, load_detector
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import read_model
from edge.pictures.preprocess import clipped, crop_face, crop_square, in_view


@dataclass(frozen=True)
class Face:
    """One face and what the model makes of it.

    Attributes:
        box: (left, top, right, bottom), whole pixels of the upright picture, clipped to it; right and bottom exclusive.
        detection_score: the detector's, 0..1 (see `edge.detectors`).
        emotion: the most probable label.
        probabilities: label -> probability, in the model's order; they sum to 1.
    """

    box: tuple[int, int, int, int]
    detection_score: float
    emotion: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class Reading:
    """What was read in one picture.

    Attributes:
        width: of the picture, pixels.
        height: of the picture, pixels.
        faces: the largest first.
        latency_ms: milliseconds spent in "detect", "crop" and "infer", all faces together.
    """

    width: int
    height: int
    faces: tuple[Face, ...]
    latency_ms: Mapping[str, float]

    def to_dict(self, image: str, decode_ms: float) -> dict[str, Any]:
        """Return `fer-edge image --json`'s object.

        Args:
            image: the picture's path.
            decode_ms: milliseconds spent reading and decoding it.
        """
        return {
            "image": image,
            "width": self.width,
            "height": self.height,
            "faces": [
                {
                    "box": list(face.box),
                    "detection_score": round(face.detection_score, 4),
                    "emotion": face.emotion,
                    "probabilities": {name: round(p, 6) for name, p in face.probabilities.items()},
                }
                for face in self.faces
            ],
            "latency_ms": {name: round(ms, 3) for name, ms in {"decode": decode_ms, **self.latency_ms}.items()},
        }


class Recognizer:
    """Detector, crop and classifier; call it with a picture."""

    def __init__(self, classifier: Classifier, detector: Detector, align: Alignment = "auto") -> None:
        """Put the two together; `load` does it from files.

        Raises:
            ValueError: an unknown alignment.
        """
        if align not in ALIGNMENTS:
            raise ValueError(f"expected an alignment {', '.join(ALIGNMENTS[:-1])} or {ALIGNMENTS[-1]}; got {align!r}")
        self.classifier = classifier
        self.detector = detector
        self.align = align

    def __call__(self, picture: npt.NDArray[np.uint8]) -> Reading:
        """Return the faces in a picture.

        Args:
            picture: (height, width, 3) uint8 RGB, upright.

        Raises:
            ValueError: another type or shape.
        """
        return self._read(picture)[0]

    def read_and_cut(self, picture: npt.NDArray[np.uint8]) -> tuple[Reading, list[npt.NDArray[np.uint8]]]:
        """Return the faces in a picture, and for each the (side, side, 3) uint8 RGB square that its input is made of.

        The squares have the picture's own pixels, turned upright as `align` asks, in the order of the faces: cropped
        faces to label, to train on or to score.

        Args:
            picture: (height, width, 3) uint8 RGB, upright.

        Raises:
            ValueError: another type or shape.
        """
        reading, detections = self._read(picture)
        whole = dataclasses.replace(self.classifier.model.contract.crop, resolution_px=None)
        squares = []
        for found in detections:
            box, roll_deg = placed(found, self.align, picture.shape[1], picture.shape[0])
            side = crop_square(box, whole)[2]
            squares.append(crop_face(picture, box, whole, side, side, roll_deg))
        return reading, squares

    def _read(self, picture: npt.NDArray[np.uint8]) -> tuple[Reading, list[Detection]]:
        """Return a picture's reading and the detections of its faces, in the same order."""
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape[2:] != (3,):
            came = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
            raise ValueError(f"expected a uint8 RGB picture of shape (height, width, 3); got {came}")
        if picture.size == 0:
            raise ValueError(f"expected a picture with pixels; got shape {picture.shape}")
        start = time.perf_counter_ns()
        detections = [
            (found, box)
            for found in self.detector.detect(picture)
            if (box := clipped(found.box, picture)) is not None and self.can_crop(picture, found)
        ]
        detected = time.perf_counter_ns()
        crops = [self.crop(picture, found) for found, _ in detections]
        cropped = time.perf_counter_ns()
        rows = [self.classifier.probabilities(crop)[0] for crop in crops]
        inferred = time.perf_counter_ns()
        reading = Reading(
            width=picture.shape[1],
            height=picture.shape[0],
            faces=tuple(
                _face(box, found.score, row, self.classifier.labels)
                for (found, box), row in zip(detections, rows, strict=True)
            ),
            latency_ms=MappingProxyType(
                {
                    "detect": (detected - start) / 1e6,
                    "crop": (cropped - detected) / 1e6,
                    "infer": (inferred - cropped) / 1e6,
                }
            ),
        )
        return reading, [found for found, _ in detections]

    def about(self) -> dict[str, Any]:
        """Return who reads, as JSON beside a reading names it: model (name, recipe, sha256), detector, align."""
        model = self.classifier.model
        return {
            "model": {"name": model.contract.name, "recipe": model.contract.recipe, "sha256": model.sha256},
            "detector": self.detector.name,
            "align": self.align,
        }

    def warm_up(self) -> None:
        """Run the detector and the classifier once on black, so that the first frame does not pay for first calls."""
        contract = self.classifier.model.contract
        self.detector.detect(np.zeros((480, 640, 3), np.uint8))
        self.classifier.probabilities(np.zeros((1, contract.input.height, contract.input.width, 3), np.uint8))

    def can_crop(self, picture: npt.NDArray[np.uint8], found: Detection) -> bool:
        """Return whether `crop` can cut a face: at the border, its square may lie outside though its box does not.

        Args:
            picture: (height, width, 3) uint8 RGB.
            found: the face in it.

        Raises:
            ValueError: its box is empty or not finite.
        """
        height, width = picture.shape[:2]
        box, _ = placed(found, self.align, width, height)
        return in_view(box, self.classifier.model.contract.crop, width, height)

    def crop(self, picture: npt.NDArray[np.uint8], found: Detection) -> npt.NDArray[np.uint8]:
        """Return a face as the model's (height, width, 3) uint8 RGB input, turned upright as `align` asks.

        Args:
            picture: (height, width, 3) uint8 RGB.
            found: the face in it; `can_crop` must allow it.

        Raises:
            ValueError: as `crop_face`.
        """
        contract = self.classifier.model.contract
        box, roll_deg = placed(found, self.align, picture.shape[1], picture.shape[0])
        return crop_face(picture, box, contract.crop, contract.input.height, contract.input.width, roll_deg)


def load(
    model: str | os.PathLike[str] | None = None,
    detector: DetectorName = "auto",
    detector_model: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    detection_side_px: int = DETECTION_SIDE_PX,
    align: Alignment = "auto",
) -> Recognizer:
    """Return a recognizer, loaded and ready.

    Args:
        model: a .tflite from `python -m convert`, or "default" or "small", the models that ship in the package; None:
            the default.
        detector: "yunet", "blazeface", "haar", or "auto": what `detector_model` is; without it YuNet where its file is
            cached, else BlazeFace where its file is, else Haar.
        detector_model: YuNet's ONNX file or BlazeFace's TFLite file.
        threads: of the interpreter; None: the machine's cores, at most 4.
        detection_side_px: pictures with a longer side are scaled down to it for detection by YuNet and Haar.
        align: how crops are turned upright: "none" not at all; "eyes" by the line through the eyes; "auto" so where it
            is tilted by more than `edge.alignment.ALIGN_FROM_DEG`; "points" by a fit of all points, which places and
            sizes the crop too. Haar gives no points, so its crops are never turned.

    Raises:
        ModelFileError: the model is missing, damaged or foreign.
        ContractError: the model's `fer-edge.json` breaks its schema.
        DetectorError: the detector's file is missing or is not the detector's.
        EdgeError: no TFLite runtime is installed.
        ValueError: an argument outside its range.
    """
    count = default_threads() if threads is None else threads
    classifier = Classifier(read_model(model), count)
    return Recognizer(classifier, load_detector(detector, detector_model, detection_side_px), align)


def default_threads() -> int:
    """Return the machine's cores, at most 4 (a Raspberry Pi's)."""
    return min(4, os.cpu_count() or 1)


def _face(box: tuple[int, int, int, int], score: float, row: npt.NDArray[np.float32], labels: tuple[str, ...]) -> Face:
    probabilities = {name: float(p) for name, p in zip(labels, row, strict=True)}
    return Face(box, score, labels[int(row.argmax())], MappingProxyType(probabilities))
