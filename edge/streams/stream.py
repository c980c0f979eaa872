"""Frames in, faces with smoothed emotions and events out: detector, tracker and classifier over time.

stream = Stream(edge.load())
for frame in open_source("0").frames():
    reading = stream(frame)
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edge.detectors import Detection
from edge.pictures.preprocess import clipped
from edge.recognizer import Recognizer
from edge.sources.frames import Frame
from edge.streams.smoothing import Announcer, Smoother, answer, lag_ms
from edge.streams.tracking import Track, Tracker, TrackSettings

STAGES = ("detect", "crop", "infer", "track")


@dataclass(frozen=True)
class StreamSettings:
    """How a stream is read.

    Attributes:
        detect_every: the detector runs on each n-th frame of a scene (see `Tracker`); between, faces are followed.
        infer_every: the classifier runs on each n-th frame.
        smoothing_ms: time constant of the average over a face's answers; 0: none.
        uncertain_below: top smoothed probability (they are calibrated) below which the answer is "uncertain".
        change_margin: by how much another answer must lead before a change is announced, 0..1.
        tracks: see `TrackSettings`; None: its defaults.
    """

    detect_every: int = 3
    infer_every: int = 1
    smoothing_ms: float = 400.0
    uncertain_below: float = 0.5
    change_margin: float = 0.1
    tracks: TrackSettings | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("detect_every", "infer_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} 1 or more; got {getattr(self, name)}")
        if not (math.isfinite(self.smoothing_ms) and self.smoothing_ms >= 0):
            raise ValueError(f"expected smoothing_ms 0 or more; got {self.smoothing_ms}")
        for name in ("uncertain_below", "change_margin"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"expected {name} in 0..1; got {getattr(self, name)}")

    @property
    def lag_ms(self) -> float:
        """Return after how many milliseconds a sudden change has gone half the way in the smoothed probabilities."""
        return lag_ms(self.smoothing_ms)


@dataclass(frozen=True)
class TrackedFace:
    """One face on one frame.

    Attributes:
        track: its number from 1, the same while it stays in view, never used again.
        box: (left, top, right, bottom), whole pixels within the picture; right and bottom exclusive.
        detection_score: of its last detection, 0..1.
        emotion: the most probable label of `probabilities`, or "uncertain".
        probabilities: label -> smoothed probability, in the model's order; they sum to 1.
        instant: this frame's own probabilities; None where the classifier did not run on it.
        age_s: seconds since it was first detected.
        detected: whether the detector found it on this very frame.
    """

    track: int
    box: tuple[int, int, int, int]
    detection_score: float
    emotion: str
    probabilities: Mapping[str, float]
    instant: Mapping[str, float] | None
    age_s: float
    detected: bool


@dataclass(frozen=True)
class Event:
    """A face came, its announced answer changed, or it left.

    Attributes:
        kind: "appeared", "changed" or "left".
        track: the face's number.
        emotion: what it is announced as (at "left": was).
        at_s: the frame's `captured_s`.
    """

    kind: Literal["appeared", "changed", "left"]
    track: int
    emotion: str
    at_s: float


@dataclass(frozen=True)
class StreamReading:
    """What was read on one frame.

    Attributes:
        frame: the frame.
        faces: the largest first.
        events: what happened on it.
        latency_ms: milliseconds spent in "detect", "crop" and "infer" (0 where not run) and in "track": association,
            following, smoothing and events.
    """

    frame: Frame
    faces: tuple[TrackedFace, ...]
    events: tuple[Event, ...]
    latency_ms: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return one line of `--json`."""
        return {
            "type": "frame",
            "index": self.frame.index,
            "captured_s": round(self.frame.captured_s, 4),
            "dropped": self.frame.dropped,
            "width": self.frame.picture.shape[1],
            "height": self.frame.picture.shape[0],
            "faces": [
                {
                    "track": face.track,
                    "box": list(face.box),
                    "detection_score": round(face.detection_score, 4),
                    "emotion": face.emotion,
                    "probabilities": _rounded(face.probabilities),
                    "instant": None if face.instant is None else _rounded(face.instant),
                    "age_s": round(face.age_s, 3),
                    "detected": face.detected,
                }
                for face in self.faces
            ],
            "events": [
                {"kind": event.kind, "track": event.track, "emotion": event.emotion, "at_s": round(event.at_s, 4)}
                for event in self.events
            ],
            "latency_ms": {name: round(ms, 3) for name, ms in self.latency_ms.items()},
        }


class _Memory:
    """What is kept of a face between frames."""

    def __init__(self, settings: StreamSettings) -> None:
        self.smoother = Smoother(settings.smoothing_ms / 1000)
        self.announcer = Announcer(settings.uncertain_below, settings.change_margin)
        self.probabilities: Mapping[str, float] | None = None


