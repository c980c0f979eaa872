"""The interpreters that instructions are counted with: the current one, and the older one, the last on 32-bit ARM."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

from benchmarks.arm.boards import SUITES

RUNTIME = "ai-edge-litert"


@dataclass(frozen=True)
class Runtime:
    """One interpreter.

    Attributes:
        version: what is installed in the guest; None: the host's own version, or the newest where the host has none.
        numpy: as pip takes it.
        suites: keys of ``SUITES`` for whose Python it has an arm64 wheel.
    """

    version: str | None
    numpy: str
    suites: tuple[str, ...]


RUNTIMES = {
    RUNTIME: Runtime(None, "numpy", tuple(SUITES)),
    # The last version on PyPI: built against NumPy 1, for Python up to 3.11.
    "tflite-runtime": Runtime("2.14.0", "numpy<2", ("bookworm",)),
}


def requirements(name: str) -> tuple[str, str]:
    """Return what pip installs for a runtime: itself and its NumPy."""
    facts = RUNTIMES[name]
    try:
        version = facts.version or importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return name, facts.numpy
    return f"{name}=={version}", facts.numpy
