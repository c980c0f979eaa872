"""MediaPipe's ImageClassifier, which phones use, takes the exported file as it is and says the same as edge.

mediapipe brings opencv-contrib over our OpenCV, so it lives in an environment of its own: the Python that
MEDIAPIPE_PYTHON names, else one that is made when CI is set (kept in pytest's cache folder).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from skimage import data

from edge.inference.interpreter import Classifier
from edge.inference.modelfile import ModelFile, default_model_path, read_model
from edge.pictures.preprocess import crop_face, fit
from tests.conftest import on_ci
from tests.edge import models

CHECK = Path(__file__).with_name("mediapipe_check.py")
MEDIAPIPE = "mediapipe==1.2.2"
ASTRONAUT = (180.0, 60.0, 264.0, 170.0)  # about her face
STEP = 1 / 256  # of the file's quantized output
GROWN = 0.05  # 0.03 at most on the six faces of shared/data/photos and the astronaut: it samples at other places
INSTALL_TIMEOUT_S = 900

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mediapipe_python(request: pytest.FixtureRequest) -> str:
    """A Python that has mediapipe."""
    named = os.environ.get("MEDIAPIPE_PYTHON")
    if named:
        return named
    if not on_ci():
        pytest.skip("expected MEDIAPIPE_PYTHON to name a Python that has mediapipe; got none; set it, or CI=true")
    assert request.config.cache is not None
    folder = request.config.cache.mkdir("mediapipe")
    python = folder / "venv" / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", "import mediapipe"], check=False).returncode != 0:
        _done([sys.executable, "-m", "venv", "--clear", str(python.parent.parent)])
        _done([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", MEDIAPIPE])
    return str(python)


def _done(command: Sequence[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
    assert result.returncode == 0, f"$ {' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def faces() -> npt.NDArray[np.uint8]:
    """The astronaut's face as edge crops it, mirrored too, and upside down."""
    contract = read_model().contract
    face = crop_face(data.astronaut(), ASTRONAUT, contract.crop, contract.input.height, contract.input.width)
    return np.stack([face, face[:, ::-1], face[::-1]])


def mediapipe_says(python: str, model: Path, faces: npt.NDArray[np.uint8], folder: Path) -> list[list[Any]]:
    """Return what MediaPipe says of each face: [index, name, score], best first."""
    np.save(folder / "faces.npy", faces)
    found = json.loads(_done([python, str(CHECK), str(model), str(folder / "faces.npy")]))
    results: list[list[Any]] = found["results"]
    return results


def test_mediapipe_and_edge_say_the_same_of_a_face(
    mediapipe_python: str, faces: npt.NDArray[np.uint8], tmp_path: Path
) -> None:
    model = read_model()
    ours = Classifier(model).probabilities(faces)
    theirs = mediapipe_says(mediapipe_python, default_model_path(), faces, tmp_path)
    assert len(theirs) == len(ours) == 3
    for row, entries in zip(ours, theirs, strict=True):
        assert [name for _, name, _ in sorted(entries)] == list(model.labels)  # names come from the file, in its order
        scores = np.array([score for _, _, score in sorted(entries)])
        assert np.abs(scores - row).max() <= STEP
        assert [score for _, _, score in entries] == sorted(scores, reverse=True)
    assert theirs[0][0][1] == "happy"
    assert theirs[0] != theirs[2]  # the pixels matter


def test_mediapipe_takes_the_names_from_the_file(
    mediapipe_python: str, faces: npt.NDArray[np.uint8], tmp_path: Path
) -> None:
    """The partner: a file whose labels are shuffled gives other names for the same scores."""
    model = read_model()
    before = mediapipe_says(mediapipe_python, default_model_path(), faces[:1], tmp_path)[0]
    others = (*model.labels[1:], model.labels[0])
    shuffled = tmp_path / "shuffled.tflite"
    shuffled.write_bytes(_with_labels(model, others))
    after = mediapipe_says(mediapipe_python, shuffled, faces[:1], tmp_path)[0]
    assert [(index, score) for index, _, score in after] == [(index, score) for index, _, score in before]
    assert [name for _, name, _ in after] == [others[index] for index, _, _ in before]
    assert after[0][1] != before[0][1]


def test_mediapipe_may_grow_a_face_of_the_training_resolution(mediapipe_python: str, tmp_path: Path) -> None:
    """What docs/mobile.md lets apps do: shrink the square by areas to the crop's resolution, and leave the rest."""
    model = read_model()
    crop = model.contract.crop
    assert crop.resolution_px == 48 < model.input.shape[1]
    small = crop_face(data.astronaut(), ASTRONAUT, crop, crop.resolution_px, crop.resolution_px)
    (ours,) = Classifier(model).probabilities(fit(small, *model.input.shape[1:3]))
    (theirs,) = mediapipe_says(mediapipe_python, default_model_path(), small[np.newaxis], tmp_path)
    scores = np.array([score for _, _, score in sorted(theirs)])
    assert np.abs(scores - ours).max() <= GROWN
    assert scores.argmax() == ours.argmax()


def test_mediapipe_refuses_a_damaged_file(mediapipe_python: str, faces: npt.NDArray[np.uint8], tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"\0" * 64 + default_model_path().read_bytes()[64:])
    with pytest.raises(AssertionError, match="mediapipe_check"):
        mediapipe_says(mediapipe_python, broken, faces[:1], tmp_path)


def _with_labels(model: ModelFile, labels: Sequence[str]) -> bytes:
    """Return the file with other names in labels.txt, as a converter with another label order would write it."""
    with zipfile.ZipFile(io.BytesIO(model.content)) as archive:
        start = min(entry.header_offset for entry in archive.infolist())
    return models.packed(model.content[:start], model.contract, labels="".join(f"{label}\n" for label in labels))
