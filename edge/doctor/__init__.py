"""The doctor: what this machine has of what the runtime needs, found by using it, and what to do.

`examine` gives one `Check` after the other; `fer-edge doctor` prints them. Facts of the machine come from
`edge.system`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from edge.cli import one_line
from edge.doctor.check import Check
from edge.doctor.hardware import HARDWARE
from edge.doctor.software import SOFTWARE
from edge.system.machine import Machine

SCHEMA = 1  # of `fer-edge doctor --json`


def examine(model: str | os.PathLike[str] | None = None, machine: Machine | None = None) -> Iterator[Check]:
    """Yield the checks one by one; an error in one is its FAIL, and the next goes on.

    Args:
        model: a .tflite; None: the model that ships in the package.
        machine: where facts are read; None: this machine.
    """
    where = Machine() if machine is None else machine
    checks: list[tuple[str, Callable[[], Check]]] = [(name, partial(check, where)) for name, check in HARDWARE]
    checks += [(name, partial(check, model)) for name, check in SOFTWARE]
    for name, check in checks:
        try:
            yield check()
        except Exception as error:  # a doctor reports whatever is wrong, and goes on
            yield Check(name, "FAIL", one_line(error))


def report(checks: Sequence[Check]) -> dict[str, Any]:
    """Return `fer-edge doctor --json`'s object: {"schema": 1, "ok": no check failed, "checks": [...]}."""
    return {
        "schema": SCHEMA,
        "ok": all(check.status != "FAIL" for check in checks),
        "checks": [check.to_dict() for check in checks],
    }
