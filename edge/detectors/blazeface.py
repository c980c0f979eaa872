"""BlazeFace short range, run by the classifier's own kind of interpreter: nothing of OpenCV's network code is needed.

Sources: Bazarevsky et al. 2019, "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs" (arXiv 1907.05047);
MediaPipe: graph `face_detection_short_range_common` (constants), calculators `ssd_anchors`, `tensors_to_detections` and
`non_max_suppression` (methods); file from MediaPipe's storage, Apache-2.0.
"""

from __future__ import annotations

import os

import cv2
import numpy as np
import numpy.typing as npt

from edge.detectors.core import (
    MIN_SCORE,
    Detection,
    Point,
    check_picture,
    check_sha256,
    large_enough,
    ordered,
    read_network,
)
from edge.errors import DetectorError
from edge.inference.interpreter import find_runtime
from edge.pictures.preprocess import Box

BLAZEFACE_NAME = "face_detection_short_range.tflite"
BLAZEFACE_SHA256 = "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"
BLAZEFACE_FETCH = "fer-edge fetch blazeface"

SIDE_PX = 128  # of the network's square input
_STRIDES = (8, 16, 16, 16)  # pixels of the input between anchors, layer by layer
_ANCHORS_A_PLACE = 2  # of each layer: one of its aspect ratio, 1, and one of the interpolated scale
_CENTRE = 0.5  # of an anchor in its cell
_POINTS = 6  # right eye, left eye, nose tip, centre of the mouth, right ear, left ear
_COORDINATES = 4 + 2 * _POINTS  # a row of the regressors: centre x, y, width, height, then x, y of each point
_MOST_LOGIT = 100.0
_NMS_THRESHOLD = 0.3

# BlazeFace's square -> YuNet's box, as shares of the square's sides: centre, width, height. Medians over the 1,069 of
# 1,200 random FER2013 training faces (padded by 12 px of replicated border, enlarged to 216 px) that both detectors
# find; quartiles: centre x 0.480-0.515, y 0.379-0.446, width 0.884-0.977, height 1.150-1.282. Turning the shift with a
# tilted face was tried: at 15 and 30 degrees the box is no nearer to the face.
_CENTRE_X, _CENTRE_Y, _WIDTH, _HEIGHT = 0.497, 0.413, 0.927, 1.208


