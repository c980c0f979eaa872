"""The configuration of one ``python -m convert``: its flags, resolved, written into every conversion's JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convert.tflite.export import RECIPES

AGREEMENT_FLOOR = 0.99
INTENDED_USE = (
    "Research and teaching on facial expressions, and interfaces whose users have agreed; it tells what a face shows, "
    "not what a person feels."
)
NOT_FOR = (
    "Decisions about people (hiring, education, policing, border control, health, credit), covert watching, or "
    "inferring what somebody truly feels or intends."
)


@dataclass(frozen=True)
class ConvertConfig:
    """What to convert, how, and where to.

    Attributes:
        model: Run folder of ``python -m train fit``, or a ``.keras`` file.
        recipes: Some of ``convert.tflite.export.RECIPES``.
        dataset: Name in ``train.datasets.DATASETS``.
        data: Where the data set lies; None for the synthetic faces.
        out: Folder for the .tflite files and their JSON.
        name: Of the model; None takes the run's or the file's.
        protocol: Which rows are trained and selected on; None takes the run's.
        parts: Parts to measure on besides the validation part.
        colour: "auto" (the run's, else the data set's), "grey" or "rgb".
        epochs: Of quantization-aware fine-tuning over the training part, if ``steps`` is None.
        steps: Of fine-tuning; 0 calibrates only.
        batch: Pictures a step.
        learning_rate: Highest rate of the fine-tuning, as a share of each channel's largest weight.
        hard_share: Weight of the true labels beside the float network's probabilities, 0..1.
        calibration: Training pictures that start the ranges.
        accuracy_budget: Largest drop of an int8 file on the validation part, in points; its costliest layers stay in
            float until it fits. None keeps none.
        seed: Of order and augmentation.
        without: Lowering rules to leave out, so that their worth can be measured.
        limit: Only the first pictures of each part (for trials).
        version: Of the model, into its metadata.
        licence: Of the model, into its metadata.
        intended_use: Into the metadata.
        not_for: Into the metadata.
        quiet: No progress bars.
        allow_leaks: Take another protocol of the run's own data set than the run's; the file says so.
    """

    model: Path
    recipes: tuple[str, ...]
    dataset: str
    data: Path | None
    out: Path
    name: str | None = None
    protocol: str | None = None
    parts: tuple[str, ...] = ()
    colour: str = "auto"
    epochs: float = 2.0
    steps: int | None = None
    batch: int = 64
    learning_rate: float = 2e-4
    hard_share: float = 0.0
    calibration: int = 1024
    accuracy_budget: float | None = None
    seed: int = 0
    without: tuple[str, ...] = ()
    limit: int | None = None
    version: str = "1.0.0"
    licence: str = "Apache-2.0"
    intended_use: str = INTENDED_USE
    not_for: str = NOT_FOR
    quiet: bool = False
    allow_leaks: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.recipes if name not in RECIPES]
        if unknown or not self.recipes:
            came = ", ".join(unknown) or "none"
            raise ValueError(f"expected recipes out of {', '.join(RECIPES)}; came {came}; give --recipe NAME")
        for name in ("epochs", "learning_rate", "hard_share"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(
                    f"expected {name.replace('_', ' ')} to be a finite number; came {getattr(self, name)}; "
                    f"give --{name.replace('_', '-')} another"
                )
        if self.accuracy_budget is not None and not 0 <= self.accuracy_budget < math.inf:
            raise ValueError(
                f"expected an accuracy budget of 0 points or more; came {self.accuracy_budget}; give a number of points"
            )

    def to_json(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
