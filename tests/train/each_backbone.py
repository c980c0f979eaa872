"""One backend's share of the matrix: every backbone is fitted, evaluated and reloaded; one JSON line each.

``test_backends.py`` calls it in a process of its own, because Keras' backend is fixed for a process.
"""

from __future__ import annotations

import dataclasses
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tests.train.drawn import draw_weights
from train.datasets import Dataset
from train.datasets.synthetic import load_synthetic
from train.evaluation.evaluate import evaluate_run
from train.evaluation.predict import predict_logits
from train.fitting.fit import train_run
from train.networks.backbones import BACKBONES
from train.networks.building import build
from train.recipes import Phase, Recipe
from train.runs import MODEL_FILE, SCHEMA, load_model, load_run, save_model, write_config

SIDE, BATCH, STEPS = 32, 7, 2
RECIPE = Recipe("tiny", (Phase("whole", 1, 1e-4, "all"),), size=SIDE, batch=BATCH, dropout=0.0)
DRAWN_FOLDER, LOGITS_FILE = "drawn", "logits.npy"


def fitted(name: str, dataset: Dataset, run: Path) -> dict[str, Any]:
    """Fit, evaluate and reload one backbone; returns what happened."""
    started = time.monotonic()
    random.seed(1)  # where Keras takes its seeds from
    model = build(name, height=SIDE, width=SIDE, classes=len(dataset.labels))
    before = [weight.copy() for weight in model.get_weights()]
    run.mkdir(parents=True)
    progress = train_run(run, model, dataset, RECIPE, verbose=False)
    write_config(run, _config(name, dataset, run))
    trained = time.monotonic() - started
    loaded = load_run(run)
    part = dataset.part("validation")
    right = predict_logits(loaded.model, part.images).argmax(axis=1) == part.labels
    figures = evaluate_run(loaded, dataset, "validation")["single_view"]
    same = all(map(np.array_equal, model.get_weights(), loaded.model.get_weights()))
    _leave_drawn(loaded.model, part.images, run / DRAWN_FOLDER)
    return {
        "backbone": name,
        "backend": keras.backend.backend(),
        "steps": len(dataset.part("train")) // BATCH,
        "loss": progress.rows[-1]["loss"],
        "moved": sum(not np.array_equal(*pair) for pair in zip(before, model.get_weights(), strict=True)),
        "weights": len(before),
        "samples": figures["samples"],
        "right": float(right.mean()),
        "accuracy": figures["accuracy"],
        "val_loss_in_training": progress.rows[-1]["val_loss"],
        "val_loss_reloaded": figures["negative_log_likelihood"],
        "same_weights": same,
        "fit_s": round(trained, 1),
        "total_s": round(time.monotonic() - started, 1),
    }


def parity(run: Path, dataset: Dataset) -> dict[str, Any]:
    """Compare another backend's model with the logits that it gave there, relative to their spread."""
    theirs = np.load(run / DRAWN_FOLDER / LOGITS_FILE)
    ours = predict_logits(load_model(run / DRAWN_FOLDER / MODEL_FILE), dataset.part("validation").images)
    full = np.ptp(theirs)
    between_pictures, difference = np.ptp(theirs, axis=0).max() / full, np.abs(ours - theirs).max() / full
    return {"parity": run.name, "between_pictures": float(between_pictures), "difference": float(difference)}


def _leave_drawn(model: keras.Model, images: np.ndarray, folder: Path) -> None:
    """Write the model with weights that two steps would not reach, and its logits."""
    folder.mkdir()
    draw_weights(model)
    np.save(folder / LOGITS_FILE, predict_logits(model, images))
    save_model(folder, model)


def _config(name: str, dataset: Dataset, run: Path) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": run.name,
        "backbone": name,
        "input": {"height": SIDE, "width": SIDE, "colour": dataset.colour},
        "labels": list(dataset.labels),
        "crop": dataclasses.asdict(dataset.crop),
        "recipe": RECIPE.to_json(),
        "data": {
            "name": dataset.name,
            "protocol": dataset.protocol,
            "fingerprint": dataset.fingerprint,
            "roles": dict(dataset.roles),
            "counts": dataset.counts(),
        },
    }


def main(out: str, others: str | None = None) -> None:
    """Go through all backbones, then through the other backend's runs."""
    dataset = load_synthetic(progress=False, counts={"train": BATCH * STEPS // 7, "validation": 2, "test": 1})
    for name in BACKBONES:
        print(json.dumps(fitted(name, dataset, Path(out) / name)), flush=True)
        keras.backend.clear_session()
    for run in sorted(Path(others).iterdir()) if others else ():
        print(json.dumps(parity(run, dataset)), flush=True)
    print(json.dumps({"tensorflow": "tensorflow" in sys.modules}))
