"""`python -m benchmarks alignment`: what turning faces upright by the eyes or by all points is worth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from skimage import data

from benchmarks.__main__ import main
from benchmarks.runtime.alignment import (
    CONDITIONS,
    THRESHOLDS_DEG,
    Condition,
    Readings,
    _is_framed,
    _row,
    _threshold,
    chosen,
    moved,
    read,
    shown,
    template,
)
from benchmarks.runtime.page import markdown, read_runtime
from benchmarks.runtime.record import read as read_record
from edge.alignment import ALIGNMENTS, TEMPLATES
from edge.detectors import BLAZEFACE_NAME, YUNET_NAME, Detection
from edge.errors import DataError
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import read_model
from tests.edge.finding import Fixed
from tests.train.conftest import write_csv
from train.datasets.core import Part

RECORD = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "runtime" / "alignment.json"


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """The photograph's face in FER2013's size and framing: (48, 48) uint8."""
    return cv2.resize(cv2.cvtColor(data.astronaut()[56:186, 158:288], cv2.COLOR_RGB2GRAY), (48, 48))


def test_faces_are_shown_in_a_border_three_times_as_large_and_tilted_clockwise() -> None:
    picture = np.zeros((48, 48), np.uint8)
    picture[:24] = 200  # the upper half
    upright = shown(picture, 0)
    assert upright.shape == (216, 216, 3)
    assert (upright[:97] == 200).all() and (upright[119:] == 0).all()
    tilted = shown(picture, 90)
    assert (tilted[40:170, 120:170] == 200).all() and (tilted[40:170, 40:96] == 0).all()  # at the right now
    assert shown(np.zeros((48, 48, 3), np.uint8), 30).shape == (216, 216, 3)


def test_the_template_is_the_median_of_the_points_in_the_faces_own_frame() -> None:
    # 36 pixels of border and 3 pixels of picture for each of the face's: (36 + 3 x, 36 + 3 y)
    found = Detection((0.0, 0.0, 90.0, 90.0), 0.9, ((66.0, 96.0), (126.0, 96.0), (96.0, 126.0)))
    block = template(np.zeros((3, 48, 48), np.uint8), Fixed(found))
    assert block["median"] == [[10, 20], [30, 20], [20, 30]] and block["found"] == 1
    assert template(np.zeros((3, 96, 96), np.uint8), Fixed(found))["median"][0] == [-1, 4]  # the border is 24 there
    for nothing in (Fixed(), Fixed(Detection((0.0, 0.0, 90.0, 90.0), 0.9))):
        with pytest.raises(DataError, match="expected a detector that finds faces and gives points; got none of 3"):
            template(np.zeros((3, 48, 48), np.uint8), nothing)


def test_a_box_is_moved_by_a_tenth_of_its_side_and_its_points_are_not() -> None:
    found = Detection((10.0, 20.0, 50.0, 70.0), 0.9, ((1.0, 2.0),))
    random = np.random.default_rng(0)
    scales = set()
    for _ in range(20):
        left, top, right, bottom = (other := moved(found, 0.1, random)).box
        assert np.hypot((left + right) / 2 - 30, (top + bottom) / 2 - 45) == pytest.approx(5)
        assert (right - left) / 40 == pytest.approx((bottom - top) / 50)
        scales.add(round((right - left) / 40, 4))
        assert other.points == found.points
    assert scales == {1.1, round(1 / 1.1, 4)}


def test_a_threshold_takes_the_turned_answer_above_it_and_the_plain_one_below() -> None:
    right = {"none": [1, 0, 0], "eyes": [0, 1, 1], "points": [0, 1, 0], "auto": [1, 0, 1]}
    answers = {name: np.array(each, bool) for name, each in right.items()}
    none, one = np.zeros(3, bool), np.zeros(1, bool)
    upright = Readings(np.arange(3), np.array([4.0, -8.0, 12.0]), none, none, answers)
    tilted = Readings(np.array([2]), np.array([12.0]), one, one, {k: v[2:] for k, v in answers.items()})
    found = _threshold({0: upright, 15: tilted}, "eyes", 5.0, 4)
    assert found["right"] == [1, 1]  # 1, 1, 1 of the first; 1 of the second
    assert found["more_points"] == pytest.approx(100 / 3)  # 0, 1 and the mean of 0 and 0, of the three ever found
    assert _threshold({0: upright, 15: tilted}, "points", 0.0, 4)["right"] == [pytest.approx(1 / 3), 0]


def test_crops_without_border_are_compared_with_the_frame_by_themselves() -> None:
    # The frame of a 48-pixel face is shown at 36..180; 1/32 of it more is 31.5..184.5.
    assert _is_framed((32, 32, 152), 48) and not _is_framed((31, 32, 152), 48) and not _is_framed((32, 33, 152), 48)
    right = {name: np.array([0, 1, 1, 0], bool) for name in (*ALIGNMENTS, "frame")}
    right["frame"] = np.array([1, 1, 1, 1], bool)
    framed = np.array([0, 1, 1, 1], bool)
    found = Readings(np.arange(4), np.zeros(4), np.zeros(4, bool), framed, right)
    row = _row(Condition(0), found, 4)["framed"]
    assert (row["faces"], row["frame"]) == (3, 1) and row["none"] == pytest.approx(2 / 3)
    assert row["points"] == pytest.approx(-100 / 3)
    assert "framed" not in _row(Condition(15), found, 4)


def test_faces_are_chosen_at_random_the_same_each_time() -> None:
    part = Part(np.zeros((9, 4, 4), np.uint8), np.arange(9))
    assert chosen(part, 4).labels.tolist() == chosen(part, 4).labels.tolist() != [0, 1, 2, 3]
    assert len(chosen(part, 100)) == 9


def test_a_detector_that_finds_nothing_is_told(face: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected faces that fixed finds; got none of 1"):
        read(Part(face[np.newaxis], np.array([3])), Condition(0), Fixed(), Classifier(read_model()))


def test_the_command_writes_a_record_that_the_page_shows(
    tmp_path: Path, face: np.ndarray, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_CACHE", str(shared_data / "detectors"))
    parts = ("Training", "Training", "PublicTest", "PublicTest", "PrivateTest")
    text = " ".join(map(str, face.ravel()))
    csv = write_csv(tmp_path / "fer2013.csv", [(3, text, part) for part in parts])
    record = tmp_path / "alignment.json"
    yunet = str(shared_data / "detectors" / YUNET_NAME)
    words = ["alignment", "--data", str(csv), "--faces", "2", "--detector-model", yunet, "--record", str(record)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    found = read_record(record)
    assert (found["faces"], found["training_faces"]) == (2, 2)
    assert len(found["rows"]) == len(CONDITIONS) and len(found["thresholds"]) == 2 * len(THRESHOLDS_DEG)
    (block,) = found["detectors"]
    assert block["name"] == "yunet" and np.abs(np.array(block["median"]) - np.array(TEMPLATES[5])).max() < 8
    seen = [row["roll_deg"] for row in found["rows"]]
    assert seen[0] < 5 < seen[1] < seen[2]  # tilted by 0, 15 and 30 degrees
    first = found["rows"][0]["right"]
    page = markdown(read_runtime([record]))
    cells = " | ".join(f"{100 * first[name]:.1f} %" for name in ("frame", *ALIGNMENTS))
    assert f"| {cells} | " in page and "| yunet | right eye | " in page and "| yunet | points | 0° | " in page


def test_the_published_templates_are_those_of_the_record() -> None:
    found = read_record(RECORD)
    names = {"yunet": 5, "blazeface": 3}
    assert {block["name"] for block in found["detectors"]} == set(names)
    for block in found["detectors"]:
        template = np.array(TEMPLATES[names[block["name"]]])
        assert np.abs(np.array(block["median"]) - template).max() < 0.051
        assert np.abs(np.array(block["median"]) - template[::-1]).max() > 1
    assert found["model_sha256"] == read_model().sha256


def test_the_record_bears_out_what_is_said_of_auto_and_points() -> None:
    """The comment at `ALIGN_FROM_DEG` and docs/runtime.md; where this fails after a new record, they need new words."""
    found = read_record(RECORD)
    rows = {(row["detector"], row["by"], row["from_deg"]): row for row in found["thresholds"]}
    for detector in ("yunet", "blazeface"):
        for degrees in (0.0, 5.0):
            assert abs(rows[detector, "eyes", degrees]["more_points"]) < 0.5
    assert rows["yunet", "eyes", 20.0]["more_ci95"][1] < 0
    low, high = rows["yunet", "points", 0.0]["more_ci95"]
    # "less than a point, which may be chance"
    assert low < 0 < high and 0 < rows["yunet", "points", 0.0]["more_points"] < 1
    assert rows["blazeface", "points", 0.0]["more_points"] < 0
    for row in found["rows"]:
        assert row["right"]["frame"] > max(row["right"][name] for name in ALIGNMENTS)
        if row["detector"] == "yunet":
            assert row["right"]["points"] > row["right"]["auto"]
        if row["tilt_deg"] >= 30:
            assert row["auto_over_none"]["ci95"][0] > 0
        if "framed" in row:
            low, high = row["framed"]["ci95"]
            assert low < 0 < high


def test_detectors_that_are_not_there_are_told(tmp_path: Path, face: np.ndarray) -> None:
    result = CliRunner().invoke(main, ["alignment", "--data", str(tmp_path / "none.csv")])
    assert result.exit_code == 1 and "fer-edge fetch yunet" in result.output
    assert BLAZEFACE_NAME not in result.output
