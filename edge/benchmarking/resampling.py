"""Bootstrap of tables of counts: what figures of a confusion matrix would be on other samples of the same kind.

Resampling n samples with replacement only changes how many fall into each cell of a table of counts, and those counts
are multinomial: they are drawn directly.

Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, sections 5.6 (categories: a multinomial) and 13.3
(percentile interval).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.benchmarking.statistics import BOOTSTRAP_SEED, macro_f1s

ROUNDS = 2000


def resample(
    counts: npt.NDArray[np.integer], seed: int = BOOTSTRAP_SEED, rounds: int = ROUNDS
) -> npt.NDArray[np.int64]:
    """Return int64 (rounds, *counts.shape): the cells of a table of counts after resampling its samples."""
    total = int(counts.sum())
    drawn = np.random.default_rng(seed).multinomial(total, counts.ravel() / total, size=rounds)
    return drawn.reshape(rounds, *counts.shape)


def resample_pair(
    true: npt.NDArray[np.integer],
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    classes: int,
    seed: int = BOOTSTRAP_SEED,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return two models' confusion matrices, each (rounds, classes, classes), on the same resampled samples.

    The counts of (true, first, second) are drawn together, so that what both models share cancels in a difference.

    Args:
        true: (n,) integers, 0..classes-1.
        first: (n,) the first model's answers.
        second: (n,) the second model's answers on the same samples.
        classes: number of classes.
        seed: of the resampling.
    """
    kinds, counts = np.unique(np.stack([true, first, second], axis=1), axis=0, return_counts=True)
    drawn = resample(counts, seed).astype(np.float64)
    confusions = []
    for column in (1, 2):
        cells = np.zeros((len(kinds), classes * classes))
        cells[np.arange(len(kinds)), kinds[:, 0] * classes + kinds[:, column]] = 1
        confusions.append((drawn @ cells).reshape(-1, classes, classes))
    return confusions[0], confusions[1]


def macro_f1_interval(confusion: npt.NDArray[np.integer], seed: int = BOOTSTRAP_SEED) -> tuple[float, float]:
    """Return the 95 % bootstrap interval (low, high), 0..1, of a (classes, classes) confusion matrix's macro-F1."""
    return interval_95(macro_f1s(resample(confusion, seed)))


def interval_95(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of bootstrap results (rounds,)."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
