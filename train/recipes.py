"""Training recipes as frozen dataclasses: printable, saved with each run, changed by flags field by field."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.errors import DataError
from train.augmentation.augment import NONE, Augment
from train.losses import CLASS_WEIGHTS, LOSSES, Distillation

MONITORS = ("macro_f1", "weighted_f1", "accuracy")
TARGETS = ("labels", "votes")
SAMPLING = ("natural", "balanced")
TRAINABLE = ("head", "all")


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise DataError(f"expected {what} {', '.join(known)}; got {value!r}; choose one of them")


def _share(what: str, value: float, below: bool = False) -> None:
    if not 0 <= value <= 1 or (below and value == 1):
        raise DataError(f"expected {what} from 0 to {'below ' if below else ''}1; got {value}; change it")


@dataclass(frozen=True)
class Phase:
    """One leg of a training run.

    Attributes:
        name: shown in the history, e.g. ``head``.
        epochs: at most this many; 0 leaves the phase out.
        learning_rate: at the start, after the warm-up; decays by a half cosine to 1 % of it.
        trainable: ``head`` (the backbone is frozen, its batch-norm statistics too) or ``all``.
        augment: distortions of the training pictures.
        warmup_epochs: linear warm-up from zero, in epochs (fractions allowed).
        freeze: share of the backbone's weight layers, counted from the input, that ``all`` leaves frozen, 0–1.
    """

    name: str
    epochs: int
    learning_rate: float
    trainable: str
    augment: Augment = NONE
    warmup_epochs: float = 0.0
    freeze: float = 0.0

    def __post_init__(self) -> None:
        _one_of(f"phase {self.name!r} to train", self.trainable, TRAINABLE)
        _share(f"freeze in the phase {self.name!r}", self.freeze)


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run besides its data; a field's default is what earlier versions did.

    Attributes:
        name: registry name.
        phases: run one after the other; each starts from the best checkpoint so far.
        size: side of the network's square input in pixels.
        batch: pictures a step, over all devices.
        class_weights: ``none``, ``balanced`` (n / (classes · count)), ``sqrt`` (its square root) or ``effective`` (by
            the effective number, Cui et al. 2019); mean 1 over rows.
        label_smoothing: 0–1, share of a target spread over all classes.
        dropout: rate before the logits, 0–1.
        weight_decay: decoupled (AdamW), per step and learning rate.
        monitor: figure of the validation part that picks the checkpoint and stops early.
        patience: epochs of a phase without a better figure before it ends.
        seed: of initial weights, order, augmentation and dropout.
        backbone: registry name, or a ``.keras`` file.
        weights: starting weights: ``none``, ``imagenet`` or a file.
        loss: ``cross-entropy`` or ``focal``.
        focal_gamma: exponent of the focal loss.
        effective_beta: beta of ``effective`` class weights, 0 to below 1.
        ema: momentum of the moving average of the weights, a step; 0 trains without one.
        stochastic_depth: drop rate of the last residual branch, rising linearly from 0 (Huang et al. 2016).
        targets: ``labels``, or ``votes``: the annotators' distribution where a picture has one.
        votes_share: share of that distribution in a target of ``votes``, 0–1; the label has the rest.
        sampling: ``natural`` takes every picture once an epoch; ``balanced`` draws each class alike, with replacement.
        distillation_weight: share of the teachers' term in the loss where the run has teachers, 0–1.
        distillation_temperature: softens teachers and student alike.
    """

    name: str
    phases: tuple[Phase, ...]
    size: int = 64
    batch: int = 64
    class_weights: str = "sqrt"
    label_smoothing: float = 0.05
    dropout: float = 0.3
    weight_decay: float = 1e-4
    monitor: str = "macro_f1"
    patience: int = 6
    seed: int = 2013
    backbone: str = "efficientnet-lite0"
    weights: str = "none"
    loss: str = "cross-entropy"
    focal_gamma: float = 2.0
    effective_beta: float = 0.9999
    ema: float = 0.0
    stochastic_depth: float = 0.0
    targets: str = "labels"
    votes_share: float = 1.0
    sampling: str = "natural"
    distillation_weight: float = 0.5
    distillation_temperature: float = 2.0

    def __post_init__(self) -> None:
        _one_of("class weights", self.class_weights, CLASS_WEIGHTS)
        _one_of("a monitor of", self.monitor, MONITORS)
        _one_of("a loss of", self.loss, LOSSES)
        _one_of("targets", self.targets, TARGETS)
        _one_of("sampling", self.sampling, SAMPLING)
        for name in ("label_smoothing", "votes_share", "dropout", "ema", "stochastic_depth", "effective_beta"):
            _share(name, getattr(self, name), below=name not in ("label_smoothing", "votes_share"))
        if self.focal_gamma < 0:
            raise DataError(f"expected a focal gamma of at least 0; got {self.focal_gamma}; change --focal-gamma")
        if not any(phase.epochs > 0 for phase in self.phases):
            raise DataError("expected at least one epoch in some phase; got none; raise --epochs or --head-epochs")
        self.distillation()

    def distillation(self) -> Distillation:
        """Return the teachers' part in the loss, for runs that have teachers."""
        return Distillation(self.distillation_weight, self.distillation_temperature)

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values."""
        values = dataclasses.asdict(self)
        return values | {"phases": list(values["phases"])}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Recipe:
        """Return the recipe that :meth:`to_json` wrote; fields that an earlier version did not write get defaults."""
        phases = tuple(Phase(**{**phase, "augment": Augment(**phase["augment"])}) for phase in values["phases"])
        return Recipe(**{**values, "phases": phases})


TWO_PHASE_AUGMENT = Augment(rotation_deg=15.0, shift=0.08, zoom=0.15, flip=True)
MODERN_AUGMENT = Augment(
    rotation_deg=10.0,
    shift=0.06,
    zoom=0.12,
    flip=True,
    randaugment_ops=2,
    randaugment_magnitude=5.0,
    erasing=0.25,
    mixup_alpha=0.2,
    cutmix_alpha=1.0,
    mixing=0.5,
)

RECIPES: dict[str, Recipe] = {
    # FER2013 transfer learning in two phases: the new top on a frozen backbone, then the whole network at a lower
    # rate under rotation, shift, zoom and horizontal flip; TTA belongs to evaluation.
    "fer2013-two-phase": Recipe(
        "fer2013-two-phase",
        (
            Phase("head", 2, 2e-3, "head"),
            Phase("whole", 20, 8e-4, "all", TWO_PHASE_AUGMENT, warmup_epochs=0.5),
        ),
    ),
    # RAF-DB on ConvNeXt-Tiny from ImageNet: fine-tuning with augmentation and the class-balanced loss (effective
    # number), early stopping and checkpoint on weighted F1. The published text names no rates: these are our choice.
    "rafdb-convnext": Recipe(
        "rafdb-convnext",
        (Phase("whole", 30, 1e-4, "all", TWO_PHASE_AUGMENT, warmup_epochs=1.0),),
        batch=32,
        class_weights="effective",
        effective_beta=0.9999,
        label_smoothing=0.0,
        dropout=0.2,
        weight_decay=0.05,
        monitor="weighted_f1",
        patience=5,
        backbone="convnext-tiny",
        weights="imagenet",
        stochastic_depth=0.1,
    ),
    # What the published recipes leave as future work, and what training has gained since. Long, since all of it works
    # against overfitting; no early stop, since the cosine's last epochs are the best ones. --teacher adds distillation.
    "modern": Recipe(
        "modern",
        (Phase("whole", 60, 1e-3, "all", MODERN_AUGMENT, warmup_epochs=3.0),),
        batch=128,
        label_smoothing=0.1,
        dropout=0.2,
        weight_decay=0.05,
        patience=60,
        ema=0.998,
        stochastic_depth=0.1,
    ),
}


def recipe(name: str) -> Recipe:
    """Return the recipe called ``name``.

    Raises:
        DataError: there is none; the message lists them.
    """
    if name not in RECIPES:
        raise DataError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}; choose one of them")
    return RECIPES[name]


def describe(recipe: Recipe) -> str:
    """Return the recipe in a few printable lines; of an augmentation only what it does."""
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe) if f.name != "phases"}
    lines = [", ".join(f"{key}={value}" for key, value in fields.items())]
    for phase in recipe.phases:
        values = {f.name: getattr(phase, f.name) for f in dataclasses.fields(phase) if f.name != "augment"}
        done = {key: value for key, value in vars(phase.augment).items() if value != getattr(NONE, key)}
        values["augment"] = f"({', '.join(f'{key}={value}' for key, value in done.items())})" if done else "none"
        lines.append(f"  phase {', '.join(f'{key}={value}' for key, value in values.items())}")
    return "\n".join(lines)
