"""Data sets by name, each mapped to the canonical labels and to its official part names.

First step of training: files on disk -> :class:`Dataset`. ``load`` is the only entry; unknown names are refused with
the list.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.errors import DataError
from train.datasets.core import Dataset, Part, concatenate, fingerprint
from train.datasets.protocols import PROTOCOLS, apply_protocol

__all__ = ["DATASETS", "PROTOCOLS", "Dataset", "Part", "apply_protocol", "concatenate", "fingerprint", "load"]


def _fer2013(path: Path | None, progress: bool) -> Dataset:
    from train.datasets.fer2013 import load_fer2013

    return load_fer2013(
        _required(path, "fer2013", "fer2013.csv or the folder with train/ and test/"), progress=progress
    )


def _folder(path: Path | None, progress: bool) -> Dataset:
    from train.datasets.folders import load_folder

    return load_folder(_required(path, "folder", "a folder with train/<class>/… and test/<class>/…"), progress=progress)


def _synthetic(path: Path | None, progress: bool) -> Dataset:
    from train.datasets.synthetic import load_synthetic

    if path is not None:
        raise DataError(f"the synthetic faces are drawn in code and take no path; got {path}; leave --data out")
    return load_synthetic(progress=progress)


DATASETS: dict[str, Callable[[Path | None, bool], Dataset]] = {
    "fer2013": _fer2013,
    "folder": _folder,
    "synthetic": _synthetic,
}


def load(name: str, path: str | Path | None = None, *, progress: bool = True) -> Dataset:
    """Return the data set ``name`` read from ``path``.

    Args:
        name: one of ``DATASETS``.
        path: where it lies on this machine; ``None`` only for ``synthetic``.
        progress: show a progress bar while a large file is read for the first time.

    Raises:
        DataError: the name is unknown, the path is missing, or the files are not what the data set's layout says.
    """
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}; choose one of them")
    return DATASETS[name](Path(path) if path is not None else None, progress)


def _required(path: Path | None, name: str, what: str) -> Path:
    if path is None:
        raise DataError(f"the data set {name} needs a path; got none; give --data {what}")
    if not path.exists():
        raise DataError(f"expected {what} at {path}; nothing is there; check --data")
    return path
