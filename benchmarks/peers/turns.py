"""Latency of several files in turns: every round times each of them once, so that all meet the same disturbances.

A figure about two files compares their times within one round; samples of two files are never put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge import turns
from edge.benchmark import BOOTSTRAP_SEED
from edge.statistics import bootstrap_interval


@dataclass(frozen=True)
class Ratio:
    """How many times as fast a file is as another: round by round the other's time over its own.

    Attributes:
        median: of the rounds' ratios, with p10 and p90.
        low: lower end of the bootstrap 95 % interval of the median; `high` the upper end.
        pairs: number of rounds.
    """

    median: float
    p10: float
    p90: float
    low: float
    high: float
    pairs: int


def take_turns(
    infer: Sequence[Callable[[int], object]], rounds: int, warmup: int, advance: Callable[[int], None]
) -> npt.NDArray[np.float64]:
    """Return the milliseconds of every file in every round, (rounds, files) float64.

    Args:
        infer: one function a file; it runs one inference on the picture of the round's number.
        rounds: 1 or more.
        warmup: untimed rounds before them, 0 or more.
        advance: called with the rounds done, the warm-up among them.

    Raises:
        ValueError: rounds or warmup out of range, or no file.
    """
    if rounds < 1 or warmup < 0 or not infer:
        raise ValueError(
            f"expected 1 or more rounds and files; got {rounds} rounds, {warmup} before, {len(infer)} files"
        )
    samples = turns.take_turns(infer, warmup + rounds, tick=lambda done, _: advance(done))
    return samples[warmup:]


def ratio(
    model_ms: Sequence[float] | npt.NDArray[np.float64], against_ms: Sequence[float] | npt.NDArray[np.float64]
) -> Ratio:
    """Return how many times as fast `model` is as `against`: above 1 it is faster.

    Args:
        model_ms: (rounds,) milliseconds; the same place in both is the same round.
        against_ms: (rounds,) milliseconds.

    Raises:
        ValueError: the two differ in length, are empty, or hold a time that is not positive.
    """
    model, against = np.asarray(model_ms, np.float64), np.asarray(against_ms, np.float64)
    if model.shape != against.shape or model.ndim != 1 or model.size == 0:
        raise ValueError(f"expected two non-empty lists of equal length; got shapes {model.shape} and {against.shape}")
    if not (np.minimum(model, against) > 0).all():
        raise ValueError(f"expected positive times; got {np.minimum(model, against).min()} ms")
    ratios = against / model
    low, high = bootstrap_interval(ratios, BOOTSTRAP_SEED, statistic="median")
    p10, median, p90 = (float(np.percentile(ratios, share)) for share in (10, 50, 90))
    return Ratio(median, p10, p90, low, high, len(ratios))
