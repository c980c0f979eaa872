"""Checks that the lowered network computes what the Keras model computes: same pictures, randomized or trained weights.

``randomize`` draws every weight of a Keras 3 model, because fresh models are trivial where it matters (zero biases,
moving variance 1): a rule that forgets one of them would pass unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.lowering.graph import Graph

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
    """Draws all weights of a Keras 3 model anew, at magnitudes that keep the activations moderate through the depth.

    The moving statistics of batch norms are those of random pictures: with drawn ones, a deep residual network with
    squeeze-and-excite grows by the block until rounding alone moves its logits.
    """
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(_drawn(variable.path.rsplit("/", 1)[-1], tuple(variable.shape), generator))
    _settle_batch_norms(model, generator)


def patchwork(count: int, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Random pictures uint8 [count, height, width, 3] of 4x4 patches, from faint to full contrast.

    Unlike noise by pixel, which averages out to the same deep features for every picture.
    """
    height, width, channels = shape
    coarse = generator.uniform(0, 256, (count, 4, 4, channels)) * generator.uniform(0.1, 1, (count, 1, 1, 1))
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    return np.asarray(coarse[:, rows][:, :, columns], np.uint8)


def _drawn(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Values for one trainable variable; what is no kernel and no offset is a factor, such as LayerScale's."""
    if name == "kernel":
        depthwise = len(shape) == 4 and shape[-1] == 1 and shape[2] > 1
        fan_in = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
        return generator.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
    if name in ("bias", "beta"):
        return generator.normal(0, 0.2, shape).astype(np.float32)
    return generator.uniform(0.5, 1.5, shape).astype(np.float32)


def _settle_batch_norms(model: Any, generator: np.random.Generator) -> None:
    """Sets the moving statistics of all batch norms to those of one batch of random pictures."""
    norms = [layer for layer in model._flatten_layers() if type(layer).__name__ == "BatchNormalization"]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(patchwork(64, model.inputs[0].shape[1:], generator).astype(np.float32), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def compare(keras_model: Any, graph: Graph, lowered: Any, pictures: np.ndarray) -> Parity:
    """Parity of a Keras 3 model and the tf_keras model lowered from it.

    Args:
        keras_model: Takes raw pixels 0..255 float32.
        graph: The lowered graph, for its input scale and zero point.
        lowered: What ``convert.lowering.emission.emit`` made of it.
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
