from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from edge.detectors import (
    BLAZEFACE_NAME,
    DETECTION_SIDE_PX,
    YUNET_NAME,
    BlazeFace,
    Detection,
    Detector,
    Haar,
    HaarSettings,
    YuNet,
    from_haar,
    load_detector,
)
from edge.detectors.core import large_enough
from edge.detectors.haar import stretched
from edge.errors import DetectorError, EdgeError
from edge.files import sha256_of
from edge.pictures.images import read_image

# Boxes drawn by hand around each face, forehead to chin and ear to ear: (left, top, right, bottom).
FACES = {
    "grace_hopper.jpg": [(180, 118, 358, 335)],
    "coral_face.jpg": [(258, 50, 352, 175), (134, 88, 226, 204), (440, 118, 491, 186), (6, 104, 50, 160)],
    "astronaut": [(178, 64, 268, 176)],
}


@pytest.fixture(scope="module")
def yunet_path(shared_data: Path) -> Path:
    return shared_data / "detectors" / YUNET_NAME


@pytest.fixture(scope="module")
def blazeface_path(shared_data: Path) -> Path:
    return shared_data / "detectors" / BLAZEFACE_NAME


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> dict[str, np.ndarray]:
    names = [name for name in FACES if name.endswith(".jpg")]
    return {**{name: read_image(shared_data / "photos" / name) for name in names}, "astronaut": data.astronaut()}


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Return intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def check(detector: Detector, picture: np.ndarray, faces: Sequence[tuple[int, ...]], least: float) -> None:
    """Check that the detections are these faces, one each, the largest first."""
    found = detector.detect(picture)
    assert len(found) == len(faces), found
    for detection, face in zip(found, faces, strict=True):
        assert overlap(detection.box, face) > least, (detection, face)
        assert 0.6 <= detection.score <= 1


@pytest.mark.parametrize("name", FACES)
def test_yunet_finds_every_face_large_or_small_and_nothing_else(
    name: str, pictures: dict[str, np.ndarray], yunet_path: Path
) -> None:
    check(YuNet(yunet_path), pictures[name], FACES[name], 0.75)


def test_haar_finds_the_astronaut() -> None:
    check(Haar(), data.astronaut(), FACES["astronaut"], 0.55)


@pytest.mark.parametrize("name", ["grace_hopper.jpg", "coral_face.jpg"])
def test_haar_finds_the_frontal_faces_and_nothing_else_in_yunets_convention(
    name: str, pictures: dict[str, np.ndarray]
) -> None:
    check(Haar(), pictures[name], FACES[name], 0.55)


def test_haar_finds_a_face_in_the_dark_where_its_grey_levels_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    dark = (data.astronaut() * 0.1).astype(np.uint8)
    check(Haar(), dark, FACES["astronaut"], 0.55)
    monkeypatch.setattr("edge.detectors.haar.stretched", lambda grey: grey)
    assert Haar().detect(dark) == ()


def test_grey_levels_are_spread_between_their_outer_percentiles() -> None:
    grey = np.repeat(np.array([0, 100, 140, 200, 255], np.uint8), [5, 245, 500, 245, 5]).reshape(10, 100)
    assert np.unique(stretched(grey)).tolist() == [0, 102, 255]  # 140: 40 / 100 of 255; 0 and 255 are cut off
    even = np.repeat(np.array([100, 104], np.uint8), 500).reshape(10, 100)
    assert np.unique(stretched(even)).tolist() == [0, 64]  # 4 / 16 of 255, not all of it
    assert np.unique(stretched(np.full((3, 5), 200, np.uint8))).tolist() == [0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale_factor": 1.0}, "expected scale_factor above 1; got 1.0"),
        ({"scale_factor": float("nan")}, "expected scale_factor above 1; got nan"),
        ({"min_neighbours": -1}, "got -1 and 30"),
        ({"min_side_px": 0}, "got 3 and 0"),
        ({"contrast": "bright"}, "expected contrast stretched or equalized; got 'bright'"),
    ],
)
def test_settings_of_the_cascade_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HaarSettings(**wrong)


