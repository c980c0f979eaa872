"""The training loop: phases of a recipe, best checkpoint and early stopping on a validation figure, resume.

Works with any Keras 3 backend. After every epoch the run folder holds the best model so far, the history and the state
to go on from; a killed run loses at most the epoch under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

from edge.errors import DataError
from train.augmentation.batches import Batches, augmenting
from train.datasets import Dataset, Part
from train.evaluation.predict import accelerated, uses_xla
from train.fitting.averaging import Statistics, needs_statistics
from train.fitting.checkpoint import Checkpoint, Report, StopAtNonFinite
from train.fitting.distill import with_teacher
from train.fitting.objectives import make_accuracy, make_loss
from train.fitting.state import Progress, load_progress, restore, save_state
from train.losses import class_weights
from train.networks.building import set_trainable
from train.networks.precision import at_precision
from train.recipes import Phase, Recipe
from train.runs import HISTORY_FILE, MODEL_FILE, load_model, settle_model

FINAL_RATE_SHARE = 0.01
TENSORBOARD_FOLDER = "tensorboard"
STATISTICS_EPOCH = 1 << 20  # no epoch of the fit: its batches are for the batch-norm statistics


@dataclass(frozen=True, eq=False)
class _Job:
    """What all phases of a run share: ``network`` is trained, ``plain`` is saved, ``judged`` is ``plain``, compiled."""

    run: Path
    network: keras.Model
    plain: keras.Model
    judged: keras.Model
    teachers: tuple[keras.Model, ...]
    dataset: Dataset
    recipe: Recipe
    on_device: bool
    precision: str
    tensorboard: bool
    verbose: bool
    report: Report


def train_run(
    run: Path,
    model: keras.Model,
    dataset: Dataset,
    recipe: Recipe,
    *,
    teachers: Sequence[keras.Model] = (),
    report: Report = lambda _: None,
    resume: bool = False,
    on_device: bool | None = None,
    precision: str = "float32",
    tensorboard: bool = False,
    verbose: bool = True,
) -> Progress:
    """Train ``model`` by ``recipe`` and leave the best checkpoint in ``run``; returns the finished progress.

    Args:
        run: folder that gets ``model.keras``, ``history.csv`` and ``state.npz``.
        model: pictures in 0–255 -> logits, in float32; with another ``precision`` a copy of it is trained.
        dataset: its ``train`` role is trained on, its ``validation`` role selects.
        recipe: phases and settings.
        teachers: networks to learn from beside the targets.
        report: gets one line an epoch.
        resume: go on from ``state.npz`` where there is one.
        on_device: augment on the accelerator; ``None`` decides by whether there is one.
        precision: what the network computes in: ``float32``, ``float16`` or ``bfloat16``
            (:mod:`train.networks.precision`).
        tensorboard: write TensorBoard logs into the run (see :func:`check_tensorboard`).
        verbose: show Keras' progress bar.

    Raises:
        DataError: the loss is no longer finite, the state is another network's, or the recipe wants votes and the data
            set has none.
    """
    progress = (load_progress(run) if resume else None) or Progress()
    settle_model(run, progress.model_sha256)
    plain = type(model).from_config(model.get_config())  # never compiled: its file holds no optimizer state
    judged = keras.Model(plain.inputs, plain.outputs)
    judged.compile(jit_compile=uses_xla())
    network = at_precision(model, precision)
    device = accelerated() if on_device is None else on_device
    job = _Job(
        run, network, plain, judged, tuple(teachers), dataset, recipe, device, precision, tensorboard, verbose, report
    )
    for index, phase in enumerate(recipe.phases):
        if index < progress.phase or phase.epochs == 0 or progress.finished:
            continue
        if index > progress.phase:
            progress.phase, progress.epoch, progress.waited, progress.phase_best = index, 0, 0, None
        if progress.epoch == 0 and progress.best is not None:
            network.set_weights(load_model(run / MODEL_FILE).get_weights())
        _run_phase(job, phase, progress)
    progress.finished = True
    save_state(run, progress)
    return progress


def check_tensorboard() -> None:
    """Raise DataError where Keras' TensorBoard callback cannot work: it writes with TensorFlow, under any backend."""
    if keras.backend.backend() not in ("tensorflow", "jax"):
        raise DataError(
            f"expected the backend tensorflow or jax for TensorBoard logs; got {keras.backend.backend()}; leave "
            f"--tensorboard out: {HISTORY_FILE} holds the same figures"
        )
    missing = [name for name in ("tensorflow", "tensorboard") if find_spec(name) is None]
    if missing:
        raise DataError(
            f"expected {' and '.join(missing)} for TensorBoard logs (Keras' callback writes with TensorFlow); not "
            f"installed; pip install {' '.join(missing)}, or leave --tensorboard out: {HISTORY_FILE} holds the same "
            "figures"
        )


