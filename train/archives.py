"""Archives of arrays (``.npz``) read whole, so that damage anywhere in one is met before any of it is used."""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from edge.errors import DataError

# What numpy and zipfile raise where a file is cut short, has bytes changed, or is something else.
DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error, RuntimeError, MemoryError)


def read_arrays(file: Path, what: str, remedy: str) -> dict[str, np.ndarray]:
    """Return all arrays of an npz by name; nothing pickled is opened.

    Args:
        file: the archive.
        what: it should be, with its article, for the error.
        remedy: what its user can do where it is not.

    Raises:
        DataError: no such file, no npz, or damaged in any part.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except DAMAGED as cause:
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise DataError(f"expected {what} in {file}; {reason[:200]}; {remedy}") from cause
