"""Whether probabilities mean what they say: reliability bins, calibration error, likelihood, and their intervals.

The expected calibration error (ECE) of finite data is biased upwards: noise alone opens gaps, and their absolute values
do not cancel. A percentile bootstrap adds that noise a second time and can miss the truth every time, so its interval
is found by inversion instead: which true gaps would give the error that was measured.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2 (ECE, 15 bins); Roelofs et al. 2022,
"Mitigating Bias in Calibration Error Estimation" (the bias); DiCiccio & Romano 1990, "Nonparametric Confidence Limits
by Resampling Methods and Least Favorable Families" (the inversion).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 15
PROBABILITY_FLOOR = 1 / 512  # half a step of a uint8 probability: what a 0 of it can stand for
_ROUNDS = 2000
_CHUNK_ROUNDS = 100  # resamples drawn at once, as in `edge.benchmarking.statistics`
_HALVINGS = 40


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often the network is right, by how sure it says it is: equal bins of the highest probability.

    Bin i of `bins` holds i/bins <= probability < (i + 1)/bins; the last one holds 1 too.

    Attributes:
        count: int64 (bins,): samples whose highest probability falls into the bin.
        confidence: float64 (bins,), 0..1: their mean highest probability; 0 in an empty bin.
        accuracy: float64 (bins,), 0..1: the share of them that is right; 0 in an empty bin.
    """

    count: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error, 0..1: the bins' gaps between confidence and accuracy, by their samples."""
        return float((np.abs(self.accuracy - self.confidence) * self.count).sum() / self.count.sum())

    def to_json(self) -> dict[str, list[float]]:
        """Return the three arrays as plain lists."""
        return {
            "count": self.count.tolist(),
            "confidence": self.confidence.tolist(),
            "accuracy": self.accuracy.tolist(),
        }


def reliability(
    probabilities: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], bins: int = BINS
) -> Reliability:
    """Return the reliability bins of probabilities (n, classes) and integer labels (n,).

    Raises:
        ValueError: there are no samples.
    """
    if not len(labels):
        raise ValueError("expected labelled samples to measure calibration; got none; give a part with pictures")
    confidence, right, place = _placed(probabilities, labels, bins)
    count = np.bincount(place, minlength=bins)
    shared = np.maximum(count, 1)
    return Reliability(
        count=count,
        confidence=np.bincount(place, confidence, minlength=bins) / shared,
        accuracy=np.bincount(place, right, minlength=bins) / shared,
    )


def error_interval(
    probabilities: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    seed: int,
    bins: int = BINS,
    rounds: int = _ROUNDS,
) -> tuple[float, float]:
    """Return the 95 % interval (low, high), 0..1, of the expected calibration error.

    The true gaps of the bins are taken to be the measured ones times a factor, with the scatter that resampling the
    samples shows. The interval holds the errors of the factors under which the measured error is neither too high nor
    too low. The measured error may lie above it: that is its bias.

    Args:
        probabilities: (n, classes), rows sum to 1.
        labels: (n,) integers.
        seed: of the resampling.
        bins: equal bins of the highest probability.
        rounds: number of resamples.
    """
    confidence, right, place = _placed(probabilities, labels, bins)
    excess = right - confidence
    gaps = np.bincount(place, excess, minlength=bins) / len(excess)
    scatter = _resampled_gaps(excess, place, bins, seed, rounds) - gaps
    error = float(np.abs(gaps).sum())

    def quantile(factor: float, percent: float) -> float:
        return float(np.percentile(np.abs(factor * gaps + scatter).sum(axis=1), percent))

    def factor_at(percent: float) -> float:
        """Return the factor whose errors have the measured one at this percentile; 0 where none is so small."""
        if quantile(0.0, percent) >= error:
            return 0.0
        low, high = 0.0, 1.0
        while quantile(high, percent) < error:
            low, high = high, 2 * high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if quantile(middle, percent) < error else (low, middle)
        return high

    return min(1.0, factor_at(97.5) * error), min(1.0, factor_at(2.5) * error)


def losses(
    probabilities: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], floor: float = PROBABILITY_FLOOR
) -> npt.NDArray[np.float64]:
    """Return (n,) float64 losses -log max(p(true class), floor) in nats; their mean is the negative log-likelihood.

    A uint8 output rounds small probabilities to 0, whose logarithm is infinite. One floor for every file keeps float
    and quantized files comparable; without it, only the quantized one's confident mistakes would be cut short.

    Args:
        probabilities: (n, classes), rows sum to 1.
        labels: (n,) integers.
        floor: above 0; what a smaller probability counts as.
    """
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.maximum(of_truth, floor))


def _placed(
    probabilities: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], bins: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return (n,) highest probability, whether its class is right (0 or 1), and its bin."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    return confidence, right, np.minimum((confidence * bins).astype(np.int64), bins - 1)


def _resampled_gaps(
    excess: npt.NDArray[np.float64], place: npt.NDArray[np.int64], bins: int, seed: int, rounds: int
) -> npt.NDArray[np.float64]:
    """Return (rounds, bins): the sum of `excess` in each bin over the number of samples, after resampling."""
    generator, samples = np.random.default_rng(seed), len(excess)
    gaps = np.empty((rounds, bins))
    for start in range(0, rounds, _CHUNK_ROUNDS):
        count = min(_CHUNK_ROUNDS, rounds - start)
        drawn = generator.integers(0, samples, size=(count, samples))
        cells = (place[drawn] + bins * np.arange(count)[:, np.newaxis]).ravel()
        sums = np.bincount(cells, excess[drawn].ravel(), minlength=count * bins)
        gaps[start : start + count] = sums.reshape(count, bins) / samples
    return gaps
