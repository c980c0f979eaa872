"""Latency of the files of several recipes side by side on this machine, for the conversion's report.

In turns, as ``fer-edge benchmark latency`` does it: a ratio is one of times of one round, and samples of two files are
never pooled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from edge.benchmarking import records
from edge.benchmarking.benchmark import noise_faces, percentiles
from edge.benchmarking.turns import ratio_block, take_turns
from edge.inference.interpreter import Classifier

BASELINE = "float32"
WARMUP = 10


def side_by_side(
    files: Mapping[str, bytes],
    rounds: int,
    threads: int = 1,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, count: None,
) -> dict[str, Any]:
    """The latencies of several packaged files, milliseconds, and how many times as fast each is as the baseline.

    Args:
        files: Packaged files by recipe, in the order of the report.
        rounds: Timed inferences of each, 1 or more.
        threads: Of each interpreter.
        seed: Of the noise that is classified.
        tick: Called with (rounds done, rounds in all).

    Returns:
        ``machine``, ``runtime``, ``threads``, ``rounds``, ``warmup``, ``baseline`` (float32 if it is there, else the
        first) and ``recipes``: by recipe ``latency_ms`` (p50, p90, p99, mean, min, max), ``samples_ms`` in the order of
        the rounds, and, but for the baseline, ``ratio``: median of baseline time over this one's in the same round,
        with p10, p90 and the 95 % bootstrap interval ``ci95`` of the median.

    Raises:
        ValueError: No file, or fewer than 1 round.
        ModelFileError: A file is no model of ours.
    """
    if not files or rounds < 1:
        raise ValueError(f"expected one file or more and 1 round or more; got {len(files)} and {rounds}")
    from convert.tflite.export import quiet

    with quiet():
        classifiers = {recipe: Classifier(content, threads=threads) for recipe, content in files.items()}
    first = next(iter(classifiers.values()))
    samples = _in_turns(classifiers, rounds, seed, tick)
    baseline = BASELINE if BASELINE in files else next(iter(files))
    return {
        "created": records.now(),
        "machine": records.machine(),
        "runtime": dict(first.runtime),
        "threads": threads,
        "rounds": rounds,
        "warmup": WARMUP,
        "baseline": baseline,
        "recipes": {recipe: _row(samples[recipe], samples[baseline], recipe == baseline) for recipe in files},
    }


def _in_turns(
    classifiers: Mapping[str, Classifier], rounds: int, seed: int, tick: Callable[[int, int], None]
) -> dict[str, list[float]]:
    faces = {recipe: list(noise_faces(each.model.input.shape, seed)) for recipe, each in classifiers.items()}

    def infer(recipe: str, number: int) -> None:
        classifiers[recipe].infer(faces[recipe][number % len(faces[recipe])])

    infers = [partial(infer, recipe) for recipe in classifiers]
    take_turns(infers, WARMUP)
    samples = take_turns(infers, rounds, first=WARMUP, tick=tick)
    return dict(zip(classifiers, samples.T.tolist(), strict=True))


def _row(samples: list[float], baseline: list[float], is_baseline: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "latency_ms": percentiles(samples),
        "samples_ms": [round(sample, 6) for sample in samples],
    }
    if not is_baseline:
        row["ratio"] = ratio_block(np.array(baseline) / np.array(samples))
    return row
