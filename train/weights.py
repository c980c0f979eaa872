"""Weights from a plain npz: ``LAYER/kernel`` (float) or ``LAYER/kernel:int8`` times ``LAYER/kernel:scale``.

Batch-norm arrays are named ``gamma beta moving_mean moving_variance``. Layers that the file does not name (the head)
keep their initial values; a name in the file that the model does not have is an error, not a guess.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np

from edge.errors import DataError


def load_npz_weights(model: keras.Model, path: Path) -> list[str]:
    """Put the file's arrays into the model's layers of the same name and return those names.

    Raises:
        DataError: the file is no npz, names layers or variables that the model lacks, or shapes differ.
    """
    arrays = _read(path)
    layers = {layer.name: layer for layer in _flat(model)}
    touched: dict[str, set[str]] = {}
    for key, value in arrays.items():
        name, _, variable = key.partition("/")
        if name not in layers:
            raise DataError(
                f"expected weights of {model.name} in {path}; it names the layer {name!r}; "
                "choose the backbone that the file belongs to"
            )
        target = _variable(layers[name], variable)
        if target is None or tuple(target.shape) != value.shape:
            has = "nothing" if target is None else str(tuple(target.shape))
            raise DataError(
                f"expected {has} for {key} in {path}; got {value.shape}; choose the backbone that the file belongs to"
            )
        target.assign(value)
        touched.setdefault(name, set()).add(variable)
    for name, variables in touched.items():
        absent = {variable.name for variable in layers[name].weights} - variables
        if absent:
            raise DataError(
                f"expected all weights of the layer {name} in {path}; "
                f"{', '.join(sorted(absent))} missing; the file is incomplete"
            )
    return sorted(touched)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            raw = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as cause:
        raise DataError(f"expected an npz of weights at {path}; {cause}; check --weights") from cause
    arrays: dict[str, np.ndarray] = {}
    for key, value in raw.items():
        base, _, kind = key.partition(":")
        if kind == "":
            arrays[base] = value.astype(np.float32)
        elif kind == "int8":
            if f"{base}:scale" not in raw:
                raise DataError(f"expected {base}:scale beside {key} in {path}; it is missing; the file is incomplete")
            arrays[base] = value.astype(np.float32) * raw[f"{base}:scale"].astype(np.float32)
    if not arrays:
        raise DataError(f"expected arrays named LAYER/VARIABLE in {path}; found none; check --weights")
    return arrays


def _variable(layer: keras.layers.Layer, name: str) -> keras.Variable | None:
    matches = [variable for variable in layer.weights if variable.name == name]
    return matches[0] if matches else None


def _flat(model: keras.Model) -> list[keras.layers.Layer]:
    found: list[keras.layers.Layer] = []
    for layer in model.layers:
        found.extend(_flat(layer) if isinstance(layer, keras.Model) else [layer])
    return found
