"""Weights drawn at random, because fresh ones are trivial where it matters: zero biases, variance 1, scales of 1e-6."""

from __future__ import annotations

import keras
import numpy as np


def draw_weights(model: keras.Model, seed: int = 7) -> None:
    """Give all weights of a model values that keep activations moderate; the same for the same architecture."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        shape, name = tuple(variable.shape), variable.path.rsplit("/", 1)[-1]
        if name in ("kernel", "depthwise_kernel"):
            fan_in = np.prod(shape[:2]) if len(shape) == 4 and shape[3] == 1 else np.prod(shape[:-1])
            values = rng.normal(0, np.sqrt(2 / fan_in), shape)
        elif name in ("variance", "moving_variance", "gamma") or name.startswith("variable"):  # LayerScale's is unnamed
            values = rng.uniform(0.5, 1.5, shape) * (0.05 if name == "variance" else 1)
        else:
            values = rng.normal(0, 0.2, shape) + (0.45 if name == "mean" else 0)
        if variable.dtype == "float32":
            variable.assign(values.astype(np.float32))
