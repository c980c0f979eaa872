"""``python -m train evaluate``: the figures of a run on a part of a data set, also another one than its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from train.commands.options import tta_option
from train.datasets import DATASETS, PROTOCOLS, Dataset, apply_protocol, load
from train.evaluation.leakage import LABELS, ancestors, is_own, own_dataset

DEFAULT_PROTOCOL = "official-dedup"


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--dataset", required=True, type=click.Choice(sorted(DATASETS)))
@click.option("--data", type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--part", default="test", show_default=True, help="Official part name or role (validation, test).")
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    help=f"Default: the run's own on its own data, {DEFAULT_PROTOCOL} on another data set.",
)
@tta_option
@click.option(
    "--run-data",
    type=click.Path(path_type=Path),
    help="Where the run's own data lies, for another --dataset: to find leaks and to fit the temperature.",
)
@click.option(
    "--allow-leaks",
    is_flag=True,
    help="Report pictures that the run, or what it comes from, was trained on, marked as such.",
)
def evaluate(
    run: Path,
    dataset: str,
    data: Path | None,
    part: str,
    protocol: str | None,
    tta: str,
    run_data: Path | None,
    allow_leaks: bool,
) -> None:
    """Measure RUN on one part: accuracy and F1 with intervals, per-class table, calibration, plots."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from train.evaluation.evaluate import evaluate_run, keep_evaluation
    from train.evaluation.metrics import class_table
    from train.runs import load_run, read_config

    config = read_config(run)
    loaded = load(dataset, data)
    data_sets = at_hand(config, loaded, run_data)
    own = find_own(config, data_sets)
    reported = under(loaded, protocol or default_protocol(config, loaded), own)
    reported.part_name(part)
    before = ancestors(config, data_sets, own)
    result = evaluate_run(load_run(run), reported, part, tta, own=own, ancestors=before, allow_leaks=allow_leaks)
    click.echo(class_table(result.get("with_tta", result["single_view"])))
    for line in described(result):
        click.echo(line)
    click.echo(f"kept as {keep_evaluation(run, result, config['labels'])}")


def find_own(config: Mapping[str, Any], loaded: Sequence[Dataset]) -> Dataset | None:
    """Return the rows that a run was trained on, from the data sets at hand; None where none is its own."""
    return next((own_dataset(config, each) for each in loaded if is_own(config, each)), None)


def at_hand(config: Mapping[str, Any], loaded: Dataset, run_data: Path | None) -> list[Dataset]:
    """Return the data set that is reported on and, where ``run_data`` is given and needed, the run's own.

    Raises:
        DataError: ``run_data`` is not the run's data.
    """
    if run_data is None or is_own(config, loaded):
        return [loaded]
    theirs = load(config["data"]["name"], run_data)
    own_dataset(config, theirs)  # refused if another
    return [loaded, theirs]


def under(loaded: Dataset, protocol: str, *owns: Dataset | None) -> Dataset:
    """Return the data set under a protocol: a run's own rows, where they are made already, of the same pictures."""
    for own in owns:
        if own is not None and (own.fingerprint, own.protocol) == (loaded.fingerprint, protocol):
            return own
    return apply_protocol(loaded, protocol)


def default_protocol(config: Mapping[str, Any], loaded: Dataset) -> str:
    """Return the protocol under which a run is measured where none is asked for."""
    return str(config["data"]["protocol"]) if is_own(config, loaded) else DEFAULT_PROTOCOL


