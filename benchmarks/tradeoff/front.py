"""The Pareto front: what no other point beats in both accuracy and time."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points on the front, fastest first.

    A point is dominated where another is at least as good in both and better in one. Equal points dominate neither.

    Args:
        points: (cost, gain) each; a lower cost and a higher gain are better.

    Source: Kung, Luccio and Preparata 1975, On Finding the Maxima of a Set of Vectors, Journal of the ACM 22.
    """
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    front: list[int] = []
    for index in order:
        if not front or points[index][1] > points[front[-1]][1] or points[index] == points[front[-1]]:
            front.append(index)
    return front
