"""CK+ from its two 48-pixel editions: the csv ``ckextended.csv`` and folders of pictures.

The csv has FER2013's columns and codes of its own: 0 anger, 1 disgust, 2 fear, 3 happiness, 4 sadness, 5 surprise,
6 neutral, 7 contempt (the CK+ release itself counts otherwise). The folders are ``anger contempt disgust fear happy
sadness surprise`` with three frames of each of 327 sequences, ``S005_001_00000011.png``: no neutral face, no official
parts. Neighbouring frames of one person are all but the same picture, so the parts are drawn here by person.
Contempt is none of the seven emotions and dropped. Users ask its authors for CK+ (jeffcohn.net/Resources); it may not
be redistributed.

Source: Lucey et al., "The Extended Cohn-Kanade Dataset (CK+)", 2010.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from edge.detectors import from_haar
from edge.errors import DataError
from edge.inference.contract import CropSpec
from edge.labels import DATASET_LABELS, EMOTIONS
from train.datasets.core import Dataset, fingerprint
from train.datasets.fer2013 import ROLES, by_usage
from train.datasets.pictures import class_folders, grey, list_class_files, one_channel, read_part
from train.datasets.pixelcsv import SIDE_PX, USAGES, read_pixels
from train.datasets.published import check_counts
from train.datasets.splits import grouped, stratified

CSV = "ckextended.csv"
PUBLISHED = {"angry": 45, "disgust": 59, "fear": 25, "happy": 69, "sad": 28, "surprise": 83, "neutral": 593}
FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}  # of the folder edition's people
CODES = DATASET_LABELS["ckplus-csv"]
FOLDERS = DATASET_LABELS["ckplus-folders"]
CONTEMPT = len(EMOTIONS)  # stands behind the seven while the parts are drawn
PERSON = re.compile(r"(S\d{3})_\d{3}_\d{8}")


def load_ckplus(path: Path, *, progress: bool = True) -> Dataset:
    """Return CK+ from ``ckextended.csv`` (parts by Usage) or from class folders (parts drawn by person).

    Args:
        path: the csv, a folder that holds it, or the folder of class folders.
        progress: show a progress bar.

    Raises:
        DataError: neither edition is there, a row or picture is damaged, a class is unknown or has more pictures than
            the csv edition has.
    """
    if path.is_dir() and (path / CSV).is_file():
        path = path / CSV
    return _folders(path, progress) if path.is_dir() else _csv(path, progress)


def haar_crop() -> CropSpec:
    """Return the crop of both editions, which Haar's frontal cascade cut: its square, told from YuNet's box."""
    left, top, right, bottom = from_haar(0.0, 0.0, 1.0)
    return CropSpec(
        side_scale=1 / max(right - left, bottom - top),
        offset_x=0.5 - (left + right) / 2,
        offset_y=0.5 - (top + bottom) / 2,
        resolution_px=SIDE_PX,
        alignment="none",
    )


def _csv(path: Path, progress: bool) -> Dataset:
    images, codes, usage = read_pixels(path, codes=len(CODES), progress=progress)
    names = [CODES[str(code)] for code in range(len(CODES))]
    labels = np.array([-1 if name is None else EMOTIONS.index(name) for name in names], np.int64)[codes]
    kept = labels >= 0
    counts = np.bincount(labels[kept], minlength=len(EMOTIONS)).tolist()
    notes = (
        *check_counts(counts, PUBLISHED, EMOTIONS, f"CK+ ({path.name})"),
        *_dropped(int((~kept).sum())),
        "CK+ (csv): its Usage was drawn by picture; its 593 neutral faces are of 123 people, so the same people are in "
        "every part: no figure on its own test part is honest",
    )
    removed = {name: int((~kept & (usage == code)).sum()) for code, name in enumerate(USAGES)}
    parts = by_usage(images[kept], labels[kept], usage[kept], path)
    return Dataset(
        "ckplus", EMOTIONS, parts, ROLES, haar_crop(), "grey", fingerprint(parts), removed=removed, notes=notes
    )


def _folders(path: Path, progress: bool) -> Dataset:
    if not class_folders(path):
        raise DataError(f"expected {CSV} or the folders {', '.join(FOLDERS)} in {path}; found neither; check --data")
    positions = {folder: CONTEMPT if name is None else EMOTIONS.index(name) for folder, name in FOLDERS.items()}
    files = list_class_files(path, positions)
    masks, note = _split(files)
    contempt = np.array([label == CONTEMPT for _, label in files])
    parts = {}
    for role, mask in masks.items():
        rows = [files[row] for row in np.flatnonzero(mask & ~contempt)]
        if not rows:
            raise DataError(
                f"expected people enough in {path} to draw train, validation and test; got none for {role}; use the "
                "whole edition"
            )
        parts[role] = read_part(rows, f"reading {role}", progress)
    if all_grey := grey(parts):
        parts = one_channel(parts)
    return Dataset(
        "ckplus",
        EMOTIONS,
        parts,
        {role: role for role in FRACTIONS},
        haar_crop(),
        "grey" if all_grey else "rgb",
        fingerprint(parts),
        removed={role: int((mask & contempt).sum()) for role, mask in masks.items()},
        notes=(*_dropped(int(contempt.sum())), "CK+ (folders): it has no neutral faces", note),
    )


def _split(files: list[tuple[Path, int]]) -> tuple[dict[str, np.ndarray], str]:
    """Return a bool mask (n,) for each part and the sentence that tells how they were drawn."""
    labels = np.array([label for _, label in files], np.int64)
    people = [PERSON.match(file.name) for file, _ in files]
    nameless = sum(person is None for person in people)
    if not nameless:
        names = np.array([person.group(1) for person in people if person is not None])
        masks = grouped(labels, names.tolist(), FRACTIONS)
        shares = ", ".join(f"{role} {len(np.unique(names[mask]))}" for role, mask in masks.items())
        return masks, f"CK+ (folders): parts drawn by person, no one is in two of them (people: {shares})"
    test = stratified(labels, FRACTIONS["test"])
    validation = np.zeros_like(test)
    validation[~test] = stratified(labels[~test], FRACTIONS["validation"] / (1 - FRACTIONS["test"]))
    return (
        {"train": ~test & ~validation, "validation": validation, "test": test},
        f"CK+ (folders): {nameless:,} files name no person (S005_001_00000011.png), so the parts are drawn by picture "
        "and neighbouring frames leak between them: no figure on its test part is honest",
    )


def _dropped(count: int) -> tuple[str, ...]:
    return (f"CK+: dropped {count:,} pictures of contempt, which is none of the seven emotions",) if count else ()
