"""Where facts are read: the root of the file system, this process, and the tools that may be run."""

from __future__ import annotations

import os
import platform
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TOOL_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Outcome:
    """How a tool ended.

    Attributes:
        code: its exit code.
        stdout: what it said.
        stderr: what it complained of.
    """

    code: int
    stdout: str
    stderr: str


def run_tool(command: Sequence[str]) -> Outcome | None:
    """Return how a command ended, or None where there is no such command or it does not end in time."""
    try:
        done = subprocess.run(
            list(command), capture_output=True, text=True, errors="replace", timeout=TOOL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Outcome(done.returncode, done.stdout, done.stderr)


def _usable_cores() -> int | None:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count()


@dataclass(frozen=True)
class Machine:
    """What the probes look at.

    Attributes:
        root: the root of the file system.
        arch: the kernel's name of the architecture ("aarch64", "armv7l", "x86_64").
        bits: 64 or 32, of this Python.
        usable_cores: cores that this process may run on.
        run: runs a tool.
    """

    root: Path = Path("/")
    arch: str = field(default_factory=platform.machine)
    bits: int = field(default_factory=lambda: 8 * struct.calcsize("P"))
    usable_cores: int | None = field(default_factory=_usable_cores)
    run: Callable[[Sequence[str]], Outcome | None] = run_tool

    def path(self, name: str) -> Path:
        """Return the path of `name` ("proc/cpuinfo") below the root."""
        return self.root / name

    def text(self, name: str) -> str | None:
        """Return a file's text without NUL and white space at its ends; None where it cannot be read or is empty."""
        try:
            content = self.path(name).read_bytes()
        except OSError:  # missing, forbidden, or a sensor that does not answer
            return None
        return content.decode("utf-8", "replace").strip("\0 \t\n") or None

    def number(self, name: str) -> int | None:
        """Return a file's decimal number; None where it holds none."""
        text = self.text(name)
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def names(self, pattern: str) -> list[str]:
        """Return the paths below the root that match a pattern, relative to it, in natural order."""
        try:
            found = [path.relative_to(self.root).as_posix() for path in self.root.glob(pattern)]
        except OSError:
            return []
        return sorted(found, key=lambda name: (len(name), name))


def this_machine() -> Machine:
    """Return this machine; the commands' one place, so that a test can put another there."""
    return Machine()
