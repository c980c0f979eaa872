"""Data sets by name, each mapped to the canonical labels and to its official part names.

First step of training: files on disk -> :class:`Dataset`. ``load`` is the only way to one; beside it are protocols, the
audit, and labels and pictures as a run knows them. Unknown names are refused with the list.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.errors import DataError
from train.datasets.core import Dataset, Part, concatenate, fingerprint, limit_note
from train.datasets.protocols import PROTOCOLS, apply_protocol

__all__ = [
    "DATASETS",
    "PROTOCOLS",
    "Dataset",
    "Part",
    "apply_protocol",
    "concatenate",
    "fingerprint",
    "limit_note",
    "load",
]

WHAT = {
    "fer2013": "fer2013.csv or the folder with train/ and test/",
    "ferplus": "the folder with fer2013.csv and fer2013new.csv",
    "rafdb": "the folder with EmoLabel/ and Image/aligned/, or with DATASET/",
    "ckplus": "ckextended.csv or the folder with anger/, contempt/, disgust/, …",
    "folder": "a folder with train/<class>/… and test/<class>/…",
}
WITH_VOTES = ("fer2013", "ferplus")


def _fer2013(path: Path, votes: Path | None, progress: bool) -> Dataset:
    from train.datasets.fer2013 import load_fer2013

    return load_fer2013(path, votes=votes, progress=progress)


def _ferplus(path: Path, votes: Path | None, progress: bool) -> Dataset:
    from train.datasets.ferplus import load_ferplus

    return load_ferplus(path, votes=votes, progress=progress)


def _rafdb(path: Path, votes: Path | None, progress: bool) -> Dataset:
    from train.datasets.rafdb import load_rafdb

    return load_rafdb(path, progress=progress)


def _ckplus(path: Path, votes: Path | None, progress: bool) -> Dataset:
    from train.datasets.ckplus import load_ckplus

    return load_ckplus(path, progress=progress)


def _folder(path: Path, votes: Path | None, progress: bool) -> Dataset:
    from train.datasets.folders import load_folder

    return load_folder(path, progress=progress)


def _synthetic(path: Path, votes: Path | None, progress: bool) -> Dataset:
    from train.datasets.synthetic import load_synthetic

    return load_synthetic(progress=progress)


DATASETS: dict[str, Callable[[Path, Path | None, bool], Dataset]] = {
    "fer2013": _fer2013,
    "ferplus": _ferplus,
    "rafdb": _rafdb,
    "ckplus": _ckplus,
    "folder": _folder,
    "synthetic": _synthetic,
}


def load(
    name: str, path: str | Path | None = None, *, progress: bool = True, votes: str | Path | None = None
) -> Dataset:
    """Return the data set ``name`` read from ``path``.

    Args:
        name: one of ``DATASETS``.
        path: where it lies on this machine; ``None`` only for ``synthetic``.
        progress: show a progress bar while a large file is read for the first time.
        votes: ``fer2013new.csv`` of FER+, for ``fer2013`` (attached, labels unchanged) and ``ferplus`` (where it does
            not lie beside ``fer2013.csv``).

    Raises:
        DataError: the name is unknown, the path is missing, or the files are not what the data set's layout says.
    """
    if name not in DATASETS:
        raise DataError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}; choose one of them")
    if votes is not None and name not in WITH_VOTES:
        raise DataError(f"expected {' or '.join(WITH_VOTES)} with FER+ votes; got {name}; leave the votes out")
    if name == "synthetic":
        if path is not None:
            raise DataError(f"the synthetic faces are drawn in code and take no path; got {path}; leave --data out")
        path = ""
    elif path is None:
        raise DataError(f"the data set {name} needs a path; got none; give --data {WHAT[name]}")
    elif not Path(path).exists():
        raise DataError(f"expected {WHAT[name]} at {path}; nothing is there; check --data")
    return DATASETS[name](Path(path), Path(votes) if votes is not None else None, progress)
