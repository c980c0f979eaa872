"""The training loop: phases of a recipe, best checkpoint and early stopping on a validation figure, resume.

Works with any Keras 3 backend. After every epoch the run folder holds the best model so far, the history and the state
to go on from; a killed run loses at most the epoch under way.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.files import write_atomically
from train.backbones import head_layers
from train.batches import Batches, augmenting
from train.datasets import Dataset, Part
from train.metrics import summarize
from train.predict import accelerated, predict_logits, softmax, uses_xla
from train.recipes import Phase, Recipe
from train.runs import HISTORY_FILE, MODEL_FILE, load_model, save_model
from train.state import Progress, load_progress, restore, save_state

FINAL_RATE_SHARE = 0.01
Report = Callable[[str], None]


def train_run(
    run: Path,
    model: keras.Model,
    dataset: Dataset,
    recipe: Recipe,
    *,
    resume: bool = False,
    on_device: bool | None = None,
    verbose: bool = True,
    report: Report = lambda _: None,
) -> Progress:
    """Train ``model`` by ``recipe`` and leave the best checkpoint in ``run``; returns the finished progress.

    Args:
        run: folder that gets ``model.keras``, ``history.csv`` and ``state.npz``.
        model: pictures in 0–255 -> logits.
        dataset: its ``train`` role is trained on, its ``validation`` role selects.
        recipe: phases and settings.
        resume: go on from ``state.npz`` where there is one.
        on_device: augment on the accelerator; ``None`` decides by whether there is one.
        verbose: show Keras' progress bar.
        report: gets one line an epoch.
    """
    progress = (load_progress(run) if resume else None) or Progress()
    device = accelerated() if on_device is None else on_device
    for index, phase in enumerate(recipe.phases):
        if index < progress.phase or phase.epochs == 0 or progress.finished:
            continue
        if index > progress.phase:
            progress.phase, progress.epoch, progress.waited, progress.phase_best = index, 0, 0, None
        if progress.epoch == 0 and progress.best is not None:
            model.set_weights(load_model(run / MODEL_FILE).get_weights())
        _run_phase(run, model, dataset, recipe, phase, progress, device, verbose, report)
    progress.finished = True
    save_state(run, progress, model, None)
    return progress


def class_weights(labels: np.ndarray, classes: int, kind: str) -> np.ndarray:
    """Return float32 ``(classes,)`` loss weights whose mean over the rows is 1; absent classes get 0.

    ``balanced`` weighs each class by the inverse of its share, ``sqrt`` by the square root of that, ``none`` by 1.
    """
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    weights = np.where(counts > 0, np.maximum(counts, 1) ** -power, 0.0)
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


def _run_phase(
    run: Path,
    model: keras.Model,
    dataset: Dataset,
    recipe: Recipe,
    phase: Phase,
    progress: Progress,
    on_device: bool,
    verbose: bool,
    report: Report,
) -> None:
    part = dataset.part("train")
    weights = class_weights(part.labels, len(dataset.labels), recipe.class_weights)
    batches = Batches(
        part.images,
        part.labels,
        weights,
        size=model.inputs[0].shape[1:3],
        batch=recipe.batch,
        augment=phase.augment,
        seed=recipe.seed + progress.phase,
        epoch=progress.epoch,
        on_device=on_device,
    )
    heads = head_layers(model)
    for layer in model.layers:
        layer.trainable = phase.trainable == "all" or layer in heads
    trained = augmenting(model) if on_device else model
    optimizer = _optimizer(recipe, phase, len(batches))
    trained.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing),
        weighted_metrics=["accuracy"],
        jit_compile=uses_xla(),
    )
    optimizer.build(trained.trainable_variables)
    if progress.epoch > 0:
        restore(run, model, optimizer)
    keeper = Keeper(run, model, optimizer, dataset.part("validation"), dataset.labels, recipe, phase, progress, report)
    if progress.epoch >= phase.epochs or progress.waited >= recipe.patience:
        return
    trained.fit(
        batches,
        epochs=phase.epochs,
        initial_epoch=progress.epoch,
        shuffle=False,
        callbacks=[keeper],
        verbose="auto" if verbose else 0,
    )


def _optimizer(recipe: Recipe, phase: Phase, steps_an_epoch: int) -> keras.Optimizer:
    warmup = round(phase.warmup_epochs * steps_an_epoch)
    total = max(1, phase.epochs * steps_an_epoch)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else phase.learning_rate,
        max(1, total - warmup),
        alpha=FINAL_RATE_SHARE,
        warmup_target=phase.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


class Keeper(keras.callbacks.Callback):
    """After each epoch: validation figures, history, best checkpoint, state for a resume, early stopping."""

    def __init__(
        self,
        run: Path,
        model: keras.Model,
        optimizer: keras.Optimizer,
        validation: Part,
        labels: tuple[str, ...],
        recipe: Recipe,
        phase: Phase,
        progress: Progress,
        report: Report,
    ) -> None:
        super().__init__()
        self._run, self._kept, self._optimizer, self._validation = run, model, optimizer, validation
        self._labels, self._recipe, self._phase = labels, recipe, phase
        self._progress, self._report = progress, report
        # Never compiled, so that its file holds no optimizer state; clone_model would copy that.
        self._plain = type(model).from_config(model.get_config())
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure, keep the best, write history and state, and stop the phase when it no longer improves."""
        logs = logs if logs is not None else {}
        progress, monitor = self._progress, self._recipe.monitor
        probabilities = softmax(predict_logits(self._kept, self._validation.images))
        figures = summarize(self._validation.labels, probabilities, self._labels)
        logs |= {f"val_{key}": figures[key] for key in ("accuracy", "macro_f1", "weighted_f1")}
        logs["val_loss"] = figures["negative_log_likelihood"]
        progress.epoch = epoch + 1
        progress.seconds += time.monotonic() - self._started
        progress.rows.append(self._row(logs))
        figure = figures[monitor]
        better = progress.best is None or figure > progress.best
        if better:
            progress.best = figure
            self._plain.set_weights(self._kept.get_weights())
            save_model(self._run, self._plain)
        if progress.phase_best is None or figure > progress.phase_best:
            progress.phase_best, progress.waited = figure, 0
        else:
            progress.waited += 1
        write_history(self._run / HISTORY_FILE, progress.rows)
        save_state(self._run, progress, self._kept, self._optimizer)
        self._report(
            f"{self._phase.name} {progress.epoch}/{self._phase.epochs}: loss {logs['loss']:.4f}, validation accuracy "
            f"{figures['accuracy']:.4f}, macro-F1 {figures['macro_f1']:.4f}{' (best)' if better else ''}"
        )
        if progress.waited >= self._recipe.patience:
            self.model.stop_training = True

    def _row(self, logs: dict[str, Any]) -> dict[str, Any]:
        row: dict[str, Any] = {"phase": self._phase.name, "epoch": self._progress.epoch}
        row |= {key: float(value) for key, value in logs.items()}
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self._optimizer.learning_rate))
        row["seconds"] = self._progress.seconds
        return row


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the history as csv, one row an epoch, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, fieldnames=list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def describe(recipe: Recipe) -> str:
    """Return the recipe in a few printable lines."""
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe) if f.name != "phases"}
    lines = [", ".join(f"{key}={value}" for key, value in fields.items())]
    lines += [f"  {phase}" for phase in recipe.phases]
    return "\n".join(lines)
