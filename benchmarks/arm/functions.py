"""Which functions of the runtime spend an inference's instructions: XNNPACK names its kernels by type and tile."""

from __future__ import annotations

import bisect
import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arm.home import need

ELSEWHERE = "(elsewhere)"
_CODE = "tTwW"  # nm's letters for functions


@dataclass(frozen=True)
class Function:
    """A function of the runtime and the instructions that one inference executes in it."""

    name: str
    instructions: int


def by_function(blocks: Mapping[int, int], libraries: Mapping[str, int]) -> list[Function]:
    """Return the functions that ran, the most expensive first.

    Args:
        blocks: instructions by address, of ``Interval``.
        libraries: the address of each library's first byte, of the guest.
    """
    starts = sorted((start, path) for path, start in libraries.items())
    symbols: dict[str, tuple[list[int], list[str]]] = {}
    spent: Counter[str] = Counter()
    for address, instructions in blocks.items():
        index = bisect.bisect(starts, (address, chr(0x10FFFF))) - 1
        if index < 0:
            spent[ELSEWHERE] += instructions
            continue
        start, path = starts[index]
        if path not in symbols:
            symbols[path] = _symbols(Path(path))
        spent[_name(address - start, symbols[path], Path(path).name)] += instructions
    return [Function(name, instructions) for name, instructions in spent.most_common()]


def _name(offset: int, symbols: tuple[list[int], list[str]], library: str) -> str:
    offsets, names = symbols
    index = bisect.bisect(offsets, offset) - 1
    return names[index] if index >= 0 else f"({library})"


def _symbols(path: Path) -> tuple[list[int], list[str]]:
    """Return the functions of a library, sorted: their offsets and their names; empty where it was stripped."""
    if not path.is_file():
        return [], []
    done = subprocess.run([need("nm"), "-C", str(path)], capture_output=True, text=True, check=False)
    rows = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    found = sorted((int(row[0], 16), _short(row[2])) for row in rows if len(row) == 3 and row[1] in _CODE)
    return [offset for offset, _ in found], [name for _, name in found]


def _short(name: str) -> str:
    """Return a C++ name without its result, its arguments and its last template arguments."""
    plain = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    return re.split(r"[(<]", plain)[0] or name
