"""The change of a median between two runs, with an interval that allows for samples that hang together.

Latencies of one process drift with clock and neighbours, so that each resembles the one before it; resampling them one
by one gives intervals that are too narrow. Whole blocks of neighbours are drawn instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge.benchmarking.statistics import BOOTSTRAP_SEED

_ROUNDS = 2000
_CHUNK = 100  # rounds at a time, to bound memory


def ratio_of_medians(
    old: Sequence[float], new: Sequence[float], rounds: int = _ROUNDS, seed: int = BOOTSTRAP_SEED
) -> tuple[float, float, float]:
    """Return median(new) / median(old) and the 95 % interval of that ratio.

    Args:
        old: samples of one run in the order in which they were taken, above 0.
        new: samples of the other run, as many or not.
        rounds: of the bootstrap.
        seed: of the bootstrap; the same one gives the same interval.

    Raises:
        ValueError: a list is empty, or holds a number that is not finite or not above 0.

    Source: Politis and Romano 1992, A circular block-resampling procedure for stationary data; percentile interval.
    """
    first, second = _checked(old), _checked(new)
    generator = np.random.default_rng(seed)
    drawn = _medians(second, rounds, generator) / _medians(first, rounds, generator)
    low, high = np.percentile(drawn, [2.5, 97.5])
    ratio = float(np.median(second) / np.median(first))
    return ratio, min(float(low), ratio), max(float(high), ratio)


def median_of(ratios: Sequence[float], rounds: int = _ROUNDS, seed: int = BOOTSTRAP_SEED) -> tuple[float, float, float]:
    """Return the median of one run's pairwise ratios, above 0 and in their order, and its 95 % interval.

    Raises:
        ValueError: as `ratio_of_medians`.
    """
    values = _checked(ratios)
    low, high = np.percentile(_medians(values, rounds, np.random.default_rng(seed)), [2.5, 97.5])
    middle = float(np.median(values))
    return middle, min(float(low), middle), max(float(high), middle)


def _checked(samples: Sequence[float]) -> npt.NDArray[np.float64]:
    values = np.asarray(samples, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all() or values.min() <= 0:
        raise ValueError(f"expected a list of finite samples above 0; got {values.size} of shape {values.shape}")
    return values


def _medians(values: npt.NDArray[np.float64], rounds: int, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return (rounds,) medians of resamples made of blocks of sqrt(n) neighbours, the end joined to the beginning."""
    count = values.size
    block = max(1, round(math.sqrt(count)))
    blocks = math.ceil(count / block)
    medians = np.empty(rounds)
    for start in range(0, rounds, _CHUNK):
        size = min(_CHUNK, rounds - start)
        begins = generator.integers(0, count, size=(size, blocks, 1))
        places = (begins + np.arange(block)).reshape(size, -1)[:, :count] % count
        medians[start : start + size] = np.median(values[places], axis=1)
    return medians
