"""Distillation: teachers beside the student in one training model, and what a teacher brings along in supervision.

The teachers see the very pictures that the student sees, augmented and mixed; of several the logits are averaged. The
training model is never saved.

Source: Hinton et al. 2015, "Distilling the knowledge in a neural network"; Beyer et al. 2022, "Knowledge distillation:
a good teacher is patient and consistent" (same crop and mixing for both).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from edge.errors import DataError
from edge.files import sha256_of
from edge.inference.modelfile import read_model
from train.datasets import WITH_VOTES, Dataset
from train.evaluation.leakage import KEYS, LABELS, THROUGH_START, THROUGH_TEACHER, unrecorded
from train.fitting.modes import InMode
from train.networks.folding import folded
from train.networks.quantized import is_shipped, load_shipped, record_of
from train.recipes import Recipe
from train.runs import MODEL_FILE, load_run, read_config

VOTES = "FER+ votes"
MAJORITY = "FER+ majority labels"


@dataclass(frozen=True, eq=False)
class Teacher:
    """A finished run, or a shipped .tflite, that a student learns from.

    Attributes:
        model: pictures ``(n, h, w, 3)`` in 0–255 -> logits ``(n, classes)``.
        record: what the student's ``run.json`` says about it: name, backbone, sha256, data, supervision, its teachers.
    """

    model: keras.Model
    record: dict[str, Any]


def load_teachers(paths: Sequence[str | Path], dataset: Dataset) -> list[Teacher]:
    """Return the runs and the .tflite files of ``convert`` as teachers for a student of ``dataset``.

    A model in the package goes by its name as a str (``default``, ``small``).

    Raises:
        DataError: no finished run, other classes or another order of them, trained on grey pictures where the student's
            are RGB, or on rows that the student's protocol keeps for the test.
    """
    return [_shipped(path, dataset) if is_shipped(path) else _teacher(Path(path), dataset) for path in paths]


def with_teacher(student: keras.Model, teachers: Sequence[keras.Model]) -> keras.Model:
    """Return a model from the student's input to its logits and, behind them, the mean of the teachers' logits.

    Output float32 ``(n, 2 · classes)``. The teachers run as in inference, in copies whose batch norms are folded away,
    and are not trained; one whose input has another size gets the pictures resized (bilinear, antialiased). Only the
    student's weights are trainable.
    """
    (pictures,) = student.inputs
    size = tuple(pictures.shape[1:3])
    logits = []
    for number, teacher in enumerate(teachers):
        answering = folded(teacher)
        answering.trainable = False
        seen = pictures
        wanted = tuple(teacher.inputs[0].shape[1:3])
        if wanted != size:
            options = {"interpolation": "bilinear", "antialias": True, "dtype": "float32"}
            seen = keras.layers.Resizing(*wanted, **options, name=f"teacher_{number}_pictures")(pictures)
        logits.append(InMode(answering, training=False, name=f"teacher_{number}")(seen))
    mean = logits[0] if len(logits) == 1 else keras.layers.Average(dtype="float32")(logits)
    outputs = [keras.ops.cast(student.outputs[0], "float32"), keras.ops.cast(keras.ops.stop_gradient(mean), "float32")]
    return keras.Model(pictures, keras.ops.concatenate(outputs, axis=-1), name="distillation")


def supervision(
    dataset: str, recipe: Recipe, teachers: Iterable[Mapping[str, Any]], start: Mapping[str, Any] | None = None
) -> str:
    """Return in words what a run learned from: ``labels``, or what went beyond the data set's own labels.

    Args:
        dataset: the data set's name.
        recipe: says whether votes were the targets.
        teachers: their records; what they were trained with counts too.
        start: the record of the trained network that the run began with, if it did; likewise.
    """
    if recipe.targets == "votes":
        own = VOTES if recipe.votes_share == 1 else f"{LABELS} with {recipe.votes_share:.0%} of {VOTES}"
    else:
        own = MAJORITY if dataset == "ferplus" else LABELS
    through = sorted({words for record in teachers for words in _beyond(record, dataset)})
    begun = sorted(_beyond(start, dataset)) if start is not None else []
    return (
        own
        + "".join(f"; {words}{THROUGH_TEACHER}" for words in through)
        + "".join(f"; {words}{THROUGH_START}" for words in begun)
    )


def _teacher(path: Path, dataset: Dataset) -> Teacher:
    config = read_config(path)
    if "metrics" not in config:
        raise DataError(f"expected a finished run as teacher; {path} was broken off; go on with it by fit --resume")
    _check(path, config["labels"], config["input"]["colour"], config["data"], dataset)
    return Teacher(load_run(path).model, record_of_run(path, path / MODEL_FILE))


def _shipped(path: str | Path, dataset: Dataset) -> Teacher:
    file = read_model(path)
    record = record_of(file)
    _check(path, file.labels, file.contract.training_colour, record["data"], dataset)
    return Teacher(load_shipped(path, dataset.part("train").images).model, record)


def record_of_run(path: Path, file: Path) -> dict[str, Any]:
    """Return what a student's ``run.json`` says about a run that it learned from, or began with, by its model ``file``.

    Raises:
        DataError: there is no run at ``path``.
    """
    config = read_config(path)
    return {
        "name": config["name"],
        "backbone": config["backbone"],
        "recipe": "float32",
        "model_sha256": sha256_of(file),
        "data": {key: config["data"][key] for key in (*KEYS, "roles", "counts")},
        "supervision": config.get("supervision", LABELS),
        "teachers": config.get("teachers", []),
        **({"start": config["start"]} if config.get("start") else {}),
        **({"unrecorded": unknown} if (unknown := unrecorded(config)) else {}),
    }


def check_protocol(path: str | Path, data: Mapping[str, Any], dataset: Dataset, what: str = "teacher") -> None:
    """Raise DataError where the network in ``path`` was trained on rows that our protocol keeps for the test.

    Args:
        path: of the network, for the error.
        data: its data set's name and protocol.
        dataset: the student's, under its protocol.
        what: the network is to us, for the error.
    """
    theirs, ours = str(data["protocol"]), dataset.protocol
    both = {str(data["name"]), dataset.name}
    if theirs.startswith("seed") and ours.startswith("seed") and len(both) > 1 and both <= set(WITH_VOTES):
        raise DataError(
            f"expected a {what} that never saw the student's test pictures; {path} was trained on {data['name']}, the "
            f"student on {dataset.name}, and {ours} cuts the same pictures anew by the labels of each: train both on "
            "one of them"
        )
    if theirs.startswith("seed") != ours.startswith("seed"):
        raise DataError(
            f"expected a {what} that never saw the student's test pictures; {path} was trained under the protocol "
            f"{theirs}, the student's is {ours}: their test parts differ; train both under one"
        )


def _check(path: str | Path, labels: Sequence[str], colour: str, data: Mapping[str, Any], dataset: Dataset) -> None:
    if tuple(labels) != dataset.labels:
        raise DataError(
            f"expected a teacher with the classes {', '.join(dataset.labels)}; {path} has "
            f"{', '.join(labels)}; choose another --teacher"
        )
    if colour == "grey" and dataset.colour != "grey":
        raise DataError(f"expected a teacher for RGB pictures; {path} knows grey ones; give --colour grey, or another")
    check_protocol(path, data, dataset)


def _beyond(record: Mapping[str, Any], dataset: str) -> set[str]:
    """What a network learned from beyond the labels of ``dataset``: another data set's labels too."""
    parts = record["supervision"].split("; ")
    words = {part.removesuffix(THROUGH_TEACHER).removesuffix(THROUGH_START) for part in parts}
    theirs = record.get("data", {}).get("name", dataset)
    if theirs != dataset:  # FER+'s words tell whose they are
        words = {f"{LABELS} of {theirs}" if part == LABELS else part for part in words}
    return words - {LABELS} | {each for teacher in record["teachers"] for each in _beyond(teacher, dataset)}
