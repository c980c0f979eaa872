"""The models that ship in the package: they describe themselves, and read known faces as a person would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from skimage.data import astronaut

import edge
from edge.__main__ import cli
from edge.detectors import YUNET_NAME
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import ModelFile, default_model_path, read_model
from edge.labels import EMOTIONS
from edge.pictures.preprocess import fit_face

CALM = {"happy", "neutral"}  # what the astronaut's and Grace Hopper's portraits show


@pytest.fixture(scope="module")
def shipped() -> ModelFile:
    return read_model()


@pytest.fixture(scope="module")
def astronaut_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    assert cv2.imwrite(str(path), cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR))
    return path


def test_shipped_model_describes_itself(shipped: ModelFile) -> None:
    contract = shipped.contract
    assert shipped.path == default_model_path()
    assert contract.labels == EMOTIONS
    assert (contract.recipe, contract.backbone) == ("qat-int8", "efficientnet-lite0")
    assert (shipped.input.shape, shipped.input.dtype) == ((1, 80, 80, 3), "uint8")
    assert (shipped.input.scale, shipped.input.zero_point) == (1 / 128, 128)
    assert contract.crop.resolution_px == 48
    official = [metric for metric in contract.metrics if metric["part"] == "PrivateTest"]
    assert [metric["dataset"] for metric in official] == ["fer2013"]
    assert official[0]["samples"] == 3589
    assert 0.68 < official[0]["accuracy"] < 0.75
    own = "labels with 30% of FER+ votes"
    assert contract.data["supervision"] == f"{own}; {own} through a teacher; {own} through its first weights"


def test_the_small_model_describes_itself_and_is_small() -> None:
    small = read_model("small")
    contract = small.contract
    assert contract.labels == EMOTIONS
    assert (contract.recipe, contract.backbone) == ("qat-int8", "efficientnet-lite0-os16")
    assert small.input.shape == (1, 64, 64, 3)
    assert small.size_bytes < 1_500_000
    (official,) = [metric for metric in contract.metrics if metric["part"] == "PrivateTest"]
    assert (official["dataset"], official["samples"]) == ("fer2013", 3589)
    assert 0.67 < official["accuracy"] < 0.75
    assert "FER+ votes through a teacher" in contract.data["supervision"]
    assert "FER+ votes through its first weights" in contract.data["supervision"]


def test_info_tells_the_shipped_model_s_figures(shipped: ModelFile) -> None:
    result = CliRunner().invoke(cli, ["info", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["sha256"] == shipped.sha256
    assert told["labels"] == list(EMOTIONS)
    assert told["input"]["shape"] == [1, 80, 80, 3]
    assert {metric["part"] for metric in told["metrics"]} == {"PublicTest", "PrivateTest"}
    assert told["licence"] == "Apache-2.0"


@pytest.mark.parametrize("command", ["about", "doctor"])
def test_commands_about_the_installation_work_without_arguments(command: str) -> None:
    result = CliRunner().invoke(cli, [command])
    assert result.exit_code == 0, result.output


def test_astronaut_is_found_with_haar_alone_and_read_sanely(astronaut_file: Path) -> None:
    command = [sys.executable, "-m", "edge", "image", str(astronaut_file), "--detector", "haar", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert (told["width"], told["height"]) == (512, 512)
    (face,) = told["faces"]
    assert face["emotion"] in CALM
    assert list(face["probabilities"]) == list(EMOTIONS)
    left, top, right, bottom = face["box"]
    assert left < 224 < right
    assert top < 120 < bottom  # the tip of her nose


@pytest.mark.parametrize("name", ["default", "small"])
@pytest.mark.parametrize("detector", ["yunet", "blazeface", "haar"])
def test_portraits_are_read_as_happy_or_neutral(
    shared_data: Path, astronaut_file: Path, detector: str, name: str
) -> None:
    names = {"yunet": YUNET_NAME, "blazeface": "face_detection_short_range.tflite"}
    model = shared_data / "detectors" / names[detector] if detector in names else None
    recognizer = edge.load(name, detector=detector, detector_model=model)  # type: ignore[arg-type]
    for file in (astronaut_file, shared_data / "photos" / "grace_hopper.jpg"):
        (face,) = recognizer(edge.read_image(file)).faces
        assert face.emotion in CALM, file


def test_detectors_agree_on_what_the_large_faces_show(shared_data: Path) -> None:
    picture = edge.read_image(shared_data / "photos" / "coral_face.jpg")
    yunet = edge.load(detector_model=shared_data / "detectors" / YUNET_NAME)(picture).faces
    haar = edge.load(detector="haar")(picture).faces
    assert len(yunet) == len(haar) == 4
    assert sorted(face.emotion for face in yunet[:2]) == sorted(face.emotion for face in haar[:2])


def test_grey_and_coloured_versions_of_a_face_agree(shipped: ModelFile) -> None:
    classifier = Classifier(shipped)
    face = astronaut()[70:170, 175:275]
    grey = np.repeat(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    inverted = 255 - face
    rows = [classifier.probabilities(fit_face(f, shipped.contract.crop, 80, 80))[0] for f in (face, grey, inverted)]
    assert np.abs(rows[0] - rows[1]).max() < 0.08
    assert np.abs(rows[0] - rows[2]).max() > 0.08
