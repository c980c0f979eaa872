"""What a base install takes on the device: its packages and their sizes, from a folder that pip installed into."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any


def footprint(folders: Sequence[Path]) -> dict[str, Any]:
    """Return size_bytes of all files and, by package, its version and size_bytes, the largest package first.

    Byte code is not counted: pip compiles it on the device.

    Args:
        folders: of ``pip install --target``.
    """
    versions, sizes = {}, {}
    for found in distributions(path=[str(folder) for folder in folders]):
        files = [Path(str(found.locate_file(file))) for file in found.files or ()]
        name = found.metadata["Name"]
        versions[name] = found.version
        sizes[name] = sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")
    largest_first = sorted(sizes, key=lambda name: -sizes[name])
    packages = {name: {"version": versions[name], "size_bytes": sizes[name]} for name in largest_first}
    return {"size_bytes": sum(sizes.values()), "packages": packages}
