"""What Haar finds and costs under several settings, on made scenes: why its defaults are what they are.

A data set's faces, 30 to 200 pixels large, are laid with soft borders on scikit-image's photographs without faces;
every second scene is dark. All settings look at each scene in turns, on one thread. The faces are enlarged thumbnails,
many not frontal, so the shares compare settings with each other and are not those of a camera.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.runtime.record import common_fields
from edge.benchmarking.benchmark import percentiles
from edge.benchmarking.statistics import bootstrap_interval, paired_difference
from edge.benchmarking.turns import Tick, ratio_block, take_turns
from edge.detectors import Detection, Haar, HaarSettings
from edge.errors import DataError
from edge.pictures.preprocess import Box
from edge.streams.tracking import iou

KIND = "detectors"
# The first is what ships; the second what shipped before, and what the others change one by one.
SETTINGS = (
    HaarSettings(),
    HaarSettings(1.1, 5, 30, "equalized"),
    HaarSettings(1.1, 5, 30, "stretched"),
    HaarSettings(1.15, 4, 30, "stretched"),
    HaarSettings(1.2, 3, 30, "equalized"),
    HaarSettings(1.1, 5, 50, "equalized"),
)
_SEED = 2013
_WIDTH, _HEIGHT, _FACES = 640, 480, 5
_SIDES_PX = (30, 200)
_GROUNDS = ("brick", "chelsea", "coffee", "grass", "gravel", "moon", "page", "rocket")
_DARKEN = 0.15  # of the light, in every second scene
_NOISE = 1.5  # standard deviation, grey levels
_BOX = (4 / 48, 1 / 48, 43 / 48, 1.0)  # the face's box in a FER2013 picture: medians of YuNet's, shares of its side
_LEAST_OVERLAP = 0.4


@dataclass(frozen=True)
class Scene:
    """A picture, (480, 640, 3) uint8 RGB, with its faces' boxes, in pixels."""

    picture: npt.NDArray[np.uint8]
    boxes: tuple[Box, ...]


