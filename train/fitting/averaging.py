"""The moving average of the weights (EMA), and batch-norm statistics that fit it.

Keras' optimizer averages the trainable weights alone. The running mean and variance of a batch normalization are those
of the last steps' weights, through which the pictures ran; the averaged network gives other activations. So before it
is measured or saved, its statistics are taken anew from a few training batches, with its own weights.

Source: Tarvainen and Valpola 2017, "Mean teachers are better role models" (EMA of the weights); Izmailov et al. 2018,
"Averaging weights leads to wider optima and better generalization", section 3.2 (the statistics).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from train.augmentation.batches import Batches, augmenting
from train.evaluation.predict import uses_xla
from train.fitting.modes import InMode
from train.fitting.state import random_state
from train.networks.building import set_trainable
from train.networks.layers import leaves
from train.recipes import Phase

BATCHES = 20  # passes; fewer batches come round again
MOMENTUM = 0.8  # 1 % of the old statistics is left after 20 batches


def averaged(network: keras.Model, trained: keras.Model, optimizer: keras.Optimizer) -> list[np.ndarray]:
    """Return the network's weights with the optimizer's moving averages in the place of the trained ones.

    Args:
        network: part of ``trained``; comes out as it went in.
        trained: the model whose trainable variables the optimizer was built on.
        optimizer: keeps the moving averages.
    """
    current = network.get_weights()
    optimizer.finalize_variable_values(trained.trainable_variables)
    weights: list[np.ndarray] = network.get_weights()
    network.set_weights(current)
    return weights


class Statistics:
    """Batch-norm statistics of given weights over a few training batches; the same batches every time.

    Args:
        plain: the network in float32.
        phase: says what is frozen: statistics of frozen layers stay.
        batches: training batches as the fit sees them.
        on_device: whether they leave the augmentation to the accelerator.
        seed: of dropout while the statistics are taken.
    """

    def __init__(self, plain: keras.Model, phase: Phase, batches: Batches, on_device: bool, seed: int) -> None:
        self._copy = keras.models.clone_model(plain, clone_function=_quick, recursive=True)
        set_trainable(self._copy, phase.trainable, phase.freeze)
        pictures = keras.Input(plain.inputs[0].shape[1:])
        running = keras.Model(pictures, InMode(self._copy, training=True)(pictures))
        self._running = augmenting(running) if on_device else running
        self._running.compile(jit_compile=uses_xla())
        self._inputs = [batches[i][0] for i in range(min(BATCHES, len(batches)))]
        self._seed = seed

    def __call__(self, weights: list[np.ndarray]) -> list[np.ndarray]:
        """Return the weights with statistics of their own; everything else unchanged."""
        self._copy.set_weights(weights)
        for state in random_state(self._copy):
            state.assign(np.array([self._seed, 0]))
        for i in range(BATCHES):
            self._running.predict_on_batch(self._inputs[i % len(self._inputs)])
        taken: list[np.ndarray] = self._copy.get_weights()
        return taken


def needs_statistics(network: keras.Model) -> bool:
    """Return whether a batch normalization of the network gathers statistics (a frozen one does not)."""
    return any(isinstance(layer, layers.BatchNormalization) and layer.trainable for layer in leaves(network))


def _quick(layer: keras.layers.Layer) -> keras.layers.Layer:
    config: dict[str, Any] = layer.get_config()
    if isinstance(layer, layers.BatchNormalization):
        config["momentum"] = MOMENTUM
    return type(layer).from_config(config)
