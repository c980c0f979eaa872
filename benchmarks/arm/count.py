"""Counting what an inference executes on an emulated board.

Deterministic: one thread, seeded input, ai-edge-litert of the host's own version. Wall time under emulation says
nothing about a board; the number of instructions does, among models of one arithmetic.
"""

from __future__ import annotations

import importlib.metadata
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arm.emulator import Emulator
from benchmarks.arm.functions import Function, by_function
from benchmarks.arm.home import Home
from edge.errors import ModelFileError

RUNTIME = "ai-edge-litert"
REPEATS = 5
GUEST = Path(__file__).with_name("guest.py")


@dataclass(frozen=True)
class Count:
    """What one inference of one model executes.

    Attributes:
        model: the file.
        runtime: version of ai-edge-litert in the guest.
        instructions: median over the repeats; ``spread`` is the largest less the smallest.
        sdot: dot-product instructions among them.
        l2_misses: simulated, or None where they were not counted.
        functions: the most expensive first; empty unless asked for.
    """

    model: Path
    runtime: str
    instructions: int
    spread: int
    sdot: int
    l2_misses: int | None
    functions: tuple[Function, ...] = ()


def emulator(home: Home, suite: str, board: str) -> Emulator:
    """Return a board with the host's version of ai-edge-litert, or the newest where the host has none."""
    try:
        requirement = f"{RUNTIME}=={importlib.metadata.version(RUNTIME)}"
    except importlib.metadata.PackageNotFoundError:
        requirement = RUNTIME
    return Emulator(home, suite, board, home.site(suite, (requirement, "numpy")))


def count(
    machine: Emulator, models: Sequence[Path], *, cache: bool = False, functions: bool = False
) -> tuple[Count, ...]:
    """Return the counts of each model, in order; all run in one guest process.

    Args:
        machine: of ``emulator``.
        models: any .tflite files.
        cache: count misses of simulated caches too.
        functions: tell the functions apart too.

    Raises:
        ModelFileError: a file is missing or the runtime refuses it.
        EdgeError: a tool is missing or the guest failed.
    """
    for path in models:
        if not path.is_file():
            raise ModelFileError(f"{path}: expected a model file; got no such file; check the path")
    words: list[str | Path] = [GUEST, str(REPEATS), *(path.absolute() for path in models)]
    ran = machine.run(words, count=True, cache=cache, functions=functions)
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    *told, last = lines
    found = []
    for number, (path, line) in enumerate(zip(models, told, strict=True)):
        if "error" in line:
            raise ModelFileError(f"{path}: expected a model that {RUNTIME} can run; got: {line['error']}")
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
            )
        )
    return tuple(found)
