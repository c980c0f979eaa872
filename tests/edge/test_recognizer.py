from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import edge
from edge.detectors import Detection
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import read_model
from edge.pictures.preprocess import fit_face
from edge.recognizer import Recognizer, default_threads
from tests.edge import models
from tests.edge.finding import Fixed


def recognizer(path: Path, *found: Detection) -> Recognizer:
    return Recognizer(Classifier(read_model(path)), Fixed(*found))


def test_warming_up_runs_detector_and_classifier_once_on_black(int8_path: Path) -> None:
    seen: list[tuple[str, tuple[int, ...], int]] = []
    ready = recognizer(int8_path)

    def detect(image: np.ndarray) -> tuple[Detection, ...]:
        seen.append(("detect", image.shape, int(image.max())))
        return ()

    def probabilities(faces: np.ndarray) -> np.ndarray:
        seen.append(("infer", faces.shape, int(faces.max())))
        return np.zeros((1, 7), np.float32)

    ready.detector.detect = detect  # type: ignore[method-assign]
    ready.classifier.probabilities = probabilities  # type: ignore[method-assign]
    ready.warm_up()
    assert seen == [("detect", (480, 640, 3), 0), ("infer", (1, 32, 32, 3), 0)]


def test_streams_begin_warm(int8_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from edge.__main__ import cli

    warmed: list[Recognizer] = []
    monkeypatch.setattr(Recognizer, "warm_up", lambda ready: warmed.append(ready))
    words = ["camera", "synthetic", "--max-frames", "1", "--detector", "haar", "--model", str(int8_path)]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    assert len(warmed) == 1


def test_each_face_is_cropped_from_its_own_box(int8_path: Path) -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[10:50, 10:50], picture[60:90, 150:180] = models.RED, models.BLUE
    reading = recognizer(int8_path, Detection((10.2, 9.8, 50, 50), 0.9), Detection((150, 60, 180, 90), 0.7))(picture)
    assert (reading.width, reading.height) == (200, 100)
    assert [face.emotion for face in reading.faces] == ["angry", "sad"]
    assert [face.box for face in reading.faces] == [(10, 10, 50, 50), (150, 60, 180, 90)]
    assert [face.detection_score for face in reading.faces] == [0.9, 0.7]
    assert sum(reading.faces[0].probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert set(reading.latency_ms) == {"detect", "crop", "infer"}
    assert all(ms >= 0 for ms in reading.latency_ms.values())


def test_a_box_at_the_border_is_clipped_but_the_crop_is_not(int8_path: Path) -> None:
    picture = np.full((60, 60, 3), models.RED, np.uint8)
    picture[:, 0] = models.GREEN  # all that the crop can repeat; a crop about the clipped box would be half red
    reading = recognizer(int8_path, Detection((-30, 20, 1, 51), 0.9))(picture)
    assert reading.faces[0].box == (0, 20, 1, 51)
    assert reading.faces[0].probabilities["happy"] > 0.95


def test_a_box_outside_the_picture_is_no_face(int8_path: Path) -> None:
    picture = np.zeros((60, 60, 3), np.uint8)
    assert recognizer(int8_path, Detection((70, 10, 90, 30), 0.9))(picture).faces == ()


def test_no_detection_is_an_empty_reading(int8_path: Path) -> None:
    reading = recognizer(int8_path)(np.zeros((60, 60, 3), np.uint8))
    assert reading.faces == ()
    assert reading.to_dict("a.png", 1.0)["faces"] == []


def test_readings_are_frozen(int8_path: Path) -> None:
    reading = recognizer(int8_path, Detection((0, 0, 40, 40), 0.9))(np.zeros((60, 60, 3), np.uint8))
    with pytest.raises(dataclasses.FrozenInstanceError):
        reading.faces[0].emotion = "happy"  # type: ignore[misc]
    with pytest.raises(TypeError):
        reading.faces[0].probabilities["happy"] = 1.0  # type: ignore[index]


def test_the_json_has_the_documented_fields_only(int8_path: Path) -> None:
    reading = recognizer(int8_path, Detection((0, 0, 40, 40), 0.9))(np.zeros((60, 80, 3), np.uint8))
    document = reading.to_dict("a.png", 2.5)
    assert list(document) == ["image", "width", "height", "faces", "latency_ms"]
    assert list(document["latency_ms"]) == ["decode", "detect", "crop", "infer"]
    assert document["latency_ms"]["decode"] == 2.5
    assert list(document["faces"][0]) == ["box", "detection_score", "emotion", "probabilities"]
    assert list(document["faces"][0]["probabilities"]) == list(models.CONTRACT.labels)


@pytest.mark.parametrize(
    "picture", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3)), [[0]], None]
)
def test_what_is_no_rgb_picture_is_refused(int8_path: Path, picture: object) -> None:
    with pytest.raises(ValueError, match=r"expected a uint8 RGB picture of shape \(height, width, 3\); got"):
        recognizer(int8_path)(picture)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected a picture with pixels"):
        recognizer(int8_path)(np.zeros((0, 5, 3), np.uint8))


