"""Who goes with whom at the least total cost; a device has no scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence


def assign(cost: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Return the (row, column) pairs of least total cost, min(rows, columns) of them, in O(n^3).

    Args:
        cost: a rectangular table of finite numbers.

    Source: Kuhn 1955 with the potentials and shortest augmenting paths of Jonker & Volgenant 1987.
    """
    if not cost or not cost[0]:
        return []
    if len(cost) > len(cost[0]):
        return sorted((row, column) for column, row in assign(list(zip(*cost, strict=True))))
    rows, columns = len(cost), len(cost[0])
    row_potential, column_potential = [0.0] * (rows + 1), [0.0] * (columns + 1)
    owner = [0] * (columns + 1)  # column -> row, both counted from 1; 0: free
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        least, before, used = [math.inf] * (columns + 1), [0] * (columns + 1), [False] * (columns + 1)
        while owner[column]:
            used[column] = True
            current, delta, following = owner[column], math.inf, 0
            for other in range(1, columns + 1):
                if not used[other]:
                    reduced = cost[current - 1][other - 1] - row_potential[current] - column_potential[other]
                    if reduced < least[other]:
                        least[other], before[other] = reduced, column
                    if least[other] < delta:
                        delta, following = least[other], other
            for other in range(columns + 1):
                if used[other]:
                    row_potential[owner[other]] += delta
                    column_potential[other] -= delta
                else:
                    least[other] -= delta
            column = following
        while column:
            owner[column] = owner[before[column]]
            column = before[column]
    return sorted((owner[column] - 1, column - 1) for column in range(1, columns + 1) if owner[column])
