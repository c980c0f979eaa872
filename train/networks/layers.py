"""The layers of a network: nested models taken apart, which of them are new, and how all networks begin."""

from __future__ import annotations

import keras

LOGITS = "logits"


def normalized(pictures: keras.KerasTensor) -> keras.KerasTensor:
    """Return pictures ``(n, h, w, 3)`` in 0–255 as (x − 128) / 128, −1 to 1."""
    return keras.layers.Rescaling(1 / 128, offset=-1.0, name="normalize")(pictures)


def head_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that are new for this task: the logits."""
    return [model.get_layer(LOGITS)]


def leaves(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model in order, nested models taken apart."""
    found: list[keras.layers.Layer] = []
    for layer in model.layers:
        found.extend(leaves(layer) if isinstance(layer, keras.Model) else [layer])
    return found


def containers(model: keras.Model) -> list[keras.Model]:
    """Return a model and all models in it, outer ones first."""
    inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return [model, *(container for layer in inner for container in containers(layer))]
