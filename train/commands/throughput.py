"""``python -m train throughput``: pictures a second in training, with the input pipeline on and off."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from edge.cli import command_line
from edge.errors import DataError
from train.devices import keep_heap
from train.networks.precision import PRECISIONS
from train.recipes import RECIPES, Recipe
from train.recipes import recipe as recipe_by_name

PLACES = {"cpu": ("cpu",), "device": ("device",), "both": ("cpu", "device")}
WHERE = {"cpu": "made by OpenCV in threads", "device": "made in the training model"}


@dataclass(frozen=True)
class ThroughputConfig:
    """The resolved flags of one ``throughput``."""

    backbone: str
    size: int
    batch: int
    steps: int
    warmup: int
    rounds: int
    recipe: str
    augment_on: str
    precision: str
    stochastic_depth: float | None
    record: Path | None


@click.command()
@click.option("--backbone", default="efficientnet-lite0", show_default=True, help="Name of the backbone.")
@click.option(
    "--size", default=64, show_default=True, type=click.IntRange(32, 512), help="Side of the input in pixels."
)
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="Pictures a step.")
@click.option("--steps", default=10, show_default=True, type=click.IntRange(1), help="Timed steps a round.")
@click.option("--warmup", default=5, show_default=True, type=click.IntRange(1), help="Untimed steps before them.")
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(1), help="Turns, pipeline on and off.")
@click.option(
    "--recipe",
    default="fer2013-two-phase",
    show_default=True,
    type=click.Choice(sorted(RECIPES)),
    help="Whose augmentation (of its last phase).",
)
@click.option(
    "--augment-on",
    default="auto",
    show_default=True,
    type=click.Choice(("auto", *PLACES)),
    help="Where pictures are augmented: OpenCV threads, the training model, or one after the other.",
)
@click.option("--precision", default="float32", show_default=True, type=click.Choice(sorted(PRECISIONS)))
@click.option("--stochastic-depth", type=click.FloatRange(0, 1, max_open=True), help="Instead of the recipe's rate.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="JSON file to write.")
def throughput(**flags: Any) -> None:
    """Time training steps with the input pipeline on and off."""
    config = ThroughputConfig(**flags)
    if config.record is not None and not config.record.absolute().parent.is_dir():
        raise DataError(f"expected a folder to write --record in; {config.record.parent} is none; make it first")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keep_heap()
    recipe = recipe_by_name(config.recipe)
    if config.stochastic_depth is not None:
        recipe = dataclasses.replace(recipe, stochastic_depth=config.stochastic_depth)
    _run(config, recipe)


def _run(config: ThroughputConfig, recipe: Recipe) -> None:
    import keras

    from train.evaluation.predict import accelerated
    from train.fitting import throughput as timing
    from train.networks.building import build
    from train.networks.precision import at_precision

    keras.utils.set_random_seed(recipe.seed)
    plain = build(
        config.backbone,
        height=config.size,
        width=config.size,
        classes=timing.Load.classes,
        dropout=recipe.dropout,
        stochastic_depth=recipe.stochastic_depth,
    )
    model = at_precision(plain, config.precision)
    load = timing.Load(recipe, config.batch, config.steps, config.warmup, config.rounds)
    place = ("device" if accelerated() else "cpu") if config.augment_on == "auto" else config.augment_on
    devices = ", ".join(str(device) for device in keras.distribution.list_devices())
    click.echo(
        f"{config.backbone} at {config.size} px, batch {config.batch}, {config.precision}, augmentation of "
        f"{recipe.name}, backend {keras.backend.backend()} on {devices}"
    )
    with click.progressbar(length=config.rounds, label="rounds") as bar:
        costs = timing.measure(model, load, PLACES[place], tick=lambda: bar.update(1))
    for name, cost in costs.items():
        click.echo(_line(name, cost.to_json(), cost.shares))
    if config.record is not None:
        facts = {"command": command_line(), "backbone": config.backbone, "precision": config.precision}
        timing.write_record(config.record, timing.record(model, load, costs, facts))
        click.echo(f"kept as {config.record}")


def _line(name: str, figures: dict[str, Any], shares: list[float]) -> str:
    return (
        f"pictures {WHERE[name]}: {figures['images_per_s_on']:.1f} a second, {figures['images_per_s_off']:.1f} from a "
        f"ready batch; the pipeline adds {100 * figures['cost']:+.1f} % to a step ({100 * min(shares):+.1f} to "
        f"{100 * max(shares):+.1f} over {len(shares)} rounds), {100 * figures['cpu_cost']:+.1f} % to its CPU time; "
        f"a batch takes one thread {figures['make_ms']:.1f} ms"
    )
