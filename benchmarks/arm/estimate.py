"""Milliseconds on a Raspberry Pi 4, estimated from counts: a fit to published times, and how wrong it is.

    ms = a · million instructions + b · thousand L2 misses

``a`` and ``b`` make the sum of the squared relative errors least over ``POINTS``. Four points carry two coefficients,
so that the residuals flatter the fit: what counts is how wrong each point comes out when it is left out of it. No time
of a Pi 5 is known here for these networks, so that there is no estimate for one.

Source of the times: figures published for TensorFlow Lite with 4 threads on a Raspberry Pi 4. The counts are of
``benchmarks/results/arm/references-pi4.json``: the same networks with random weights, which ``python -m benchmarks
references`` writes; another run gives a few misses in a million more or less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BOARD = "pi4"
FEW = 10  # points below which the text says that they are few


@dataclass(frozen=True)
class Point:
    """A network whose time on a Pi 4 is published.

    Attributes:
        name: as its file in ``benchmarks.arm.references``.
        instructions_million: counted per inference.
        l2_misses: simulated per inference.
        published_ms: with 4 threads.
    """

    name: str
    instructions_million: float
    l2_misses: int
    published_ms: float


POINTS = (
    Point("mobilenet-v1-float32", 210.3996, 968_313, 77.0),
    Point("mobilenet-v1-int8", 174.956045, 149_793, 24.0),
    Point("mobilenet-v2-float32", 123.349057, 906_378, 46.0),
    Point("mobilenet-v2-int8", 114.063672, 169_843, 17.0),
)


@dataclass(frozen=True)
class Fit:
    """Coefficients and their errors.

    Attributes:
        per_million: milliseconds a million instructions.
        per_thousand: milliseconds a thousand L2 misses.
        residuals: by point, (estimate − published) / published.
        left_out: the same, of the fit to the other points.
    """

    per_million: float
    per_thousand: float
    residuals: tuple[float, ...]
    left_out: tuple[float, ...]

    def ms(self, instructions: float, l2_misses: float) -> float:
        """Return the estimate for counts of one inference, in milliseconds."""
        return self.per_million * instructions / 1e6 + self.per_thousand * l2_misses / 1e3

    @property
    def worst_left_out(self) -> float:
        """The largest error of a point that was left out, without its sign, as a share of the published time."""
        return max(abs(error) for error in self.left_out)


def fit(points: Sequence[Point] = POINTS) -> Fit:
    """Return the fit to points, by least squares of relative errors.

    Raises:
        ValueError: fewer than 3 points: nothing would be left to judge the fit by.
    """
    if len(points) < 3:
        raise ValueError(f"expected 3 or more points, so that one can be left out; got {len(points)}")
    a, b = _coefficients(points)
    left_out = []
    for index, point in enumerate(points):
        others = _coefficients([*points[:index], *points[index + 1 :]])
        left_out.append(_error(point, *others))
    return Fit(a, b, tuple(_error(point, a, b) for point in points), tuple(left_out))


def described(found: Fit, points: Sequence[Point] = POINTS) -> str:
    """Return in one line what the estimate is, how it was fitted and how wrong it is."""
    errors = ", ".join(
        f"{point.name} {point.published_ms:g} ms published, {inside:+.0%} in the fit, {outside:+.0%} left out of it"
        for point, inside, outside in zip(points, found.residuals, found.left_out, strict=True)
    )
    few = f" {len(points)} points are too few to trust it: it orders models, and tells no time." * (len(points) < FEW)
    return (
        f"Estimate, not a measurement: ms on a Pi 4 with 4 threads = {found.per_million:.4f} x million instructions + "
        f"{found.per_thousand:.4f} x thousand L2 misses, two coefficients fitted to {len(points)} published times "
        f"({errors}).{few}"
    )


def _coefficients(points: Sequence[Point]) -> tuple[float, float]:
    import numpy as np

    counts = np.array([[point.instructions_million, point.l2_misses / 1e3] for point in points])
    published = np.array([point.published_ms for point in points])
    (a, b), *_ = np.linalg.lstsq(counts / published[:, np.newaxis], np.ones(len(points)), rcond=None)
    return float(a), float(b)


def _error(point: Point, a: float, b: float) -> float:
    return (a * point.instructions_million + b * point.l2_misses / 1e3) / point.published_ms - 1