def test_the_cascade_keeps_to_its_settings() -> None:
    assert len(Haar(settings=HaarSettings(contrast="equalized")).detect(data.astronaut())) == 1
    assert Haar(settings=HaarSettings(min_side_px=200)).detect(data.astronaut()) == ()  # its face is 110 pixels large


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket"])
def test_pictures_without_a_face_give_none(name: str, yunet_path: Path, blazeface_path: Path) -> None:
    picture = getattr(data, name)()
    assert YuNet(yunet_path).detect(picture) == ()
    assert BlazeFace(blazeface_path).detect(picture) == ()
    assert Haar().detect(picture) == ()


@pytest.mark.parametrize("kind", ["yunet", "blazeface", "haar"])
def test_boxes_in_large_pictures_are_in_their_own_pixels(
    kind: str, pictures: dict[str, np.ndarray], yunet_path: Path, blazeface_path: Path
) -> None:
    files = {"yunet": yunet_path, "blazeface": blazeface_path, "haar": None}
    detector = load_detector(kind, files[kind])  # type: ignore[arg-type]
    large = pictures["astronaut"].repeat(3, axis=0).repeat(4, axis=1)
    left, top, right, bottom = FACES["astronaut"][0]
    found = detector.detect(large)
    assert len(found) == 1
    assert overlap(found[0].box, (4 * left, 3 * top, 4 * right, 3 * bottom)) > 0.5


def test_a_higher_detection_side_finds_the_smaller_face(pictures: dict[str, np.ndarray], yunet_path: Path) -> None:
    wide = np.full((600, 8000, 3), 90, np.uint8)
    wide[40:552, 3000:3512] = pictures["astronaut"]
    assert YuNet(yunet_path).detect(wide) == ()
    assert len(YuNet(yunet_path, side_px=4000).detect(wide)) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (7, 5), (33, 31)])
def test_pictures_of_any_shape_are_looked_at(shape: tuple[int, int], yunet_path: Path, blazeface_path: Path) -> None:
    picture = np.zeros((*shape, 3), np.uint8)
    assert YuNet(yunet_path).detect(picture) == ()
    assert BlazeFace(blazeface_path).detect(picture) == ()
    assert Haar().detect(picture) == ()


def test_one_detector_takes_pictures_of_changing_size(pictures: dict[str, np.ndarray], yunet_path: Path) -> None:
    detector = YuNet(yunet_path)
    first = detector.detect(pictures["coral_face.jpg"])
    detector.detect(pictures["astronaut"])
    assert detector.detect(pictures["coral_face.jpg"]) == first


