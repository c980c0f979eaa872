"""Quantization-aware fine-tuning: the fake-quant network learns to give the float network's probabilities.

Between ``convert.quantization.fakequant.calibrate`` and ``convert.tflite.export``. Plain steps in one ``tf.function``
(XLA on a CPU is eight times slower on depthwise convolutions); the last part of the steps runs with frozen ranges, so
that the weights settle on the grid that is exported. State is kept in a file, so that a killed run goes on.

Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (the loss); Jacob et al. 2018 (fake quant).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from convert.lowering.graph import Graph
from convert.lowering.parity import normalize
from convert.quantization.optimizer import RelativeAdam
from edge.files import atomic_path
from train.archives import DAMAGED

WARMUP_SHARE = 0.05
FLOOR_SHARE = 0.05


@dataclass(frozen=True)
class QatConfig:
    """How the fine-tuning runs.

    Attributes:
        steps: Optimizer steps; 0 leaves the calibrated network as it is.
        batch: Pictures a step.
        learning_rate: At its highest, as a share of each channel's largest weight (``convert.quantization.optimizer``);
            it warms up over 5 % of the steps and falls by a cosine to 5 % of it.
        frozen_share: Last part of the steps in which the activation ranges no longer move, 0..1.
        hard_share: Weight of the true labels in the loss, 0..1; the rest is the float network's probabilities.
        checks: How often, evenly over the steps, the validation part is looked at and the state is kept.
        seed: Of order and augmentation.
    """

    steps: int = 600
    batch: int = 64
    learning_rate: float = 2e-4
    frozen_share: float = 0.3
    hard_share: float = 0.0
    checks: int = 6
    seed: int = 0


@dataclass(frozen=True)
class Tuned:
    """What came of the fine-tuning; the model holds the best weights and ranges.

    Attributes:
        history: One row a check: step, loss (mean since the last), accuracy and divergence on the validation part.
        best_step: The step whose weights were kept; 0 is the calibrated start.
        resumed_step: Where a killed run was taken up; 0 for a fresh one.
    """

    history: list[dict[str, float]]
    best_step: int
    resumed_step: int


class Batches(Protocol):
    """Training pictures by step; the same step always gives the same."""

    def __call__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Pictures uint8 [batch, height, width, 3] and labels int64 [batch]."""


