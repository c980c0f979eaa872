from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import EdgeError, ModelFileError
from edge.inference import interpreter
from edge.inference.interpreter import Classifier, find_runtime
from edge.inference.modelfile import read_model
from edge.labels import EMOTIONS
from tests.edge import models


@pytest.mark.parametrize("recipe", ["float32", "qat-int8"])
@pytest.mark.parametrize(
    ("colour", "emotion"),
    [(models.RED, "angry"), (models.GREEN, "happy"), (models.BLUE, "sad"), (models.GREY, "neutral")],
)
def test_the_colour_decides(
    model_paths: dict[str, Path], recipe: str, colour: tuple[int, int, int], emotion: str
) -> None:
    probabilities = Classifier(read_model(model_paths[recipe])).probabilities(models.face(colour))
    assert probabilities.shape == (1, 7) and probabilities.dtype == np.float32
    assert EMOTIONS[probabilities[0].argmax()] == emotion


def test_float_and_int8_agree_within_two_steps_and_sum_to_one(model_paths: dict[str, Path]) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (20, 1, 1, 3), dtype=np.uint8) + np.zeros(
        (1, models.SIDE, models.SIDE, 1), np.uint8
    )
    first, second = (Classifier(read_model(path)).probabilities(faces) for path in model_paths.values())
    assert np.abs(first - second).max() < 0.06
    for probabilities in (first, second):
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert (probabilities >= 0).all()


def test_a_batch_is_its_faces_one_by_one(int8_path: Path) -> None:
    classifier = Classifier(read_model(int8_path), threads=2)
    faces = np.stack([models.face(models.RED), models.face(models.GREY)])
    together = classifier.probabilities(faces)
    assert np.array_equal(together, np.concatenate([classifier.probabilities(face) for face in faces]))
    assert not np.array_equal(together[0], together[1])
    assert classifier.probabilities(faces[:0]).shape == (0, 7)


def test_a_quantized_output_is_taken_off_its_step_and_its_sum(int8_path: Path) -> None:
    classifier = Classifier(read_model(int8_path))
    raw = np.array([[128, 64, 0, 0, 0, 0, 0]], np.uint8)
    assert classifier.dequantized(raw).tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0, 0, 0, 0])
    shifted = dataclasses.replace(
        classifier.model, output=dataclasses.replace(classifier.model.output, scale=0.5, zero_point=64)
    )
    classifier.model = shifted
    assert classifier.dequantized(raw).tolist() == [1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("raw", [np.zeros((1, 7), np.uint8), np.full((1, 7), np.nan, np.float32)])
def test_an_output_that_is_no_distribution_is_refused(int8_path: Path, raw: np.ndarray) -> None:
    with pytest.raises(ModelFileError, match="expected probabilities; got"):
        Classifier(read_model(int8_path)).dequantized(raw)


@pytest.mark.parametrize(
    "faces",
    [
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((1, 48, 48, 3), np.uint8),
        np.zeros((32, 32), np.uint8),
        np.zeros((1, 32, 32, 1), np.uint8),
    ],
)
def test_faces_of_another_type_or_shape_are_refused(int8_path: Path, faces: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 faces of shape \(n, 32, 32, 3\); got"):
        Classifier(read_model(int8_path)).probabilities(faces)


def test_zero_threads_are_refused(int8_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 1 or more threads; got 0"):
        Classifier(read_model(int8_path), threads=0)


def test_the_interpreter_gets_the_threads(int8_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, runtime = find_runtime()
    given: list[int] = []

    def recording(**words: Any) -> Any:
        given.append(words["num_threads"])
        return make(**words)

    monkeypatch.setattr(interpreter, "find_runtime", lambda: (recording, runtime))
    for threads in (3, 1):
        assert Classifier(read_model(int8_path), threads=threads).threads == threads
    Classifier(read_model(int8_path))
    assert given == [3, 1, 1]


def test_bytes_are_checked_before_the_runtime_sees_them(networks: dict[str, bytes], int8_path: Path) -> None:
    assert Classifier(int8_path.read_bytes()).labels == EMOTIONS
    with pytest.raises(ModelFileError, match="got no sound zip"):
        Classifier(networks["qat-int8"])


def test_the_first_runtime_that_imports_is_taken_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import version

    assert find_runtime()[1] == {"name": "ai-edge-litert", "version": version("ai-edge-litert")}
    monkeypatch.setattr(interpreter, "RUNTIMES", (("no_such_runtime", "no-such"), *interpreter.RUNTIMES[:1]))
    assert find_runtime()[1]["name"] == "ai-edge-litert"


def test_without_any_runtime_the_line_names_each_and_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "RUNTIMES", (("no_such_runtime", "no-such"), ("nor_this", "nor-this")))
    with pytest.raises(
        EdgeError, match=r"got none of no-such \(.*\), nor-this \(.*\); run `pip install ai-edge-litert`"
    ):
        find_runtime()


def test_a_model_that_the_runtime_refuses_is_one_line(int8_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses:
        def __init__(self, **_: object) -> None:
            raise ValueError("Didn't find op for builtin opcode 'CONV_2D' version '9'\n")

    monkeypatch.setattr(interpreter, "find_runtime", lambda: (Refuses, {"name": "old", "version": "1"}))
    with pytest.raises(ModelFileError, match="expected a model that old 1 can run; got: Didn't find op"):
        Classifier(read_model(int8_path))
