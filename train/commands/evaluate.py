"""``python -m train evaluate``: the figures of a run on a part of a data set, also another one than its own."""

from __future__ import annotations

import os
from pathlib import Path

import click

from train.datasets import DATASETS, PROTOCOLS, apply_protocol, load


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--dataset", required=True, type=click.Choice(sorted(DATASETS)))
@click.option("--data", type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--part", default="test", show_default=True, help="Official part name or role (validation, test).")
@click.option("--protocol", default="official-dedup", show_default=True, type=click.Choice(PROTOCOLS))
@click.option(
    "--tta",
    is_flag=False,
    flag_value="flip",
    default="none",
    show_default=True,
    type=click.Choice(("none", "flip", "crops")),
    help="Test-time augmentation; alone it means flip.",
)
def evaluate(run: Path, dataset: str, data: Path | None, part: str, protocol: str, tta: str) -> None:
    """Measure RUN on one part: accuracy with its interval, F1, per-class table, confusion matrix."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from train.evaluate import evaluate_run, keep_evaluation
    from train.metrics import class_table
    from train.runs import load_run

    loaded = apply_protocol(load(dataset, data), protocol)
    loaded.part_name(part)
    trained = load_run(run)
    result = evaluate_run(trained, loaded, part, tta)
    shown = result.get("with_tta", result["single_view"])
    click.echo(class_table(shown))
    for label, key in (("single view", "single_view"), (f"TTA {tta}", "with_tta")):
        if key in result:
            figures = result[key]
            click.echo(
                f"{dataset} {result['part']} ({result['protocol']}), {label}: accuracy {figures['accuracy']:.4f} "
                f"(95 % {figures['ci95'][0]:.4f}-{figures['ci95'][1]:.4f}), macro-F1 {figures['macro_f1']:.4f}, "
                f"weighted F1 {figures['weighted_f1']:.4f}, {figures['samples']} samples"
            )
    if "with_tta" in result:
        gain = 100 * (result["with_tta"]["accuracy"] - result["single_view"]["accuracy"])
        click.echo(f"TTA {tta}: {gain:+.2f} points")
    click.echo(f"kept as {keep_evaluation(run, result, trained.config['labels'])}")
