"""Drawn faces: seven parametric expressions with varied person, pose, light and noise, made in code from a seed.

For the demo and the tests: small, free of anyone's rights, and learnable, so that the whole chain can be run where no
data set is. Figures on it say nothing about real faces. The expressions follow the action units that the Facial Action
Coding System lists for each emotion (brows, lids, mouth corners, jaw).

Source: Ekman and Friesen, "Facial Action Coding System", 1978 (prototypes of the basic emotions).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.inference.contract import CropSpec
from edge.labels import EMOTIONS
from train.datasets.core import Dataset, Part, fingerprint
from train.progress import track

SIDE_PX = 48
OVERSAMPLING = 4
SEED = 7
COUNTS = {"train": 300, "validation": 40, "test": 60}  # pictures a class
CROP = CropSpec(side_scale=48 / 47, offset_x=0.0, offset_y=0.0, resolution_px=SIDE_PX, alignment="none")
SPREAD = 0.12  # standard deviation of every expression parameter


@dataclass(frozen=True)
class Expression:
    """Face parameters of one expression, each about −1…1 (0 is rest).

    Attributes:
        brow_raise: brows up (1) or down (−1).
        brow_slant: inner ends up (1: worry) or down (−1: frown).
        eye_open: lids wide (1) or narrowed (−1).
        mouth_curve: corners up (1) or down (−1).
        mouth_open: jaw drop, 0–1.
        mouth_width: wide (1) or narrow (−1).
        nose_wrinkle: creases beside the nose, 0–1.
    """

    brow_raise: float
    brow_slant: float
    eye_open: float
    mouth_curve: float
    mouth_open: float
    mouth_width: float
    nose_wrinkle: float


EXPRESSIONS = {
    "angry": Expression(-0.7, -0.9, -0.2, -0.5, 0.1, -0.2, 0.2),
    "disgust": Expression(-0.4, -0.3, -0.8, -0.6, 0.25, -0.3, 1.0),
    "fear": Expression(0.7, 0.8, 0.9, -0.5, 0.35, 0.5, 0.0),
    "happy": Expression(0.1, 0.0, -0.4, 1.0, 0.3, 0.8, 0.0),
    "sad": Expression(0.0, 0.9, -0.5, -0.9, 0.0, -0.3, 0.0),
    "surprise": Expression(1.0, 0.1, 1.0, 0.0, 0.9, -0.6, 0.0),
    "neutral": Expression(0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0),
}


def load_synthetic(*, progress: bool = True, counts: dict[str, int] | None = None, seed: int = SEED) -> Dataset:
    """Return the drawn faces as a data set with the parts ``train``, ``validation`` and ``test``.

    Args:
        progress: show a progress bar.
        counts: pictures a class in each part; defaults to 300, 40 and 60.
        seed: every picture is a function of the seed, its part, class and number.
    """
    parts = {}
    for place, (name, count) in enumerate((counts or COUNTS).items()):
        jobs = [(label, number) for number in range(count) for label in range(len(EMOTIONS))]
        images = [
            draw_face(EMOTIONS[label], np.random.default_rng((seed, place, label, number)))
            for label, number in track(jobs, f"drawing {name}", progress)
        ]
        parts[name] = Part(np.stack(images), np.array([label for label, _ in jobs], np.int64))
    roles = {name: name for name in parts}
    return Dataset("synthetic", EMOTIONS, parts, roles, CROP, "rgb", fingerprint(parts))


def draw_face(emotion: str, rng: np.random.Generator, side: int = SIDE_PX) -> np.ndarray:
    """Return one uint8 RGB face ``(side, side, 3)`` showing ``emotion``."""
    values = np.array(list(vars(EXPRESSIONS[emotion]).values())) + rng.normal(0, SPREAD, 7)
    face = Expression(*values.tolist())
    size = side * OVERSAMPLING
    canvas = np.empty((size, size, 3), np.uint8)
    canvas[...] = rng.integers(20, 236, 3)
    person = _Person.draw(rng)
    _draw_head(canvas, person)
    _draw_eyes(canvas, person, face)
    _draw_nose(canvas, person, face)
    _draw_mouth(canvas, person, face)
    canvas = _pose(canvas, rng)
    small = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    return _light_and_noise(small, rng)


@dataclass(frozen=True)
class _Person:
    """What differs between people: colours (RGB) and proportions (1 is average)."""

    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    iris: tuple[int, int, int]
    width: float
    eye_distance: float
    brow_thickness: float
    mouth_size: float

    @staticmethod
    def draw(rng: np.random.Generator) -> _Person:
        tone = rng.uniform(0.3, 1.0)
        skin = (int(245 * tone), int(205 * tone), int(175 * tone))
        hair = tuple(int(v) for v in np.array([70, 45, 30]) * rng.uniform(0.2, 2.4))
        iris = tuple(int(v) for v in rng.integers(20, 110, 3))
        width, distance, mouth = rng.normal(1, 0.06, 3)
        return _Person(skin, _rgb(hair), _rgb(iris), width, distance, rng.uniform(0.7, 1.5), mouth)


def _rgb(values: tuple[int, ...]) -> tuple[int, int, int]:
    return values[0], values[1], values[2]


def _at(canvas: np.ndarray, x: float, y: float) -> tuple[int, int]:
    """Return the pixel of face coordinates (−1…1 from left to right and from top to bottom)."""
    side = canvas.shape[0]
    return round((x + 1) / 2 * side), round((y + 1) / 2 * side)


def _length(canvas: np.ndarray, share: float) -> int:
    return max(1, round(share / 2 * canvas.shape[0]))


def _shade(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    return _rgb(tuple(int(np.clip(v * factor, 0, 255)) for v in colour))


def _line(canvas: np.ndarray, points: np.ndarray, colour: tuple[int, int, int], thickness: float) -> None:
    pixels = np.array([_at(canvas, x, y) for x, y in points], np.int32)
    cv2.polylines(canvas, [pixels], False, colour, _length(canvas, thickness), cv2.LINE_AA)


def _draw_head(canvas: np.ndarray, person: _Person) -> None:
    axes = (_length(canvas, 0.8 * person.width), _length(canvas, 1.02))
    cv2.ellipse(
        canvas,
        _at(canvas, 0, -0.12),
        (_length(canvas, 0.88 * person.width), axes[1]),
        0,
        180,
        360,
        person.hair,
        -1,
        cv2.LINE_AA,
    )
    cv2.ellipse(canvas, _at(canvas, 0, 0), axes, 0, 0, 360, person.skin, -1, cv2.LINE_AA)
    cv2.ellipse(
        canvas, _at(canvas, 0, -0.86), (axes[0], _length(canvas, 0.24)), 0, 0, 360, person.hair, -1, cv2.LINE_AA
    )


def _draw_eyes(canvas: np.ndarray, person: _Person, face: Expression) -> None:
    for side in (-1, 1):
        x = 0.36 * side * person.eye_distance
        opening = float(np.clip(0.085 * (1 + 0.65 * face.eye_open), 0.02, 0.16))
        centre, axes = _at(canvas, x, -0.18), (_length(canvas, 0.17), _length(canvas, opening))
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, (240, 240, 240), -1, cv2.LINE_AA)
        cv2.circle(canvas, centre, min(_length(canvas, 0.075), axes[1]), person.iris, -1, cv2.LINE_AA)
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, _shade(person.skin, 0.45), 1, cv2.LINE_AA)
        height = -0.4 - 0.09 * face.brow_raise
        inner, outer = height - 0.11 * face.brow_slant, height + 0.05 * face.brow_slant
        brow = np.array([[x - side * 0.2, inner], [x, (inner + outer) / 2 - 0.03], [x + side * 0.2, outer]])
        _line(canvas, brow, person.hair, 0.05 * person.brow_thickness)


def _draw_nose(canvas: np.ndarray, person: _Person, face: Expression) -> None:
    shadow = _shade(person.skin, 0.7)
    _line(canvas, np.array([[0.02, -0.1], [0.09, 0.18], [-0.07, 0.2]]), shadow, 0.025)
    if face.nose_wrinkle > 0.3:
        for side in (-1, 1):
            crease = np.array([[0.1 * side, -0.1], [0.2 * side, 0.06], [0.34 * side, 0.3]])
            _line(canvas, crease, _shade(person.skin, 0.6), 0.02 + 0.02 * face.nose_wrinkle)


def _draw_mouth(canvas: np.ndarray, person: _Person, face: Expression) -> None:
    half = 0.3 * person.mouth_size * (1 + 0.35 * face.mouth_width)
    gape = max(0.0, 0.3 * face.mouth_open)
    t = np.linspace(-1, 1, 17)
    bend = 0.14 * face.mouth_curve * t**2
    upper = np.stack([half * t, 0.5 - bend - 0.35 * gape * (1 - t**2)], 1)
    lower = np.stack([half * t, 0.5 - bend + 0.95 * gape * (1 - t**2)], 1)
    lips = (int(np.clip(person.skin[0] * 0.75, 0, 255)), int(person.skin[1] * 0.4), int(person.skin[2] * 0.42))
    if gape > 0.02:
        outline = np.array([_at(canvas, x, y) for x, y in np.concatenate([upper, lower[::-1]])], np.int32)
        cv2.fillPoly(canvas, [outline], (60, 20, 25), cv2.LINE_AA)
        if face.mouth_curve > 0.3:
            _line(canvas, upper[3:-3] + np.array([0, 0.03]), (235, 235, 230), 0.05)
    _line(canvas, upper, lips, 0.05)
    _line(canvas, lower, lips, 0.06)


def _pose(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = canvas.shape[0]
    angle, scale = rng.normal(0, 7), rng.uniform(0.86, 1.08)
    matrix = np.asarray(cv2.getRotationMatrix2D((side / 2, side / 2), angle, scale), np.float64)
    matrix[:, 2] += rng.normal(0, 0.025 * side, 2)
    yaw = rng.normal(0, 0.05)  # a turned head: the far half is compressed
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    turned = corners + np.array([[0, yaw], [0, -yaw], [0, yaw], [0, -yaw]], np.float32) * side
    full = cv2.getPerspectiveTransform(corners, turned) @ np.vstack([matrix, [0, 0, 1]])
    return cv2.warpPerspective(canvas, full, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _light_and_noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = image.shape[0]
    direction = rng.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    gradient = 1 + rng.uniform(0, 0.35) * (np.cos(direction) * x + np.sin(direction) * y)
    lit = image * gradient[..., None] * rng.uniform(0.75, 1.2) + rng.uniform(-15, 15)
    if rng.random() < 0.5:
        lit = cv2.GaussianBlur(lit, (0, 0), rng.uniform(0.3, 0.9))
    noisy = lit + rng.normal(0, rng.uniform(1, 9), image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
