"""``python -m train fit``: a data set and a backbone in, a run folder out."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from edge.cli import command_line
from edge.errors import DataError
from train.datasets import DATASETS, PROTOCOLS, Dataset, apply_protocol, load
from train.recipes import CLASS_WEIGHTS, MONITORS, RECIPES, Recipe
from train.recipes import recipe as recipe_by_name
from train.runs import CONFIG_FILE, SCHEMA, read_config, write_config


@dataclass(frozen=True)
class FitConfig:
    """The resolved flags of one ``fit``; None leaves the recipe's own value."""

    dataset: str
    data: Path | None
    backbone: str
    out: Path
    recipe: str
    weights: str
    protocol: str
    colour: str
    size: int | None
    epochs: int | None
    head_epochs: int | None
    batch: int | None
    learning_rate: float | None
    class_weights: str | None
    monitor: str | None
    patience: int | None
    seed: int | None
    limit: int | None
    augment_on: str
    resume: bool
    quiet: bool


@click.command()
@click.argument("dataset", type=click.Choice(sorted(DATASETS)))
@click.option("--data", type=click.Path(path_type=Path), help="Where the data set lies (file or folder).")
@click.option("--backbone", default="efficientnet-lite0", show_default=True, help="Name of the backbone.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder to write.")
@click.option("--recipe", default="fer2013-two-phase", show_default=True, type=click.Choice(sorted(RECIPES)))
@click.option("--weights", default="none", show_default=True, help="imagenet (download), none, or a weights file.")
@click.option(
    "--protocol",
    default="official-dedup",
    show_default=True,
    type=click.Choice(PROTOCOLS),
    help="Which rows may be trained and selected on.",
)
@click.option("--colour", default="auto", show_default=True, type=click.Choice(("auto", "grey", "rgb")))
@click.option("--size", type=click.IntRange(32, 512), help="Side of the network's input in pixels.")
@click.option("--epochs", type=click.IntRange(0), help="Epochs of the whole network (last phase).")
@click.option("--head-epochs", type=click.IntRange(0), help="Epochs of the head alone (first phase).")
@click.option("--batch", type=click.IntRange(1), help="Pictures a step.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Highest rate of the last phase.")
@click.option("--class-weights", type=click.Choice(CLASS_WEIGHTS))
@click.option("--monitor", type=click.Choice(MONITORS), help="Validation figure that picks the checkpoint.")
@click.option("--patience", type=click.IntRange(1), help="Epochs without improvement before a phase ends.")
@click.option("--seed", type=click.IntRange(0))
@click.option("--limit", type=click.IntRange(1), help="Only the first N training pictures (for trials).")
@click.option(
    "--augment-on",
    default="auto",
    show_default=True,
    type=click.Choice(("auto", "cpu", "device")),
    help="Where pictures are augmented: OpenCV threads or the accelerator.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--quiet", is_flag=True, help="One line an epoch, no progress bar.")
def fit(**flags: Any) -> None:
    """Train a model on DATASET and write a run folder."""
    config = FitConfig(**flags)
    recipe = resolve(config)
    _check_out(config)
    if config.resume:
        recipe = _same_recipe(config, recipe)
    dataset = _dataset(config)
    run_fit(config, recipe, dataset)


def resolve(config: FitConfig) -> Recipe:
    """Return the named recipe with the flags that were given put in.

    Raises:
        DataError: nothing is left to train.
    """
    base = recipe_by_name(config.recipe)
    phases = list(base.phases)
    if config.head_epochs is not None:
        phases[0] = dataclasses.replace(phases[0], epochs=config.head_epochs)
    if config.epochs is not None:
        phases[-1] = dataclasses.replace(phases[-1], epochs=config.epochs)
    if config.learning_rate is not None:
        phases[-1] = dataclasses.replace(phases[-1], learning_rate=config.learning_rate)
    names = ("size", "batch", "class_weights", "monitor", "patience", "seed")
    given = {name: getattr(config, name) for name in names if getattr(config, name) is not None}
    return dataclasses.replace(base, phases=tuple(phases), **given)


