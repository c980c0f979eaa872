"""Evaluation of a run on a part of a data set: figures, per-class table, confusion matrix, gain of TTA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge.contract import CropSpec
from edge.errors import DataError
from edge.files import write_atomically
from train.datasets import Dataset
from train.metrics import summarize
from train.plots import plot_confusion
from train.runs import Run

FOLDER = "evaluations"


def evaluate_run(run: Run, dataset: Dataset, part: str, tta: str = "none") -> dict[str, Any]:
    """Return the figures of ``run`` on one part of a data set, mapped by class name.

    Args:
        run: a trained run.
        dataset: may be another data set than the run's; its classes must be the run's.
        part: official name or role.
        tta: ``none``, ``flip`` or ``crops``; the single view's figures are always there.

    Raises:
        DataError: unknown part, or classes that the run does not know.
    """
    from train.predict import predict

    name = dataset.part_name(part)
    pictures = dataset.parts[name]
    labels = map_labels(pictures.labels, dataset.labels, tuple(run.config["labels"]))
    images = as_colour(pictures.images, run.config["input"]["colour"])
    names = run.config["labels"]
    result = {
        "dataset": dataset.name,
        "part": name,
        "protocol": dataset.protocol,
        "fingerprint": dataset.fingerprint,
        "tta": tta,
        "single_view": summarize(labels, predict(run.model, images), names),
    }
    if tta != "none":
        result["with_tta"] = summarize(labels, predict(run.model, images, tta), names)
    return result


def map_labels(labels: np.ndarray, source: tuple[str, ...], target: tuple[str, ...]) -> np.ndarray:
    """Return int64 labels ``(n,)`` of ``source``'s order in ``target``'s order, by class name.

    Raises:
        DataError: a class of ``source`` is not in ``target``.
    """
    unknown = [name for name in source if name not in target]
    if unknown:
        raise DataError(
            f"expected the classes {', '.join(target)}; the data set also has {', '.join(unknown)}; "
            "evaluate on a data set with the run's classes"
        )
    return np.array([target.index(name) for name in source], np.int64)[labels]


def as_colour(images: np.ndarray, colour: str) -> np.ndarray:
    """Return uint8 pictures as the network was trained on them: luminance ``(n, h, w)`` for ``grey``, else unchanged.

    Luminance is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), what the converter folds into the first kernel.
    """
    if colour == "grey" and images.ndim == 4:
        import cv2

        return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])
    return images


def crop_of(config: dict[str, Any]) -> CropSpec:
    """Return the crop that a run's pictures were made with."""
    return CropSpec(**config["crop"])


def keep_evaluation(run: Path, result: dict[str, Any], names: list[str]) -> Path:
    """Write the result as JSON and its confusion matrix as PNG into the run; returns the JSON's path."""
    import json

    tail = "" if result["tta"] == "none" else f"-{result['tta']}"
    file = run / FOLDER / f"{result['dataset']}-{result['part']}{tail}.json"
    file.parent.mkdir(exist_ok=True)
    shown = result.get("with_tta", result["single_view"])
    title = f"{run.name} on {result['dataset']} {result['part']}: accuracy {shown['accuracy']:.1%}"
    plot_confusion(shown["confusion"], names, title, file.with_suffix(".png"))
    write_atomically(file, json.dumps(result, indent=1) + "\n")
    return file
