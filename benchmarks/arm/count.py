"""Counting what an inference executes on an emulated board.

Deterministic: one thread, seeded input, one runtime of one version. Wall time under emulation says nothing about a
board; the number of instructions does, among models of one arithmetic.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arm.emulator import Emulator
from benchmarks.arm.functions import Function, by_function
from benchmarks.arm.home import Home
from benchmarks.arm.runtimes import RUNTIME, requirements
from edge.errors import ModelFileError
from edge.inference.delegation import Delegation, of_details

REPEATS = 5
GUEST = Path(__file__).with_name("guest.py")


@dataclass(frozen=True)
class Count:
    """What one inference of one model executes.

    Attributes:
        model: the file.
        runtime: version of the interpreter in the guest.
        instructions: median over the repeats; ``spread`` is the largest less the smallest.
        sdot: dot-product instructions among them.
        l2_misses: simulated, or None where they were not counted.
        functions: the most expensive first; empty unless asked for.
        xnnpack: which operators it runs; None where that is not told.
    """

    model: Path
    runtime: str
    instructions: int
    spread: int
    sdot: int
    l2_misses: int | None
    functions: tuple[Function, ...] = ()
    xnnpack: Delegation | None = None


def emulator(home: Home, suite: str, board: str, runtime: str = RUNTIME) -> Emulator:
    """Return a board with a runtime, in the version of ``benchmarks.arm.runtimes``."""
    return Emulator(home, suite, board, home.site(suite, requirements(runtime)))


def count(
    machine: Emulator, models: Sequence[Path], runtime: str = RUNTIME, *, cache: bool = False, functions: bool = False
) -> tuple[Count, ...]:
    """Return the counts of each model, in order; all run in one guest process.

    Args:
        machine: of ``emulator``, with the same runtime.
        models: any .tflite files.
        runtime: a key of ``RUNTIMES``.
        cache: count misses of simulated caches too.
        functions: tell the functions apart too.

    Raises:
        ModelFileError: a file is missing or the runtime refuses it.
        EdgeError: a tool is missing or the guest failed.
    """
    for path in models:
        if not path.is_file():
            raise ModelFileError(f"{path}: expected a model file; got no such file; check the path")
    words: list[str | Path] = [GUEST, runtime, str(REPEATS), *(path.absolute() for path in models)]
    ran = machine.run(words, count=True, cache=cache, functions=functions)
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    *told, last = lines
    found = []
    for number, (path, line) in enumerate(zip(models, told, strict=True)):
        if "error" in line:
            raise ModelFileError(f"{path}: expected a model that {runtime} can run; got: {line['error']}")
        first = number * (REPEATS + 1) + 1  # a model's first marker ends what came before its inferences
        runs = ran.intervals[first : first + REPEATS]
        middle = sorted(runs, key=lambda run: run.instructions)[REPEATS // 2]
        found.append(
            Count(
                model=path,
                runtime=line["runtime"],
                instructions=middle.instructions,
                spread=max(run.instructions for run in runs) - min(run.instructions for run in runs),
                sdot=middle.sdot,
                l2_misses=int(statistics.median(run.l2_misses for run in runs)) if cache else None,
                functions=tuple(by_function(middle.blocks, last["libraries"])) if functions else (),
                xnnpack=of_details(line["operators"]) if "operators" in line else None,
            )
        )
    return tuple(found)
