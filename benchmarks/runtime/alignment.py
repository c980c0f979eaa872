"""What turning faces upright is worth: the same found faces, cut without it, by the eyes and by all points.

FER2013's faces are set in a replicated border, enlarged and tilted, found by each detector, cut by each alignment of
`edge.alignment` and read by the classifier. In a last condition the detector's box is moved and scaled by a tenth, its
points are not. FER2013 tells where its own frame is, so that the best a crop could do is read too. What lies outside
that frame is border, which no camera shows: so the crops that stay in it, but for little, are also compared by
themselves. The template of the detector's points is measured on faces of the training part. No printing here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.runtime.record import common_fields
from edge.alignment import ALIGN_FROM_DEG, ALIGNMENTS, placed
from edge.benchmarking.statistics import bootstrap_interval, paired_difference
from edge.benchmarking.turns import Tick
from edge.detectors import Detection, Detector
from edge.errors import DataError
from edge.inference.interpreter import Classifier
from edge.pictures.preprocess import crop_square, fit_face, roll_of
from edge.recognizer import Recognizer
from train.datasets.core import Part

KIND = "alignment"
PAD, ENLARGED = 1 / 4, 3  # border on each side as a share of the picture's side; enlargement
THRESHOLDS_DEG = (0.0, 5.0, 10.0, 15.0, 20.0)
_SEED = 2013
_SCALE_OFF = 1.1
_BORDER = 1 / 32  # of the picture's side: a crop that takes no more of the border counts as one without


@dataclass(frozen=True)
class Condition:
    """How faces are shown: tilted clockwise, and the box found moved and scaled by a share of its longer side."""

    tilt_deg: int
    box_off: float = 0.0


CONDITIONS = (Condition(0), Condition(15), Condition(30), Condition(45), Condition(0, 0.1))


@dataclass(frozen=True)
class Readings:
    """What was read of the faces found under a condition.

    Attributes:
        rows: (m,) indices of the faces found.
        roll_deg: (m,) tilt of the line through the eyes, as detected.
        refused: (m,) whether the fit of all points was refused.
        framed: (m,) whether the crop that is not turned takes next to nothing of the border.
        right: by alignment, and "frame" for FER2013's own picture: (m,) whether the answer is the label.
    """

    rows: npt.NDArray[np.int64]
    roll_deg: npt.NDArray[np.float64]
    refused: npt.NDArray[np.bool_]
    framed: npt.NDArray[np.bool_]
    right: dict[str, npt.NDArray[np.bool_]]


def chosen(part: Part, count: int) -> Part:
    """Return `count` random faces of a part, the same each time; all of them where there are no more."""
    return part.take(np.random.default_rng(_SEED).permutation(len(part))[:count])


def compare(
    training: Part,
    faces: Part,
    detectors: Sequence[Detector],
    classifier: Classifier,
    command: Sequence[str],
    tick: Tick | None = None,
) -> dict[str, Any]:
    """Return the record of what each detector's faces are read as under each alignment.

    Args:
        training: faces that the templates are measured on; square, grey or RGB, framed as FER2013's.
        faces: faces that are read.
        detectors: that give points.
        classifier: reads them; its labels are the faces' own, in their order.
        command: words of the command.
        tick: called with (steps done, steps in all).

    Raises:
        DataError: a detector finds no face under a condition, or gives no points.
    """
    blocks, rows, thresholds = [], [], []
    steps = len(detectors) * (1 + len(CONDITIONS))
    for number, detector in enumerate(detectors):
        done = number * (1 + len(CONDITIONS))
        blocks.append({"name": detector.name, **template(training.images, detector)})
        found: dict[Condition, Readings] = {}
        for place, condition in enumerate(CONDITIONS):
            if tick is not None:
                tick(done + 1 + place, steps)
            found[condition] = read(faces, condition, detector, classifier)
            rows.append({"detector": detector.name, **_row(condition, found[condition], len(faces))})
        tilted = {condition.tilt_deg: each for condition, each in found.items() if not condition.box_off}
        thresholds += [
            {"detector": detector.name, **_threshold(tilted, by, degrees, len(faces))}
            for by in ("eyes", "points") for degrees in THRESHOLDS_DEG
        ]  # fmt: skip
    if tick is not None:
        tick(steps, steps)
    return {
        **common_fields(KIND, command), "model": classifier.model.contract.name,
        "model_sha256": classifier.model.sha256, "faces": len(faces), "training_faces": len(training),
        "pad": PAD, "enlarged": ENLARGED, "seed": _SEED, "align_from_deg": ALIGN_FROM_DEG, "detectors": blocks,
        "rows": rows, "thresholds": thresholds,
    }  # fmt: skip


def template(images: npt.NDArray[np.uint8], detector: Detector) -> dict[str, Any]:
    """Return where a detector's points lie in the pictures' own frame, in 48ths of its side: medians and quartiles.

    Raises:
        DataError: it finds no face, or gives no points.
    """
    side = images.shape[1]
    points = []
    for picture in (shown(face, 0) for face in images):
        found = _first(detector, picture)
        if found is not None and found.points is not None:
            points.append((np.array(found.points) / ENLARGED - round(PAD * side)) * 48 / side)
    if not points:
        raise DataError(
            f"expected a detector that finds faces and gives points; got none of {len(images)} from {detector.name}; "
            "use yunet or blazeface"
        )
    low, median, high = np.percentile(np.array(points), [25, 50, 75], axis=0).round(2).tolist()
    return {"found": len(points) / len(images), "median": median, "quartiles": [low, high]}


def read(faces: Part, condition: Condition, detector: Detector, classifier: Classifier) -> Readings:
    """Return what the classifier says of the faces that a detector finds under a condition.

    Raises:
        DataError: it finds none.
    """
    recognizers = {align: Recognizer(classifier, detector, align) for align in ALIGNMENTS}
    contract = classifier.model.contract
    size = (contract.input.height, contract.input.width)
    rows, rolls, refused, framed = [], [], [], []
    right: dict[str, list[bool]] = {name: [] for name in (*ALIGNMENTS, "frame")}
    for row, picture, found in _found(faces.images, condition, detector):
        rows.append(row)
        rolls.append(roll_of(*found.points[:2]) if found.points else 0.0)
        framed.append(_is_framed(crop_square(found.box, contract.crop), faces.images.shape[1]))
        refused.append(placed(found, "points", picture.shape[1], picture.shape[0]) == (found.box, 0.0))
        crops = {str(align): recognizer.crop(picture, found) for align, recognizer in recognizers.items()}
        for name, crop in (crops | {"frame": fit_face(faces.images[row], contract.crop, *size)}).items():
            right[name].append(int(classifier.probabilities(crop)[0].argmax()) == faces.labels[row])
    if not rows:
        raise DataError(f"expected faces that {detector.name} finds; got none of {len(faces)}; use more --faces")
    answers = {name: np.array(each, bool) for name, each in right.items()}
    return Readings(np.array(rows), np.array(rolls), np.array(refused), np.array(framed), answers)


def _is_framed(square: tuple[int, int, int], face_side: int) -> bool:
    """Whether a square, (left, top, side), lies in the shown face's own frame but for `_BORDER`; untilted faces."""
    left, top, side = square
    start = ENLARGED * (round(PAD * face_side) - _BORDER * face_side)
    end = ENLARGED * (round(PAD * face_side) + (1 + _BORDER) * face_side)
    return min(left, top) >= start and max(left, top) + side <= end


def shown(face: npt.NDArray[np.uint8], tilt_deg: int) -> npt.NDArray[np.uint8]:
    """Return a face, (side, side) or (side, side, 3), in its border, enlarged and tilted clockwise: RGB uint8."""
    pad = round(PAD * len(face))
    wide = cv2.copyMakeBorder(face, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    # Linearly enlarged, faces would be blurred twice: here, and where the crop is reduced again.
    large = cv2.resize(wide, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_LANCZOS4)
    if tilt_deg:
        middle = (len(large) - 1) / 2
        clockwise = cv2.getRotationMatrix2D((middle, middle), -tilt_deg, 1.0)  # cv2 counts against the clock
        large = cv2.warpAffine(large, clockwise, large.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    return np.repeat(large[..., np.newaxis], 3, axis=2) if large.ndim == 2 else large.astype(np.uint8, copy=False)


def moved(found: Detection, share: float, random: np.random.Generator) -> Detection:
    """Return a detection with its box moved by a share of its longer side, anywhere, and scaled by 1.1 or 1 / 1.1."""
    left, top, right, bottom = found.box
    angle, scale = random.uniform(0, 2 * np.pi), _SCALE_OFF ** random.choice([-1, 1])
    far = share * max(right - left, bottom - top)
    x, y = (left + right) / 2 + far * np.cos(angle), (top + bottom) / 2 + far * np.sin(angle)
    width, height = scale * (right - left) / 2, scale * (bottom - top) / 2
    return dataclasses.replace(found, box=(x - width, y - height, x + width, y + height))


def _found(
    images: npt.NDArray[np.uint8], condition: Condition, detector: Detector
) -> Iterator[tuple[int, npt.NDArray[np.uint8], Detection]]:
    """Yield the index, picture and largest detection of each face that is found."""
    random = np.random.default_rng(_SEED)
    for row, face in enumerate(images):
        picture = shown(face, condition.tilt_deg)
        found = _first(detector, picture)
        if found is not None:
            yield row, picture, moved(found, condition.box_off, random) if condition.box_off else found


def _first(detector: Detector, picture: npt.NDArray[np.uint8]) -> Detection | None:
    return next(iter(detector.detect(picture)), None)


def _row(condition: Condition, found: Readings, faces: int) -> dict[str, Any]:
    """Return a condition's row: shares of right answers, and what each alignment wins over another."""
    right = found.right
    row: dict[str, Any] = {
        "tilt_deg": condition.tilt_deg, "box_off": condition.box_off, "found": len(found.rows) / faces,
        "roll_deg": float(np.median(found.roll_deg)), "refused": float(found.refused.mean()),
        "right": {name: float(each.mean()) for name, each in right.items()},
    }  # fmt: skip
    for name, first, second in (
        ("eyes_over_none", "eyes", "none"), ("auto_over_none", "auto", "none"), ("points_over_none", "points", "none"),
        ("points_over_auto", "points", "auto"),
    ):  # fmt: skip
        more = paired_difference(right[first], right[second])
        row[name] = {"points": more.points, "ci95": [more.low, more.high], "p_value": more.p_value}
    if condition == CONDITIONS[0] and found.framed.any():
        inside = {name: each[found.framed] for name, each in right.items()}
        more = paired_difference(inside["none"], inside["frame"])
        row["framed"] = {
            "faces": int(found.framed.sum()), "none": float(inside["none"].mean()),
            "frame": float(inside["frame"].mean()), "points": more.points, "ci95": [more.low, more.high],
        }  # fmt: skip
    return row


def _threshold(tilted: dict[int, Readings], by: str, degrees: float, faces: int) -> dict[str, Any]:
    """Return what turning from so many degrees reads right at each tilt, and what it wins over "auto".

    The interval is over faces: the tilts of one face are not independent of each other.
    """
    shares, more = [], np.full((len(tilted), faces), np.nan)
    for place, found in enumerate(tilted.values()):
        turned = np.where(np.abs(found.roll_deg) > degrees, found.right[by], found.right["none"])
        shares.append(float(turned.mean()))
        more[place, found.rows] = turned.astype(float) - found.right["auto"]
    seen = ~np.isnan(more).all(axis=0)
    means = 100 * np.nanmean(more[:, seen], axis=0)
    return {
        "by": by, "from_deg": degrees, "tilts_deg": list(tilted), "right": shares, "more_points": float(means.mean()),
        "more_ci95": list(bootstrap_interval(means, _SEED)),
    }  # fmt: skip
