"""A user's own network as a backbone: any functional ``.keras`` model over pictures.

The file's own last Dense stays where it is called ``logits``, is linear and has the right number of classes (a softmax
behind it is taken off). Otherwise everything from the last Dense on is replaced: pooling where there is a feature map,
Dropout, Dense ``logits``. Networks that do not begin with a Rescaling or Normalization of raw pixels (augmentation and
padding before it aside) get ours, (x − 128)/128, in front. What was done is reported line by line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import layers

from edge.errors import DataError
from train.networks.identities import IDENTITIES
from train.networks.layers import LOGITS, leaves, normalized
from train.networks.precision import in_float32
from train.runs import load_model

Report = Callable[[str], None]


def adopt(path: Path, *, height: int, width: int, classes: int, dropout: float, report: Report) -> keras.Model:
    """Return the network in ``path`` from pictures ``(n, height, width, 3)`` in 0–255 to logits ``(n, classes)``.

    Args:
        path: a ``.keras`` file with a functional (or sequential) model of one input and one output.
        height: of the input in pixels.
        width: of the input in pixels.
        classes: number of logits.
        dropout: rate before fresh logits, 0–1; logits that stay keep what is before them.
        report: gets one line for each change made to the network.

    Raises:
        DataError: no such file, unsafe, another kind of model, or another input size.
    """
    kept_as = load_model(path)
    _check_shape(kept_as, path, height, width)
    loaded = in_float32(kept_as)
    if loaded is not kept_as:
        report(f"{path.name}: built to compute in 16 bits; computes in float32 here, or as --mixed-precision says")
    trunk_output, head = _cut(loaded)
    kept = head if head is not None and _is_logits(head, classes) else None
    normalizes = _normalizes(loaded)
    fixed = None not in loaded.inputs[0].shape[1:]
    if kept is not None and normalizes and fixed and kept.output is loaded.outputs[0]:
        return loaded
    trunk = keras.Model(loaded.inputs[0], trunk_output, name="backbone")
    if not fixed:
        trunk = _at_size(trunk, (height, width, 3))
    pictures = keras.Input((height, width, 3), name="pictures")
    x = pictures if normalizes else normalized(pictures)
    x = trunk(x)
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    if len(x.shape) != 2:
        raise DataError(f"expected a feature map or features before the logits of {path}; got shape {x.shape}")
    if kept is None:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(classes, name=LOGITS, dtype="float32")
    model = keras.Model(pictures, logits(x), name=loaded.name)
    if kept is not None:
        logits.set_weights(kept.get_weights())
    else:
        report(f"{path.name}: {_described(head)}; a fresh {LOGITS!r} of {classes} classes is trained in its place")
    if not normalizes:
        report(f"{path.name}: begins with no Rescaling or Normalization; (x - 128) / 128 is put in front")
    return model


def _check_shape(model: Any, path: Path, height: int, width: int) -> None:
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if len(inputs) != 1 or len(outputs) != 1 or not hasattr(outputs[0], "_keras_history"):
        raise DataError(
            f"expected a functional model of one input and one output in {path}; got {type(model).__name__} with "
            f"{len(inputs)} and {len(outputs)}; build it with keras.Model(inputs, outputs)"
        )
    shape = inputs[0].shape[1:]
    if len(shape) != 3 or shape[2] != 3:
        raise DataError(
            f"expected pictures [None, height, width, 3] as the input of {path}; got {[None, *shape]}; "
            "build the model on three channels (grey pictures enter with three equal ones)"
        )
    if any(have not in (None, asked) for have, asked in zip(shape, (height, width), strict=False)):
        raise DataError(
            f"expected an input of {height}x{width} pixels; {path} takes {shape[0]}x{shape[1]}; give --size {shape[0]}"
        )


def _cut(model: keras.Model) -> tuple[Any, layers.Dense | None]:
    """Return the tensor that the last Dense takes and that Dense; the output itself and None where none ends it."""
    tensor = model.outputs[0]
    operation = origin(tensor)
    if _is_softmax(operation):
        tensor = operation.input
        operation = origin(tensor)
    if isinstance(operation, layers.Dense) and len(tensor.shape) == 2:
        return operation.input, operation
    return model.outputs[0], None


def origin(tensor: Any) -> Any:
    """Return the layer, or nested network, that a symbolic tensor comes out of."""
    return tensor._keras_history.operation


def _is_softmax(operation: Any) -> bool:
    function = getattr(operation, "activation", None)
    plain = isinstance(operation, layers.Activation) and getattr(function, "__name__", "") == "softmax"
    return plain or type(operation).__name__ == "Softmax"


def _is_logits(head: layers.Dense, classes: int) -> bool:
    return head.name == LOGITS and head.units == classes and head.activation is keras.activations.linear


def _normalizes(model: keras.Model) -> bool:
    """Return whether the first layer that changes values is a normalization; augmentation and padding may precede."""
    before = (*IDENTITIES, "InputLayer", "ZeroPadding2D")
    first = next((layer for layer in leaves(model) if type(layer).__name__ not in before), None)
    return isinstance(first, (layers.Rescaling, layers.Normalization))


def _at_size(trunk: keras.Model, shape: tuple[int, int, int]) -> keras.Model:
    """Return the same network with a fixed input size, which the converter needs."""
    sized = keras.models.clone_model(trunk, input_tensors=keras.Input(shape, name="sized"))
    sized.set_weights(trunk.get_weights())
    return sized


def _described(head: layers.Dense | None) -> str:
    if head is None:
        return "ends in no Dense layer"
    return f"its last layer {head.name!r} gives {head.units} values ({head.activation.__name__})"
