"""LayerScale, the one layer of ours that saved networks hold: importing this module registers it with Keras."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

SCALE_AT_START = 1e-6


@keras.saving.register_keras_serializable(package="fer_edge")
class LayerScale(layers.Layer):
    """Each channel times a trainable factor ``gamma`` float32 (channels,) that starts small.

    Source: Touvron et al., "Going deeper with Image Transformers", ICCV 2021, equation 4. Keras has no public layer
    for it; a 1×1 depthwise convolution computes the same, at a hundred times the cost under XLA on a CPU (tried).
    """

    def __init__(self, init_values: float = SCALE_AT_START, **settings: Any) -> None:
        super().__init__(**settings)
        self.init_values = init_values

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make ``gamma``."""
        start = keras.initializers.Constant(self.init_values)
        self.gamma = self.add_weight(shape=(input_shape[-1],), initializer=start, name="gamma")

    def call(self, inputs: Any) -> Any:
        """Return ``inputs`` times ``gamma`` along the last axis."""
        return inputs * self.gamma

    def get_config(self) -> dict[str, Any]:
        """Return what :meth:`from_config` needs."""
        return super().get_config() | {"init_values": self.init_values}
