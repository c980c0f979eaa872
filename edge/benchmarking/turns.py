"""Several models in turns: every round times each of them once, so that what disturbs the machine strikes all alike.

Samples of two models are never put together: a figure about two of them compares their times round by round.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.benchmarking import statistics

Tick = Callable[[int, int], None]  # (done, in all)


def order_of_round(number: int, count: int) -> list[int]:
    """Return in which order a round takes its `count` participants.

    The order 0, n-1, 1, n-2, 2 ... is rotated by one from round to round and reversed in every second sweep of n
    rounds, so that each runs first as often as any other and right after each other one equally often: what the last
    one left in the caches strikes all alike. Of two, the order is AB BA BA AB, in which each follows itself as well.

    Args:
        number: of the round, 0 or more.
        count: 1 or more.

    Source: Williams 1949, Experimental designs balanced for the estimation of residual effects of treatments.
    """
    base = [place // 2 if place % 2 == 0 else count - 1 - place // 2 for place in range(count)]
    order = [(index + number) % count for index in base]
    return order[::-1] if number // count % 2 else order


def take_turns(
    infer: Sequence[Callable[[int], object]],
    rounds: int,
    first: int = 0,
    settle: bool = False,
    tick: Tick | None = None,
) -> npt.NDArray[np.float64]:
    """Return the milliseconds of every participant in every round, (rounds, participants) float64.

    Args:
        infer: one function a participant; it runs one inference on the picture of the round's number.
        rounds: how many.
        first: number of the first of them.
        settle: run each participant once untimed right before its timed run, so that the threads and caches are its
            own: for participants with different numbers of threads, whose workers may still be spinning.
        tick: called with (rounds done, rounds in all), between two rounds.
    """
    samples = np.empty((rounds, len(infer)))
    with no_garbage_collection():
        for row in range(rounds):
            number = first + row
            for place in order_of_round(number, len(infer)):
                if settle:
                    infer[place](number)
                start = time.perf_counter_ns()
                infer[place](number)
                samples[row, place] = (time.perf_counter_ns() - start) / 1e6
            if tick is not None:
                tick(row + 1, rounds)
    return samples


def ratio_block(ratios: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return what a record says of the rounds' ratios (rounds,): median, p10, p90, and the median's interval ci95."""
    p10, median, p90 = np.percentile(ratios, [10, 50, 90])
    low, high = statistics.bootstrap_interval(ratios, statistics.BOOTSTRAP_SEED, statistic="median")
    return {"median": float(median), "p10": float(p10), "p90": float(p90), "ci95": [low, high]}


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep Python's collector from pausing a timed run."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
