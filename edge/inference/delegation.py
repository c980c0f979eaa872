"""Which of a network's operators XNNPACK runs, by the interpreter's own list after it has handed parts over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DELEGATE = "DELEGATE"  # the operator that stands for a part that was handed over


@dataclass(frozen=True)
class Delegation:
    """Where a network's operators run.

    Attributes:
        operators: how many there are.
        partitions: how many pieces XNNPACK runs; 0: it is not in use.
        outside: operators that XNNPACK does not run, by name.
    """

    operators: int
    partitions: int
    outside: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"partitions": self.partitions, "operators": self.operators, "outside": dict(self.outside)}


def delegation(interpreter: Any) -> Delegation | None:
    """Return where an interpreter with allocated tensors runs its operators; None if it does not list them."""
    if not hasattr(interpreter, "_get_ops_details"):
        return None
    return of_details(interpreter._get_ops_details())


def of_details(details: Sequence[Mapping[str, Any]]) -> Delegation:
    """Return where operators run, of the interpreter's list: each with "op_name", "inputs" and "outputs"."""
    operators = [entry for entry in details if entry["op_name"] != DELEGATE]
    partitions = [entry for entry in details if entry["op_name"] == DELEGATE]
    inside = taken_over(operators, partitions)
    outside = Counter(entry["op_name"] for position, entry in enumerate(operators) if position not in inside)
    return Delegation(len(operators), len(partitions), dict(sorted(outside.items())))


def taken_over(operators: Sequence[Mapping[str, Any]], partitions: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the positions of the operators that partitions took over: those between their inputs and outputs.

    Args:
        operators: in order, each with "inputs" and "outputs", the numbers of its tensors (-1: an input left out).
        partitions: the delegate's operators, likewise.
    """
    producer = {int(tensor): i for i, entry in enumerate(operators) for tensor in entry["outputs"]}
    inside: set[int] = set()
    for partition in partitions:
        given = {int(tensor) for tensor in partition["inputs"]}
        wanted = [int(tensor) for tensor in partition["outputs"]]
        while wanted:
            tensor = wanted.pop()
            if tensor in given or tensor not in producer or producer[tensor] in inside:
                continue
            inside.add(producer[tensor])
            wanted += [int(feed) for feed in operators[producer[tensor]]["inputs"]]
    return inside