class BlazeFace:
    """BlazeFace short range; the score is the sigmoid of its network's logit.

    At `MIN_SCORE` it sees 5 faces in 380 crops of faceless pictures (scikit-image's) and finds 94 % of 1,200 FER2013
    training faces; at MediaPipe's own 0.5, 34 and 97 %. YuNet sees 16 and finds 93 %.
    """

    name = "blazeface"

    def __init__(self, path: str | os.PathLike[str], threads: int = 1) -> None:
        """Load the network.

        Args:
            path: MediaPipe's file. Only the published one is taken: an interpreter follows a file's offsets without
                looking, so that a damaged one would end the process.
            threads: of the interpreter.

        Raises:
            DetectorError: the file is missing or another one, or the runtime refuses it.
            EdgeError: no TFLite runtime is installed.
        """
        what = f"BlazeFace's file ({BLAZEFACE_NAME})"
        content = read_network(path, what, BLAZEFACE_FETCH)
        check_sha256(path, content, BLAZEFACE_SHA256, what, BLAZEFACE_FETCH)
        make_interpreter, runtime = find_runtime()
        try:
            self._interpreter = make_interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise DetectorError(
                f"{path}: expected a runtime that runs BlazeFace; got {runtime['name']} {runtime['version']}: "
                f"{' '.join(str(error).split())}; update the runtime"
            ) from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {tuple(detail["shape"])[2]: detail["index"] for detail in self._interpreter.get_output_details()}
        self._rows, self._logits = outputs[_COORDINATES], outputs[1]
        self._anchors = anchors()

    def detect(self, image: npt.NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Return the faces in a (height, width, 3) uint8 RGB picture, the largest first."""
        check_picture(image)
        square, scales, margins = letterboxed(image)
        self._interpreter.set_tensor(self._input, square[np.newaxis].astype(np.float32) / np.float32(127.5) - 1)
        self._interpreter.invoke()
        places, scores = decoded(
            self._interpreter.get_tensor(self._rows)[0],
            self._interpreter.get_tensor(self._logits)[0, :, 0],
            self._anchors,
        )
        found = []
        for place, score in zip(*weighted(places, scores), strict=True):
            corners = [((x - margins[0]) / scales[0], (y - margins[1]) / scales[1]) for x, y in place.tolist()]
            points: tuple[Point, ...] = tuple(corners[2:5])  # the eyes and the nose; see `Detection.points`
            found.append(Detection(from_blazeface(*corners[0], *corners[1]), float(score), points))
        return ordered(large_enough(found, image))


def anchors() -> npt.NDArray[np.float64]:
    """Return the centres (x, y) of the network's anchors in pixels of its input, (896, 2) float64.

    Layers of one stride share their places, so that the anchors of a place follow one another; every anchor has the
    size of the whole input (MediaPipe's `fixed_anchor_size`).
    """
    grids = []
    for stride in sorted(set(_STRIDES)):
        centres = (np.arange(-(-SIDE_PX // stride)) + _CENTRE) * stride
        x, y = np.meshgrid(centres, centres)
        places = np.stack([x.ravel(), y.ravel()], axis=1)
        grids.append(np.repeat(places, _ANCHORS_A_PLACE * _STRIDES.count(stride), axis=0))
    return np.concatenate(grids)


def letterboxed(
    image: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.uint8], tuple[float, float], tuple[int, int]]:
    """Return the whole picture in the middle of a black square of the network's side, its aspect ratio kept.

    MediaPipe samples the picture at single points; here areas are averaged where it shrinks, without which small faces
    and textures flicker.

    Returns:
        (128, 128, 3) uint8, the factors applied to x and y, and the black columns at the left and rows at the top.
    """
    height, width = image.shape[:2]
    scale = SIDE_PX / max(height, width)
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (SIDE_PX - columns) // 2, (SIDE_PX - rows) // 2
    square = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    square[top : top + rows, left : left + columns] = cv2.resize(
        np.ascontiguousarray(image),
        (columns, rows),
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    return square, (columns / width, rows / height), (left, top)


def decoded(
    rows: npt.NDArray[np.float32], logits: npt.NDArray[np.float32], centres: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what the network is sure of.

    Args:
        rows: (n, 16) offsets from the anchors in pixels of the input: centre x, y, width, height, six points' x, y.
        logits: (n,) of the scores.
        centres: (n, 2) of the anchors, as `anchors`.

    Returns:
        (m, 8, 2) float64, x and y in pixels of the input: upper left and lower right corner of the square, then the
        six points; and (m,) float64 scores of `MIN_SCORE` and above. Rows that are not finite are left out.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -_MOST_LOGIT, _MOST_LOGIT)))
    kept = (scores >= MIN_SCORE) & np.isfinite(rows).all(axis=1) & (rows[:, 2:4] > 0).all(axis=1)
    offsets = rows[kept].astype(np.float64).reshape(-1, 2 + _POINTS, 2)
    centre, half = offsets[:, 0] + centres[kept], offsets[:, 1] / 2
    points = offsets[:, 2:] + centres[kept][:, np.newaxis]
    return np.concatenate([np.stack([centre - half, centre + half], axis=1), points], axis=1), scores[kept]


def weighted(
    places: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return one place and score a face: boxes that overlap the surest one are averaged with it, weighted by score.

    Boxes of one face scatter from picture to picture; their mean is steadier than the surest one alone (the paper's
    section 3.4). A face keeps its surest score.

    Args:
        places: (m, 8, 2) as `decoded`.
        scores: (m,).

    Returns:
        (faces, 8, 2) and (faces,), surest first.
    """
    order = np.argsort(-scores, kind="stable")
    places, scores = places[order], scores[order]
    faces, surest = [], []
    while len(scores):
        sides = np.minimum(places[:, 1], places[0, 1]) - np.maximum(places[:, 0], places[0, 0])
        shared = np.maximum(sides, 0).prod(axis=1)
        areas = (places[:, 1] - places[:, 0]).prod(axis=1)
        same = shared / (areas + areas[0] - shared) > _NMS_THRESHOLD
        same[0] = True
        faces.append(np.average(places[same], axis=0, weights=scores[same]))
        surest.append(scores[0])
        places, scores = places[~same], scores[~same]
    return np.array(faces).reshape(-1, 2 + _POINTS, 2), np.array(surest)


def from_blazeface(left: float, top: float, right: float, bottom: float) -> Box:
    """Return the reference box (left, top, right, bottom) of BlazeFace's square, all in pixels."""
    width, height = right - left, bottom - top
    centre_x, centre_y = left + _CENTRE_X * width, top + _CENTRE_Y * height
    half_width, half_height = _WIDTH * width / 2, _HEIGHT * height / 2
    return centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height
