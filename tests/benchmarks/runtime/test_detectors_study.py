"""`python -m benchmarks detectors`: settings of the Haar cascade on made scenes."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.runtime.detectors import SETTINGS, compare, matched, scenes
from benchmarks.runtime.page import markdown, read_runtime
from benchmarks.runtime.record import read
from edge.detectors import Detection, HaarSettings
from edge.errors import DataError
from edge.sources.devices import drawn_face
from tests.train.conftest import write_csv


@pytest.fixture
def three_faces(tmp_path: Path) -> Path:
    """A fer2013.csv with one drawn face in each part."""
    face = cv2.cvtColor(drawn_face(48), cv2.COLOR_RGB2GRAY)
    parts = ("Training", "PublicTest", "PrivateTest")
    return write_csv(tmp_path / "fer2013.csv", [(3, " ".join(map(str, face.ravel())), part) for part in parts])


def test_a_detection_counts_for_one_face_only() -> None:
    face, elsewhere = (0.0, 0.0, 10.0, 10.0), (50.0, 50.0, 60.0, 60.0)
    near = Detection((0.0, 3.0, 10.0, 13.0), 0.9)  # shares 70 of 130 pixels: 0.54
    assert matched([face, face, elsewhere], [near]).tolist() == [True, False, False]
    assert matched([face], [Detection((0.0, 5.0, 10.0, 15.0), 0.9)]).tolist() == [False]  # 50 of 150: 0.33
    assert matched([face], []).tolist() == [False]


def test_scenes_are_the_same_each_time_and_every_second_one_is_dark() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (4, 48, 48), np.uint8)
    made, again = scenes(faces, 4), scenes(faces, 4)
    assert all(np.array_equal(a.picture, b.picture) and a.boxes == b.boxes for a, b in zip(made, again, strict=True))
    light = [scene.picture.mean() for scene in made]
    assert max(light[1::2]) < 60 < min(light[::2])
    for scene in made:
        assert scene.picture.shape == (480, 640, 3) and scene.boxes
        assert all(0 <= box[0] < box[2] <= 640 and 0 <= box[1] < box[3] <= 480 for box in scene.boxes)


def test_the_command_writes_a_record_that_the_page_shows(tmp_path: Path, three_faces: Path) -> None:
    record = tmp_path / "detectors.json"
    words = ["detectors", "--data", str(three_faces), "--scenes", "2", "--record", str(record)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    found = read(record)
    assert SETTINGS[0] == HaarSettings() and len(found["settings"]) == len(SETTINGS)
    first = found["settings"][0]
    assert (first["more_points"], first["times"]["median"]) == (0, 1)  # against itself
    assert 0 <= first["found"] <= 1 and found["scenes"] == 2 and found["faces"] <= 10
    page = markdown(read_runtime([record]))
    assert f"| 1.2 | 3 | 30 | stretched | {100 * first['found']:.1f} %" in page


def test_a_part_that_is_not_there_is_refused(three_faces: Path) -> None:
    result = CliRunner().invoke(main, ["detectors", "--data", str(three_faces), "--part", "nowhere"])
    assert result.exit_code == 1 and "got nowhere; choose with --part" in result.output


def test_fewer_than_two_scenes_are_refused() -> None:
    assert CliRunner().invoke(main, ["detectors", "--scenes", "1"]).exit_code == 2
    with pytest.raises(ValueError, match="expected 2 or more scenes; got 0"):
        compare([], ["detectors"], "nothing")


def test_missing_photographs_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(DataError, match="expected scikit-image, which brings the photographs"):
        scenes(np.zeros((1, 48, 48), np.uint8), 2)
