"""What may change while a benchmark runs (clock, heat, throttling, load), and what a record says of its machine.

Read before and after the timed part, never within it. What the machine does not say is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.system import board, speed
from edge.system.machine import Machine

_MB = 1e6


@dataclass(frozen=True)
class Conditions:
    """How the machine stands at one moment.

    Attributes:
        temperature_c: of the processor, degrees Celsius.
        clock_mhz: of the fastest core now.
        throttling: what the Raspberry Pi's firmware says; None on other machines.
        load_1m: how many processes wanted to run in the last minute, on average.
    """

    temperature_c: float | None = None
    clock_mhz: int | None = None
    throttling: speed.Throttling | None = None
    load_1m: float | None = None


@dataclass(frozen=True)
class Course:
    """The conditions of a benchmark from its start to its end.

    Attributes:
        before: before anything ran.
        after: right after the last run.
        start_mhz: the clock when the timed part began, with the processor already at work; None: not read.
        limit_c: the temperature from which on firmware or kernel lower the clock; None where it is not known.
        cores: that this process may run on.
    """

    before: Conditions
    after: Conditions
    start_mhz: int | None = None
    limit_c: float | None = None
    cores: int | None = None


def conditions(machine: Machine) -> Conditions:
    """Return how the machine stands now."""
    return Conditions(speed.temperature_c(machine), clock_mhz(machine), speed.throttling(machine), board.load(machine))


def clock_mhz(machine: Machine) -> int | None:
    """Return the fastest core's frequency now, MHz; cheap enough to be read between two runs."""
    found = speed.clock_mhz(machine)
    return None if found is None else found[0]


def ended(machine: Machine, before: Conditions, start_mhz: int | None = None) -> Course:
    """Return the course of a benchmark that ends now."""
    pi = board.raspberry_pi(board.board(machine)) is not None
    limit_c = speed.PI_LIMIT_C if pi else speed.passive_trip_c(machine)
    return Course(before, conditions(machine), start_mhz, limit_c, machine.usable_cores)


def facts(machine: Machine, course: Course) -> dict[str, Any]:
    """Return what a record's machine block says beside model, arch, cores, system and Python.

    `throttled` holds what the firmware said at either end (`now`) and since the last boot.
    """
    clock, memory = speed.clock_mhz(machine), board.memory(machine)
    return {
        "board": board.board(machine),
        "cpu": board.processor(machine),
        "features": board.cpu_features(machine),
        "kernel": board.kernel(machine),
        "governor": ", ".join(speed.governors(machine)) or None,
        "clock_mhz": course.after.clock_mhz,
        "clock_max_mhz": None if clock is None else clock[1],
        "temperature_before_c": course.before.temperature_c,
        "temperature_after_c": course.after.temperature_c,
        "throttled": _throttled(course),
        "load_1m": course.before.load_1m,
        "memory_mb": None if memory.total is None else round(memory.total / _MB, 1),
        "memory_available_mb": None if memory.available is None else round(memory.available / _MB, 1),
    }


def _throttled(course: Course) -> dict[str, list[str]] | None:
    ends = [end.throttling for end in (course.before, course.after) if end.throttling is not None]
    if not ends:
        return None
    return {
        "now": list(dict.fromkeys(meaning for end in ends for meaning in end.now)),
        "since_boot": list(ends[-1].since_boot),
    }
