from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.detectors import Detection, Detector, Haar, YuNet
from edge.pictures.images import read_image
from edge.pictures.preprocess import Box
from edge.streams.assignment import assign
from edge.streams.motion import registered
from edge.streams.tracking import Track, Tracker, TrackSettings, iou, likeness
from tests.edge.scenes import astronaut_face, astronaut_frame, paste, plain_canvas

BLANK = np.full((240, 320, 3), 100, np.uint8)


def at(x: float, y: float = 100, side: float = 40, score: float = 0.9) -> Detection:
    return Detection((x - side / 2, y - side / 2, x + side / 2, y + side / 2), score)


def follow(
    tracker: Tracker, steps: Sequence[Sequence[Detection] | None], fps: float = 30, begin: int = 0
) -> list[list[Track]]:
    """Return the numbers and centres shown after each step."""
    shown = []
    for number, found in enumerate(steps, begin):
        tracks = tracker.update(BLANK, number / fps, found)
        shown.append([Track(t.number, t.box, t.score, t.points, t.first_s, t.hit_s) for t in tracks])
    return shown


def centre(track: Track) -> float:
    return (track.box[0] + track.box[2]) / 2


@pytest.mark.parametrize("seed", range(20))
def test_the_assignment_is_the_cheapest_of_all(seed: int) -> None:
    draw = random.Random(seed)
    rows, columns = draw.randint(1, 5), draw.randint(1, 5)
    cost = [[draw.choice([draw.random(), 1000.0]) for _ in range(columns)] for _ in range(rows)]
    pairs = assign(cost)
    small, large = min(rows, columns), max(rows, columns)
    assert len(pairs) == small and len({row for row, _ in pairs}) == len({column for _, column in pairs}) == small
    choices = itertools.permutations(range(large), small)
    turned = rows > columns
    cheapest = min(sum(cost[c][i] if turned else cost[i][c] for i, c in enumerate(choice)) for choice in choices)
    assert sum(cost[row][column] for row, column in pairs) == pytest.approx(cheapest)


def test_a_greedy_choice_would_cost_more() -> None:
    assert assign([[1, 2], [2, 100]]) == [(0, 1), (1, 0)]
    assert assign([]) == assign([[]]) == []


def test_the_overlap_of_boxes_is_worked_out() -> None:
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == 0


def test_a_face_is_confirmed_by_its_second_detection_but_at_once_in_the_first_frame() -> None:
    shown = follow(Tracker(), [[at(50)], [at(50), at(200)], [at(50), at(200)]])
    assert [[track.number for track in step] for step in shown] == [[1], [1], [1, 2]]


def test_a_detection_that_does_not_return_never_becomes_a_face() -> None:
    tracker = Tracker()
    shown = follow(tracker, [[at(50)], [at(50), at(200)], [at(50)], [at(50), at(200)], [at(50)]])
    assert all([track.number for track in step] == [1] for step in shown)
    assert len(tracker.tracks) == 1


def test_one_missed_detection_hides_nobody_and_keeps_the_number() -> None:
    shown = follow(Tracker(), [[at(50)], [at(50)], [], [at(50)]])
    assert [[track.number for track in step] for step in shown] == [[1], [1], [1], [1]]


def test_a_face_missed_for_long_is_hidden_then_gone_and_its_number_is_not_used_again() -> None:
    tracker = Tracker(TrackSettings(lost_s=1.0))
    shown = follow(tracker, [[at(50)], *[[]] * 40, [at(50)], [at(50)]])
    assert [track.number for track in shown[1]] == [1] and shown[2] == []
    assert [track.number for track in shown[-1]] == [2]
    back = follow(Tracker(TrackSettings(lost_s=1.0)), [[at(50)], *[[]] * 20, [at(50)]])
    assert [track.number for track in back[-1]] == [1]  # within the second it is the same face


def test_a_slow_detector_does_not_lose_a_face_by_the_clock_alone() -> None:
    shown = follow(Tracker(), [[at(50)], [], [at(50)]], fps=0.5)
    assert [track.number for track in shown[-1]] == [1]


def test_frames_far_apart_belong_to_different_scenes() -> None:
    tracker = Tracker()
    tracker.update(BLANK, 0, [at(50)])
    assert [track.number for track in tracker.update(BLANK, 4.9, [at(50)])] == [1]
    assert [track.number for track in tracker.update(BLANK, 10.0, [at(50)])] == [2]
    assert [track.number for track in tracker.update(BLANK[:200], 10.1, [at(50)])] == [3]  # another size of frame


def test_a_tracker_tells_which_frame_begins_a_scene() -> None:
    tracker = Tracker()
    assert tracker.begins_scene(BLANK, 0)
    tracker.update(BLANK, 0, [at(50)])
    assert not tracker.begins_scene(BLANK, 5.0) and tracker.begins_scene(BLANK, 5.1)
    assert tracker.begins_scene(BLANK[:200], 0.1)


def test_a_face_that_walks_out_of_the_picture_leaves_at_once() -> None:
    tracker = Tracker()
    follow(tracker, [[at(x)] for x in (60, 48, 36, 24, 12)])
    for number in range(5, 9):
        tracker.update(BLANK, number / 30, [])
    assert tracker.tracks == []


def test_a_fast_face_keeps_its_number_by_its_velocity() -> None:
    steps = [[at(20 + 18 * number, side=30)] for number in range(16)]
    shown = follow(Tracker(), steps)
    assert {track.number for step in shown for track in step} == {1}
    jumping = follow(Tracker(), [[at(20 + 70 * number, side=30)] for number in range(4)])
    assert all(abs(centre(track) - 230) > 30 for track in jumping[-1])  # no velocity is known that explains this


def test_a_face_that_jumps_by_most_of_its_width_overlaps_itself_when_widened() -> None:
    steps = [[at(50)], [at(50)], [at(78)], [at(78)]]  # 12 of 40 pixels shared: 12/68 as they are, 32/88 widened
    shown = follow(Tracker(), steps)
    assert [[(track.number, centre(track)) for track in step] for step in shown[2:]] == [[(1, 78)], [(1, 78)]]
    narrow = follow(Tracker(TrackSettings(widening=0)), steps)
    assert [(track.number, centre(track)) for track in narrow[2]] == [(1, 50)]  # taken for another face there


def test_two_faces_that_cross_keep_their_numbers() -> None:
    steps = []
    for number in range(41):
        a, b = 60 + 5 * number, 260 - 5 * number
        apart = abs(a - b) > 25
        steps.append([at(a), at(b, 104)] if apart else [at(a)])  # the farther one is hidden in between
    shown = follow(Tracker(), steps)
    first = {track.number: centre(track) for track in shown[0]}
    last = {track.number: centre(track) for track in shown[-1]}
    assert set(first) == set(last) == {1, 2}
    assert all(first[number] < 160 < last[number] or first[number] > 160 > last[number] for number in first)


def test_points_move_with_the_box() -> None:
    tracker = Tracker()
    for number in range(3):
        x = 50 + 10 * number
        tracker.update(BLANK, number / 10, [Detection(at(x).box, 0.9, ((x - 5, 95.0), (x + 5, 95.0)))])
    (track,) = tracker.update(BLANK, 0.3, None)
    assert centre(track) == pytest.approx(80) and not track.detected
    assert track.points is not None and track.points[0] == pytest.approx((75, 95))


def test_the_motion_between_detections_is_seen_in_the_picture() -> None:
    tracker = Tracker()
    where = [(100 + 6 * math.sin(number), 110 + 3 * number) for number in range(10)]
    for number, place in enumerate(where):
        picture = plain_canvas()
        paste(picture, astronaut_face(), place, 120)
        tracks = tracker.update(picture, number / 30, [at(*place, side=70)] if number == 0 else None)
        (track,) = tracks
        middle = ((track.box[0] + track.box[2]) / 2, (track.box[1] + track.box[3]) / 2)
        assert math.dist(middle, place) < 3, number
    assert where[-1][1] - where[0][1] == 27  # a box that stayed would be far off


def test_a_patch_without_likeness_says_nothing() -> None:
    draw = np.random.default_rng(0)
    before, now = (draw.integers(0, 255, BLANK.shape, np.uint8) for _ in range(2))
    box: Box = (100, 100, 140, 140)
    assert registered(before, box, now, box) is None
    moved = np.roll(before, (3, 7), (0, 1))
    assert registered(before, box, moved, box) == pytest.approx((7, 3), abs=0.7)
    assert registered(before, (-900, 0, -860, 40), now, box) is None


def test_likeness_is_a_cosine_and_not_held_against_the_unknown() -> None:
    a, b = np.array([3.0, 4.0], np.float32), np.array([4.0, -3.0], np.float32)
    assert [likeness(a, a), likeness(a, -a), likeness(a, None)] == pytest.approx([1, -1, 1])
    assert likeness(a, b) == pytest.approx(0)


@pytest.fixture
def heads(shared_data: Path) -> tuple[np.ndarray, np.ndarray, Path]:
    """Two people's heads and YuNet's file."""
    hopper = read_image(shared_data / "photos" / "grace_hopper.jpg")[60:420, 110:430]
    return hopper, astronaut_face(), shared_data / "detectors" / "face_detection_yunet_2023mar.onnx"


def pictured(tracker: Tracker, number: int, *faces: tuple[np.ndarray, float], missed: bool = False) -> dict[int, float]:
    """Return number -> centre of the faces shown and detected, after a picture of (head, x), the last one in front.

    The detector finds those that no other one covers by more than half, or none if `missed`.
    """
    picture = plain_canvas()
    for head, x in faces:
        paste(picture, head, (x, 100), 100)
    open_to_view = [x for i, (_, x) in enumerate(faces) if all(abs(x - other) >= 30 for _, other in faces[i + 1 :])]
    found = [] if missed else [at(x, side=60) for x in open_to_view]
    return {track.number: centre(track) for track in tracker.update(picture, number / 15, found) if track.detected}


def test_who_steps_before_a_face_and_stops_there_does_not_take_its_number(
    heads: tuple[np.ndarray, np.ndarray, Path],
) -> None:
    sitting, coming, _ = heads
    tracker = Tracker()
    for number, x in enumerate((270, 234, 198, 162, 132, 132, 132)):
        shown = pictured(tracker, number, (sitting, 120), (coming, x))
        assert shown == ({1: 120, 2: x} if x > 150 else {2: x})  # by its velocity it is expected farther on


def test_a_face_that_moved_while_it_looked_away_is_known_at_once_and_another_one_there_is_not(
    heads: tuple[np.ndarray, np.ndarray, Path],
) -> None:
    person, other, _ = heads
    for head, expected in ((person, {1: 190}), (other, {})):  # two of its widths away, within reach
        tracker = Tracker()
        assert [pictured(tracker, number, (person, 70)) for number in range(3)] == [{1: 70}] * 3
        for number in range(3, 9):
            assert pictured(tracker, number, (person, 70), missed=True) == {}
        assert pictured(tracker, 9, (head, 190)) == expected
    for number in range(10, 20):
        shown = pictured(tracker, number, (other, 190))
    assert shown == {2: 190}


def cross(number: int, count: int) -> tuple[float, float]:
    share = number / (count - 1)
    return 70 + 180 * share, 250 - 180 * share


def turn_back(number: int, count: int) -> tuple[float, float]:
    share = math.sin(math.pi * number / (count - 1))
    return 85 + 70 * share, 235 - 70 * share


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("path", [cross, turn_back])
@pytest.mark.parametrize("front", [0, 1])
def test_two_people_who_pass_or_meet_keep_their_numbers(
    heads: tuple[np.ndarray, np.ndarray, Path], path: Callable[[int, int], tuple[float, float]], every: int, front: int
) -> None:
    detector: Detector = YuNet(heads[2])
    shown = people(heads[:2], detector, path, every, front)
    first, last = shown[0], shown[-1]
    assert set(first) == set(last) == {1, 2}
    ends = [path(0, 60), path(59, 60)]
    for number in (1, 2):
        person = 0 if abs(first[number] - ends[0][0]) < abs(first[number] - ends[0][1]) else 1
        assert abs(last[number] - ends[1][person]) < 25


def test_one_person_under_haar_keeps_one_number_through_scale_and_blur() -> None:
    tracker, haar, numbers = Tracker(), Haar(), set()
    for number in range(45):
        picture = astronaut_frame(130 + 2 * number, 120 + 10 * math.sin(number / 5), 0.7 + number / 100)
        blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.5 + number % 15 / 15), np.uint8)
        found = haar.detect(blurred) if number % 3 == 0 else None
        numbers |= {track.number for track in tracker.update(blurred, number / 30, found)}
    assert numbers == {1}


def people(
    faces: tuple[np.ndarray, np.ndarray],
    detector: Detector,
    path: Callable[[int, int], tuple[float, float]],
    every: int,
    front: int,
) -> list[dict[int, float]]:
    """Return number -> centre for the frames on which two faces are shown."""
    tracker, shown = Tracker(), []
    for number in range(60):
        picture = plain_canvas()
        for person in (1 - front, front):  # the one in front is drawn last
            paste(picture, faces[person], (path(number, 60)[person], 120 + 6 * person), (120, 104)[person])
        tracks = tracker.update(picture, number / 30, detector.detect(picture) if number % every == 0 else None)
        if len(tracks) == 2:
            shown.append({track.number: centre(track) for track in tracks})
    return shown
