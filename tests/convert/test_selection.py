"""Which pictures and which recipes come first: what is chosen is chosen on validation and training pictures alone."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convert import conversion
from convert.config import ConvertConfig
from convert.reporting.progress import Progress
from convert.source import calibration_pictures
from convert.tflite.export import RECIPES
from edge.inference.contract import CropSpec
from edge.labels import EMOTIONS
from tests.convert.networks import SIDE, small_network
from train.datasets import Dataset, Part

LEVELS = {"Training": (0, 80), "PublicTest": (88, 168), "PrivateTest": (176, 256)}  # of a part's pixels: tells it apart
ROLES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Three parts of fourteen noisy pictures each; the range of the pixels and the first label tell the part."""
    generator = np.random.default_rng(0)
    parts = {
        name: Part(generator.integers(low, high, (14, SIDE, SIDE, 3), dtype=np.uint8), (np.arange(14) + number) % 7)
        for number, (name, (low, high)) in enumerate(LEVELS.items())
    }
    return Dataset("drawn", EMOTIONS, parts, ROLES, CropSpec(side_scale=1.0), "rgb", "f" * 64)


def part_of(images: np.ndarray) -> str:
    """The part that all of the pictures, raw or normalized, are from."""
    pixels = images if images.dtype == np.uint8 else np.round(images * 128 + 128)
    (name,) = [name for name, (low, high) in LEVELS.items() if low <= pixels.min() and pixels.max() < high]
    return name


class Watched:
    """What each step of a conversion looked at: (step, part) in order, without repetitions."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.steps: dict[tuple[str, str], None] = {}
        self.decides: dict[str, bool] = {}
        self.logits: list[tuple[np.ndarray, str]] = []
        self.doing = ""
        wrappers: dict[str, Callable[..., Any]] = {
            "convert.conversion.predict": self._predict,
            "convert.conversion.finetune": self._finetune,
            "convert.quantization.fakequant.calibrate": self._calibrate,
            "convert.budget.choose": self._choose,
            "convert.conversion.fit_temperature": self._first(self._temperature),
            "convert.conversion.temperature_effect": self._first(self._temperature),
            "convert.verification.sensitivity.sensitivity": self._first(
                lambda _, few, *__: ("roundings", part_of(few))
            ),
            "convert.verification.checks.run_file": self._first(lambda _, images, *__: (self.doing, part_of(images))),
            "convert.conversion._share_right": self._first(lambda _, part: ("share right", part.name)),
            "convert.verification.checks.require_agreement": self._agreement,
        }
        for name, wrapper in wrappers.items():
            module, _, function = name.rpartition(".")
            patch.setattr(name, functools.partial(wrapper, getattr(importlib.import_module(module), function)))

    def of(self, step: str) -> list[str]:
        """The parts that a step looked at."""
        return [part for name, part in self.steps if name == step]

    def _saw(self, step: str, part: str) -> None:
        if step:
            self.steps[step, part] = None

    def _first(self, look: Callable[..., tuple[str, str]]) -> Callable[..., Any]:
        """Takes down the step and the part that a function's arguments tell, then calls it."""

        def wrapper(original: Any, *words: Any, **named: Any) -> Any:
            self._saw(*look(*words))
            return original(*words, **named)

        return wrapper

    def _temperature(self, logits: np.ndarray, labels: np.ndarray, *_: Any) -> tuple[str, str]:
        (name,) = {part for rows, part in self.logits if rows is logits}
        assert list(LEVELS)[labels[0]] == name
        return "temperature", name

    def _agreement(self, original: Any, recipe: str, part: str, *rest: Any, decides: bool, **named: Any) -> Any:
        self.decides[part] = decides
        return original(recipe, part, *rest, decides=decides, **named)

    def _predict(self, original: Any, model: Any, graph: Any, images: np.ndarray) -> Any:
        self._saw(self.doing, part_of(images))
        rows = original(model, graph, images)
        self.logits.append((rows, part_of(images)))
        return rows

    def _calibrate(self, original: Any, model: Any, graph: Any, batches: Any) -> Any:
        batches = list(batches)
        for batch in batches:
            self._saw("calibration", part_of(batch))
        return original(model, graph, batches)

    def _finetune(
        self, original: Any, model: Any, teacher: Any, graph: Any, batches: Any, evaluate: Any, *rest: Any
    ) -> Any:
        def drawing(step: int) -> Any:
            images, labels = batches(step)
            self._saw("fine-tuning", part_of(images))
            return images, labels

        def evaluating(candidate: Any) -> Any:
            self.doing = "evaluation"
            figures = evaluate(candidate)
            self.doing = ""
            return figures

        return original(model, teacher, graph, drawing, evaluating, *rest)

    def _choose(self, original: Any, graph: Any, roundings: Any, of_network: Any, of_file: Any, budget: float) -> Any:
        self.doing = "budget"
        of_network(frozenset())
        choice = original(graph, roundings, of_network, of_file, budget)
        self.doing = ""
        return choice