def described(result: Mapping[str, Any]) -> list[str]:
    """Return an evaluation in lines: what it is a figure of, the figures, the gain of TTA, calibration."""
    trained, seen = result["trained_on"], result["seen"]
    place = f"{result['dataset']} {result['part']} ({result['protocol']})"
    lines = []
    if result["cross_data_set"]:
        lines.append(f"cross-data-set: trained on {trained['name']} ({trained['protocol']}), measured on {place}")
    if result["classes_without_samples"]:
        absent = ", ".join(result["classes_without_samples"])
        lines.append(f"no samples of {absent}: the macro-F1 is that of the other classes")
    lines += [*result["notes"], *disclosed(result["supervision"])]
    lines.append(seen_text(seen))
    lines += [before_text(each) for each in result["seen_before"]]
    for label, key in (("single view", "single_view"), (f"TTA {result['tta']}", "with_tta")):
        if key in result:
            lines.append(f"{place}, {label}: {figures_text(result[key])}")
    for label, key in (("single view", "single_view"), (f"TTA {result['tta']}", "with_tta")):
        if key in result.get("unseen", {}):
            figures = result["unseen"][key]
            lines.append(f"the {figures['samples']:,} of them not seen before, {label}: {figures_text(figures)}")
    if "tta_gain" in result:
        lines.append(f"TTA {result['tta']}: {gain_text(result['tta_gain'])}")
    lines.append(calibration_text(result["calibration"]))
    return lines


def disclosed(supervision: str) -> list[str]:
    """Return the line that tells of supervision beside the data set's labels; none where there was none."""
    return [] if supervision == LABELS else [f"extra supervision: this run was trained with {supervision}"]


def seen_text(seen: Mapping[str, int] | None, how: str = "in training") -> str:
    """Return in words how many of the reported pictures the run has seen, or what ``how`` names."""
    if seen is None:
        return "seen in training: not known (--run-data tells where the run's own data lies)"
    leak = " – A LEAK, no test of this run" if seen["trained"] > 0 else ""
    text = f"seen {how}: {seen['trained']:,} of {seen['samples']:,} pictures{leak}"
    return text + (f"; {seen['selected']:,} among those that picked the checkpoint" if seen["selected"] else "")


def before_text(ancestor: Mapping[str, Any]) -> str:
    """Return in words how many of the reported pictures a network has seen that the run comes from."""
    seen = ancestor["seen"]
    if ancestor["trained_on"] is None:
        return f"seen by {ancestor['network']}: not known, there is no record of what it was trained on"
    if seen is None:
        return f"seen by {ancestor['network']}: not known, its data is not at hand"
    return seen_text(seen, f"by {ancestor['network']}")


def figures_text(figures: Mapping[str, Any]) -> str:
    """Return accuracy and macro-F1 with their 95 % intervals, weighted F1, and the number of samples."""
    (low, high), (low_f1, high_f1) = figures["ci95"], figures["macro_f1_ci95"]
    return (
        f"accuracy {figures['accuracy']:.4f} (95 % {low:.4f}-{high:.4f}), macro-F1 {figures['macro_f1']:.4f} "
        f"(95 % {low_f1:.4f}-{high_f1:.4f}), weighted F1 {figures['weighted_f1']:.4f}, {figures['samples']} samples"
    )


def gain_text(gain: Mapping[str, Any]) -> str:
    """Return the gain of TTA in points with its paired interval and McNemar's exact p."""
    low, high = gain["ci95"]
    return (
        f"{gain['points']:+.2f} points over the single view (paired 95 % {low:+.2f} to {high:+.2f}; right with TTA "
        f"alone {gain['only_tta_right']}, without alone {gain['only_single_view_right']}, McNemar p = "
        f"{gain['p_value']:.2g})"
    )


def calibration_text(calibration: Mapping[str, Any]) -> str:
    """Return the calibration error of the single view, before and after the temperature where there is one."""
    if calibration["temperature"] is None:
        return f"calibration: ECE {calibration['ece_before']:.4f}; no temperature, {calibration['reason']}"
    return (
        f"calibration: temperature {calibration['temperature']:.3f} fitted on {calibration['fitted_on']}; "
        f"ECE {calibration['ece_before']:.4f} -> {calibration['ece_after']:.4f}, negative log-likelihood "
        f"{calibration['nll_before']:.4f} -> {calibration['nll_after']:.4f}"
    )
