"""`fer-edge benchmark latency` and `accuracy`: figures of a model on this machine, and their records."""

from __future__ import annotations

from typing import Any

import click

from edge.cli import OneLineGroup, command_line, printable
from edge.commands.options import model_option, progress, record_option, threads_option

PUBLISHABLE_PAIRS = 100  # below it the interval of the median ratio is too wide to be quoted


@click.group(cls=OneLineGroup, short_help="Measure a model's latency or accuracy on this machine.")
def benchmark() -> None:
    """Measure a model's latency or accuracy on this machine; --record keeps the figures for the report."""


@benchmark.command(short_help="Measure the time of single inferences.")
@model_option
@threads_option
@click.option("--runs", type=click.IntRange(1, 1_000_000), default=200, show_default=True, help="Timed inferences.")
@click.option(
    "--warmup", type=click.IntRange(0, 100_000), default=20, show_default=True, help="Untimed inferences before them."
)
@click.option("--against", metavar="FILE", help="A second model, timed against the first in interleaved pairs.")
@click.option(
    "--pairs", type=click.IntRange(1, 1_000_000), default=200, show_default=True, help="Pairs with --against."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the noise faces.")
@record_option
def latency(
    model: str | None,
    threads: int,
    runs: int,
    warmup: int,
    against: str | None,
    pairs: int,
    seed: int,
    record: str | None,
) -> None:
    """Measure the time of single inferences: set the input, invoke, get the output.

    With --against, the two models run in turns, the order changing from pair to pair, and the speed-up is the median
    of the pairs' ratios; --runs then has no effect.
    """
    from edge.benchmark import latency_record, pair_record
    from edge.interpreter import Classifier
    from edge.modelfile import read_model
    from edge.records import write_record

    classifier = Classifier(read_model(model), threads)
    if against is None:
        with progress("inferences") as tick:
            result = latency_record(classifier, command_line(), runs, warmup, seed, tick)
    else:
        other = Classifier(read_model(against), threads)
        with progress("pairs") as tick:
            result = pair_record(classifier, other, command_line(), pairs, warmup, seed, tick)
    if record is not None:
        write_record(record, result)
    click.echo(_latency_text(result))


@benchmark.command(short_help="Measure the accuracy on labelled faces.")
@model_option
@threads_option
@click.option(
    "--data",
    required=True,
    metavar="PACK.npz|FOLDER",
    help="A pack written by `python -m train pack`, or a folder with one sub-folder of cropped faces a class.",
)
@record_option
def accuracy(model: str | None, threads: int, data: str, record: str | None) -> None:
    """Measure the accuracy on labelled, already cropped faces: one inference a face, no test-time augmentation."""
    from edge.benchmark import accuracy_record, read_data
    from edge.interpreter import Classifier
    from edge.modelfile import read_model
    from edge.records import write_record

    classifier = Classifier(read_model(model), threads)
    with progress("reading") as tick:
        pack = read_data(data, classifier, tick)
    with progress("faces") as tick:
        result = accuracy_record(classifier, pack, data, command_line(), tick)
    if record is not None:
        write_record(record, result)
    click.echo(_accuracy_text(result))


def _heading(result: dict[str, Any]) -> str:
    model, runtime = result["model"], result["runtime"]
    return (
        f"{model['name']} ({model['recipe']}, {model['size_bytes']:,} bytes) with {runtime['name']} "
        f"{runtime['version']}, {result['threads']} thread{'' if result['threads'] == 1 else 's'}, on "
        f"{result['machine']['model']}"
    )


def _latency_text(result: dict[str, Any]) -> str:
    lines = [
        _heading(result),
        f"  {_percentiles(result['latency_ms'])} over {result['runs']} runs; first {result['first_inference_ms']:.2f} "
        f"ms, loading {result['load_ms']:.1f} ms",
    ]
    if "against" in result:
        other, ratio = result["against"], result["ratio"]
        low, high = ratio["ci95"]
        lines += [
            f"against {other['name']} ({other['recipe']}, {other['size_bytes']:,} bytes)",
            f"  {_percentiles(other['latency_ms'])}",
            f"speed-up {ratio['median']:.2f} (95 % interval {low:.2f} to {high:.2f}): median of {result['pairs']} "
            "interleaved pairs",
        ]
        if result["pairs"] < PUBLISHABLE_PAIRS:
            lines.append(
                f"fewer than {PUBLISHABLE_PAIRS} pairs: good for a look, not a figure to publish; raise --pairs"
            )
    return "\n".join(map(printable, lines))


def _percentiles(latency_ms: dict[str, float]) -> str:
    return f"p50 {latency_ms['p50']:.3f} ms, p90 {latency_ms['p90']:.3f} ms, p99 {latency_ms['p99']:.3f} ms"


def _accuracy_text(result: dict[str, Any]) -> str:
    low, high = result["accuracy_ci95"]
    data = result["data"]
    lines = [
        _heading(result),
        f"  {data['name']} {data['part']}, {data['samples']:,} faces: accuracy {result['accuracy']:.2%} (95 % interval "
        f"{low:.2%} to {high:.2%}), macro-F1 {result['macro_f1']:.4f}, weighted F1 {result['weighted_f1']:.4f}",
        f"  {_percentiles(result['latency_ms'])}",
        f"  {'class':<10} {'precision':>9} {'recall':>7} {'F1':>7} {'support':>8}",
    ]
    for name, score in result["per_class"].items():
        lines.append(
            f"  {name:<10} {score['precision']:>9.3f} {score['recall']:>7.3f} {score['f1']:>7.3f} "
            f"{score['support']:>8,}"
        )
    return "\n".join(map(printable, lines))