class Stream:
    """Reads a stream frame by frame; one for each source."""

    def __init__(self, recognizer: Recognizer, settings: StreamSettings | None = None) -> None:
        """Begin a stream.

        Args:
            recognizer: detector and classifier.
            settings: None: the defaults.
        """
        self.recognizer = recognizer
        self.settings = settings or StreamSettings()
        self._tracker = Tracker(self.settings.tracks)
        self._memories: dict[int, _Memory] = {}
        self._count = 0
        self._scene_count = 0  # frames since the scene began

    def __call__(self, frame: Frame) -> StreamReading:
        """Return the faces on the next frame.

        Raises:
            ValueError: the picture is not (height, width, 3) uint8.
        """
        picture, time_s = frame.picture, frame.captured_s
        start = time.perf_counter_ns()
        if self._tracker.begins_scene(picture, time_s):
            self._scene_count = 0
        due = self._scene_count % self.settings.detect_every == 0
        detections = self.recognizer.detector.detect(picture) if due else None
        detected = start if detections is None else time.perf_counter_ns()
        tracks = self._tracker.update(picture, time_s, detections)
        boxes = {track.number: box for track in tracks if (box := clipped(track.box, picture)) is not None}
        tracks = tuple(track for track in tracks if track.number in boxes)
        followed = time.perf_counter_ns()
        wanted = [
            (track.number, Detection(track.box, track.score, track.points))
            for track in tracks
            if track.misses == 0 and self._is_due(track)
        ]
        places = {number: place for number, place in wanted if self.recognizer.can_crop(picture, place)}
        crops = [self.recognizer.crop(picture, place) for place in places.values()]
        cropped = time.perf_counter_ns() if crops else followed
        rows = [self.recognizer.classifier.probabilities(crop)[0] for crop in crops]
        inferred = time.perf_counter_ns() if crops else followed
        rows_of = dict(zip(places, rows, strict=True))
        events: list[Event] = []
        faces = tuple(
            face
            for track in tracks
            if (face := self._face(track, boxes[track.number], rows_of.get(track.number), time_s, events)) is not None
        )
        self._forget(time_s, events)
        self._count += 1
        self._scene_count += 1
        tracking_ns = (followed - detected) + (time.perf_counter_ns() - inferred)
        spent_ns = (detected - start, cropped - followed, inferred - cropped, tracking_ns)
        latency_ms = {stage: ns / 1e6 for stage, ns in zip(STAGES, spent_ns, strict=True)}
        return StreamReading(frame, faces, tuple(events), MappingProxyType(latency_ms))

    def _is_due(self, track: Track) -> bool:
        """Return whether a face is classified on this frame: each n-th, and a new one at once."""
        memory = self._memories.get(track.number)
        return self._count % self.settings.infer_every == 0 or memory is None or memory.probabilities is None

    def _face(
        self,
        track: Track,
        box: tuple[int, int, int, int],
        row: npt.NDArray[np.float32] | None,
        time_s: float,
        events: list[Event],
    ) -> TrackedFace | None:
        """Return a track as a face, its new answer taken in; None while it never had one."""
        memory = self._memories.setdefault(track.number, _Memory(self.settings))
        instant = None
        if row is not None:
            instant = self._named(row)
            memory.probabilities = self._named(memory.smoother.update(row, time_s))
            before = memory.announcer.announced
            if memory.announcer.changed(memory.probabilities):
                emotion = str(memory.announcer.announced)
                events.append(Event("appeared" if before is None else "changed", track.number, emotion, time_s))
        if memory.probabilities is None:
            return None
        return TrackedFace(
            track=track.number,
            box=box,
            detection_score=track.score,
            emotion=answer(memory.probabilities, self.settings.uncertain_below),
            probabilities=memory.probabilities,
            instant=instant,
            age_s=time_s - track.first_s,
            detected=track.detected,
        )

    def _named(self, row: npt.NDArray[Any]) -> Mapping[str, float]:
        names = self.recognizer.classifier.labels
        return MappingProxyType(dict(zip(names, row.tolist(), strict=True)))

    def _forget(self, time_s: float, events: list[Event]) -> None:
        """Drop the memories of faces that have left."""
        present = {track.number for track in self._tracker.tracks}
        for number in [number for number in self._memories if number not in present]:
            announced = self._memories.pop(number).announcer.announced
            if announced is not None:
                events.append(Event("left", number, announced, time_s))


def _rounded(probabilities: Mapping[str, float]) -> dict[str, float]:
    return {name: round(p, 6) for name, p in probabilities.items()}
