from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.detectors import Detection, Haar
from edge.inference.contract import CropSpec
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import read_model
from edge.pictures.preprocess import Box, crop_face
from edge.recognizer import Recognizer
from edge.streams.smoothing import UNCERTAIN, Announcer, Smoother, answer, lag_ms
from edge.streams.stream import STAGES, Event, Stream, StreamReading, StreamSettings
from tests.edge import models
from tests.edge.scenes import ScriptedDetector, astronaut_frame, frame_at

LEFT, RIGHT = Detection((10, 20, 60, 70), 0.9), Detection((110, 20, 150, 60), 0.8)


@pytest.fixture(scope="module")
def classifier(int8_path: Path) -> Classifier:
    return Classifier(read_model(int8_path))


def picture(left: tuple[int, int, int], right: tuple[int, int, int] = models.GREY) -> np.ndarray:
    """Return a (100, 200, 3) picture whose two faces have these colours."""
    canvas = np.zeros((100, 200, 3), np.uint8)
    canvas[20:70, 10:60], canvas[20:60, 110:150] = left, right
    return canvas


def read(
    classifier: Classifier,
    pictures: Sequence[np.ndarray],
    settings: StreamSettings,
    *found: Sequence[Detection],
    fps: float = 30,
) -> list[StreamReading]:
    stream = Stream(Recognizer(classifier, ScriptedDetector(*(found or ([LEFT],)))), settings)
    return [stream(frame_at(image, number, fps)) for number, image in enumerate(pictures)]


def test_each_face_is_read_from_its_own_box(classifier: Classifier) -> None:
    (reading,) = read(classifier, [picture(models.RED, models.BLUE)], StreamSettings(), [LEFT, RIGHT])
    assert [(face.track, face.box, face.emotion) for face in reading.faces] == [
        (1, (10, 20, 60, 70), "angry"),
        (2, (110, 20, 150, 60), "sad"),
    ]
    assert [face.detection_score for face in reading.faces] == [0.9, 0.8]
    assert all(sum(face.probabilities.values()) == pytest.approx(1, abs=1e-6) for face in reading.faces)
    assert set(reading.latency_ms) == set(STAGES) and all(ms >= 0 for ms in reading.latency_ms.values())


def test_the_detector_runs_on_each_nth_frame_only(classifier: Classifier) -> None:
    detector = ScriptedDetector([LEFT])
    stream = Stream(Recognizer(classifier, detector), StreamSettings(detect_every=3))
    readings = [stream(frame_at(picture(models.RED), number)) for number in range(7)]
    assert detector.runs == 3
    assert [reading.faces[0].detected for reading in readings] == [True, False, False, True, False, False, True]
    assert [reading.latency_ms["detect"] == 0 for reading in readings] == [False, True, True, False, True, True, False]
    assert all(reading.faces[0].instant is not None for reading in readings)


def test_the_detector_runs_on_the_first_frame_of_each_scene_and_counts_from_there(classifier: Classifier) -> None:
    detector = ScriptedDetector([LEFT])
    stream = Stream(Recognizer(classifier, detector), StreamSettings(detect_every=3))
    whole = picture(models.RED)
    cut = whole[:90]
    frames = [frame_at(image, number) for number, image in enumerate([whole, whole, cut, cut, cut, cut, whole])]
    frames += [dataclasses.replace(frame_at(whole, 7), captured_s=10.0), frame_at(whole, 301)]  # far apart: another one
    readings = [stream(frame) for frame in frames]
    found = [reading.faces[0].detected for reading in readings]
    assert found == [True, False, True, False, False, True, True, True, False]
    assert [reading.faces[0].track for reading in readings] == [1, 1, 2, 2, 2, 2, 3, 4, 4]


