"""A fit that kills itself, for test_fit_resume: `python resume_script.py FOLDER start|resume PRECISION`.

`start` trains FOLDER/whole without a break and then FOLDER/broken, where SIGKILL comes after the third epoch of four;
`resume` goes on with FOLDER/broken. Both write the network's final weights beside the run.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np

from tests.train.models import dropping_model
from train.augmentation.augment import Augment
from train.datasets.synthetic import load_synthetic
from train.fitting.fit import train_run
from train.recipes import Phase, Recipe

RECIPE = Recipe(
    "short",
    (
        Phase("head", 1, 1e-2, "head"),
        Phase("whole", 3, 1e-2, "all", Augment(flip=True, mixup_alpha=0.2, cutmix_alpha=1.0), warmup_epochs=0.5),
    ),
    size=32,
    batch=8,
    ema=0.9,
)


def train(run: Path, resume: bool, kill_after: int | None, precision: str) -> None:
    """Train one run, perhaps until it is killed, and write its final weights."""
    faces = load_synthetic(progress=False, counts={"train": 8, "validation": 4, "test": 1})
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        if len(lines) == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    keras.utils.set_random_seed(1)
    network = dropping_model()
    run.mkdir(exist_ok=True)
    train_run(run, network, faces, RECIPE, report=report, resume=resume, precision=precision, verbose=False)
    weights = keras.models.load_model(run / "model.keras").get_weights() + network.get_weights()
    np.savez(run / "weights.npz", *weights)


if __name__ == "__main__":
    folder, what, chosen = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if what == "start":
        train(folder / "whole", False, None, chosen)
        train(folder / "broken", False, 3, chosen)
    else:
        train(folder / "broken", True, None, chosen)
