"""A network that runs in one mode whatever mode the model around it runs in.

``network(x, training=False)`` inside a functional model is not that: the model's own mode replaces the argument.
"""

from __future__ import annotations

from typing import Any

import keras


class InMode(keras.layers.Layer):
    """Calls a network always as in training, or always as in inference; for models that are never saved."""

    def __init__(self, network: keras.Model, training: bool, **options: Any) -> None:
        super().__init__(dtype="float32", **options)
        self.network, self._training = network, training

    def call(self, pictures: Any) -> Any:
        """Return the network's output."""
        return self.network(pictures, training=self._training)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the network's output shape."""
        return (shape[0], *self.network.outputs[0].shape[1:])
