"""How many pictures a second a backbone trains on, and what the input pipeline takes of that.

The same ``fit`` as in training is timed with the pipeline on (pictures drawn, augmented and fed) and off (one ready
batch of the same kind fed again and again; Keras' own feeding is in both), turn and turn about, so that a machine that
slows down slows both. The queue of batches made ahead is full when the clock starts and is kept full while it runs:
each timed step pays for one batch.

A record is one JSON object (schema 1):

* ``schema``, ``kind`` = "throughput", ``created`` (ISO 8601, UTC), ``fer_edge`` (version), ``command`` (its words),
  ``machine`` (model, arch, cores, os, python: as in the latency records);
* ``backend``, ``devices``, ``xla`` (whether steps are compiled by it), ``precision``, ``versions``;
* ``backbone``, ``parameters`` (how many), ``size`` (px), ``batch``, ``source_px`` (side of the data's pictures),
  ``recipe`` (its optimizer and loss take part in the step) and ``augment`` (what happens to the pictures);
* ``steps`` and ``warmup`` (steps a round, timed and not), ``rounds``;
* ``pipelines``: for ``cpu`` and ``device`` (where pictures are made; one or both) an object with ``images_per_s_on``,
  ``images_per_s_off`` (medians over the rounds), ``cost`` (median over the rounds of seconds on / seconds off − 1, a
  share of a step), ``cpu_cost`` (the same of the process's CPU time over all threads: what other programs on the
  machine hardly touch), ``seconds_on``, ``seconds_off``, ``cpu_seconds_on``, ``cpu_seconds_off`` (each round's timed
  steps together), ``make_ms`` (median time that one thread takes to make a batch while nothing trains).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np

from edge.benchmarking.records import machine, now
from edge.files import write_atomically
from train.augmentation.batches import AHEAD, Batches, augmenting
from train.evaluation.predict import uses_xla
from train.fitting.fit import make_optimizer
from train.fitting.objectives import make_accuracy, make_loss
from train.recipes import Phase, Recipe

SCHEMA = 1
KIND = "throughput"
SOURCE_PX = 48
CPU, DEVICE = "cpu", "device"
MAKES = 20  # batches made for make_ms
COMPILING_STEPS = 2


@dataclass(frozen=True)
class Load:
    """What is timed.

    Attributes:
        recipe: its optimizer, loss and, of its last phase, augmentation.
        batch: pictures a step.
        steps: timed steps a round.
        warmup: steps before them in each round, not timed.
        rounds: how often each pipeline and the ready batch take their turn.
        classes: of the targets.
        seed: of the random pictures and what happens to them.
    """

    recipe: Recipe
    batch: int
    steps: int = 10
    warmup: int = 5
    rounds: int = 9
    classes: int = 7
    seed: int = 0

    @property
    def phase(self) -> Phase:
        """The recipe's last phase, which trains the whole network."""
        return self.recipe.phases[-1]


@dataclass(frozen=True)
class Cost:
    """Timed rounds of one pipeline against the ready batch.

    Attributes:
        images: pictures a round.
        on: of each round's timed steps, pictures made anew: seconds by the clock, and of CPU time.
        off: the same with the ready batch.
        make_ms: to make one batch in one thread.
    """

    images: int
    on: tuple[tuple[float, float], ...]
    off: tuple[tuple[float, float], ...]
    make_ms: float

    @property
    def shares(self) -> list[float]:
        """What the pipeline adds to a step in each round, as a share of it (negative by noise alone)."""
        return [on[0] / off[0] - 1 for on, off in zip(self.on, self.off, strict=True)]

    @property
    def cpu_shares(self) -> list[float]:
        """What it adds to the CPU time of a step in each round, as a share of it."""
        return [on[1] / off[1] - 1 for on, off in zip(self.on, self.off, strict=True)]

    def to_json(self) -> dict[str, Any]:
        """Return the pipeline's object of the record."""
        return {
            "images_per_s_on": median(self.images / seconds for seconds, _ in self.on),
            "images_per_s_off": median(self.images / seconds for seconds, _ in self.off),
            "cost": median(self.shares),
            "cpu_cost": median(self.cpu_shares),
            "seconds_on": [seconds for seconds, _ in self.on],
            "seconds_off": [seconds for seconds, _ in self.off],
            "cpu_seconds_on": [cpu for _, cpu in self.on],
            "cpu_seconds_off": [cpu for _, cpu in self.off],
            "make_ms": self.make_ms,
        }


def measure(
    model: keras.Model, load: Load, pipelines: tuple[str, ...], tick: Callable[[], None] = lambda: None
) -> dict[str, Cost]:
    """Return the cost of each pipeline (``cpu``, ``device``) in training ``model``, whose weights are changed.

    Args:
        model: pictures ``(n, height, width, 3)`` in 0–255 -> logits.
        load: what is timed.
        pipelines: where pictures are made.
        tick: called after each round.
    """
    batches = {name: _batches(model, load, on_device=name == DEVICE) for name in pipelines}
    models = {name: augmenting(_copy(model)) if name == DEVICE else model for name in pipelines}
    for trained in {id(each): each for each in (model, *models.values())}.values():
        _compile(trained, load)
    ready = _Ready(_batches(model, load, on_device=False).make(0))
    runs: dict[str, tuple[keras.Model, keras.utils.PyDataset]] = {"off": (model, ready)}
    runs |= {name: (models[name], batches[name]) for name in pipelines}
    for trained, data in runs.values():
        _seconds(trained, data, COMPILING_STEPS, 1)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(load.rounds):
        for name in list(runs) if turn % 2 else reversed(runs):
            seconds[name].append(_seconds(*runs[name], load.warmup, load.steps))
        tick()
    images, off = load.batch * load.steps, tuple(seconds["off"])
    return {name: Cost(images, tuple(seconds[name]), off, _make_ms(batches[name])) for name in pipelines}


def record(model: keras.Model, load: Load, costs: dict[str, Cost], facts: dict[str, Any]) -> dict[str, Any]:
    """Return the record; ``facts`` has what the model itself cannot say (command, backbone, precision)."""
    import cv2

    import edge

    backend = keras.backend.backend()
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "created": now(),
        "fer_edge": edge.__version__,
        "machine": machine(),
        "backend": backend,
        "devices": [str(device) for device in keras.distribution.list_devices()],
        "xla": uses_xla(),
        "versions": {
            "keras": keras.__version__,
            backend: version(backend),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
        "parameters": model.count_params(),
        "size": model.inputs[0].shape[1],
        "source_px": SOURCE_PX,
        "batch": load.batch,
        "recipe": load.recipe.name,
        "augment": asdict(load.phase.augment),
        "steps": load.steps,
        "warmup": load.warmup,
        "rounds": load.rounds,
        "pipelines": {name: cost.to_json() for name, cost in costs.items()},
        **facts,
    }


def write_record(path: Path, values: dict[str, Any]) -> None:
    """Write a record atomically.

    Raises:
        ValueError: a figure is not finite.
        OSError: the file cannot be written.
    """
    write_atomically(path, json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


class _Ready(keras.utils.PyDataset):
    """One ready batch, again and again."""

    def __init__(self, batch: Any) -> None:
        super().__init__(workers=1)
        self._batch = batch

    def __len__(self) -> int:
        return 1 << 30

    def __getitem__(self, index: int) -> Any:
        return self._batch


class _Clock(keras.callbacks.Callback):
    """Reads the time after ``warmup`` steps and after ``steps`` more, each time when the step is through."""

    def __init__(self, warmup: int, steps: int) -> None:
        super().__init__()
        self._first, self._last = warmup - 1, warmup + steps - 1
        self._started = self.seconds = (0.0, 0.0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Wait for the loss of the step, then look at the clock."""
        if batch in (self._first, self._last):
            float(logs["loss"])
            moment, before = (time.perf_counter(), time.process_time()), self._started
            self._started, self.seconds = moment, (moment[0] - before[0], moment[1] - before[1])


def _batches(model: keras.Model, load: Load, on_device: bool) -> Batches:
    rng = np.random.default_rng(load.seed)
    count = load.batch * (max(load.warmup + load.steps, COMPILING_STEPS + 1) + AHEAD)  # made ahead to the last step
    labels = rng.integers(0, load.classes, count)
    return Batches(
        rng.integers(0, 256, (count, SOURCE_PX, SOURCE_PX), np.uint8),
        np.eye(load.classes, dtype=np.float32)[labels],
        np.ones(count, np.float32),
        size=model.inputs[0].shape[1:3],
        batch=load.batch,
        augment=load.phase.augment,
        seed=load.seed,
        on_device=on_device,
    )


def _compile(model: keras.Model, load: Load) -> None:
    recipe = load.recipe
    model.compile(
        make_optimizer(recipe, load.phase, load.rounds * load.steps, scaled=model.compute_dtype == "float16"),
        make_loss(recipe.loss, label_smoothing=recipe.label_smoothing, focal_gamma=recipe.focal_gamma),
        weighted_metrics=[make_accuracy(load.classes)],
        jit_compile=uses_xla(),
    )


def _copy(model: keras.Model) -> keras.Model:
    """Return another model of the same layers: under JAX two compiled models must not share variables."""
    return type(model).from_config(model.get_config())


def _seconds(model: keras.Model, data: keras.utils.PyDataset, warmup: int, steps: int) -> tuple[float, float]:
    # Under JAX a fit leaves weights and moving average in one buffer, which the next fit cannot donate twice.
    for variable in model.optimizer.variables:
        variable.assign(np.array(keras.ops.convert_to_numpy(variable)))
    clock = _Clock(warmup, steps)
    model.fit(data, steps_per_epoch=warmup + steps, shuffle=False, callbacks=[clock], verbose=0)
    return clock.seconds


def _make_ms(batches: Batches) -> float:
    times = []
    for index in range(min(MAKES, len(batches))):
        started = time.perf_counter()
        batches.make(index)
        times.append(1000 * (time.perf_counter() - started))
    return median(times)
