"""One face's answers over time: averaged by a time constant, doubted below a threshold, announced with hysteresis."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

UNCERTAIN = "uncertain"
_FIRST_STEP_S = 1 / 30  # what the first answer, which has no predecessor, counts for


class Smoother:
    """The exponential average of probabilities that come at uneven times.

    An answer's weight falls by e in `time_constant_s`, whatever the frame rate. Weights are divided by their sum, so
    that a new face's first answers count alike instead of the first one for all the time before it. After a sudden
    change of a face seen for long the average has gone half the way after ln 2 = 0.69 time constants.
    """

    def __init__(self, time_constant_s: float) -> None:
        """Begin without an answer; 0 turns smoothing off."""
        self._time_constant_s = time_constant_s
        self._sum: npt.NDArray[np.float64] | None = None
        self._weight = 0.0
        self._time_s = 0.0

    def update(self, probabilities: npt.NDArray[np.floating], time_s: float) -> npt.NDArray[np.float64]:
        """Return the (classes,) average after another (classes,) answer at `time_s` seconds."""
        values = np.asarray(probabilities, np.float64)
        if self._time_constant_s <= 0:
            return values
        step_s = _FIRST_STEP_S if self._sum is None else max(0.0, time_s - self._time_s)
        kept = math.exp(-step_s / self._time_constant_s)
        self._sum = (1 - kept) * values if self._sum is None else kept * self._sum + (1 - kept) * values
        self._weight = 1 - kept if self._weight == 0 else kept * self._weight + 1 - kept
        self._time_s = time_s
        average: npt.NDArray[np.float64] = self._sum / self._weight
        return average


class Announcer:
    """Decides when a face's answer has changed enough to be told: a Schmitt trigger on the smoothed probabilities."""

    def __init__(self, uncertain_below: float, margin: float) -> None:
        """Begin without an answer.

        Args:
            uncertain_below: top probability, 0..1, below which the answer is "uncertain".
            margin: by how much another label must lead the announced one; half of it on either side of
                `uncertain_below`.
        """
        self._threshold, self._margin = uncertain_below, margin
        self.announced: str | None = None

    def changed(self, probabilities: Mapping[str, float]) -> bool:
        """Take the smoothed probabilities; return whether `announced` changed."""
        before, best = self.announced, most_probable(probabilities)
        if before is None:
            self.announced = answer(probabilities, self._threshold)
        elif before == UNCERTAIN:
            if probabilities[best] >= self._threshold + self._margin / 2:
                self.announced = best
        elif probabilities[best] < self._threshold - self._margin / 2:
            self.announced = UNCERTAIN
        elif probabilities[best] >= probabilities[before] + self._margin and probabilities[best] >= self._threshold:
            self.announced = best
        return self.announced != before


def most_probable(probabilities: Mapping[str, float]) -> str:
    """Return the label of the highest probability, the first of equals."""
    return max(probabilities, key=lambda name: probabilities[name])


def answer(probabilities: Mapping[str, float], uncertain_below: float) -> str:
    """Return the most probable label, or "uncertain" where its probability is below the threshold."""
    best = most_probable(probabilities)
    return best if probabilities[best] >= uncertain_below else UNCERTAIN


def lag_ms(smoothing_ms: float) -> float:
    """Return after how many milliseconds the average has gone half the way of a sudden change: ln 2 time constants."""
    return math.log(2) * smoothing_ms
