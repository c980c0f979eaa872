"""``python -m train fit``: a data set and a backbone in, a run folder out."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from edge.cli import command_line
from edge.errors import DataError
from edge.files import sha256_of
from edge.inference.modelfile import read_model
from train.datasets import DATASETS, PROTOCOLS, Dataset, apply_protocol, limit_note, load
from train.losses import CLASS_WEIGHTS, LOSSES
from train.networks.precision import PRECISIONS
from train.recipes import MONITORS, RECIPES, SAMPLING, TARGETS, Phase, Recipe, describe
from train.recipes import recipe as recipe_by_name
from train.runs import CONFIG_FILE, SCHEMA, STATE_FILE, read_config, write_config

if TYPE_CHECKING:
    import keras

    from train.fitting.distill import Teacher
    from train.fitting.state import Progress


@dataclass(frozen=True)
class FitConfig:
    """The resolved flags of one ``fit``; None leaves the recipe's own value.

    A field of the recipe has its name there, one of its last phase too, one of that phase's augmentation the name in
    ``AUGMENT_FLAGS``.
    """

    dataset: str
    data: Path | None
    votes: Path | None
    backbone: str | None
    out: Path
    recipe: str
    weights: str | None
    protocol: str
    drop_leaks: bool
    colour: str
    size: int | None
    epochs: int | None
    head_epochs: int | None
    batch: int | None
    learning_rate: float | None
    warmup_epochs: float | None
    freeze: float | None
    class_weights: str | None
    effective_beta: float | None
    loss: str | None
    focal_gamma: float | None
    label_smoothing: float | None
    targets: str | None
    votes_share: float | None
    sampling: str | None
    dropout: float | None
    stochastic_depth: float | None
    weight_decay: float | None
    ema: float | None
    randaugment: float | None
    erasing: float | None
    mixup: float | None
    cutmix: float | None
    teacher: tuple[str, ...]
    distillation_weight: float | None
    distillation_temperature: float | None
    monitor: str | None
    patience: int | None
    seed: int | None
    limit: int | None
    augment_on: str
    mixed_precision: str | None
    devices: str
    tensorboard: bool
    resume: bool
    quiet: bool


RESUME_FLAGS = {  # what of a run.json must stay on resume, and the flags that decide it
    "protocol": "--protocol and --drop-leaks",
    "roles": "--protocol",
    "counts": "--limit",
    "input": "--colour and --size",
}
PHASE_FLAGS = ("epochs", "learning_rate", "warmup_epochs", "freeze")
AUGMENT_FLAGS = {
    "randaugment": "randaugment_magnitude",
    "erasing": "erasing",
    "mixup": "mixup_alpha",
    "cutmix": "cutmix_alpha",
}
RANDAUGMENT_OPS = 2
SHARE = click.FloatRange(0, 1)
BELOW_ONE = click.FloatRange(0, 1, max_open=True)
NOT_NEGATIVE = click.FloatRange(0)
POSITIVE = click.FloatRange(0, min_open=True)


@click.command()
@click.argument("dataset", type=click.Choice(sorted(DATASETS)))
@click.option("--data", type=click.Path(path_type=Path), help="Where the data set lies (file or folder).")
@click.option("--votes", type=click.Path(path_type=Path), help="fer2013new.csv of FER+, for --targets votes.")
@click.option("--backbone", help="Name of the backbone, or a .keras file.  [default: the recipe's]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run folder to write.")
@click.option("--recipe", default="fer2013-two-phase", show_default=True, type=click.Choice(sorted(RECIPES)))
@click.option(
    "--weights",
    help="imagenet (download), none, a weights file, a .tflite, or default or small, the models that ship.  "
    "[default: the recipe's]",
)
@click.option(
    "--protocol",
    default="official-dedup",
    show_default=True,
    type=click.Choice(PROTOCOLS),
    help="Which rows may be trained and selected on.",
)
@click.option("--drop-leaks", is_flag=True, help="Leave out training rows that all but repeat a held-out picture.")
@click.option("--colour", default="auto", show_default=True, type=click.Choice(("auto", "grey", "rgb")))
@click.option("--size", type=click.IntRange(32, 512), help="Side of the network's input in pixels.")
@click.option("--epochs", type=click.IntRange(0), help="Epochs of the whole network (last phase).")
@click.option("--head-epochs", type=click.IntRange(0), help="Epochs of the head alone (first phase).")
@click.option("--batch", type=click.IntRange(1), help="Pictures a step, over all devices.")
@click.option("--learning-rate", type=POSITIVE, help="Highest rate of the last phase.")
@click.option("--warmup-epochs", type=NOT_NEGATIVE, help="Linear warm-up of the last phase.")
@click.option("--freeze", type=SHARE, help="Share of the backbone's layers that the last phase leaves frozen.")
@click.option("--class-weights", type=click.Choice(CLASS_WEIGHTS))
@click.option("--effective-beta", type=BELOW_ONE, help="Beta of --class-weights effective.")
@click.option("--loss", type=click.Choice(LOSSES))
@click.option("--focal-gamma", type=NOT_NEGATIVE, help="Exponent of --loss focal.")
@click.option("--label-smoothing", type=SHARE)
@click.option("--targets", type=click.Choice(TARGETS), help="Labels, or the annotators' votes.")
@click.option("--votes-share", type=SHARE, help="Share of the votes in --targets votes; the label has the rest.")
@click.option(
    "--sampling",
    type=click.Choice(SAMPLING),
    help="How often an epoch shows a class; balanced leaves the recipe's class weights out.",
)
@click.option("--dropout", type=BELOW_ONE, help="Rate before the logits.")
@click.option("--stochastic-depth", type=BELOW_ONE, help="Drop rate of the last residual branch.")
@click.option("--weight-decay", type=NOT_NEGATIVE)
@click.option("--ema", type=BELOW_ONE, help="Momentum of the weights' moving average, a step; 0 is off.")
@click.option("--randaugment", type=click.FloatRange(0, 10), help="Magnitude; 0 is off.")
@click.option("--erasing", type=SHARE, help="Probability of random erasing.")
@click.option("--mixup", type=NOT_NEGATIVE, help="Alpha of MixUp; 0 is off.")
@click.option("--cutmix", type=NOT_NEGATIVE, help="Alpha of CutMix; 0 is off.")
@click.option(
    "--teacher",
    metavar="RUN",
    multiple=True,
    help="Finished run, .tflite, or default or small, the models that ship, to distil from; several are averaged.",
)
@click.option("--distillation-weight", type=SHARE, help="Share of the teachers' term in the loss.")
@click.option("--distillation-temperature", type=POSITIVE)
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
@click.option(
    "--mixed-precision",
    type=click.Choice([name for name in PRECISIONS if name != "float32"]),
    help="Compute in 16 bits; the saved model is float32.",
)
@click.option("--devices", default="1", show_default=True, help="Devices to spread a batch over: a number, or all.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard logs into the run.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@click.option("--quiet", is_flag=True, help="One line an epoch, no progress bar.")
def fit(**flags: Any) -> None:
    """Train a model on DATASET and write a run folder."""
    config = FitConfig(**flags)
    recipe = resolve(config)
    _check_out(config)
    if config.resume:
        _check_same(config, recipe)
    dataset = _dataset(config, recipe)
    run_fit(config, recipe, dataset)


def resolve(config: FitConfig) -> Recipe:
    """Return the named recipe with the flags that were given put in.

    Raises:
        DataError: nothing is left to train, no epoch is left after the warm-up, or a flag that the run has no use for.
    """
    base = recipe_by_name(config.recipe)
    given = {name: value for name, value in vars(config).items() if value is not None}
    phases = list(base.phases)
    if config.head_epochs is not None and len(phases) > 1:
        phases[0] = dataclasses.replace(phases[0], epochs=config.head_epochs)
    elif config.head_epochs:
        raise DataError(f"expected a recipe with a head phase; {base.name} has none; leave --head-epochs out")
    augment = {field: given[flag] for flag, field in AUGMENT_FLAGS.items() if flag in given}
    if config.randaugment is not None:  # at magnitude 0 some operations still change a picture: off is none of them
        drawn = phases[-1].augment.randaugment_ops or RANDAUGMENT_OPS
        augment["randaugment_ops"] = drawn if config.randaugment else 0
    last = {name: given[name] for name in PHASE_FLAGS if name in given}
    phases[-1] = dataclasses.replace(phases[-1], **last, augment=dataclasses.replace(phases[-1].augment, **augment))
    phases[-1] = _warmed_up(phases[-1], config.warmup_epochs)
    names = {field.name for field in dataclasses.fields(Recipe)} - {"name", "phases"}
    changed = {name: given[name] for name in names if name in given}
    for name in ("backbone", "weights"):  # a file's folder is no part of a recipe
        if name in changed:
            changed[name] = Path(changed[name]).name
    if config.sampling == "balanced" and config.class_weights is None:
        changed["class_weights"] = "none"  # the recipe's own would weigh up again what is drawn more often already
    recipe = dataclasses.replace(base, phases=tuple(phases), **changed)
    if (config.votes is not None) and recipe.targets != "votes" and config.dataset != "ferplus":
        raise DataError("expected --targets votes with --votes FILE; got labels; give both, or leave --votes out")
    _check_used(config, recipe)
    return recipe


def _warmed_up(phase: Phase, asked: float | None) -> Phase:
    """Return the phase with a warm-up that it outlasts: of a recipe's own, longer one half the epochs are left.

    Raises:
        DataError: a warm-up was asked for that leaves no epoch after it.
    """
    if not 0 < phase.epochs <= phase.warmup_epochs:
        return phase
    if asked is not None:
        raise DataError(
            f"expected a warm-up shorter than the {phase.epochs} epochs of the phase {phase.name}; got {asked:g}; "
            "lower --warmup-epochs, or raise --epochs"
        )
    return dataclasses.replace(phase, warmup_epochs=phase.epochs / 2)


def _check_used(config: FitConfig, recipe: Recipe) -> None:
    """Raise DataError where a flag was given that nothing in the run would read."""
    teacher = "a run" if config.teacher else "none"
    for flag, value, needed, wanted, came in (
        ("--votes-share", config.votes_share, "--targets", "votes", recipe.targets),
        ("--focal-gamma", config.focal_gamma, "--loss", "focal", recipe.loss),
        ("--effective-beta", config.effective_beta, "--class-weights", "effective", recipe.class_weights),
        ("--distillation-weight", config.distillation_weight, "--teacher", "a run", teacher),
        ("--distillation-temperature", config.distillation_temperature, "--teacher", "a run", teacher),
    ):
        if value is not None and came != wanted:
            raise DataError(f"expected {needed} {wanted} with {flag}; got {came}; give both, or leave {flag} out")


def run_fit(config: FitConfig, recipe: Recipe, dataset: Dataset) -> None:
    """Build, train, measure on the validation part, and write the run folder."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    from train.devices import distribute
    from train.fitting.distill import load_teachers
    from train.fitting.fit import check_tensorboard, train_run
    from train.networks.building import build

    if config.tensorboard:
        check_tensorboard()
    count = distribute(config.devices, min(recipe.batch, len(dataset.part("train"))))
    keras.utils.set_random_seed(recipe.seed)
    fresh = not (config.resume and (config.out / STATE_FILE).is_file())
    start = _start(config, dataset, fresh)
    model = build(
        config.backbone or recipe.backbone,
        height=recipe.size,
        width=recipe.size,
        classes=len(dataset.labels),
        weights=(config.weights or recipe.weights) if fresh else "none",
        dropout=recipe.dropout,
        stochastic_depth=recipe.stochastic_depth,
        colour=dataset.colour,
        pictures=dataset.part("train").images,
        labels=dataset.labels,
        report=click.echo,
    )
    recipe = _with_its_dropout(config, recipe, model)
    teachers = load_teachers(config.teacher, dataset)
    run_json = _run_json(config, recipe, dataset, teachers, start, count)
    if config.resume:
        _check_same_setting(config, run_json)
    config.out.mkdir(parents=True, exist_ok=True)
    if not config.resume:
        write_config(config.out, run_json)
    click.echo(
        f"{run_json['backbone']} on {dataset.name} ({dataset.protocol}), backend {keras.backend.backend()}, "
        f"{count} device{'s' if count > 1 else ''}, {run_json['precision']}; learns from {run_json['supervision']}"
    )
    for note in dataset.notes:
        click.echo(note)
    click.echo(describe(recipe))
    progress = train_run(
        config.out,
        model,
        dataset,
        recipe,
        teachers=[teacher.model for teacher in teachers],
        report=click.echo,
        resume=config.resume,
        on_device={"auto": None, "cpu": False, "device": True}[config.augment_on],
        precision=run_json["precision"],
        tensorboard=config.tensorboard,
        verbose=not config.quiet,
    )
    _finish(config, recipe, run_json, dataset, progress)