def test_nothing_is_chosen_on_the_part_that_is_only_measured(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convert.lowering.parity import randomize

    model = small_network()
    randomize(model, 0)
    model.save(tmp_path / "small.keras")
    watched = Watched(monkeypatch)
    monkeypatch.setattr(conversion, "load_dataset", lambda config: dataset)
    monkeypatch.setattr(conversion, "summarize", lambda paths, progress: tmp_path)
    config = ConvertConfig(
        tmp_path / "small.keras", ("qat-int8",), "drawn", None, tmp_path / "out", parts=("test",),
        steps=1, batch=7, calibration=10, accuracy_budget=100.0, quiet=True,
    )  # fmt: skip
    conversion.convert(config, ["convert"], Progress())
    assert {step: watched.of(step) for step, _ in watched.steps} == {
        "temperature": ["PublicTest"],
        "calibration": ["Training"],
        "fine-tuning": ["Training"],
        "evaluation": ["PublicTest"],
        "roundings": ["Training"],
        "budget": ["PublicTest"],
        "share right": ["PublicTest"],
    }
    assert watched.decides == {"PublicTest": True, "PrivateTest": False}


def test_calibration_pictures_are_drawn_from_the_training_part_without_repetition(dataset: Dataset) -> None:
    source: Any = SimpleNamespace(height=SIDE, width=SIDE, colour="rgb", own=True, labels=EMOTIONS)
    known = [image.tobytes() for image in dataset.parts["Training"].images]

    def drawn(count: int, seed: int = 0, limit: int | None = None) -> list[int]:
        return [known.index(image.tobytes()) for image in calibration_pictures(source, dataset, count, seed, limit)]

    assert sorted(drawn(99)) == list(range(14))
    assert drawn(5) == drawn(99)[:5] == drawn(5)
    assert drawn(99) != drawn(99, seed=1)
    assert sorted(drawn(99, limit=4)) == [0, 1, 2, 3]
    test = dataclasses.replace(dataset, roles=ROLES | {"train": "PrivateTest"})
    assert part_of(calibration_pictures(source, test, 5, 0)) == "PrivateTest"


@pytest.mark.parametrize("recipes", [("qat-int8", "ptq-int8"), ("ptq-int8", "qat-int8"), (*reversed(RECIPES),)])
def test_qat_int8_comes_last_whatever_the_order_asked_for_as_it_trains_the_network_of_the_others(
    recipes: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = ["calibrated"]
    content: dict[str, str] = {}

    def recipe_of(work: Any, recipe: str, fake_quant: list[str]) -> Path:
        if recipe == "qat-int8":
            fake_quant[0] = "fine-tuned"
        content[recipe] = fake_quant[0]
        return tmp_path / recipe

    monkeypatch.setattr(conversion, "prepare", lambda *_: None)
    monkeypatch.setattr(conversion, "_calibrated", lambda work: network)
    monkeypatch.setattr(conversion, "convert_recipe", recipe_of)
    monkeypatch.setattr(conversion, "summarize", lambda paths, progress: tmp_path / "page.html")
    config = ConvertConfig(tmp_path, recipes, "drawn", None, tmp_path)
    written = [path.name for path in conversion.convert(config, [], Progress())]
    assert {recipe for recipe in content if content[recipe] == "fine-tuned"} == {"qat-int8"}
    assert sorted(written) == sorted([*recipes, "page.html"])
