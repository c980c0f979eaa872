"""Which face is which from frame to frame, and where it is on the frames on which no detector runs.

Association after SORT: boxes moved on by their velocity are assigned to detections at the least total cost, one minus
the overlap; tracks are confirmed by a second detection and age out. From C-BIoU: boxes are widened before they are
compared, so that a fast small face still overlaps itself. The cost also rises with the unlikeness of thumbnails, as in
trackers with appearance (within seconds; it identifies nobody), which keeps people apart who cross, and by which a face
is known again that comes out from behind another one. OC-SORT's term for the direction of motion is left out: in drawn
films, in a trial whose record was not kept, people changed numbers as often with it as without. So is ByteTrack's
second round: it needs detections of low score, and the detectors of `edge.detectors` deliver none.

Between detections the patch about a face is registered with that of the frame before (`edge.streams.motion`).

Sources: Bewley et al. 2016, "Simple Online and Realtime Tracking"; Yang et al. 2023, "Hard to Track Objects with
Irregular Motions and Similar Appearances?", section 3.2. Left out: Cao et al. 2023, "Observation-Centric SORT", section
4.2; Zhang et al. 2022, "ByteTrack".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.detectors import Detection
from edge.detectors.core import area, shared_area
from edge.pictures.preprocess import Box
from edge.streams.assignment import assign
from edge.streams.motion import appearance, registered

Point = tuple[float, float]
Look = npt.NDArray[np.float32] | None

_LOOKS_WEIGHT, _LOOK_BLEND = 1.0, 0.2
_LEAST_LIKENESS, _REACH = 0.7, 2.5  # of a face found again, and how far from where it was hidden, in its own size
_VELOCITY_BLEND = 0.5  # share of the newest measurement
_VELOCITY_FADES_S = 1.0  # an unseen face is not expected to walk on for ever
_LEAST_INSIDE = 0.3  # share of an unseen face's box within the picture, below which it has left
_FORBIDDEN = 1e3


@dataclass(frozen=True)
class TrackSettings:
    """When a detection belongs to a track, and how long tracks live.

    Attributes:
        least_overlap: intersection over union of the widened boxes that a match needs, 0..1.
        widening: how much boxes are widened on each side for that, as a share of their width and height.
        confirm_hits: detections after which a track counts; those of the very first frame count at once.
        lost_s: seconds without a detection after which a face has left, if `lost_misses` detections missed it as well.
        lost_misses: detections that must miss it.
        wait_s: seconds that a new track near a hidden face waits for its number.
        shown_misses: detections that may miss it while it is still shown.
        gap_s: frames further apart than this belong to different scenes: every face has left.
    """

    least_overlap: float = 0.25
    widening: float = 0.25
    confirm_hits: int = 2
    lost_s: float = 2.0
    lost_misses: int = 3
    wait_s: float = 0.6
    shown_misses: int = 1
    gap_s: float = 5.0


@dataclass
class Track:
    """One face over time; the tracker changes it in place.

    Attributes:
        number: from 1, never used again; 0 until it is confirmed.
        box: (left, top, right, bottom) in pixels, where it is believed to be now.
        score: of its last detection, 0..1.
        points: its last detection's points, moved along with the box; None without them.
        first_s: time of its first detection in seconds.
        hit_s: time of its last one.
        hits: number of detections.
        misses: detections in a row that missed it.
        detected: whether this very frame's detection found it.
        velocity: of the box's centre, pixels a second (x, y).
        hit_centre: centre of its last detection's box, (x, y) in pixels.
        look: see `edge.streams.motion.appearance`; an average over detections that no other face overlaps.
        newest_look: that of its last detection alone; None if unknown.
    """

    number: int
    box: Box
    score: float
    points: tuple[Point, ...] | None
    first_s: float
    hit_s: float
    hits: int = 1
    misses: int = 0
    detected: bool = True
    velocity: Point = (0.0, 0.0)
    hit_centre: Point = (0.0, 0.0)
    look: Look = None
    newest_look: Look = None

    def move(self, x: float, y: float) -> None:
        """Shift the box and the points by (x, y) pixels."""
        left, top, right, bottom = self.box
        self.box = (left + x, top + y, right + x, bottom + y)
        if self.points is not None:
            self.points = tuple((px + x, py + y) for px, py in self.points)


class Tracker:
    """Keeps the tracks of one stream."""

    def __init__(self, settings: TrackSettings | None = None) -> None:
        """Begin without tracks."""
        self.settings = settings or TrackSettings()
        self.tracks: list[Track] = []
        self._numbers = 0
        self._before: npt.NDArray[np.uint8] | None = None  # the frame before
        self._time_s: float | None = None
        self._first_pass = True

    def begins_scene(self, picture: npt.NDArray[np.uint8], time_s: float) -> bool:
        """Return whether `update` would begin a new scene: all faces have left, and only a detector finds others.

        Args:
            picture: (height, width, 3) uint8 RGB; the first one begins a scene, and so does another size.
            time_s: when it was taken; more than `gap_s` after the last one begins a scene.
        """
        if self._before is None or self._time_s is None:
            return True
        return time_s - self._time_s > self.settings.gap_s or self._before.shape != picture.shape

    def update(
        self, picture: npt.NDArray[np.uint8], time_s: float, detections: Sequence[Detection] | None
    ) -> tuple[Track, ...]:
        """Return the faces that are seen now, the largest first, after moving the tracks to this frame.

        Args:
            picture: (height, width, 3) uint8 RGB.
            time_s: when it was taken; not before the last one's.
            detections: of this picture; None if no detector ran.
        """
        step_s = 0.0 if self._time_s is None else max(0.0, time_s - self._time_s)
        if self.begins_scene(picture, time_s):
            self.tracks, self._before, self._first_pass = [], None, True
        for track in self.tracks:
            self._predict(track, step_s, picture if detections is None else None)
        if detections is not None:
            self._associate(picture, detections, time_s)
        self._before, self._time_s = picture, time_s
        shown = [track for track in self.tracks if track.number and track.misses <= self.settings.shown_misses]
        return tuple(sorted(shown, key=lambda track: -area(track.box)))

    def _predict(self, track: Track, step_s: float, picture: npt.NDArray[np.uint8] | None) -> None:
        """Move a track on by its velocity, and by what the pictures show where the face is in view."""
        box = track.box
        fade = math.exp(-step_s / _VELOCITY_FADES_S) if track.misses else 1.0
        track.velocity = (track.velocity[0] * fade, track.velocity[1] * fade)
        track.move(track.velocity[0] * step_s, track.velocity[1] * step_s)
        track.detected = False
        if picture is not None and self._before is not None and track.misses == 0 and track.number:
            offset = registered(self._before, box, picture, track.box)
            if offset is not None:
                track.move(*offset)

    def _associate(self, picture: npt.NDArray[np.uint8], detections: Sequence[Detection], time_s: float) -> None:
        looks = [appearance(picture, found.box) for found in detections]
        matched = self._matches(detections, looks)
        for row, track in enumerate(self.tracks):
            if row in matched:
                found = detections[matched[row]]
                alone = all(other is found or iou(other.box, found.box) == 0 for other in detections)
                self._hit(track, found, looks[matched[row]], alone, time_s)
            else:
                track.misses += 1
        taken = set(matched.values())
        self.tracks = [track for track in self.tracks if not self._over(track, time_s, picture.shape)]
        for column, found in enumerate(detections):
            if column not in taken:
                track = Track(0, found.box, found.score, found.points, time_s, time_s)
                track.hit_centre, track.look, track.newest_look = _centre(found.box), looks[column], looks[column]
                self.tracks.append(track)
        for track in [track for track in self.tracks if not track.number]:
            if self._first_pass or track.hits >= self.settings.confirm_hits:
                self._confirm(track, time_s)
        self._first_pass = False

    def _matches(self, detections: Sequence[Detection], looks: Sequence[Look]) -> dict[int, int]:
        """Return row of a track -> column of its detection: by place, confirmed tracks first; then by looks alone."""
        matched: dict[int, int] = {}
        for wanted, cost_of in (
            (lambda track: track.number > 0, self._cost),
            (lambda track: track.number == 0, self._cost),
            (lambda track: track.number > 0 and track.misses > 0, self._cost_by_looks),
        ):
            rows = [row for row, track in enumerate(self.tracks) if row not in matched and wanted(track)]
            free = [column for column in range(len(detections)) if column not in matched.values()]
            cost = [[cost_of(self.tracks[row], detections[column], looks[column]) for column in free] for row in rows]
            matched.update((rows[i], free[j]) for i, j in assign(cost) if cost[i][j] < _FORBIDDEN)
        return matched

    def _cost(self, track: Track, found: Detection, look: Look) -> float:
        overlap = iou(_widened(track.box, self.settings.widening), _widened(found.box, self.settings.widening))
        if overlap < self.settings.least_overlap:
            return _FORBIDDEN
        return 1 - overlap + _LOOKS_WEIGHT * (1 - likeness(track.look, look))

    def _cost_by_looks(self, track: Track, found: Detection, look: Look) -> float:
        """Return the cost of finding a face again that was hidden, about where it was hidden."""
        alike = likeness(track.look, look)
        return 1 - alike if _near(track, found.box) and alike >= _LEAST_LIKENESS else _FORBIDDEN

    def _hit(self, track: Track, found: Detection, look: Look, alone: bool, time_s: float) -> None:
        """Take a detection into a track; where it is not `alone`, another face may be in the way of its looks."""
        centre = _centre(found.box)
        if time_s > track.hit_s:
            blend = _VELOCITY_BLEND if track.hits > 1 else 1.0
            moved = ((new - old) / (time_s - track.hit_s) for new, old in zip(centre, track.hit_centre, strict=True))
            x, y = (blend * new + (1 - blend) * old for new, old in zip(moved, track.velocity, strict=True))
            track.velocity = (x, y)
        track.newest_look = look
        if look is not None and alone:
            track.look = look if track.look is None else (1 - _LOOK_BLEND) * track.look + _LOOK_BLEND * look
        track.box, track.score, track.points = found.box, found.score, found.points
        track.hit_s, track.hit_centre, track.detected = time_s, centre, True
        track.hits, track.misses = track.hits + 1, 0

    def _confirm(self, track: Track, time_s: float) -> None:
        """Give a new track its number, or let a face that was hidden near it go on in it.

        A face that comes out from behind another one looks like itself only when most of it is out; so near a hidden
        face the number waits a little.
        """
        hidden = [other for other in self.tracks if other.number and other.misses and _near(other, track.box)]
        if hidden:
            other = max(hidden, key=lambda other: likeness(other.look, track.newest_look))
            if likeness(other.look, track.newest_look) >= _LEAST_LIKENESS:
                track.number, track.first_s, track.look = other.number, other.first_s, other.look
                self.tracks.remove(other)
                return
            if time_s - track.first_s < self.settings.wait_s:
                return
        self._numbers += 1
        track.number = self._numbers

    def _over(self, track: Track, time_s: float, shape: tuple[int, ...]) -> bool:
        if track.misses == 0:
            return False
        if not track.number or _inside(track.box, shape) < _LEAST_INSIDE:
            return True
        return track.misses >= self.settings.lost_misses and time_s - track.hit_s > self.settings.lost_s


def likeness(a: Look, b: Look) -> float:
    """Return the cosine, -1..1, of two appearances; 1 where one is not known."""
    if a is None or b is None:
        return 1.0
    return float(np.vdot(a, b)) / max(1e-9, math.sqrt(float(np.vdot(a, a)) * float(np.vdot(b, b))))


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union, 0..1, of two boxes (left, top, right, bottom)."""
    shared = shared_area(a, b)
    return shared / (area(a) + area(b) - shared) if shared else 0.0


def _near(hidden: Track, box: Box) -> bool:
    """Return whether a box lies within reach of where a face was last seen."""
    return math.dist(_centre(box), hidden.hit_centre) <= _REACH * max(box[2] - box[0], box[3] - box[1])


def _widened(box: Box, share: float) -> Box:
    width, height = share * (box[2] - box[0]), share * (box[3] - box[1])
    return box[0] - width, box[1] - height, box[2] + width, box[3] + height


def _inside(box: Box, shape: tuple[int, ...]) -> float:
    """Return the share of a box that lies within a picture of `shape` (height, width, ...)."""
    return shared_area(box, (0, 0, shape[1], shape[0])) / area(box)


def _centre(box: Box) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