def _with_its_dropout(config: FitConfig, recipe: Recipe, model: keras.Model) -> Recipe:
    """Return the recipe with the rate of dropout that the network has: a user's own keeps its own with its logits.

    Raises:
        DataError: another rate was asked for, or the run in --out began with another.
    """
    from train.networks.building import dropout_rate

    rate = dropout_rate(model)
    if config.dropout not in (None, rate):
        raise DataError(
            f"expected no --dropout with {recipe.backbone}, whose own logits are kept with what is before them "
            f"(rate {rate:g}); got {config.dropout:g}; leave --dropout out"
        )
    kept = read_config(config.out)["recipe"].get("dropout", rate) if config.resume else rate
    if kept not in (rate, recipe.dropout):  # earlier versions wrote the recipe's where the network kept its own
        raise DataError(
            f"expected the dropout of the run in {config.out} ({kept:g}); got another ({rate:g}); give the same "
            "flags, or a new --out"
        )
    return dataclasses.replace(recipe, dropout=rate)


def _finish(config: FitConfig, recipe: Recipe, run_json: dict[str, Any], dataset: Dataset, progress: Progress) -> None:
    from train.evaluation.evaluate import evaluate_run, keep_evaluation
    from train.evaluation.metrics import class_table
    from train.evaluation.plots import plot_history
    from train.runs import load_run

    curves = config.out / "curves.png"
    plot_history(progress.rows, curves, monitor=recipe.monitor, ema=recipe.ema > 0, title=config.out.name)
    run = load_run(config.out)
    result = evaluate_run(run, dataset, "validation")
    keep_evaluation(config.out, result, list(dataset.labels))
    write_config(
        config.out,
        run_json | {"metrics": {result["part"]: result["single_view"]}, "seconds": round(progress.seconds, 1)},
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


def _check_same(config: FitConfig, recipe: Recipe) -> None:
    """Raise DataError where the flags differ from those that the run in --out began with."""
    kept = read_config(config.out)
    before = Recipe.from_json({"backbone": kept["backbone"], "weights": kept.get("weights", "none")} | kept["recipe"])
    if recipe.backbone.endswith(".keras") and config.dropout is None:  # perhaps the network's own: compared once built
        recipe = dataclasses.replace(recipe, dropout=before.dropout)
    pairs = {
        "backbone": (kept["backbone"], _backbone(recipe)),
        "recipe": (_plain(before.to_json()), _plain(recipe.to_json())),
        "precision": (kept.get("precision", "float32"), config.mixed_precision or "float32"),
    }
    for what, (then, now) in pairs.items():
        if then != now:
            raise DataError(
                f"expected the {what} of the run in {config.out} ({_short(then, now)}); got another "
                f"({_short(now, then)}); give the same flags, or a new --out (an earlier version may have taken them "
                "otherwise)"
            )
    if kept["data"]["name"] != config.dataset:
        raise DataError(
            f"expected the data set of the run in {config.out} ({kept['data']['name']}); got "
            f"{config.dataset}; give the same flags, or a new --out"
        )


def _check_same_setting(config: FitConfig, run_json: dict[str, Any]) -> None:
    kept = read_config(config.out)
    for what, flags in RESUME_FLAGS.items():
        then, now = (_plain((known["data"] | {"input": known["input"]}).get(what)) for known in (kept, run_json))
        if then is not None and then != now:  # earlier versions did not write all of them
            raise DataError(
                f"expected the {what} of the run in {config.out} ({_short(then, now)}); got another "
                f"({_short(now, then)}); give the same {flags}, or a new --out"
            )
    if kept.get("backend", run_json["backend"]) != run_json["backend"]:
        raise DataError(
            f"expected the backend of the run in {config.out} ({kept['backend']}); got {run_json['backend']}; "
            f"give --backend {kept['backend']}, or a new --out"
        )
    then, now = ([teacher["model_sha256"] for teacher in known.get("teachers", [])] for known in (kept, run_json))
    if then != now:
        names = ", ".join(teacher["name"] for teacher in kept.get("teachers", [])) or "none"
        raise DataError(
            f"expected the teachers of the run in {config.out} ({names}); got others; give the same --teacher, "
            "or a new --out"
        )


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


def _dataset(config: FitConfig, recipe: Recipe) -> Dataset:
    from train.datasets.mapping import as_colour

    dataset = load(config.dataset, config.data, progress=not config.quiet, votes=config.votes)
    dataset = apply_protocol(dataset, config.protocol)
    if config.drop_leaks:
        from train.datasets.audit import drop_leaks

        dataset = drop_leaks(dataset)
    if recipe.targets == "votes" and dataset.part("train").votes is None:
        raise DataError(f"expected annotators' votes for --targets votes; {dataset.name} has none; give --votes FILE")
    colour = dataset.colour if config.colour == "auto" else config.colour
    parts = {
        name: dataclasses.replace(part, images=as_colour(part.images, colour)) for name, part in dataset.parts.items()
    }
    if config.limit is not None:
        train = dataset.roles["train"]
        if note := limit_note(dataset, train, config.limit):
            click.echo(note, err=True)
        parts[train] = parts[train].take(np.arange(min(config.limit, len(parts[train]))))
    dataset = dataclasses.replace(dataset, parts=parts, colour=colour)
    if config.resume and read_config(config.out)["data"]["fingerprint"] != dataset.fingerprint:
        raise DataError(
            f"expected the pictures that the run in {config.out} began with; these have another "
            "fingerprint; give the same --data, or a new --out"
        )
    return dataset


def _backbone(recipe: Recipe) -> str:
    return recipe.backbone.removesuffix(".keras")


def _start(config: FitConfig, dataset: Dataset, fresh: bool) -> dict[str, Any] | None:
    """Return the record of the trained network that the run begins with, if it does: a shipped .tflite, or a run's.

    A run that goes on keeps the record that it began with.

    Raises:
        DataError: it was trained on what this run keeps for the test, does not tell what it learned from, or is another
            than the one that the run began with.
    """
    from train.fitting.distill import check_protocol, record_of_run
    from train.networks.quantized import is_shipped, record_of

    kept = None if fresh else read_config(config.out).get("start")
    record = None
    network = config.backbone if (config.backbone or "").endswith(".keras") else None
    first = network if config.weights in (None, "none", "imagenet") else config.weights  # weights replace the network's
    if first is not None and is_shipped(first):
        if fresh or Path(first).exists() or not Path(first).suffix:
            record = record_of(read_model(first))
    elif first is not None and (Path(first).parent / CONFIG_FILE).is_file():
        record = record_of_run(Path(first).parent, Path(first))
    if not fresh:
        if kept and record and kept["model_sha256"] != record["model_sha256"]:
            raise DataError(
                f"expected the first weights of the run in {config.out} ({kept['name']}, sha256 "
                f"{kept['model_sha256'][:12]}); got others ({record['model_sha256'][:12]}); give the same "
                "--weights and --backbone, or a new --out"
            )
        return kept
    if record is not None:
        check_protocol(str(first), record["data"], dataset, what="network to begin with")
    return record


def _run_json(
    config: FitConfig,
    recipe: Recipe,
    dataset: Dataset,
    teachers: list[Teacher],
    start: dict[str, Any] | None,
    devices: int,
) -> dict[str, Any]:
    import platform

    import keras

    import edge
    from train.devices import kinds
    from train.fitting.distill import supervision

    records = [teacher.record for teacher in teachers]
    votes = {} if config.votes is None else {"votes_sha256": sha256_of(config.votes)}
    return {
        "schema": SCHEMA,
        "name": config.out.name,
        "backbone": _backbone(recipe),
        "weights": recipe.weights,
        **({} if start is None else {"start": start}),
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
            "notes": list(dataset.notes),
            **votes,
        },
        "supervision": supervision(dataset.name, recipe, records, start),
        "teachers": records,
        "command": command_line(),
        "backend": keras.backend.backend(),
        "devices": {"kind": "+".join(sorted(kinds())), "count": devices},
        "precision": config.mixed_precision or "float32",
        "versions": {
            "fer-edge": edge.__version__,
            "python": platform.python_version(),
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }
