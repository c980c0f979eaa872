"""Starting weights from a file: npz, Keras' ``.weights.h5``, the layers of a ``.keras`` model, or a shipped .tflite.

An npz holds ``LAYER/kernel`` (float) or ``LAYER/kernel:int8`` times ``LAYER/kernel:scale``; batch-norm arrays are named
``gamma beta moving_mean moving_variance``. Layers that an npz does not name (the head) keep their initial values; a
name in the file that the model does not have is an error, not a guess. EfficientNet-B0 takes EfficientNet-Lite0's file
too: the same convolutions, its squeeze-and-excite layers begin anew; and so does Lite0's first part, without the
layers that it lacks. A .tflite (:mod:`train.networks.quantized`) gives its layers under the same rules. No other kind
of file is opened: pickles and whole models in ``.h5`` can carry code.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

import keras
import numpy as np

from edge.errors import DataError
from train.archives import read_arrays
from train.networks.efficientnet_lite import names_in_efficientnet_b0, only_in_whole_lite0
from train.networks.layers import LOGITS, leaves
from train.networks.quantized import arrays_of, is_shipped, load_shipped
from train.runs import load_model


def load_weights_file(
    model: keras.Model,
    path: str | Path,
    pictures: np.ndarray | None = None,
    labels: Sequence[str] | None = None,
) -> list[str]:
    """Put a file's weights into the model; returns what to tell the user, one line each.

    An ``.npz``, a ``.keras`` file and a ``.tflite`` go by layer name, ``.weights.h5`` as Keras wrote it. Logits of
    another number of classes are left out of a ``.keras`` file and a ``.tflite``, of other classes out of the latter.

    Args:
        model: what gets them.
        path: the file; as a str also the name of a model in the package.
        pictures: uint8 ``(n, h, w[, 3])`` of the training data, which a ``.tflite`` needs.
        labels: class names in the order of the model's logits, for a ``.tflite``; None: those of the file.

    Raises:
        DataError: no such file, another kind of file, or weights that do not fit the model.
    """
    if is_shipped(path):
        return _take_shipped(model, path, pictures, labels)
    path = Path(path)
    if not path.exists():
        raise DataError(
            "expected a weights file, none, imagenet, or default or small (the models that ship); nothing is at "
            f"{path}; check --weights"
        )
    if path.is_dir() or not path.name.endswith((".npz", ".weights.h5", ".keras")):
        raise DataError(
            f"expected weights as .npz, .weights.h5, .keras or .tflite; got {path.name}, a kind of file that may carry "
            "code or names no layers; check --weights"
        )
    if path.suffix == ".npz":
        return [_told(model, path.name, load_npz_weights(model, path))]
    if path.suffix == ".keras":
        return _take_layers(model, load_model(path), path)
    try:
        model.load_weights(path, skip_mismatch=False)
    except (ValueError, OSError, KeyError) as cause:
        first = str(cause).strip().splitlines()[0]
        raise DataError(f"expected weights of {model.name} in {path}; {first}; check --weights") from cause
    return [f"weights of {path.name}: all layers"]


def load_npz_weights(model: keras.Model, path: Path) -> list[str]:
    """Put the file's arrays into the model's layers of the same name and return those names.

    Raises:
        DataError: the file is no npz, names layers or variables that the model lacks, or shapes differ.
    """
    return _take_arrays(model, _read(path), path)


def _told(model: keras.Model, name: str, taken: list[str]) -> str:
    rest = {layer.name for layer in leaves(model) if layer.weights} - {*taken, LOGITS}
    return f"weights of {name}: {len(taken)} layers" + (f"; {len(rest)} others begin anew" if rest else "")


def _take_shipped(
    model: keras.Model, path: str | Path, pictures: np.ndarray | None, labels: Sequence[str] | None
) -> list[str]:
    if pictures is None:
        raise DataError(f"expected pictures to take the statistics of {path} from; got none; train by fit --weights")
    shipped = load_shipped(path, pictures)
    arrays, theirs = arrays_of(shipped.model), shipped.file.labels
    same = arrays_of(model).keys() == arrays.keys() and theirs == tuple(labels or theirs)
    if not same or model.get_layer(LOGITS).units != len(theirs):
        arrays = {key: value for key, value in arrays.items() if key.partition("/")[0] != LOGITS}
    lines = [_told(model, Path(path).name, _take_arrays(model, arrays, path))]
    if shipped.file.contract.training_colour == "grey" and pictures.ndim == 4:
        lines.append(f"{Path(path).name} was trained on grey pictures, these have colours")
    return lines


def _take_arrays(model: keras.Model, arrays: dict[str, np.ndarray], path: str | Path) -> list[str]:
    layers = {layer.name: layer for layer in leaves(model)}
    arrays = _of_first_part(_from_lite0(arrays, layers), layers)
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
    raw = read_arrays(path, "an npz of weights", "check --weights")
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


def _from_lite0(arrays: dict[str, np.ndarray], layers: Container[str]) -> dict[str, np.ndarray]:
    """Return the arrays under EfficientNet-B0's names if the file is EfficientNet-Lite0's and the layers are B0's."""
    if "block0_dw_conv/kernel" not in arrays or "block1a_se_reduce" not in layers:
        return arrays
    names = names_in_efficientnet_b0()
    parts = ((key.partition("/"), value) for key, value in arrays.items())
    # A name that Lite0 does not have stays, to be refused as any strange one is.
    return {f"{names.get(layer, layer)}/{variable}": value for (layer, _, variable), value in parts}


def _of_first_part(arrays: dict[str, np.ndarray], layers: Container[str]) -> dict[str, np.ndarray]:
    """Return the arrays without the layers that only the whole Lite0 has, if the layers are its first part's."""
    if "os16_head_conv" not in layers:
        return arrays
    beyond = only_in_whole_lite0()
    return {key: value for key, value in arrays.items() if key.partition("/")[0] not in beyond}


def _variable(layer: keras.layers.Layer, name: str) -> keras.Variable | None:
    matches = [variable for variable in layer.weights if variable.name == name]
    return matches[0] if matches else None


def _take_layers(model: keras.Model, source: keras.Model, path: Path) -> list[str]:
    """Copy by layer name; only the logits may be missing or of another size."""
    theirs = {layer.name: layer for layer in leaves(source) if layer.weights}
    ours = {layer.name: layer for layer in leaves(model) if layer.weights}
    strange = sorted((theirs.keys() ^ ours.keys()) - {LOGITS})
    unfit = [
        name
        for name in theirs.keys() & ours.keys()
        if [weight.shape for weight in theirs[name].weights] != [weight.shape for weight in ours[name].weights]
    ]
    if strange or set(unfit) - {LOGITS}:
        first = (strange or sorted(set(unfit) - {LOGITS}))[0]
        raise DataError(
            f"expected weights of {model.name} in {path}; the two differ at the layer {first!r}; "
            "choose the backbone that the file belongs to"
        )
    taken = [name for name in ours if name in theirs and name not in unfit]
    for name in taken:
        ours[name].set_weights(theirs[name].get_weights())
    rest = "" if LOGITS in taken else "; the logits begin anew, the file has another number of classes"
    return [f"weights of {path.name}: {len(taken)} layers{rest}"]