class Seeing(Classifier):
    """A classifier that keeps the last crop that it was given."""

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        self.seen = faces
        return super().probabilities(faces)


def seen(path: Path, align: Any, degrees: float | None) -> np.ndarray:
    """Return the crop that the classifier gets for a face whose eyes are tilted clockwise by so many degrees."""
    picture = np.arange(100 * 100 * 3, dtype=np.uint32).reshape(100, 100, 3) // 119 % 256
    points = None
    if degrees is not None:
        x, y = 10 * math.cos(math.radians(degrees)), 10 * math.sin(math.radians(degrees))
        points = ((50 - x, 50 - y), (50 + x, 50 + y))
    classifier = Seeing(read_model(path))
    Recognizer(classifier, Fixed(Detection((34, 34, 66, 66), 0.9, points)), align)(picture.astype(np.uint8))
    return classifier.seen


def test_a_tilted_face_is_turned_upright_before_it_is_read(int8_path: Path) -> None:
    plain = seen(int8_path, "none", 90)
    assert np.array_equal(plain, seen(int8_path, "auto", None))
    for align in ("auto", "eyes"):
        assert np.array_equal(seen(int8_path, align, 90), np.rot90(plain))  # against the clock
        assert np.array_equal(seen(int8_path, align, -90), np.rot90(plain, -1))


def test_auto_leaves_faces_as_little_tilted_as_the_training_pictures_were(int8_path: Path) -> None:
    plain = seen(int8_path, "none", 0)
    for degrees in (-9.9, 0, 9.9):
        assert np.array_equal(seen(int8_path, "auto", degrees), plain)
    for degrees in (-10.1, 10.1):
        assert not np.array_equal(seen(int8_path, "auto", degrees), plain)
    assert not np.array_equal(seen(int8_path, "eyes", 9.9), plain)


def test_an_unknown_alignment_is_refused(int8_path: Path) -> None:
    with pytest.raises(ValueError, match="expected an alignment auto, none, eyes or points; got 'nose'"):
        edge.load(int8_path, detector="haar", align="nose")  # type: ignore[arg-type]


def test_load_puts_the_pieces_together_from_files(int8_path: Path) -> None:
    loaded = edge.load(int8_path, detector="haar", threads=2, align="none")
    assert loaded.detector.name == "haar" and loaded.align == "none"
    assert loaded.classifier.threads == 2
    assert loaded.classifier.model.path == int8_path


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (4, 4), (8, 4), (None, 1)])
def test_without_a_number_of_threads_the_cores_count_up_to_four(
    cores: int | None, threads: int, int8_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert default_threads() == threads
    assert edge.load(int8_path, detector="haar").classifier.threads == threads


def test_load_hands_the_detector_its_file_and_the_side_at_which_it_looks(
    int8_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[object, ...]] = []

    def recording(*words: object) -> Fixed:
        given.append(words)
        return Fixed()

    monkeypatch.setattr("edge.recognizer.load_detector", recording)
    edge.load(int8_path, detector="yunet", detector_model="a.onnx", detection_side_px=321)
    edge.load(int8_path)
    assert given == [("yunet", "a.onnx", 321), ("auto", None, 640)]


def test_the_public_names_arrive_on_first_use_and_others_do_not() -> None:
    assert {"load", "Face", "Reading", "EMOTIONS", "EdgeError"} <= set(dir(edge))
    for name in edge.__all__:
        assert getattr(edge, name) is not None
    with pytest.raises(AttributeError, match="module 'edge' has no attribute 'loda'"):
        edge.loda  # noqa: B018


def test_the_squares_cut_out_are_what_the_inputs_are_made_of(int8_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 3), np.uint8)
    boxes = (Detection((20, 30, 68, 78), 0.9), Detection((130, 80, 178, 128), 0.8), Detection((300, 0, 340, 40), 0.8))
    ready = recognizer(int8_path, *boxes)
    reading, squares = ready.read_and_cut(picture)
    assert [face.probabilities for face in reading.faces] == [face.probabilities for face in ready(picture).faces]
    assert [square.shape for square in squares] == [(48, 48, 3)] * 2  # the third lies outside
    assert np.array_equal(squares[0], picture[30:78, 20:68])
    contract = ready.classifier.model.contract
    for square, found in zip(squares, boxes, strict=False):
        face = fit_face(square, contract.crop, contract.input.height, contract.input.width)
        assert np.array_equal(face, ready.crop(picture, found))
