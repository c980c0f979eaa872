"""FER2013 from its challenge file ``fer2013.csv`` or from the image-folder edition, with FER+ votes if wanted.

Users get it from Kaggle ("Challenges in Representation Learning: Facial Expression Recognition Challenge"); it may not
be redistributed.

Source: Goodfellow et al., "Challenges in Representation Learning: A report on three machine learning contests", 2013.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.inference.contract import CropSpec
from edge.labels import EMOTIONS
from train.datasets.core import Dataset, Part, fingerprint
from train.datasets.pixelcsv import CSV, SIDE_PX, USAGES, read_pixels
from train.datasets.published import check_counts
from train.datasets.votes import VOTES_NOTE, read_votes, soft_targets

ROLES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
PUBLISHED = {
    "Training": dict(zip(EMOTIONS, (3995, 436, 4097, 7215, 4830, 3171, 4965), strict=True)),
    "PublicTest": dict(zip(EMOTIONS, (467, 56, 496, 895, 653, 415, 607), strict=True)),
    "PrivateTest": dict(zip(EMOTIONS, (491, 55, 528, 879, 594, 416, 626), strict=True)),
}
# FER2013's 48-pixel frame around YuNet's box (median 39 x 47 px, left 4, top 1 over raw faces): the frame's side is
# 48/47 of the box's height, its centre (24, 24) lies (+0.5, -0.5) px from the box's centre (23.5, 24.5).
CROP = CropSpec(side_scale=48 / 47, offset_x=0.5 / 48, offset_y=-0.5 / 48, resolution_px=SIDE_PX, alignment="none")


def load_fer2013(path: Path, *, votes: Path | None = None, progress: bool = True) -> Dataset:
    """Return FER2013 from ``fer2013.csv`` (parts by Usage) or from a folder with ``train/`` and ``test/``.

    Args:
        path: the csv, a folder that holds it, or the folder edition.
        votes: ``fer2013new.csv`` of FER+; its votes are attached to every part, the labels stay FER2013's.
        progress: show a progress bar.

    Raises:
        DataError: columns missing, a pixel row short (the message has its row number), a folder without classes, more
            pictures than were published, votes that are not of this csv or given for the folder edition.
    """
    if path.is_dir():
        if not (path / CSV).is_file():
            return _folder_edition(path, votes, progress)
        path = path / CSV
    images, labels, usage = read_pixels(path, progress=progress)
    shares = None if votes is None else soft_targets(read_votes(votes, usage))
    parts = by_usage(images, labels.astype(np.int64), usage, path, shares)
    notes = [note for name, part in parts.items() for note in _subset(name, part)]
    if votes is not None:
        notes.append(VOTES_NOTE)
    return Dataset("fer2013", EMOTIONS, parts, ROLES, CROP, "grey", fingerprint(parts), notes=tuple(notes))


def by_usage(
    images: np.ndarray, labels: np.ndarray, usage: np.ndarray, path: Path, votes: np.ndarray | None = None
) -> dict[str, Part]:
    """Return the rows of a csv as the parts Training, PublicTest and PrivateTest.

    Args:
        images: uint8 (n, 48, 48).
        labels: int64 (n,), canonical.
        usage: uint8 (n,), positions in ``USAGES``.
        path: the csv, for messages.
        votes: float32 (n, 7) or None.

    Raises:
        DataError: one of the three has no row.
    """
    missing = [name for code, name in enumerate(USAGES) if not (usage == code).any()]
    if missing:
        raise DataError(
            f"expected rows of Usage {', '.join(USAGES)} in {path}; none of {', '.join(missing)}; use the complete file"
        )
    rows = {name: usage == code for code, name in enumerate(USAGES)}
    return {
        name: Part(images[mask], labels[mask], None if votes is None else votes[mask]) for name, mask in rows.items()
    }


def _folder_edition(path: Path, votes: Path | None, progress: bool) -> Dataset:
    import dataclasses

    from train.datasets.folders import load_folder

    if votes is not None:
        raise DataError(f"expected {CSV} to join the votes {votes} to; got the folders in {path}; pass the csv")
    dataset = load_folder(path, name="fer2013", labels=EMOTIONS, crop=CROP, colour="grey", progress=progress)
    found = sum(np.bincount(part.labels, minlength=len(EMOTIONS)) for part in dataset.parts.values())
    total = {name: sum(part[name] for part in PUBLISHED.values()) for name in EMOTIONS}
    notes = check_counts(np.asarray(found).tolist(), total, EMOTIONS, "FER2013")
    return dataclasses.replace(dataset, notes=notes)


def _subset(name: str, part: Part) -> tuple[str, ...]:
    counts = np.bincount(part.labels, minlength=len(EMOTIONS)).tolist()
    return check_counts(counts, PUBLISHED[name], EMOTIONS, f"FER2013 {name}")
