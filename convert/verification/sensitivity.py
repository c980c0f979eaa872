"""What each rounding of an int8 network costs alone: the divergence of its logits from the float network's.

Used by ``convert.budget``. A rounding is a kernel put on its int8 grid, or a layer's output put on its own; all others
stay off. Biases are left out: their int32 grid is fine. Costs are ranked by logits on calibration pictures, not by
accuracy on a part that is reported.

Source: Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 4.5 ("debugging": one quantizer at a
time); the divergence is that of ``convert.quantization.finetune``'s loss.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras

from convert.lowering.emission import emit, with_trained_weights
from convert.lowering.graph import FLOAT_KINDS, INPUT, Graph, Node
from convert.lowering.parity import normalize
from convert.quantization.fakequant import KERNEL_AXIS, SAME_SCALE, config_of, output_range, unrounded
from convert.quantization.quantizers import snap_kernel
from convert.tflite.export import probabilities
from convert.verification.checks import divergence

BATCH = 64


@dataclass(frozen=True)
class Rounding:
    """One source of error.

    Attributes:
        layer: Of the lowered graph.
        path: Where that layer stands in the Keras model.
        what: "kernel", or "output" of the layer.
        divergence: Mean Kullback-Leibler divergence, in nats, of the probabilities with this rounding alone from those
            without any.
    """

    layer: str
    path: str
    what: Literal["kernel", "output"]
    divergence: float


class Probe:
    """An int8 network with every rounding on a switch, so that one compiled network serves all questions.

    Args:
        graph: Lowered, that ``model`` was made of.
        model: Fake-quant, calibrated, perhaps fine-tuned.
    """

    def __init__(self, graph: Graph, model: Any) -> None:
        self.graph = with_trained_weights(graph, model)
        self._switches = {
            node.name: tf.Variable(False, trainable=False)
            for node in self.graph
            if node.name != INPUT and config_of(node) is not None
        }

        def wrap(layer: Any, node: Node) -> Any:
            if node.name not in self._switches:
                return layer
            rounded = _Switched(self._switches[node.name], *output_range(self.graph, model, node.name))
            return lambda feeds: rounded(layer(feeds))

        self._model = emit(self.graph, wrap)
        self._kernels = {
            node.name: snap_kernel(node.weights["kernel"], KERNEL_AXIS[node.kind])[0]
            for node in self.graph
            if node.kind in KERNEL_AXIS
        }
        self._run = tf.function(lambda batch: self._model(batch, training=False), jit_compile=False)

    @property
    def roundings(self) -> list[tuple[str, Literal["kernel", "output"]]]:
        """All that can be left out, (layer, "kernel" or "output"); the logits are always rounded."""
        found: list[tuple[str, Literal["kernel", "output"]]] = [(name, "kernel") for name in self._kernels]
        return found + [(name, "output") for name in self._switches if name != self.graph.output]

    def alone(self, layer: str, what: str, pictures: np.ndarray) -> np.ndarray:
        """Logits float32 [n, classes] of raw uint8 pictures with one rounding only; none where ``layer`` is empty."""
        self._set({layer} if what == "kernel" else set(), {layer} if what == "output" else set())
        return self._logits(pictures)

    def with_float(self, kept: Collection[str], pictures: np.ndarray) -> np.ndarray:
        """Logits float32 [n, classes] of raw uint8 pictures with all roundings but those of the layers in ``kept``."""
        norms = {node.name for node in self.graph if node.kind in FLOAT_KINDS}
        off = unrounded(self.graph, norms | set(kept))
        self._set({name for name in self._kernels if name not in kept}, {n for n in self._switches if n not in off})
        return self._logits(pictures)

    def _set(self, kernels: set[str], outputs: set[str]) -> None:
        for name, switch in self._switches.items():
            switch.assign(name in outputs)
        for name, snapped in self._kernels.items():
            weights = self.graph[name].weights
            kernel = snapped if name in kernels else weights["kernel"]
            self._model.get_layer(name).set_weights([kernel, weights["bias"]])

    def _logits(self, pictures: np.ndarray) -> np.ndarray:
        rows = []
        for start in range(0, len(pictures), BATCH):
            batch = pictures[start : start + BATCH]
            filled = np.concatenate([batch, np.repeat(batch[-1:], BATCH - len(batch), axis=0)])
            rows.append(self._run(tf.constant(normalize(filled, self.graph))).numpy()[: len(batch)])
        return np.concatenate(rows)


class _Switched(tf_keras.layers.Layer):
    """Rounds to 256 steps of a fixed range, or passes on, as its switch says."""

    def __init__(self, switch: Any, minimum: float, maximum: float) -> None:
        super().__init__()
        self.switch, self.minimum, self.maximum = switch, minimum, maximum

    def call(self, inputs: Any) -> Any:
        rounded = tf.quantization.fake_quant_with_min_max_args(inputs, self.minimum, self.maximum, 8)
        return tf.where(self.switch, rounded, inputs)


def sensitivity(
    probe: Probe, pictures: np.ndarray, advance: Callable[[int], None] = lambda done: None
) -> list[Rounding]:
    """What each rounding costs, the costliest first.

    Args:
        probe: Of the calibrated or fine-tuned network.
        pictures: Calibration pictures, raw, uint8 [n, height, width, 3].
        advance: Called with the number of roundings measured so far.
    """
    goal = probabilities(probe.alone("", "", pictures)).astype(np.float64)
    found = []
    for done, (layer, what) in enumerate(probe.roundings, 1):
        came = probabilities(probe.alone(layer, what, pictures)).astype(np.float64)
        found.append(Rounding(layer, probe.graph[layer].path, what, divergence(goal, came)))
        advance(done)
    return sorted(found, key=lambda rounding: -rounding.divergence)


def float_layers(graph: Graph, roundings: Sequence[Rounding]) -> frozenset[str]:
    """The layers that must compute in float so that none of these roundings happens.

    A kernel needs its own layer; an output needs the layer and all that read it, through pooling and reshaping.
    """
    kept: set[str] = set()
    for rounding in roundings:
        kept.add(rounding.layer)
        if rounding.what == "output":
            kept |= _readers(graph, rounding.layer)
    return frozenset(name for name in kept if graph[name].kind not in FLOAT_KINDS)


def _readers(graph: Graph, name: str) -> set[str]:
    found: set[str] = set()
    for node in graph.consumers(name):
        found.add(node.name)
        if node.kind in SAME_SCALE:
            found |= _readers(graph, node.name)
    return found
