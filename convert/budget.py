"""The accuracy budget: which layers of an int8 file stay in float so that its accuracy drops by no more than asked.

Between ``convert.verification.sensitivity`` and ``convert.tflite.islands``. The costliest roundings are left out, as
few as the budget asks for: a search on the switched network finds how many, the exported file itself decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from convert.lowering.graph import Graph
from convert.verification.checks import CheckError
from convert.verification.sensitivity import Rounding, float_layers

GROWTH = 4  # a file over the budget gets a quarter more roundings left out, at least one


@dataclass(frozen=True)
class Choice:
    """What was kept in float.

    Attributes:
        kept: Layers, in the order of the graph.
        left_out: How many of the costliest roundings they avoid.
        drop_points: Accuracy of the float network less that of the file on the part that decides, in points.
        tried: Every file that was made: ``left_out``, ``layers`` (how many) and its ``drop_points``.
    """

    kept: tuple[str, ...]
    left_out: int
    drop_points: float
    tried: tuple[dict[str, Any], ...]


def choose(
    graph: Graph,
    roundings: Sequence[Rounding],
    drop_of_network: Callable[[frozenset[str]], float],
    drop_of_file: Callable[[frozenset[str]], float],
    budget: float,
) -> Choice:
    """Keeps as few layers in float as the budget allows.

    Args:
        graph: Lowered.
        roundings: The costliest first.
        drop_of_network: Accuracy drop in points of the fake-quant network with layers in float; cheap.
        drop_of_file: The same of an exported file; dear, and what counts.
        budget: Largest drop, in points.

    Raises:
        CheckError: Not even a file without any of the roundings keeps the budget.
    """
    tried: list[dict[str, Any]] = []

    def attempt(count: int) -> tuple[frozenset[str], float]:
        kept = float_layers(graph, roundings[:count])
        drop = drop_of_file(kept)
        tried.append({"left_out": count, "layers": len(kept), "drop_points": drop})
        return kept, drop

    count, (kept, drop) = 0, attempt(0)
    while drop > budget:
        if count == len(roundings):
            raise CheckError(
                f"expected a drop of at most {budget:g} points; came {drop:.2f} even with every layer in float; "
                "raise --accuracy-budget"
            )
        if count == 0:
            found = fewest(len(roundings), lambda n: drop_of_network(float_layers(graph, roundings[:n])) <= budget)
            count = max(1, found)
        else:
            count = min(len(roundings), count + max(1, count // GROWTH))
        kept, drop = attempt(count)
    return Choice(tuple(node.name for node in graph if node.name in kept), count, drop, tuple(tried))


def fewest(most: int, fits: Callable[[int], bool]) -> int:
    """The least number up to ``most`` that fits, if all above one that fits do; ``most`` where none below it does."""
    low, high = 0, 1
    while high < most and not fits(high):
        low, high = high, 2 * high
    high = min(high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
