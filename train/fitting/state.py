"""What a killed run needs to go on: weights, optimizer, random state and history after every epoch, in one npz.

The optimizer's variables hold its step (from which the schedule's rate follows), its moments, the moving average of the
weights and the loss scale of a 16-bit run; the random state is that of the network's dropout layers. Order and
augmentation of the pictures follow from seed and epoch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.errors import DataError
from edge.files import atomic_path
from train.archives import read_arrays
from train.runs import MODEL_FILE, STATE_FILE

WHAT = "the state of a run"
REMEDY = f"start a new run with --out; {MODEL_FILE} still holds the best model"


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
        model_sha256: of the best model's file; None before the first epoch, and in states of earlier versions.
    """

    phase: int = 0
    epoch: int = 0
    best: float | None = None
    waited: int = 0
    phase_best: float | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    finished: bool = False
    model_sha256: str | None = None


def save_state(
    run: Path, progress: Progress, model: keras.Model | None = None, optimizer: keras.Optimizer | None = None
) -> None:
    """Write progress, and of a run that goes on the network's and the optimizer's variables, all of one moment."""
    arrays: dict[str, np.ndarray] = {}
    if model is not None and optimizer is not None:
        for kind, variables in _groups(model, optimizer).items():
            arrays |= {f"{kind}/{i}": np.asarray(keras.ops.convert_to_numpy(v)) for i, v in enumerate(variables)}
    with atomic_path(run / STATE_FILE) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, allow_pickle=False, progress=np.array(json.dumps(vars(progress))), **arrays)


def load_progress(run: Path) -> Progress | None:
    """Return where the run stands, or None where it has not finished an epoch.

    Raises:
        DataError: the state file is broken, in whatever part.
    """
    file = run / STATE_FILE
    if not file.is_file():
        return None
    arrays = read_arrays(file, WHAT, REMEDY)
    try:
        return Progress(**json.loads(str(arrays["progress"])))
    except (KeyError, TypeError, ValueError) as cause:
        raise DataError(
            f"expected {WHAT} in {file}; no progress of this fer-edge's in it ({cause}); {REMEDY}"
        ) from cause


def restore(run: Path, model: keras.Model, optimizer: keras.Optimizer) -> None:
    """Put the network's weights, its random state and the optimizer's variables back.

    Raises:
        DataError: the state file is broken, or belongs to another network or optimizer.
    """
    file = run / STATE_FILE
    kept = read_arrays(file, WHAT, REMEDY)
    for kind, variables in _groups(model, optimizer).items():
        count = sum(key.startswith(f"{kind}/") for key in kept)
        _assign([kept[key] for i in range(count) if (key := f"{kind}/{i}") in kept], variables, kind, file)


def random_state(model: keras.Model) -> list[keras.Variable]:
    """Return the states of the network's random generators (dropout), which are no weights of it."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.non_trainable_variables if id(variable) not in weights]


def _groups(model: keras.Model, optimizer: keras.Optimizer) -> Mapping[str, Sequence[keras.Variable]]:
    return {"weight": model.weights, "random": random_state(model), "optimizer": optimizer.variables}


def _assign(values: list[np.ndarray], variables: Sequence[keras.Variable], kind: str, file: Path) -> None:
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise DataError(
            f"expected {len(variables)} {kind} arrays of this network in {file}; got {len(values)}, or other shapes; "
            f"{REMEDY}"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