def test_the_classifier_runs_on_each_nth_frame_and_at_once_on_a_new_face(classifier: Classifier) -> None:
    found = [[LEFT], [LEFT, RIGHT], [LEFT, RIGHT], [LEFT, RIGHT], [LEFT, RIGHT]]
    settings = StreamSettings(detect_every=1, infer_every=4)
    readings = read(classifier, [picture(models.RED, models.BLUE)] * 5, settings, *found)
    instants = [{face.track: face.instant is not None for face in reading.faces} for reading in readings]
    assert instants == [{1: True}, {1: False}, {1: False, 2: True}, {1: False, 2: False}, {1: True, 2: True}]
    assert readings[1].faces[0].probabilities == readings[0].faces[0].probabilities


def test_a_stage_takes_no_time_on_a_frame_on_which_it_did_not_run(classifier: Classifier) -> None:
    settings = StreamSettings(infer_every=3)
    readings = read(classifier, [picture(models.RED)] * 7, settings)
    for stage in ("crop", "infer"):
        ran = [reading.latency_ms[stage] > 0 for reading in readings]
        assert ran == [True, False, False, True, False, False, True], stage
    for reading in read(classifier, [picture(models.RED)] * 3, settings, []):
        assert (reading.latency_ms["crop"], reading.latency_ms["infer"]) == (0, 0)
        assert reading.latency_ms["track"] > 0


def test_after_a_sudden_change_the_answer_turns_after_ln_2_time_constants(classifier: Classifier) -> None:
    settings = StreamSettings(detect_every=1, smoothing_ms=400, uncertain_below=0)
    images = [picture(models.RED)] * 90 + [picture(models.GREEN)] * 30
    readings = read(classifier, images, settings)
    turned = next(number for number, reading in enumerate(readings) if reading.faces[0].emotion == "happy")
    assert settings.lag_ms == pytest.approx(277.26, abs=0.01)
    assert (turned - 90 + 1) / 30 * 1000 == pytest.approx(settings.lag_ms, abs=1.5 * 1000 / 30)
    assert readings[90].faces[0].instant is not None and readings[90].faces[0].instant["happy"] > 0.9


def test_the_lag_is_the_same_at_another_frame_rate_and_none_without_smoothing(classifier: Classifier) -> None:
    images = [picture(models.RED)] * 50 + [picture(models.GREEN)] * 20

    def turned(smoothing_ms: float, fps: float) -> float:
        settings = StreamSettings(detect_every=1, smoothing_ms=smoothing_ms, uncertain_below=0)
        readings = read(classifier, images, settings, fps=fps)
        return (next(n for n, reading in enumerate(readings) if reading.faces[0].emotion == "happy") - 50 + 1) / fps

    assert turned(400, 15) == pytest.approx(0.277, abs=1.5 / 15)
    assert turned(400, 60) == pytest.approx(0.277, abs=1.5 / 60)
    assert turned(0, 30) == 1 / 30


def test_the_average_is_worked_out_by_hand() -> None:
    smoother = Smoother(1.0)
    assert smoother.update(np.array([1.0, 0.0]), 5.0) == pytest.approx([1, 0])
    first, kept = 1 - math.exp(-1 / 30), math.exp(-0.5)
    expected = kept * first / (kept * first + 1 - kept)
    assert smoother.update(np.array([0.0, 1.0]), 5.5) == pytest.approx([expected, 1 - expected])
    assert lag_ms(1000) == pytest.approx(693.147, abs=0.001)


def test_a_step_reaches_one_half_after_ln_2_time_constants() -> None:
    smoother = Smoother(0.4)
    for number in range(1000):
        smoother.update(np.array([0.0]), number / 100)
    values = [float(smoother.update(np.array([1.0]), 10 + number / 1000)[0]) for number in range(600)]
    half = next(number for number, value in enumerate(values) if value >= 0.5)
    assert half == pytest.approx(277 - 10, abs=2)  # the step's first sample counts from the last one before it


