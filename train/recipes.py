"""Training recipes as frozen dataclasses: printable, saved with each run, changed by flags field by field."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.errors import DataError
from train.augment import NONE, Augment

CLASS_WEIGHTS = ("none", "sqrt", "balanced")
MONITORS = ("macro_f1", "weighted_f1", "accuracy")


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
    """

    name: str
    epochs: int
    learning_rate: float
    trainable: str
    augment: Augment = NONE
    warmup_epochs: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run besides data, backbone and starting weights.

    Attributes:
        name: registry name.
        phases: run one after the other; each starts from the best checkpoint so far.
        size: side of the network's square input in pixels.
        batch: pictures a step.
        class_weights: ``none``, ``balanced`` (n / (classes · count)) or ``sqrt`` (its square root), mean 1 over rows.
        label_smoothing: 0–1, share of a target spread over all classes.
        dropout: rate before the logits, 0–1.
        weight_decay: decoupled (AdamW), per step and learning rate.
        monitor: figure of the validation part that picks the checkpoint and stops early.
        patience: epochs of a phase without a better figure before it ends.
        seed: of initial weights, order and augmentation.
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

    def __post_init__(self) -> None:
        if self.class_weights not in CLASS_WEIGHTS:
            raise DataError(f"expected class weights {', '.join(CLASS_WEIGHTS)}; got {self.class_weights!r}")
        if self.monitor not in MONITORS:
            raise DataError(f"expected a monitor of {', '.join(MONITORS)}; got {self.monitor!r}")
        if not any(phase.epochs > 0 for phase in self.phases):
            raise DataError("expected at least one epoch in some phase; got none; raise --epochs or --head-epochs")

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Recipe:
        """Return the recipe that :meth:`to_json` wrote."""
        phases = tuple(Phase(**{**phase, "augment": Augment(**phase["augment"])}) for phase in values["phases"])
        return Recipe(**{**values, "phases": phases})


TWO_PHASE_AUGMENT = Augment(rotation_deg=15.0, shift=0.08, zoom=0.15, flip=True)

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
}


def recipe(name: str) -> Recipe:
    """Return the recipe called ``name``.

    Raises:
        DataError: there is none; the message lists them.
    """
    if name not in RECIPES:
        raise DataError(f"unknown recipe {name!r}; known: {', '.join(RECIPES)}; choose one of them")
    return RECIPES[name]
