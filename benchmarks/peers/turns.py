"""Latency of several files in turns: every round times each of them once, so that all meet the same disturbances.

A figure about two files compares their times within one round; samples of two files are never put together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.benchmarking import turns


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
) -> dict[str, Any]:
    """Return how many times as fast `model` is as `against`, as a record keeps it: above 1 it is faster.

    To `edge.benchmarking.turns.ratio_block` comes the number of `pairs`.

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
    return {**turns.ratio_block(against / model), "pairs": model.size}