def test_an_answer_below_the_threshold_is_uncertain(classifier: Classifier) -> None:
    images = [picture(models.RED)] * 10 + [picture(models.GREEN)] * 60
    settings = StreamSettings(detect_every=1, uncertain_below=0.6)
    answers = [reading.faces[0].emotion for reading in read(classifier, images, settings)]
    assert (answers[0], answers[-1]) == ("angry", "happy") and UNCERTAIN in answers
    none = read(classifier, images, dataclasses.replace(settings, uncertain_below=0))
    assert UNCERTAIN not in [reading.faces[0].emotion for reading in none]
    assert answer({"a": 0.5, "b": 0.3}, 0.5) == "a" and answer({"a": 0.49, "b": 0.3}, 0.5) == UNCERTAIN


def test_events_tell_what_happens_once(classifier: Classifier) -> None:
    images = [picture(models.RED)] * 30 + [picture(models.GREEN)] * 60 + [picture(models.GREEN)] * 90
    found = [[LEFT]] * 90 + [[]] * 90
    readings = read(classifier, images, StreamSettings(detect_every=1), *found)
    events = [event for reading in readings for event in reading.events]
    kinds = [(event.kind, event.track, event.emotion) for event in events]
    assert kinds[0] == ("appeared", 1, "angry") and kinds[-1] == ("left", 1, "happy")
    assert kinds[1:-1] in ([("changed", 1, "happy")], [("changed", 1, UNCERTAIN), ("changed", 1, "happy")])
    assert events[0] == Event("appeared", 1, "angry", 0.0)
    assert 1.0 < events[1].at_s < 1.6 and 4.9 < events[-1].at_s < 5.3  # two seconds after it was last seen


def test_a_flickering_answer_makes_no_events() -> None:
    announcer, told = Announcer(0.5, 0.1), 0
    for number in range(100):
        share = 0.52 if number % 2 else 0.48
        told += announcer.changed({"happy": share, "sad": 1 - share})
    assert told == 1
    without = Announcer(0.5, 0.0)
    assert sum(without.changed({"happy": share, "sad": 1 - share}) for share in (0.52, 0.48, 0.52, 0.48)) == 4


def test_the_announced_answer_changes_at_the_margins() -> None:
    announcer = Announcer(0.5, 0.1)
    steps = [(0.8, 0.1, "a"), (0.46, 0.3, "a"), (0.44, 0.3, UNCERTAIN), (0.54, 0.3, UNCERTAIN), (0.56, 0.3, "a"),
             (0.45, 0.53, "a"), (0.42, 0.53, "b")]  # fmt: skip
    for a, b, expected in steps:
        announcer.changed({"a": a, "b": b, "c": 1 - a - b})
        assert announcer.announced == expected, (a, b)


def test_a_face_that_is_hidden_for_a_moment_keeps_its_average_but_is_not_read(classifier: Classifier) -> None:
    readings = read(classifier, [picture(models.RED)] * 4, StreamSettings(detect_every=1), [LEFT], [LEFT], [], [LEFT])
    hidden = readings[2].faces[0]
    assert (hidden.track, hidden.detected, hidden.instant) == (1, False, None)
    assert hidden.probabilities == readings[1].faces[0].probabilities
    assert [round(reading.faces[0].age_s, 3) for reading in readings] == [0, 0.033, 0.067, 0.1]


def test_a_face_that_has_all_but_left_the_picture_is_followed_but_not_read(
    networks: dict[str, bytes], tmp_path: Path
) -> None:
    """Its rounded box ends in the first row, the square that would be cut for it above."""
    contract = dataclasses.replace(models.CONTRACT, crop=CropSpec(side_scale=1.0213, offset_y=-0.0104))
    (tmp_path / "model.tflite").write_bytes(models.packed(networks["qat-int8"], contract))
    narrow = Classifier(read_model(tmp_path / "model.tflite"))
    canvas = np.full((480, 640, 3), models.RED, np.uint8)
    leaving, left = Detection((200, -98, 280, 2), 0.9), Detection((200, -99.39, 280, 0.613), 0.9)
    readings = read(narrow, [canvas] * 2, StreamSettings(detect_every=1), [leaving], [left])
    (before,), (after,) = (reading.faces for reading in readings)
    assert (before.box, after.box, after.track) == ((200, 0, 280, 2), (200, 0, 280, 1), before.track)
    assert after.instant is None and after.probabilities == before.probabilities
    assert read(narrow, [canvas], StreamSettings(), [left])[0].faces == ()  # it was never read
    assert Recognizer(narrow, ScriptedDetector([left]))(canvas).faces == ()


