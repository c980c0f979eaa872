"""What a run said about every picture of a part, kept beside its figures so that comparisons need no second run.

``evaluations/<data set>-<part>[-<fingerprint>][-<protocol>][-<tta>].npz`` holds the single view's logits, the labels,
and with test-time augmentation the averaged probabilities. A kept file counts only for the same model, pictures and
version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import edge
from edge.errors import DataError
from edge.files import atomic_path, sha256_of
from edge.inference.contract import CropSpec
from train.archives import DAMAGED
from train.datasets import Dataset
from train.datasets.mapping import as_colour, as_trained, map_labels
from train.datasets.rows import picture_digests
from train.evaluation.calibration import softmax
from train.evaluation.leakage import is_own
from train.runs import MODEL_FILE, load_model

if TYPE_CHECKING:
    import keras

FOLDER = "evaluations"


@dataclass(frozen=True, eq=False)
class Predictions:
    """A run's answers for one part.

    Attributes:
        logits: float32 ``(n, classes)`` of the single view.
        labels: int64 ``(n,)`` in the run's label order.
        averaged: float64 ``(n, classes)``, 0–1: probabilities averaged over the views of TTA; None without TTA.
        model_sha256: of the run's ``model.keras``.
    """

    logits: np.ndarray
    labels: np.ndarray
    averaged: np.ndarray | None
    model_sha256: str

    @property
    def single_view(self) -> np.ndarray:
        """Probabilities float64 ``(n, classes)`` of the picture itself."""
        return softmax(self.logits)

    @property
    def probabilities(self) -> np.ndarray:
        """Probabilities float64 ``(n, classes)``: with TTA where it was asked for."""
        return self.single_view if self.averaged is None else self.averaged


def stem(config: Mapping[str, Any], dataset: Dataset, part: str, tta: str) -> str:
    """Return the name, without suffix, of a run's files about a part given by its official name.

    It tells another data set than the run's by its fingerprint, and another protocol than the run's.
    """
    words = [dataset.name, part]
    if not is_own(config, dataset):
        words.append(dataset.fingerprint[:8])
    if dataset.protocol != config["data"]["protocol"]:
        words.append(dataset.protocol)
    if tta != "none":
        words.append(tta)
    return "-".join(words)


def predictions(
    run: Path,
    config: Mapping[str, Any],
    dataset: Dataset,
    part: str,
    tta: str = "none",
    *,
    model: keras.Model | None = None,
    fresh: bool = False,
) -> Predictions:
    """Return a run's predictions for a part: the kept ones, or computed and kept.

    Pictures of another data set than the run's come by way of the resolution that the run was trained at, as a device
    brings any face to its model.

    Args:
        run: the run folder.
        config: its ``run.json``.
        dataset: under a protocol; its classes must be the run's.
        part: official name or role.
        tta: ``none``, ``flip`` or ``crops``.
        model: the run's model where it is loaded already; otherwise it is loaded when needed.
        fresh: compute them anyhow.

    Raises:
        DataError: no such part, an empty one, classes that the run does not know, or a run without a model.
    """
    name = dataset.part_name(part)
    pictures = dataset.parts[name]
    if not len(pictures):
        raise DataError(f"expected pictures in {name} of {dataset.name}; it holds none; choose another part")
    labels = map_labels(pictures.labels, dataset.labels, tuple(config["labels"]))
    if not (run / MODEL_FILE).is_file():
        load_model(run / MODEL_FILE)  # says what is missing
    images = as_colour(pictures.images, config["input"]["colour"])
    if not is_own(config, dataset):
        images = as_trained(images, CropSpec(**config["crop"]))
    key = {
        "model_sha256": sha256_of(run / MODEL_FILE),
        "rows_sha256": hashlib.sha256(b"".join(picture_digests(images)) + labels.astype("<i8").tobytes()).hexdigest(),
        "tta": tta,
        "fer_edge": edge.__version__,
    }
    file = run / FOLDER / f"{stem(config, dataset, name, tta)}.npz"
    kept = None if fresh else _read(file, key)
    if kept is not None:
        return kept
    from train.evaluation.predict import predict_views

    views = predict_views(model or load_model(run / MODEL_FILE), images, tta)
    averaged = None if tta == "none" else np.asarray(softmax(views).mean(axis=0))
    found = Predictions(views[0], labels, averaged, key["model_sha256"])
    _write(file, key, found)
    return found


def _write(file: Path, key: Mapping[str, str], found: Predictions) -> None:
    arrays = {"logits": found.logits, "labels": found.labels, "key": np.array(json.dumps(key))}
    if found.averaged is not None:
        arrays["averaged"] = found.averaged
    with atomic_path(file) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def _read(file: Path, key: Mapping[str, str]) -> Predictions | None:
    """Return kept predictions, or None where there are none of this model and these pictures."""
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as kept:
            if json.loads(str(kept["key"])) != dict(key):
                return None
            averaged = kept.get("averaged")
            return Predictions(kept["logits"], kept["labels"], averaged, key["model_sha256"])
    except DAMAGED:
        return None
