"""Recipes: what the published ones say, what flags change, and that old runs' recipes still load."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge.errors import DataError
from train.__main__ import main
from train.recipes import RECIPES, Phase, Recipe, describe, recipe


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_two_phase_recipe_is_the_one_that_the_shipped_model_was_trained_with() -> None:
    kept = recipe("fer2013-two-phase").to_json()
    augment = {"rotation_deg": 15.0, "shift": 0.08, "zoom": 0.15, "flip": True}
    old: dict[str, Any] = {
        "name": "fer2013-two-phase",
        "size": 64,
        "batch": 64,
        "class_weights": "sqrt",
        "label_smoothing": 0.05,
        "dropout": 0.3,
        "weight_decay": 1e-4,
        "monitor": "macro_f1",
        "patience": 6,
        "seed": 2013,
    }
    head = {"name": "head", "epochs": 2, "learning_rate": 2e-3, "trainable": "head", "warmup_epochs": 0.0}
    whole = {"name": "whole", "epochs": 20, "learning_rate": 8e-4, "trainable": "all", "warmup_epochs": 0.5}
    still = {"rotation_deg": 0.0, "shift": 0.0, "zoom": 0.0, "flip": False}
    assert {key: kept[key] for key in old} == old
    # What an earlier version wrote, without the fields that came since, is the same recipe.
    phases = [head | {"augment": still}, whole | {"augment": augment}]
    assert Recipe.from_json(old | {"phases": phases}) == recipe("fer2013-two-phase")


def test_rafdb_recipe_is_the_published_one() -> None:
    rafdb = recipe("rafdb-convnext")
    assert (rafdb.backbone, rafdb.weights) == ("convnext-tiny", "imagenet")
    assert (rafdb.class_weights, rafdb.monitor) == ("effective", "weighted_f1")
    assert rafdb.patience < rafdb.phases[-1].epochs
    assert rafdb.phases[-1].augment.flip


def test_modern_recipe_holds_all_that_it_promises() -> None:
    modern = recipe("modern")
    augment = modern.phases[-1].augment
    assert min(modern.ema, modern.label_smoothing, modern.stochastic_depth, modern.phases[-1].warmup_epochs) > 0
    assert min(augment.randaugment_ops, augment.mixup_alpha, augment.cutmix_alpha, augment.erasing) > 0
    assert modern.distillation().weight > 0


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json_and_prints_all_its_fields(name: str) -> None:
    assert Recipe.from_json(recipe(name).to_json()) == recipe(name)
    text = describe(recipe(name))
    assert all(f"{f.name}=" in text for f in dataclasses.fields(Recipe) if f.name != "phases")
    assert text.count("\n  phase ") == len(recipe(name).phases)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("loss", "hinge", "expected a loss of cross-entropy, focal; got 'hinge'"),
        ("targets", "guesses", "expected targets labels, votes; got 'guesses'"),
        ("votes_share", 1.5, "expected votes_share from 0 to 1; got 1.5"),
        ("sampling", "odd", "expected sampling natural, balanced; got 'odd'"),
        ("ema", 1.0, "expected ema from 0 to below 1; got 1.0"),
        ("stochastic_depth", -0.1, "expected stochastic_depth from 0 to below 1; got -0.1"),
        ("effective_beta", 1.0, "expected effective_beta from 0 to below 1"),
        ("focal_gamma", -1.0, "expected a focal gamma of at least 0"),
        ("distillation_weight", 1.5, "expected a distillation weight from 0 to 1"),
    ],
)
def test_nonsense_in_a_recipe_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataclasses.replace(recipe("modern"), **{field: value})


def test_nonsense_in_a_phase_is_refused() -> None:
    with pytest.raises(DataError, match="expected phase 'a' to train head, all; got 'tail'"):
        Phase("a", 1, 1e-3, "tail")
    with pytest.raises(DataError, match="expected freeze in the phase 'a' from 0 to 1; got 2"):
        Phase("a", 1, 1e-3, "all", freeze=2)


def test_recipes_command_prints_one_or_all_and_names_what_it_knows() -> None:
    every, one = _run("recipes"), _run("recipes", "modern")
    assert (every.exit_code, one.exit_code) == (0, 0)
    assert all(f"name={name}" in every.output for name in RECIPES)
    assert "name=modern" in one.output and "name=rafdb" not in one.output
    unknown = _run("recipes", "nouvelle")
    assert (unknown.exit_code, "unknown recipe 'nouvelle'; known: fer2013-two-phase" in unknown.output) == (1, True)