def test_no_face_is_an_empty_reading_and_the_json_has_the_documented_fields(classifier: Classifier) -> None:
    (empty,) = read(classifier, [picture(models.RED)], StreamSettings(), [])
    assert empty.faces == () and empty.to_dict()["faces"] == []
    (reading,) = read(classifier, [picture(models.RED)], StreamSettings())
    line = reading.to_dict()
    assert list(line) == ["type", "index", "captured_s", "dropped", "width", "height", "faces", "events", "latency_ms"]
    assert list(line["faces"][0]) == [
        "track", "box", "detection_score", "emotion", "probabilities", "instant", "age_s", "detected",
    ]  # fmt: skip
    assert list(line["events"][0]) == ["kind", "track", "emotion", "at_s"]
    assert list(line["latency_ms"]) == list(STAGES)


def test_memories_of_faces_that_left_are_dropped(classifier: Classifier) -> None:
    stream = Stream(Recognizer(classifier, ScriptedDetector([LEFT], [LEFT], [])), StreamSettings(detect_every=1))
    for number in range(90):
        stream(frame_at(picture(models.RED), number))
    assert len(stream._memories) == 0
    assert len(stream._tracker.tracks) == 0


def test_a_tilted_face_is_turned_upright_by_its_points_between_detections_too(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    canvas = np.zeros((100, 200, 3), np.uint8)
    eyes = ((30.0, 50.0), (30.0, 30.0))  # lies on its side
    turned = []

    def watched(picture: np.ndarray, box: Box, crop: CropSpec, height: int, width: int, roll_deg: float) -> np.ndarray:
        turned.append(roll_deg)
        return crop_face(picture, box, crop, height, width, roll_deg)

    monkeypatch.setattr("edge.recognizer.crop_face", watched)
    found = dataclasses.replace(LEFT, points=eyes)
    stream = Stream(Recognizer(classifier, ScriptedDetector([found])), StreamSettings(detect_every=3))
    for number in range(3):
        stream(frame_at(canvas, number))
    assert turned == pytest.approx([-90, -90, -90])


@pytest.mark.parametrize(
    ("options", "text"),
    [({"detect_every": 0}, "expected detect_every 1 or more"), ({"infer_every": 0}, "expected infer_every"),
     ({"smoothing_ms": -1}, "expected smoothing_ms 0 or more"), ({"smoothing_ms": math.nan}, "expected smoothing_ms"),
     ({"uncertain_below": 1.1}, r"expected uncertain_below in 0\.\.1"), ({"change_margin": -1}, "change_margin")],
)  # fmt: skip
def test_settings_outside_their_range_are_refused(options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        StreamSettings(**options)  # type: ignore[arg-type]


def test_a_photographed_face_is_followed_from_coming_to_leaving_and_is_new_when_it_returns(
    classifier: Classifier,
) -> None:
    stream = Stream(Recognizer(classifier, Haar()), StreamSettings())
    path = [140 + 2 * number for number in range(20)]
    path += [178 + 14 * number for number in range(1, 20)]  # out at the right
    path += [900] * 70 + [160] * 8
    events: list[Event] = []
    seen = []
    for number, x in enumerate(path):
        reading = stream(frame_at(astronaut_frame(x, 120, 0.9), number))
        events += reading.events
        seen.append({face.track for face in reading.faces})
    assert seen[0] == {1} and seen[19] == {1} and seen[-1] == {2}
    assert [(event.kind, event.track) for event in events if event.kind != "changed"] == [
        ("appeared", 1), ("left", 1), ("appeared", 2),
    ]  # fmt: skip
