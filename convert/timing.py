"""Latency of the files of several recipes side by side on this machine, for the conversion's report.

Like ``edge.benchmark``'s pairs, but of any number: every round runs each file once, and the order is turned and
mirrored from round to round, so that clock changes strike all alike. A ratio is one of times
of one round; samples of two files are never pooled.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edge import records
from edge.benchmark import BOOTSTRAP_SEED, noise_faces, percentiles, timed_ms
from edge.interpreter import Classifier
from edge.statistics import bootstrap_interval

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
    from convert.export import quiet

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


def turns(names: Sequence[str], index: int) -> tuple[str, ...]:
    """The order of one round: mirrored in every second one, and turned by one place after every two.

    Over twice as many rounds as names, each name stands twice at every place.
    """
    start = (index // 2) % len(names)
    turned = (*names[start:], *names[:start])
    return turned[::-1] if index % 2 else turned


def _in_turns(
    classifiers: Mapping[str, Classifier], rounds: int, seed: int, tick: Callable[[int, int], None]
) -> dict[str, list[float]]:
    faces = {recipe: noise_faces(classifier, seed) for recipe, classifier in classifiers.items()}
    for index in range(WARMUP):
        for recipe, classifier in classifiers.items():
            classifier.infer(faces[recipe][index % len(faces[recipe])])
    samples: dict[str, list[float]] = {recipe: [] for recipe in classifiers}
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for index in range(rounds):
            for recipe in turns(tuple(classifiers), index):
                face = faces[recipe][index % len(faces[recipe])]
                samples[recipe].append(timed_ms(classifiers[recipe], face))
            tick(index + 1, rounds)
    finally:
        if was_on:
            gc.enable()
    return samples


def _row(samples: list[float], baseline: list[float], is_baseline: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "latency_ms": percentiles(samples),
        "samples_ms": [round(sample, 6) for sample in samples],
    }
    if not is_baseline:
        ratios = np.array(baseline) / np.array(samples)
        row["ratio"] = {
            "median": float(np.median(ratios)),
            "p10": float(np.percentile(ratios, 10)),
            "p90": float(np.percentile(ratios, 90)),
            "ci95": list(bootstrap_interval(ratios, BOOTSTRAP_SEED, statistic="median")),
        }
    return row
