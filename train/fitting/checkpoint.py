"""What happens after each epoch of a fit: the figures, the best checkpoint, the history and the state to go on from.

What is measured is what would be saved: a plain float32 copy of the network, with the moving average of the weights
where the recipe keeps one.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.errors import DataError
from edge.files import sha256_of, write_atomically
from train.datasets import Part
from train.evaluation.calibration import softmax
from train.evaluation.metrics import summarize
from train.evaluation.predict import predict_logits
from train.fitting.averaging import Statistics, averaged
from train.fitting.state import Progress, save_state
from train.recipes import Phase, Recipe
from train.runs import HISTORY_FILE, MODEL_FILE, NEXT_MODEL_FILE, save_model, settle_model

Report = Callable[[str], None]


class StopAtNonFinite(keras.callbacks.Callback):
    """Ends the epoch under way at the first loss that is not finite; :class:`Checkpoint` then says so.

    Keras' TerminateOnNaN does the same, but waits for every step's result, so that an accelerator runs dry.
    """

    async_safe = True

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the running loss; the model itself must not be touched between two steps."""
        if not np.isfinite((logs or {}).get("loss", 0.0)):
            self._model.stop_training = True


class Checkpoint(keras.callbacks.Callback):
    """After each epoch: validation figures, history, best checkpoint, state for a resume, early stopping.

    Args:
        run: the run folder.
        network: what is trained and saved, without augmentation or teachers; may compute in 16 bits.
        plain: the same network in float32, for the file.
        judged: ``plain`` once more, sharing its weights, compiled for prediction.
        optimizer: built on the training model's variables.
        statistics: batch-norm statistics for averaged weights; None where the recipe averages none or none are needed.
        validation: selects the checkpoint.
        labels: class names.
        recipe: for the monitored figure, the patience and the moving average.
        phase: under way.
        progress: where the run stands; brought forward here.
        report: gets one line an epoch.
    """

    def __init__(
        self,
        *,
        run: Path,
        network: keras.Model,
        plain: keras.Model,
        judged: keras.Model,
        optimizer: keras.Optimizer,
        statistics: Statistics | None,
        validation: Part,
        labels: tuple[str, ...],
        recipe: Recipe,
        phase: Phase,
        progress: Progress,
        report: Report,
    ) -> None:
        super().__init__()
        self._run, self._network, self._optimizer = run, network, optimizer
        self._plain, self._judged = plain, judged
        self._statistics, self._validation, self._labels = statistics, validation, labels
        self._recipe, self._phase, self._progress, self._report = recipe, phase, progress, report
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure, keep the best, write history and state, and stop the phase when it no longer improves.

        Raises:
            DataError: the loss or the network's output is not finite; nothing of this epoch is kept.
        """
        logs = logs if logs is not None else {}
        self._check(epoch, "loss", logs["loss"])
        self._plain.set_weights(self._weights())
        logits = predict_logits(self._judged, self._validation.images)
        self._check(epoch, "output", logits)
        figures = summarize(self._validation.labels, softmax(logits), self._labels)
        logs |= {f"val_{key}": figures[key] for key in ("accuracy", "macro_f1", "weighted_f1")}
        logs["val_loss"] = figures["negative_log_likelihood"]
        progress, figure = self._progress, figures[self._recipe.monitor]
        progress.epoch = epoch + 1
        progress.seconds += time.monotonic() - self._started
        progress.rows.append(self._row(logs))
        better = progress.best is None or figure > progress.best
        if better:
            progress.best = figure
            save_model(self._run, self._plain, NEXT_MODEL_FILE)
            progress.model_sha256 = sha256_of(self._run / NEXT_MODEL_FILE)
        if progress.phase_best is None or figure > progress.phase_best:
            progress.phase_best, progress.waited = figure, 0
        else:
            progress.waited += 1
        write_history(self._run / HISTORY_FILE, progress.rows)
        save_state(self._run, progress, self._network, self._optimizer)
        settle_model(self._run, progress.model_sha256)
        self._report(
            f"{self._phase.name} {progress.epoch}/{self._phase.epochs}: loss {logs['loss']:.4f}, validation accuracy "
            f"{figures['accuracy']:.4f}, macro-F1 {figures['macro_f1']:.4f}{' (best)' if better else ''}"
        )
        if progress.waited >= self._recipe.patience:
            self.model.stop_training = True

    def _weights(self) -> list[np.ndarray]:
        if not self._recipe.ema:
            weights: list[np.ndarray] = self._network.get_weights()
            return weights
        weights = averaged(self._network, self.model, self._optimizer)
        return weights if self._statistics is None else self._statistics(weights)

    def _check(self, epoch: int, what: str, value: Any) -> None:
        if np.isfinite(value).all():
            return
        kept = f"the best model so far stays in {MODEL_FILE}" if self._progress.best is not None else "no model is kept"
        raise DataError(
            f"expected a finite {what} in epoch {epoch + 1} of the phase {self._phase.name}; got NaN or infinity; "
            f"start a new run with a lower --learning-rate (this phase's is {self._phase.learning_rate:g}), or check "
            f"--weights; {kept}"
        )

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
