from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from edge.detectors import BLAZEFACE_NAME, YUNET_NAME, BlazeFace, Haar, YuNet, blazeface, from_blazeface, load_detector
from edge.errors import DetectorError
from edge.inference.modelfile import default_model_path
from edge.pictures.images import read_image
from tests.edge.detectors.test_detectors import FACES, check, overlap


@pytest.fixture(scope="module")
def file(shared_data: Path) -> Path:
    return shared_data / "detectors" / BLAZEFACE_NAME


@pytest.fixture(scope="module")
def detector(file: Path) -> BlazeFace:
    return BlazeFace(file)


def test_the_faces_of_portraits_are_found_in_yunets_convention(detector: BlazeFace, shared_data: Path) -> None:
    check(detector, data.astronaut(), FACES["astronaut"], 0.75)
    check(detector, read_image(shared_data / "photos" / "grace_hopper.jpg"), FACES["grace_hopper.jpg"], 0.75)


def test_of_near_and_far_faces_the_near_ones_are_found(detector: BlazeFace, shared_data: Path) -> None:
    check(detector, read_image(shared_data / "photos" / "coral_face.jpg"), FACES["coral_face.jpg"][:2], 0.7)


def test_a_face_an_eighth_of_the_picture_wide_is_found_and_a_sixteenth_is_not(detector: BlazeFace) -> None:
    for share, count in ((8, 1), (16, 0)):
        side = 90 * share  # the astronaut's face is 90 pixels wide
        wide = np.full((side, side, 3), 128, np.uint8)
        wide[side // 2 - 176 : side // 2 + 176, side // 2 - 200 : side // 2 + 200] = data.astronaut()[:352, :400]
        assert len(detector.detect(wide)) == count, share


def test_anchors_lie_in_the_middle_of_their_cells() -> None:
    places = blazeface.anchors()
    assert places.shape == (16 * 16 * 2 + 8 * 8 * 6, 2)  # 896
    assert places[:4].tolist() == [[4, 4], [4, 4], [12, 4], [12, 4]]
    assert places[32].tolist() == [4, 12]
    assert places[511:519].tolist() == [[124, 124], *[[8, 8]] * 6, [24, 8]]
    assert places[-1].tolist() == [120, 120]


def row(*values: float) -> list[float]:
    """Return a row of the regressors; what is not given is 0."""
    return [*values, *[0.0] * (16 - len(values))]


def test_offsets_are_counted_from_the_anchor_and_unsure_ones_left_out() -> None:
    rows = np.array([row(2, -4, 20, 30, 5, 6), row(0, 0, 10, 10), row(0, 0, 10, 10)], np.float32)
    logits = np.array([math.log(3), math.log(1.49), math.log(1.51)], np.float32)  # 0.75, just under 0.6, just over
    places, scores = blazeface.decoded(rows, logits, np.array([[20.0, 36.0], [4, 4], [12, 4]]))
    assert scores == pytest.approx([0.75, 1.51 / 2.51])
    assert places[0, :4].tolist() == [[12, 17], [32, 47], [25, 42], [20, 36]]
    assert places[1, :2].tolist() == [[7, -1], [17, 9]]


def test_scores_are_clipped_and_rows_without_sense_left_out() -> None:
    logits = np.array([1e4, -1e4, 5, 5, 5, math.nan], np.float32)
    rows = np.array([row(0, 0, 9, 9), row(0, 0, 9, 9), row(math.nan, 0, 9, 9), row(0, 0, -9, 9), row(0, 0, 9, math.inf),
                     row(0, 0, 9, 9)], np.float32)  # fmt: skip
    with np.errstate(all="raise"):
        places, scores = blazeface.decoded(rows, logits, np.zeros((6, 2)))
    assert scores.tolist() == [1.0] and places[0, 1].tolist() == [4.5, 4.5]


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([[[left, top], [right, bottom], *[[left, top]] * 6] for left, top, right, bottom in corners], float)


def test_boxes_of_one_face_are_averaged_by_score_and_of_two_kept_apart() -> None:
    places = boxes((2, 0, 12, 10), (50, 50, 60, 60), (0, 0, 10, 10))  # the first and the last share 80 of 120
    faces, scores = blazeface.weighted(places, np.array([0.6, 0.7, 0.9]))
    assert scores.tolist() == [0.9, 0.7]
    assert faces[0, 0] == pytest.approx([0.8, 0]) and faces[0, 1] == pytest.approx([10.8, 10])  # (0.6 * 2) / 1.5
    assert faces[0, 5] == pytest.approx([0.8, 0])
    assert faces[1, 0] == pytest.approx([50, 50]) and faces[1, 1] == pytest.approx([60, 60])
    apart, _ = blazeface.weighted(boxes((0, 0, 10, 10), (6, 0, 16, 10)), np.array([0.9, 0.8]))  # 40 of 160: a quarter
    assert len(apart) == 2
    assert blazeface.weighted(boxes(), np.empty(0))[0].shape == (0, 8, 2)


def test_the_aspect_ratio_is_kept_by_black_bars() -> None:
    square, scales, margins = blazeface.letterboxed(np.full((512, 256, 3), 200, np.uint8))
    assert (square.shape, scales, margins) == ((128, 128, 3), (0.25, 0.25), (32, 0))
    assert (square[:, 32:96] == 200).all() and not square[:, :32].any() and not square[:, 96:].any()
    small, scales, margins = blazeface.letterboxed(np.full((2, 4, 3), 200, np.uint8))
    assert (scales, margins) == ((32, 32), (0, 32))
    assert (small[32:96] == 200).all() and not small[:32].any() and not small[96:].any()


def test_boxes_in_wide_and_tall_pictures_are_in_their_own_pixels(detector: BlazeFace) -> None:
    wide = np.full((512, 640, 3), 128, np.uint8)
    wide[:, 100:612] = data.astronaut()
    left, top, right, bottom = FACES["astronaut"][0]
    assert overlap(detector.detect(wide)[0].box, (left + 100, top, right + 100, bottom)) > 0.7
    tall = np.full((640, 512, 3), 128, np.uint8)
    tall[100:612] = data.astronaut()
    assert overlap(detector.detect(tall)[0].box, (left, top + 100, right, bottom + 100)) > 0.7


def test_blazefaces_square_becomes_yunets_box() -> None:
    assert from_blazeface(100, 200, 1100, 1200) == pytest.approx((133.5, 9, 1060.5, 1217))


def test_yunet_gives_five_points_blazeface_three_and_haar_none(detector: BlazeFace, shared_data: Path) -> None:
    picture = read_image(shared_data / "photos" / "grace_hopper.jpg")
    by_hand = ((221, 192), (311, 189), (268, 235), (224, 284), (304, 282))  # eyes, nose, corners of the mouth
    yunet = YuNet(shared_data / "detectors" / YUNET_NAME).detect(picture)[0].points
    ours = detector.detect(picture)[0].points
    assert yunet is not None and len(yunet) == 5 and ours is not None and len(ours) == 3
    for point, ours_or_yunets in [*zip(by_hand, yunet, strict=True), *zip(by_hand[:3], ours, strict=True)]:
        assert math.dist(point, ours_or_yunets) < 18, (point, ours_or_yunets)  # a tenth of the face's width
    assert Haar().detect(picture)[0].points is None


def test_another_file_is_refused_in_a_line_before_an_interpreter_sees_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never() -> Any:
        raise AssertionError("an interpreter was asked for")

    monkeypatch.setattr(blazeface, "find_runtime", never)
    damaged = bytearray(file.read_bytes())
    damaged[1000] ^= 1
    foreign = default_model_path().read_bytes()
    for content in (bytes(damaged), file.read_bytes()[:-1], b"no network", foreign):
        (tmp_path / "x.tflite").write_bytes(content)
        with pytest.raises(
            DetectorError, match=r"x\.tflite: expected BlazeFace's file .* 3bc182eb9f33\.\.\.; got"
        ) as e:
            load_detector("blazeface", tmp_path / "x.tflite")
        assert "\n" not in str(e.value) and "`fer-edge fetch blazeface`" in str(e.value)
    with pytest.raises(AssertionError, match="was asked for"):  # the file itself gets that far
        BlazeFace(file)


def test_a_runtime_that_refuses_the_network_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(**_: object) -> Any:
        raise ValueError("Didn't find op\nfor builtin opcode")

    monkeypatch.setattr(blazeface, "find_runtime", lambda: (refusing, {"name": "old-runtime", "version": "1.0"}))
    with pytest.raises(DetectorError, match=r"runs BlazeFace; got old-runtime 1\.0: Didn't find op for builtin"):
        BlazeFace(file)
