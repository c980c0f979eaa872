"""Checks that the lowered network computes what the Keras model computes: same pictures, randomized or trained weights.

``randomize`` draws every weight of a Keras 3 model, because fresh models are trivial where it matters (zero biases,
moving variance 1): a rule that forgets one of them would pass unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.graph import Graph

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """The largest difference between two networks' logits.

    Attributes:
        largest: Largest absolute difference of a logit.
        range: Largest less smallest logit of the Keras model over all pictures.
        relative: ``largest / range``; at most ``TOLERANCE`` is asked for.
        pictures: How many were compared.
    """

    largest: float
    range: float
    relative: float
    pictures: int

    @property
    def holds(self) -> bool:
        """Whether the relative difference is within the tolerance."""
        return bool(self.relative <= TOLERANCE)


def randomize(model: Any, seed: int = 0) -> None:
    """Draws all weights of a Keras 3 model anew, at magnitudes that keep the activations moderate through the depth."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        name, shape = variable.path.rsplit("/", 1)[-1], tuple(variable.shape)
        if name == "kernel":
            depthwise = len(shape) == 4 and shape[-1] == 1 and shape[2] > 1
            fan_in = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
            values = generator.normal(0, np.sqrt(2 / fan_in), shape)
        elif name in ("gamma", "moving_variance", "variance"):
            values = generator.uniform(0.5, 1.5, shape)
        elif name in ("bias", "beta", "moving_mean", "mean"):
            values = generator.normal(0, 0.2, shape)
        else:
            continue
        variable.assign(values.astype(np.float32))


def compare(keras_model: Any, graph: Graph, lowered: Any, pictures: np.ndarray) -> Parity:
    """Parity of a Keras 3 model and the tf_keras model lowered from it.

    Args:
        keras_model: Takes raw pixels 0..255 float32.
        graph: The lowered graph, for its input scale and zero point.
        lowered: What ``convert.emission.emit`` made of it.
        pictures: uint8 [n, height, width, 3], as the Keras model was meant to see them.
    """
    expected = logits_of_keras(keras_model, pictures)
    came = lowered.predict(normalize(pictures, graph), batch_size=64, verbose=0)
    if expected.min() >= 0 and np.allclose(expected.sum(axis=1), 1, atol=1e-4):
        came = np.exp(came - came.max(axis=1, keepdims=True))
        came /= came.sum(axis=1, keepdims=True)
    largest = float(np.abs(expected - came).max())
    spread = float(expected.max() - expected.min())
    return Parity(largest, spread, largest / max(spread, 1e-12), len(pictures))


def logits_of_keras(model: Any, pictures: np.ndarray, batch: int = 64) -> np.ndarray:
    """What the Keras 3 model gives for raw uint8 pictures, float32 [n, classes]."""
    import keras

    rows = [
        keras.ops.convert_to_numpy(model(pictures[start : start + batch].astype(np.float32), training=False))
        for start in range(0, len(pictures), batch)
    ]
    return np.concatenate(rows).astype(np.float32)


def normalize(pictures: np.ndarray, graph: Graph) -> np.ndarray:
    """uint8 [n, h, w, 3] → float32 in the unit of the lowered network's input."""
    return (pictures.astype(np.float32) - graph.input_zero_point) * np.float32(graph.input_scale)