def run_fit(config: FitConfig, recipe: Recipe, dataset: Dataset) -> None:
    """Build, train, measure on the validation part, and write the run folder."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    from train.backbones import build
    from train.fit import describe, train_run

    keras.utils.set_random_seed(recipe.seed)
    model = build(
        config.backbone,
        height=recipe.size,
        width=recipe.size,
        classes=len(dataset.labels),
        weights="none" if config.resume else config.weights,
        dropout=recipe.dropout,
    )
    run_json = _run_json(config, recipe, dataset)
    config.out.mkdir(parents=True, exist_ok=True)
    if not config.resume:
        write_config(config.out, run_json)
    click.echo(f"{config.backbone} on {dataset.name} ({dataset.protocol}), backend {keras.backend.backend()}")
    click.echo(describe(recipe))
    on_device = {"auto": None, "cpu": False, "device": True}[config.augment_on]
    progress = train_run(
        config.out,
        model,
        dataset,
        recipe,
        resume=config.resume,
        on_device=on_device,
        verbose=not config.quiet,
        report=click.echo,
    )
    _finish(config, run_json, dataset, progress.rows, progress.seconds)


def _finish(
    config: FitConfig, run_json: dict[str, Any], dataset: Dataset, rows: list[dict[str, Any]], seconds: float
) -> None:
    from train.evaluate import evaluate_run, keep_evaluation
    from train.metrics import class_table
    from train.plots import plot_history
    from train.runs import load_run

    plot_history(rows, config.out / "curves.png")
    run = load_run(config.out)
    result = evaluate_run(run, dataset, "validation")
    keep_evaluation(config.out, result, list(dataset.labels))
    write_config(
        config.out, run_json | {"metrics": {result["part"]: result["single_view"]}, "seconds": round(seconds, 1)}
    )
    click.echo(class_table(result["single_view"]))
    figures = result["single_view"]
    click.echo(
        f"{result['part']}: accuracy {figures['accuracy']:.4f} (95 % {figures['ci95'][0]:.4f}-"
        f"{figures['ci95'][1]:.4f}), macro-F1 {figures['macro_f1']:.4f}; run kept in {config.out}"
    )


def _check_out(config: FitConfig) -> None:
    exists = (config.out / CONFIG_FILE).exists()
    if config.out.exists() and not config.out.is_dir():
        raise DataError(f"expected a folder to write as --out; {config.out} is a file; choose another name")
    if exists and not config.resume:
        raise DataError(
            f"expected a new folder as --out; {config.out} holds a run; add --resume to go on with it, "
            "or choose another name"
        )
    if config.resume and not exists:
        raise DataError(f"expected a run to go on with in {config.out}; there is none; leave --resume out")


def _same_recipe(config: FitConfig, recipe: Recipe) -> Recipe:
    kept = read_config(config.out)
    for what, now in (("backbone", config.backbone), ("recipe", _plain(recipe.to_json()))):
        if kept[what] != now:
            raise DataError(
                f"expected the {what} of the run in {config.out} ({_short(kept[what], now)}); got another "
                f"({_short(now, kept[what])}); give the same flags, or a new --out"
            )
    if kept["data"]["name"] != config.dataset:
        raise DataError(
            f"expected the data set of the run in {config.out} ({kept['data']['name']}); got "
            f"{config.dataset}; give the same flags, or a new --out"
        )
    return recipe


def _plain(value: Any) -> Any:
    import json

    return json.loads(json.dumps(value))


def _short(value: Any, other: Any) -> str:
    """Return only what differs from `other`, field by field."""
    if isinstance(value, dict) and isinstance(other, dict):
        return ", ".join(f"{key}={_short(value[key], other.get(key))}" for key in value if value[key] != other.get(key))
    if isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        return "; ".join(_short(mine, its) for mine, its in zip(value, other, strict=True) if mine != its)
    return str(value)


def _dataset(config: FitConfig) -> Dataset:
    from train.evaluate import as_colour

    dataset = apply_protocol(load(config.dataset, config.data, progress=not config.quiet), config.protocol)
    colour = dataset.colour if config.colour == "auto" else config.colour
    parts = {
        name: dataclasses.replace(part, images=as_colour(part.images, colour)) for name, part in dataset.parts.items()
    }
    if config.limit is not None:
        train = dataset.roles["train"]
        parts[train] = parts[train].take(np.arange(min(config.limit, len(parts[train]))))
    dataset = dataclasses.replace(dataset, parts=parts, colour=colour)
    if config.resume and read_config(config.out)["data"]["fingerprint"] != dataset.fingerprint:
        raise DataError(
            f"expected the pictures that the run in {config.out} began with; these have another "
            "fingerprint; give the same --data, or a new --out"
        )
    return dataset


def _run_json(config: FitConfig, recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    import platform

    import keras

    import edge

    return {
        "schema": SCHEMA,
        "name": config.out.name,
        "backbone": config.backbone,
        "weights": Path(config.weights).name,
        "input": {"height": recipe.size, "width": recipe.size, "colour": dataset.colour},
        "labels": list(dataset.labels),
        "crop": dataclasses.asdict(dataset.crop),
        "recipe": _plain(recipe.to_json()),
        "data": {
            "name": dataset.name,
            "protocol": dataset.protocol,
            "fingerprint": dataset.fingerprint,
            "roles": dict(dataset.roles),
            "counts": dataset.counts(),
            "removed": dict(dataset.removed),
        },
        "command": command_line(),
        "backend": keras.backend.backend(),
        "versions": {
            "fer-edge": edge.__version__,
            "python": platform.python_version(),
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }
