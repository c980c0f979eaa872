"""Running a Python script on an emulated board, with or without the counter."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.arm.boards import BOARDS, SUITES
from benchmarks.arm.home import QEMU, Home, need
from edge.errors import EdgeError

_OWN_ENVIRONMENT = ("PYTHON", "VIRTUAL_ENV", "LD_", "QEMU_")  # of the host, and misleading in the guest


@dataclass(frozen=True)
class Interval:
    """What ran between two markers.

    Attributes:
        instructions: executed; ``sdot`` dot-product ones among them.
        l2_misses: simulated; 0 where no cache was.
        blocks: instructions by the address of the block that they ran in; empty unless asked for.
    """

    instructions: int
    sdot: int
    l2_misses: int
    blocks: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """A script's output, and the intervals between its markers: the first ends at the first marker."""

    stdout: str
    stderr: str
    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class Emulator:
    """One board under one suite, with a folder of packages.

    Attributes:
        home: of the emulated machines.
        suite: a key of ``SUITES``; ``board`` a key of ``BOARDS``.
        site: folder for PYTHONPATH.
    """

    home: Home
    suite: str
    board: str
    site: Path

    def run(
        self,
        words: Sequence[str | Path],
        *,
        count: bool = False,
        cache: bool = False,
        functions: bool = False,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Ran:
        """Return what Python does there with the arguments ``words``.

        Args:
            words: Python's arguments; the guest sees the host's files.
            count: load the counter; ``cache`` and ``functions`` are its options.
            cache: simulate the board's data caches (several times slower).
            functions: keep the counts by address.
            environment: variables beyond the usual ones.
            cwd: where to run.

        Raises:
            EdgeError: a tool is missing or the script failed; the text ends with its last line.
        """
        root = self.home.board(self.suite, self.board).absolute()
        with tempfile.TemporaryDirectory(prefix="fer-edge-arm-") as folder:
            marks = Path(folder, "marks")
            command = [need(QEMU), "-cpu", BOARDS[self.board].core, "-L", str(root)]
            if count:
                command += ["-plugin", self._plugin(marks, cache, functions)]
            command += [str(root / "usr/bin" / f"python{SUITES[self.suite].python}"), *map(str, words)]
            done = subprocess.run(
                command, cwd=cwd, env=self._environment(environment), capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise EdgeError(
                    f"expected {Path(words[0]).name} to run on {self.board} under {self.suite}; "
                    f"got {_ending(done.returncode)}: {_last(done.stderr or done.stdout)}"
                )
            return Ran(done.stdout, done.stderr, _intervals(marks) if count else ())

    def _plugin(self, marks: Path, cache: bool, functions: bool) -> str:
        options = [f"{self.home.plugin().absolute()}", f"out={marks}"]
        if cache:
            sizes = BOARDS[self.board].cache
            options += [f"l1_kib={sizes.l1_kib}", f"l1_ways={sizes.l1_ways}"]
            options += [f"l2_kib={sizes.l2_kib}", f"l2_ways={sizes.l2_ways}"]
        return ",".join(options + ["functions=on"] * functions)

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_OWN_ENVIRONMENT)}
        own = {"PYTHONPATH": str(self.site.absolute()), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**kept, **own, "PYTHONNOUSERSITE": "1", "OPENBLAS_NUM_THREADS": "1", **(more or {})}


def _intervals(marks: Path) -> tuple[Interval, ...]:
    found: list[tuple[dict[str, int], dict[int, int]]] = []
    for line in marks.read_text(encoding="ascii").splitlines():
        words = line.split()
        if words[0] == "MARK":
            counts = {key: int(value) for key, _, value in (word.partition("=") for word in words[2:])}
            found.append((counts, {}))
        else:
            blocks, address = found[-1][1], int(words[0], 16)
            blocks[address] = blocks.get(address, 0) + int(words[1])
    return tuple(Interval(**counts, blocks=blocks) for counts, blocks in found)


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"