def learning_rate(config: QatConfig, step: int) -> float:
    """The rate of a step, 0 to ``steps - 1``: linear warm-up, then a half cosine down to 5 %."""
    warmup = max(1, round(WARMUP_SHARE * config.steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, config.steps - warmup)
    return config.learning_rate * (FLOOR_SHARE + (1 - FLOOR_SHARE) * (1 + math.cos(math.pi * progress)) / 2)


def finetune(
    model: Any,
    teacher: Any,
    graph: Graph,
    batches: Batches,
    evaluate: Callable[[Any], dict[str, float]],
    config: QatConfig,
    state_file: Path,
    identity: str,
    advance: Callable[[int, str], None] = lambda step, text: None,
) -> Tuned:
    """Trains the fake-quant model in place and leaves it with the best weights seen.

    Args:
        model: Of ``fake_quantize``, calibrated.
        teacher: Float model of the same graph.
        graph: For the input's scale.
        batches: Gives the pictures of a step.
        evaluate: Figures of a model on the validation part; the highest "score" is kept.
        config: Steps, rate and so on.
        state_file: Kept at every check and removed by the caller when the product is written.
        identity: Of weights, data and configuration; a state of another identity is not taken up.
        advance: Called after each step with its number and a line on how it goes.

    Raises:
        ValueError: The loss is not a number.
    """
    run = _Loop(model, teacher, graph, config)
    state = _read_state(state_file, identity, run)
    if state is None:
        first = {"step": 0, "loss": 0.0, **evaluate(model)}
        state = _State([first], run.weights(), 0, 0)
    resumed, losses = state.step, []
    every = max(1, math.ceil(config.steps / max(1, config.checks)))
    frozen_from = config.steps - round(config.frozen_share * config.steps)
    for step in range(state.step, config.steps):
        pictures, labels = batches(step)
        loss = run.step(pictures, labels, learning_rate(config, step), step >= frozen_from)
        if not math.isfinite(loss):
            raise ValueError(f"expected a finite loss; came {loss} at step {step}; lower --learning-rate")
        losses.append(loss)
        if (step + 1) % every == 0 or step + 1 == config.steps:
            row = {"step": step + 1, "loss": float(np.mean(losses)), **evaluate(model)}
            if row["score"] > max(old["score"] for old in state.history):
                state.best, state.best_step = run.weights(), step + 1
            state.history.append(row)
            state.step, losses = step + 1, []
            _write_state(state_file, identity, run, state)
        advance(step + 1, f"loss {loss:.4f}, accuracy {state.history[-1]['accuracy']:.4f}")
    run.set_weights(state.best)
    return Tuned(state.history, state.best_step, resumed)


@dataclass
class _State:
    history: list[dict[str, float]]
    best: list[np.ndarray]
    best_step: int
    step: int


class _Loop:
    """The model, its optimizer and the compiled steps (ranges moving, and frozen)."""

    def __init__(self, model: Any, teacher: Any, graph: Graph, config: QatConfig) -> None:
        import tensorflow as tf

        self.model, self.graph = model, graph
        self.rate = tf.Variable(0.0, trainable=False)
        axes = [kernel_axis(model, variable) for variable in model.trainable_variables]
        self.optimizer = RelativeAdam(model.trainable_variables, axes)

        def step(pictures: Any, labels: Any, moving: bool) -> Any:
            goal = tf.nn.softmax(teacher(pictures, training=False))
            if config.hard_share:
                truth = tf.one_hot(labels, goal.shape[-1])
                goal = (1 - config.hard_share) * goal + config.hard_share * truth
            with tf.GradientTape() as tape:
                logits = model(pictures, training=moving)
                cross = tf.nn.softmax_cross_entropy_with_logits(goal, logits)
                entropy = -tf.reduce_sum(goal * tf.math.log(goal + 1e-8), axis=-1)
                loss = tf.reduce_mean(cross - entropy)
            variables = model.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), self.rate)
            return loss

        self._steps = {
            moving: tf.function(lambda p, y, moving=moving: step(p, y, moving), jit_compile=False)
            for moving in (True, False)
        }

    def step(self, pictures: np.ndarray, labels: np.ndarray, rate: float, frozen: bool) -> float:
        import tensorflow as tf

        self.rate.assign(rate)
        normalized = tf.constant(normalize(pictures, self.graph))
        return float(self._steps[not frozen](normalized, tf.constant(labels, tf.int32)))

    def weights(self) -> list[np.ndarray]:
        return [np.array(value) for value in self.model.get_weights()]

    def set_weights(self, values: list[np.ndarray]) -> None:
        self.model.set_weights(values)


def kernel_axis(model: Any, variable: Any) -> int | None:
    """The axis of a trainable variable's output channels in a fake-quant model; None for a bias."""
    for layer in model.layers:
        for candidate in layer.trainable_weights:
            if candidate is variable and "kernel" in variable.name.rsplit("/", 1)[-1]:
                return int(layer.quantize_config.kernel_axis)
    return None


def _write_state(path: Path, identity: str, run: _Loop, state: _State) -> None:
    arrays: dict[str, Any] = {f"now{i}": value for i, value in enumerate(run.weights())}
    arrays |= {f"best{i}": value for i, value in enumerate(state.best)}
    arrays |= {f"optimizer{i}": variable.numpy() for i, variable in enumerate(run.optimizer.state)}
    header = {"identity": identity, "history": state.history, "best_step": state.best_step, "step": state.step}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        arrays["header"] = np.array(json.dumps(header))
        np.savez(stream, **arrays)


def _read_state(path: Path, identity: str, run: _Loop) -> _State | None:
    """The state of a killed run of the same identity, put into the model and optimizer; None where there is none."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            header = json.loads(str(kept["header"]))
            if header["identity"] != identity:
                return None
            arrays = {name: kept[name] for name in kept.files}
    except DAMAGED:  # none, or damaged: begin anew
        return None
    count = len(run.weights())
    run.set_weights([arrays[f"now{i}"] for i in range(count)])
    for i, variable in enumerate(run.optimizer.state):
        variable.assign(arrays[f"optimizer{i}"])
    best = [arrays[f"best{i}"] for i in range(count)]
    return _State(header["history"], best, header["best_step"], header["step"])