def scenes(faces: npt.NDArray[np.uint8], count: int) -> list[Scene]:
    """Return scenes of random faces, the same for the same faces and count.

    Args:
        faces: (n, height, width) or (n, height, width, 1 or 3) uint8, square pictures filled as FER2013's are.
        count: 1 or more.

    Raises:
        DataError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise DataError(
            f"expected scikit-image, which brings the photographs; got none; {sys.executable} -m pip install "
            "scikit-image"
        ) from error
    random = np.random.default_rng(_SEED)
    grounds = [getattr(data, name)() for name in _GROUNDS]
    return [_scene(random, faces, grounds[number % len(grounds)], number % 2 == 1) for number in range(count)]


def compare(made: Sequence[Scene], command: Sequence[str], about: str, tick: Tick | None = None) -> dict[str, Any]:
    """Return the record of what each of `SETTINGS` finds in the scenes.

    Args:
        made: the scenes, in the order of `scenes`.
        command: words of the command.
        about: the data set and part that the faces are from.
        tick: called with (scenes done, scenes in all).

    Raises:
        ValueError: fewer than two scenes, of which one is dark.
    """
    if len(made) < 2:
        raise ValueError(f"expected 2 or more scenes; got {len(made)}")
    found: list[list[tuple[Detection, ...]]] = [[()] * len(made) for _ in SETTINGS]

    def looker(place: int) -> Any:
        haar = Haar(settings=SETTINGS[place])
        return lambda number: found[place].__setitem__(number, haar.detect(made[number].picture))

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        times = take_turns([looker(place) for place in range(len(SETTINGS))], len(made), tick=tick)
    finally:
        cv2.setNumThreads(threads)
    matches = [[matched(scene.boxes, seen) for scene, seen in zip(made, each, strict=True)] for each in found]
    hits = [np.concatenate(each) for each in matches]
    rows = []
    for place, settings in enumerate(SETTINGS):
        false = np.array([len(s) - m.sum() for s, m in zip(found[place], matches[place], strict=True)])
        more = paired_difference(hits[place], hits[0])
        rows.append(asdict(settings) | {
            "found": float(hits[place].mean()),
            "found_ci95": list(bootstrap_interval(hits[place], _SEED)),
            "found_dark": float(np.concatenate(matches[place][1::2]).mean()),
            "false_per_scene": float(false.mean()),
            "false_ci95": list(bootstrap_interval(false, _SEED)),
            "scene_ms": percentiles(times[:, place].tolist()),
            "more_points": -more.points,
            "more_ci95": [-more.high, -more.low],
            "times": ratio_block(times[:, place] / times[:, 0]),
        })  # fmt: skip
    frame = {"width": _WIDTH, "height": _HEIGHT}
    return {
        **common_fields(KIND, command), "about": about, "scenes": len(made), "faces": len(hits[0]), "frame": frame,
        "sides_px": list(_SIDES_PX), "threads": 1, "settings": rows,
    }  # fmt: skip


def matched(boxes: Sequence[Box], seen: Sequence[Detection]) -> npt.NDArray[np.bool_]:
    """Return for each of the boxes whether a detection, which no other one took, overlaps it by 0.4 or more."""
    free, hits = list(seen), []
    for box in boxes:
        best = max(free, key=lambda face: iou(face.box, box), default=None)
        hits.append(best is not None and iou(best.box, box) >= _LEAST_OVERLAP)
        if best is not None and hits[-1]:
            free.remove(best)
    return np.array(hits, bool)


def _scene(
    random: np.random.Generator, faces: npt.NDArray[np.uint8], ground: npt.NDArray[np.uint8], dark: bool
) -> Scene:
    """Return a scene: the ground's middle, cut to the frame, and on it faces that do not touch each other."""
    scale = max(_WIDTH / ground.shape[1], _HEIGHT / ground.shape[0]) * random.uniform(1, 1.6)
    large = cv2.resize(ground, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    row, column = (large.shape[0] - _HEIGHT) // 2, (large.shape[1] - _WIDTH) // 2
    canvas = large[row : row + _HEIGHT, column : column + _WIDTH].reshape(_HEIGHT, _WIDTH, -1).astype(np.float32)
    canvas = np.repeat(canvas, 3, axis=2) if canvas.shape[2] == 1 else canvas
    boxes: list[Box] = []
    for _ in range(_FACES):
        side = round(float(np.exp(random.uniform(*np.log(_SIDES_PX)))))
        pad = side // 4
        for _ in range(50):
            x, y = (int(random.integers(pad, size - side - pad)) for size in (_WIDTH, _HEIGHT))
            around = (x - pad, y - pad, x + side + pad, y + side + pad)
            if all(iou(around, other) == 0 for other in boxes):
                _paste(random, canvas, faces[random.integers(len(faces))], around)
                left, top, right, bottom = (side * share for share in _BOX)
                boxes.append((x + left, y + top, x + right, y + bottom))
                break
    light = canvas * (_DARKEN if dark else 1) + random.normal(0, _NOISE, canvas.shape)
    return Scene(np.clip(light, 0, 255).astype(np.uint8), tuple(boxes))


def _paste(random: np.random.Generator, canvas: npt.NDArray[Any], face: npt.NDArray[np.uint8], around: Box) -> None:
    """Lay a face, its border continued by a quarter of its side, as a soft oval on the canvas, in place."""
    left, top, right, bottom = (int(value) for value in around)
    side, rim = right - left, len(face) // 4
    grey = face if face.ndim == 2 else face.mean(axis=2).astype(np.uint8)
    wide = cv2.copyMakeBorder(grey, rim, rim, rim, rim, cv2.BORDER_REPLICATE)
    fit = cv2.INTER_AREA if side < len(wide) else cv2.INTER_CUBIC
    lit = cv2.resize(wide, (side, side), interpolation=fit) * random.uniform(0.6, 1.1) + random.uniform(-15, 25)
    oval = np.zeros((side, side), np.float32)
    cv2.ellipse(oval, (side // 2, side // 2), (round(0.36 * side), round(0.42 * side)), 0, 0, 360, 1.0, cv2.FILLED)
    share = cv2.GaussianBlur(oval, (0, 0), max(1.0, 0.05 * side))[..., np.newaxis]
    under = canvas[top:bottom, left:right]
    under += share * (np.clip(lit, 0, 255)[..., np.newaxis] * np.array([1.08, 0.97, 0.9]) - under)
