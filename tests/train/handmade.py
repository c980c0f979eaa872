"""Run folders whose model is written by hand: it answers "happy" above a brightness, else "angry"."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from train.datasets import Dataset
from train.runs import SCHEMA

STEEPNESS = 20.0
NEVER = -50.0  # logit of the classes that it never answers


def brightness_model(threshold: float, classes: int, angry: int, happy: int) -> keras.Model:
    """Return a network of 32 pixels: logit of ``happy`` 20·(mean − threshold)/128, of ``angry`` 0, of the rest −50."""
    pictures = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 128, offset=-1.0)(pictures)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(pictures, keras.layers.Dense(classes, name="logits")(x))
    kernel, bias = np.zeros((3, classes), np.float32), np.full(classes, NEVER, np.float32)
    kernel[:, happy] = STEEPNESS / 3
    bias[[angry, happy]] = 0.0, -STEEPNESS * (threshold / 128 - 1)
    model.get_layer("logits").set_weights([kernel, bias])
    return model


def write_run(
    folder: Path,
    dataset: Dataset,
    name: str,
    threshold: float,
    *,
    labels: Sequence[str] = ("angry", "happy"),
    protocol: str | None = None,
    supervision: str | None = None,
) -> Path:
    """Write a run folder that was trained, it says, on ``dataset`` under its protocol; returns its path."""
    run = folder / name
    run.mkdir()
    brightness_model(threshold, len(labels), labels.index("angry"), labels.index("happy")).save(run / "model.keras")
    config = {
        "schema": SCHEMA,
        "name": name,
        "backbone": "brightness",
        "input": {"height": 32, "width": 32, "colour": "grey"},
        "labels": list(labels),
        "crop": dataclasses.asdict(dataset.crop),
        "recipe": {"name": "by hand"},
        "data": {
            "name": dataset.name,
            "protocol": protocol or dataset.protocol,
            "fingerprint": dataset.fingerprint,
            "roles": dict(dataset.roles),
            "counts": dataset.counts(),
            "removed": dict(dataset.removed),
        },
    }
    if supervision is not None:
        config["supervision"] = supervision
    (run / "run.json").write_text(json.dumps(config))
    return run


def flat_pictures(rows: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return grey pictures of one level each, uint8 (n, 32, 32), and labels int64 (n,), from (level, label) pairs."""
    images = np.stack([np.full((32, 32), level, np.uint8) for level, _ in rows])
    return images, np.array([label for _, label in rows], np.int64)