class Says:
    """A network that finds one box, and the pictures that it was given."""

    def __init__(self, *box: float) -> None:
        self.row = np.array([[*box, *[0.0] * 10, 1.0]], np.float32)
        self.seen: list[np.ndarray] = []

    def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802 (OpenCV's name)
        self.size = size

    def detect(self, image: np.ndarray) -> tuple[int, np.ndarray]:
        assert image.shape == (self.size[1], self.size[0], 3)
        self.seen.append(image)
        return 1, self.row


def test_a_box_of_yunets_mostly_outside_the_picture_is_no_face(yunet_path: Path) -> None:
    yunet = YuNet(yunet_path)
    yunet._network = says = Says(100, -20, 40, 50)  # as YuNet now and then does in 512 x 1 pixels
    assert yunet.detect(np.zeros((1, 512, 3), np.uint8)) == ()
    assert [face.score for face in yunet.detect(np.zeros((8, 512, 3), np.uint8))] == [1.0]
    assert [image.shape for image in says.seen] == [(64, 512, 3)] * 2  # padded: YuNet itself errs in slivers


def test_yunets_network_gets_blue_before_green_before_red(yunet_path: Path) -> None:
    yunet = YuNet(yunet_path)
    yunet._network = says = Says(10, 10, 40, 50)
    yunet.detect(np.full((100, 80, 3), (10, 20, 30), np.uint8))
    assert np.array_equal(says.seen[0], np.full((100, 80, 3), (30, 20, 10), np.uint8))


def test_the_least_side_counts_within_the_picture() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    boxes = {"whole": (10.0, 10.0, 18.0, 30.0), "narrow": (10.0, 10.0, 17.9, 30.0), "cut": (-22.0, 10.0, 8.0, 40.0),
             "cut off": (-22.1, 10.0, 7.9, 40.0), "outside": (120.0, 10.0, 160.0, 50.0)}  # fmt: skip
    kept = large_enough([Detection(box, 1.0) for box in boxes.values()], image)
    assert [face.box for face in kept] == [boxes["whole"], boxes["cut"]]


def test_haars_square_becomes_yunets_box() -> None:
    assert from_haar(100, 200, 1000) == pytest.approx((190, 177.5, 1006, 1248.5))


def test_another_type_or_shape_is_refused(yunet_path: Path, blazeface_path: Path) -> None:
    for detector in (YuNet(yunet_path), BlazeFace(blazeface_path), Haar()):
        with pytest.raises(ValueError, match=r"expected a uint8 RGB picture of shape \(h, w, 3\); got float32"):
            detector.detect(np.zeros((64, 64, 3), np.float32))


def test_auto_takes_the_given_file_then_yunet_then_blazeface_then_haar(
    yunet_path: Path, blazeface_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_CACHE", str(tmp_path))
    assert load_detector().name == "haar"
    assert load_detector(model=yunet_path).name == "yunet"
    assert load_detector(model=blazeface_path).name == "blazeface"
    with pytest.raises(DetectorError, match="expected YuNet's ONNX file; got no such file; fetch it with"):
        load_detector("yunet")
    with pytest.raises(DetectorError, match=r"expected BlazeFace's file .*; got no such file; fetch it with"):
        load_detector("blazeface")
    (tmp_path / BLAZEFACE_NAME).write_bytes(blazeface_path.read_bytes())
    assert load_detector().name == load_detector("blazeface").name == "blazeface"
    (tmp_path / YUNET_NAME).write_bytes(yunet_path.read_bytes())
    assert load_detector().name == load_detector("yunet").name == "yunet"
    assert load_detector(model=blazeface_path).name == "blazeface"
    assert load_detector("haar").name == "haar"


def test_without_a_home_folder_only_a_cached_file_is_missed(yunet_path: Path, without_home: None) -> None:
    assert load_detector().name == load_detector("haar").name == "haar"
    assert load_detector(model=yunet_path).name == load_detector("yunet", yunet_path).name == "yunet"
    for name in ("yunet", "blazeface"):
        with pytest.raises(EdgeError, match="set FER_EDGE_CACHE"):
            load_detector(name)


def test_another_file_is_allowed_by_name_but_not_in_the_cache(
    yunet_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_CACHE", str(tmp_path))
    other = tmp_path / YUNET_NAME
    other.write_bytes(yunet_path.read_bytes() + b"\xa2\x06\x00")  # an unknown, empty protobuf field: the same network
    came = sha256_of(other)[:12]
    assert load_detector(model=other).name == "yunet"
    with pytest.raises(
        DetectorError, match=rf"with sha256 8f2383e4dd3c\.\.\.; got 232,592 bytes with {came}\.\.\.; fetch"
    ):
        load_detector()


@pytest.mark.parametrize("content", [b"", b"no network", bytes(1000)])
def test_a_file_that_is_no_yunet_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(DetectorError, match=r"x\.onnx: expected YuNet's ONNX file"):
        YuNet(tmp_path / "x.onnx")


def test_a_truncated_yunet_is_refused(yunet_path: Path, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(yunet_path.read_bytes()[:100_000])
    with pytest.raises(DetectorError, match=r"x\.onnx: expected YuNet's ONNX file"):
        YuNet(tmp_path / "x.onnx")


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a detector auto, yunet, blazeface or haar; got 'blaze'"):
        load_detector("blaze")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected no detector model with haar"):
        load_detector("haar", tmp_path)
    with pytest.raises(ValueError, match="32 pixels or more; got 8"):
        Haar(side_px=8)
    assert DETECTION_SIDE_PX >= 32


def test_an_opencv_without_the_cascade_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")
    with pytest.raises(DetectorError, match="expected an OpenCV with haarcascade_frontalface_default"):
        Haar()
