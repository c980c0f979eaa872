"""`fer-edge benchmark latency`: single inferences of one model or of several in turns, by number of threads."""

from __future__ import annotations

from typing import Any

import click

from edge.cli import command_line, printable
from edge.commands.options import Numbers, model_option, progress, record_option
from edge.commands.records import heading, show_and_keep, spread, stability
from edge.wording import counted

PUBLISHABLE_PAIRS = 100  # below it the interval of the median ratio is too wide to be quoted


@click.command(short_help="Measure the time of single inferences.")
@model_option
@click.option(
    "--threads",
    "counts",
    type=Numbers(1, 64),
    default="1",
    show_default=True,
    metavar="N[,N...]",
    help="Threads of the interpreter; several numbers run in turns.",
)
@click.option("--runs", type=click.IntRange(1, 1_000_000), default=200, show_default=True, help="Timed inferences.")
@click.option(
    "--warmup", type=click.IntRange(0, 100_000), default=20, show_default=True,
    help="Inferences before them, after the cold first one; kept apart.",
)  # fmt: skip
@click.option(
    "--against", metavar="FILE", multiple=True, help="Another model, timed in turns with the first; repeatable."
)
@click.option(
    "--pairs", type=click.IntRange(1, 1_000_000), default=200, show_default=True,
    help="Timed inferences of each with --against.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the noise faces.")
@record_option
def latency(
    model: str | None,
    counts: tuple[int, ...],
    runs: int,
    warmup: int,
    against: tuple[str, ...],
    pairs: int,
    seed: int,
    record: str | None,
) -> None:
    """Measure the time of single inferences: set the input, invoke, get the output.

    With --against or several --threads, all run in turns, the order changing from round to round, and a speed-up is the
    median of the rounds' own ratios; with --against, --pairs counts and --runs has no effect. Loading, first inference
    and memory are those of a process of its own for each. The last lines say whether the figures may be trusted.
    """
    from edge.benchmarking.coldstart import cold_start
    from edge.benchmarking.latency import Rounds, latency_record
    from edge.inference.interpreter import Classifier
    from edge.inference.modelfile import read_model
    from edge.system.conditions import conditions
    from edge.system.machine import this_machine

    where = this_machine()
    before = conditions(where)  # our own cold starts must not count as load or heat of others
    models = [read_model(path) for path in (model, *against)]
    cold = [cold_start(found.path.absolute(), count) for count in counts for found in models]
    grid = [[Classifier(found, count) for found in models] for count in counts]
    rounds = Rounds(pairs if against else runs, warmup, seed)
    with progress("rounds") as tick:
        result = latency_record(grid, rounds, command_line(), cold, tick, where, before)
    show_and_keep(_text(result), record, result)


def _text(result: dict[str, Any]) -> str:
    lines = [heading(result), *_block(result, result["runs"])]
    if "against" in result:
        other = result["against"]
        lines += [
            f"against {_title(other)}",
            *_block(other, result["pairs"]),
            f"speed-up {_interval(result['ratio'])}: median of {result['pairs']} interleaved pairs",
        ]
    for other in result.get("others", ()):
        lines += [
            f"{_title(other)}, {counted(other['threads'], 'thread')}",
            *_block(other, result["runs"]),
            _beside(result, other),
        ]
    if ("against" in result or "others" in result) and result["runs"] < PUBLISHABLE_PAIRS:
        lines.append(
            f"fewer than {PUBLISHABLE_PAIRS} pairs: good for a look, not a figure to publish; raise --pairs, or --runs "
            "without --against"
        )
    return "\n".join(map(printable, [*lines, *stability(result)]))


def _title(block: dict[str, Any]) -> str:
    return f"{block['name']} ({block['recipe']}, {block['size_bytes']:,} bytes)"


def _block(block: dict[str, Any], runs: int) -> list[str]:
    """Return the lines of one model: percentiles and spread, then what it takes to get there."""
    times, peak, steady = block["latency_ms"], block["peak_rss_mb"], block["steady_after"]
    memory = "" if peak is None else f", memory {peak:.0f} MB at most"
    warm = "never steady" if steady is None else f"steady after {counted(steady, 'run')}"
    return [
        f"  {spread(times)} over {runs} runs",
        f"  loading {block['load_ms']:.1f} ms, first {block['first_inference_ms']:.2f} ms, {warm}{memory}",
    ]


def _beside(result: dict[str, Any], other: dict[str, Any]) -> str:
    """Return how fast one of several others is beside the record's own model."""
    own, ratio = result["model"], other["ratio"]
    if other["threads"] != other["own_threads"]:
        low, high = ratio["ci95"]
        turned = {"median": 1 / ratio["median"], "ci95": [1 / high, 1 / low]}
        return f"  {_interval(turned)} times as fast as with {counted(other['own_threads'], 'thread')}"
    return f"  {own['name']} {own['recipe']} with as many threads is {_interval(ratio)} times as fast"


def _interval(ratio: dict[str, Any]) -> str:
    low, high = ratio["ci95"]
    return f"{ratio['median']:.2f} (95 % interval {low:.2f} to {high:.2f})"
