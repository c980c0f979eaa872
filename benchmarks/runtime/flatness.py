"""Whether a figure that is sampled over a long run stays where it is: its band, and its growth with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

WARM_UP = 0.2  # share of the run after which samples count: arenas and caches have filled
BLOCKS = 20  # samples close together depend on one another; medians of blocks hardly do
_LEAST_SAMPLES = 10
FLAT, GROWS, UNSTEADY = "flat", "grows", "unsteady"


@dataclass(frozen=True)
class Flatness:
    """What the samples after the warm-up say, in the samples' unit.

    Attributes:
        median: of the samples.
        range: largest less smallest sample.
        deviation: largest distance of a sample from the median.
        growth: slope of the blocks' medians times the frames that they span.
        growth_ci95: its 95 % interval (low, high).
        verdict: "flat" where deviation and both ends of the interval are within the tolerance; else "grows" where the
            interval lies above zero, or "unsteady".
    """

    median: float
    range: float
    deviation: float
    growth: float
    growth_ci95: tuple[float, float]
    verdict: str

    def block(self) -> dict[str, Any]:
        """Return it as a record keeps it."""
        return asdict(self) | {"growth_ci95": list(self.growth_ci95)}


def flatness(frames: Sequence[int], values: Sequence[float], tolerance: float) -> Flatness:
    """Return how flat a figure was.

    Args:
        frames: (n,) number of the frame at which each sample was taken, rising.
        values: (n,) samples.
        tolerance: by how much it may move, in the samples' unit.

    Raises:
        ValueError: the two differ in length, or fewer than ten samples lie after the warm-up.

    Source: least squares on the medians of consecutive blocks, Student's t with n - 2 degrees of freedom; Montgomery,
    Peck & Vining, Introduction to Linear Regression Analysis, section 2.4.
    """
    if len(frames) != len(values):
        raise ValueError(f"expected two lists of equal length; got {len(frames)} and {len(values)}")
    at, found = np.asarray(frames, np.float64), np.asarray(values, np.float64)
    warm = at >= WARM_UP * at[-1] if len(at) else np.zeros(0, bool)
    at, found = at[warm], found[warm]
    if len(at) < _LEAST_SAMPLES:
        raise ValueError(f"expected {_LEAST_SAMPLES} or more samples after the warm-up; got {len(at)}; run for longer")
    growth, low, high = _growth(at, found)
    median = float(np.median(found))
    deviation = float(np.abs(found - median).max())
    flat = deviation <= tolerance and max(abs(low), abs(high)) <= tolerance
    verdict = FLAT if flat else GROWS if low > 0 else UNSTEADY
    return Flatness(median, float(np.ptp(found)), deviation, growth, (low, high), verdict)


def _growth(at: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    from scipy.stats import t

    blocks = np.array_split(np.arange(len(at)), min(BLOCKS, len(at) // 2))
    x = np.array([at[rows].mean() for rows in blocks])
    y = np.array([np.median(found[rows]) for rows in blocks])
    x, y = x - x.mean(), y - y.mean()
    spread, free = float(x @ x), len(blocks) - 2
    slope = float(x @ y) / spread
    half = float(t.ppf(0.975, free)) * float(np.sqrt(((y - slope * x) ** 2).sum() / free / spread))
    span = float(at[-1] - at[0])
    return slope * span, (slope - half) * span, (slope + half) * span
