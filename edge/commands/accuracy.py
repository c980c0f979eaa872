"""`fer-edge benchmark accuracy`: how often a model is right, how sure it is, and how it differs from a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edge.cli import command_line, printable
from edge.commands.options import model_option, progress, record_option, refuse_overwriting, threads_option
from edge.commands.records import heading, percentiles, show_and_keep
from edge.wording import counted

if TYPE_CHECKING:
    from edge.pictures.packs import Pack


@click.command(short_help="Measure the accuracy on labelled faces.")
@model_option
@threads_option
@click.option(
    "--data",
    required=True,
    metavar="PACK.npz|FOLDER",
    help="A pack written by `python -m train pack`, or a folder with one sub-folder of cropped faces a class.",
)
@click.option(
    "--reference", metavar="RECORD.json", help="An accuracy record on the same faces, say of the float32 file."
)
@click.option(
    "--tta",
    type=click.Choice(["none", "flip"]),
    default="none",
    show_default=True,
    help="Test-time augmentation: flip takes the mean over a face and its mirror image, two inferences.",
)
@record_option
def accuracy(model: str | None, threads: int, data: str, reference: str | None, tta: str, record: str | None) -> None:
    """Measure the accuracy on labelled, already cropped faces, one inference a face.

    Intervals are 95 % ones. With --reference, both models are compared face by face: how often they
    agree, and what changes, in all and by class.
    """
    from edge.benchmarking.accuracy import accuracy_record, read_data
    from edge.inference.interpreter import Classifier
    from edge.inference.modelfile import read_model
    from edge.system.machine import this_machine

    refuse_overwriting({"--record": record}, [reference])
    classifier = Classifier(read_model(model), threads)
    with progress("reading") as tick:
        pack = read_data(data, classifier, tick)
    with progress("faces") as tick:
        result = accuracy_record(classifier, pack, data, command_line(), reference, tick, this_machine(), tta)
    for note in _notes(result, pack):
        click.echo(f"note: {printable(note)}", err=True)
    show_and_keep("\n".join(map(printable, [*_lines(result), *_reference_lines(result)])), record, result)


def _notes(result: dict[str, Any], pack: Pack) -> list[str]:
    """Return what makes the accuracy another figure than it seems to be."""
    notes = []
    seen = result["data"].get("seen")
    if seen is not None:
        which = "these faces" if seen == "all" else "some of these faces (the protocols part the rows in other ways)"
        notes.append(f"the model was trained on {which}: the accuracy says how it remembers, not how it generalises")
    if pack.whole:
        notes.append(
            f"{pack.whole:,} of {counted(len(pack), 'picture')} are large or far from square, as whole photographs "
            "are; --data wants cropped faces: fer-edge image PICTURES --crops FOLDER"
        )
    return notes


def _lines(result: dict[str, Any]) -> list[str]:
    data, sure = result["data"], result["calibration"]
    floored = f"; {sure['floored']:,} below the floor of {sure['floor']:.4f}" if sure["floored"] else ""
    views = ", each with its mirror image" if result.get("tta") == "flip" else ""
    lines = [
        heading(result),
        f"  {data['name']} {data['part']}, {counted(data['samples'], 'face')}{views}: "
        f"accuracy {result['accuracy']:.2%} {_interval(result['accuracy_ci95'], '.2%')}",
        f"  macro-F1 {result['macro_f1']:.4f} {_interval(result['macro_f1_ci95'], '.4f')}, "
        f"weighted F1 {result['weighted_f1']:.4f}",
        f"  ECE {sure['ece']:.4f} {_interval(sure['ece_ci95'], '.4f')}, "
        f"NLL {sure['nll']:.4f} {_interval(sure['nll_ci95'], '.4f')}{floored}",
        f"  {percentiles(result['latency_ms'])} while scoring{', one view each' if views else ''}; "
        "to quote a speed: fer-edge benchmark latency",
        f"  {'class':<10} {'precision':>9} {'recall':>7} {'F1':>7} {'support':>8}",
    ]
    for name, score in result["per_class"].items():
        lines.append(
            f"  {name:<10} {score['precision']:>9.3f} {score['recall']:>7.3f} {score['f1']:>7.3f} "
            f"{score['support']:>8,}"
        )
    return lines


def _reference_lines(result: dict[str, Any]) -> list[str]:
    if "reference" not in result:
        return []
    other = result["reference"]
    views = ", TTA flip" if other.get("tta") == "flip" else ""
    lines = [
        f"against {other['model']['name']} ({other['model']['recipe']}{views}) in {other['file']}, in points; "
        "a minus: worse",
        f"  the same answer on {other['agreement']:.2%} {_interval(other['agreement_ci95'], '.2%')}",
        f"  accuracy {other['difference_points']:+.2f} {_interval(other['difference_ci95'], '+.2f')}, "
        f"McNemar p = {other['p_value']:.2g} ({other['only_this']:,} faces right here only, "
        f"{other['only_reference']:,} there only)",
        f"  macro-F1 {other['macro_f1_difference_points']:+.2f} {_interval(other['macro_f1_difference_ci95'], '+.2f')}",
        f"  {'class':<10} {'agreement':>9} {'recall':>7} {'95 % interval':>17} {'F1':>7} {'support':>8}",
    ]
    for name, change in other["per_class"].items():
        if not change["support"]:
            continue
        low, high = change["recall_change_ci95"]
        lines.append(
            f"  {name:<10} {change['agreement']:>9.1%} {change['recall_change_points']:>+7.2f} "
            f"{f'{low:+.2f} to {high:+.2f}':>17} {change['f1_change_points']:>+7.2f} {change['support']:>8,}"
        )
    return lines


def _interval(bounds: list[float], form: str) -> str:
    low, high = bounds
    return f"(95 % interval {low:{form}} to {high:{form}})"
