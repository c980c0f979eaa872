"""What a killed run needs to go on: weights, optimizer and history after every epoch, in one npz, moved into place."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np

from edge.errors import DataError
from edge.files import atomic_path
from train.runs import STATE_FILE


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        phase: index of the phase under way.
        epoch: epochs of that phase that are done.
        best: best monitored figure so far over all phases, None before the first epoch.
        waited: epochs of this phase since its figure last improved.
        phase_best: best monitored figure of this phase.
        rows: one history row an epoch.
        seconds: time spent so far.
        finished: all phases are done.
    """

    phase: int = 0
    epoch: int = 0
    best: float | None = None
    waited: int = 0
    phase_best: float | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    finished: bool = False


def save_state(run: Path, progress: Progress, model: keras.Model, optimizer: keras.Optimizer | None) -> None:
    """Write progress, the model's weights and the optimizer's variables of one moment."""
    arrays = {f"weight/{i}": np.asarray(w) for i, w in enumerate(model.get_weights())}
    if optimizer is not None:
        arrays |= {
            f"optimizer/{i}": np.asarray(keras.ops.convert_to_numpy(v)) for i, v in enumerate(optimizer.variables)
        }
    with atomic_path(run / STATE_FILE) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, allow_pickle=False, progress=np.array(json.dumps(vars(progress))), **arrays)


def load_progress(run: Path) -> Progress | None:
    """Return where the run stands, or None where it has not finished an epoch.

    Raises:
        DataError: the state file is broken.
    """
    file = run / STATE_FILE
    if not file.is_file():
        return None
    with _open(file) as state:
        return Progress(**json.loads(str(state["progress"])))


def restore(run: Path, model: keras.Model, optimizer: keras.Optimizer | None) -> None:
    """Put the saved weights (and optimizer variables) back.

    Raises:
        DataError: the state belongs to another model.
    """
    file = run / STATE_FILE
    with _open(file) as state:
        weights = [state[f"weight/{i}"] for i in range(sum(key.startswith("weight/") for key in state.files))]
        kept = [state[f"optimizer/{i}"] for i in range(sum(key.startswith("optimizer/") for key in state.files))]
    if [w.shape for w in weights] != [tuple(w.shape) for w in model.weights]:
        raise DataError(f"expected the state of {model.name} in {file}; its shapes differ; start a new run with --out")
    model.set_weights(weights)
    if optimizer is None or not kept:
        return
    variables = optimizer.variables
    if [v.shape for v in kept] != [tuple(v.shape) for v in variables]:
        raise DataError(f"expected the optimizer's state in {file}; its shapes differ; start a new run with --out")
    for variable, value in zip(variables, kept, strict=True):
        variable.assign(value)


def _open(file: Path) -> Any:
    try:
        return np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as cause:
        raise DataError(f"expected the state of a run in {file}; {cause}; start a new run with --out") from cause