def soft_targets(part: Part, classes: int, targets: str, votes_share: float = 1.0) -> np.ndarray:
    """Return float32 ``(n, classes)``: rows of the annotators' shares where ``targets`` is ``votes``, else one-hot.

    Of ``votes``, the annotators have ``votes_share`` (0–1) of a target and its label the rest; a picture without votes
    keeps its label.

    Raises:
        DataError: votes are wanted and the part has none.
    """
    one_hot = np.eye(classes, dtype=np.float32)[part.labels]
    if targets == "labels":
        return one_hot
    if part.votes is None:
        raise DataError("expected annotators' votes in the data set; it has labels alone; give --votes FILE")
    voted = part.votes.sum(axis=1, keepdims=True) > 0
    mixed = votes_share * part.votes + (1 - votes_share) * one_hot
    return np.where(voted, mixed, one_hot).astype(np.float32)


def _run_phase(job: _Job, phase: Phase, progress: Progress) -> None:
    recipe, network = job.recipe, job.network
    batches = _batches(job, phase, progress.phase, progress.epoch)
    set_trainable(network, phase.trainable, phase.freeze)
    core = with_teacher(network, job.teachers) if job.teachers else network
    trained = augmenting(core) if job.on_device else core
    optimizer = make_optimizer(recipe, phase, len(batches), job.precision == "float16")
    trained.compile(
        optimizer,
        make_loss(
            recipe.loss,
            label_smoothing=recipe.label_smoothing,
            focal_gamma=recipe.focal_gamma,
            distillation=recipe.distillation() if job.teachers else None,
        ),
        metrics=[make_accuracy(len(job.dataset.labels))],
        jit_compile=uses_xla(),
    )
    optimizer.build(trained.trainable_variables)
    if progress.epoch > 0:
        restore(job.run, network, optimizer)
    if progress.epoch >= phase.epochs or progress.waited >= recipe.patience:
        return
    statistics = None
    if recipe.ema and needs_statistics(network):
        sample = _batches(job, phase, progress.phase, STATISTICS_EPOCH)
        statistics = Statistics(job.plain, phase, sample, job.on_device, recipe.seed)
    checkpoint = Checkpoint(
        run=job.run,
        network=network,
        plain=job.plain,
        judged=job.judged,
        optimizer=optimizer,
        statistics=statistics,
        validation=job.dataset.part("validation"),
        labels=job.dataset.labels,
        recipe=recipe,
        phase=phase,
        progress=progress,
        report=job.report,
    )
    callbacks: list[keras.callbacks.Callback] = [StopAtNonFinite(), checkpoint]
    if job.tensorboard:
        folder = job.run / TENSORBOARD_FOLDER / f"{progress.phase}-{phase.name}"
        callbacks.append(keras.callbacks.TensorBoard(folder, write_graph=False))
    trained.fit(
        batches,
        epochs=phase.epochs,
        initial_epoch=progress.epoch,
        shuffle=False,
        callbacks=callbacks,
        verbose="auto" if job.verbose else 0,
    )


def _batches(job: _Job, phase: Phase, index: int, epoch: int) -> Batches:
    recipe, part, classes = job.recipe, job.dataset.part("train"), len(job.dataset.labels)
    weights = class_weights(part.labels, classes, recipe.class_weights, recipe.effective_beta)
    probabilities = None
    if recipe.sampling == "balanced":
        weights /= weights[np.unique(part.labels)].mean()  # of what is drawn, as of the rows otherwise
        share = class_weights(part.labels, classes, "balanced").astype(np.float64)[part.labels]
        probabilities = share / share.sum()
    return Batches(
        part.images,
        soft_targets(part, classes, recipe.targets, recipe.votes_share),
        weights[part.labels],
        size=job.plain.inputs[0].shape[1:3],
        batch=recipe.batch,
        augment=phase.augment,
        seed=recipe.seed + index,
        epoch=epoch,
        on_device=job.on_device,
        probabilities=probabilities,
    )


def make_optimizer(recipe: Recipe, phase: Phase, steps_an_epoch: int, scaled: bool = False) -> keras.Optimizer:
    """Return AdamW under the phase's warm-up and half cosine, with the recipe's moving average of the weights.

    Args:
        recipe: for weight decay (none on biases and normalizations) and ``ema``.
        phase: for rate, warm-up and epochs.
        steps_an_epoch: batches of an epoch.
        scaled: scale the loss, so that small gradients survive float16.
    """
    warmup = round(phase.warmup_epochs * steps_an_epoch)
    total = max(1, phase.epochs * steps_an_epoch)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else phase.learning_rate,
        max(1, total - warmup),
        alpha=FINAL_RATE_SHARE,
        warmup_target=phase.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    average = {"use_ema": True, "ema_momentum": recipe.ema} if recipe.ema else {}
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay, **average)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer
