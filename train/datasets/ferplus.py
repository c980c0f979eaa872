"""FER+: FER2013's pictures with ten annotators' votes each, as majority labels and as soft targets.

``fer2013new.csv`` has one row of votes for every row of ``fer2013.csv``, in the same order. Its rules are those of the
FER+ authors' own code: votes that an option got from one annotator alone are outliers and count as none; the option
with more than half of what remains is the label; without one the picture is unknown and dropped, as are pictures whose
majority is ``unknown`` or ``NF`` (not a face). That leaves 25,060 / 3,199 / 3,153 pictures of eight emotions, the
published numbers; contempt, which the seven emotions lack, is dropped too.

Source: Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
Distribution", 2016, section 3; github.com/microsoft/FERPlus, src/ferplus.py (MIT).
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.labels import DATASET_LABELS, EMOTIONS
from train.datasets.core import Dataset, fingerprint
from train.datasets.fer2013 import CROP, CSV, ROLES, VOTES_NOTE, by_usage
from train.datasets.pixelcsv import USAGES, read_pixels

VOTES_CSV = "fer2013new.csv"
OPTIONS = tuple(DATASET_LABELS["ferplus"])  # the vote columns: eight emotions, unknown, NF
UNKNOWN = OPTIONS.index("unknown")
CONTEMPT = OPTIONS.index("contempt")
ANNOTATORS = 10


def load_ferplus(path: Path, *, votes: Path | None = None, progress: bool = True) -> Dataset:
    """Return FER+ with majority labels and the votes attached to every picture.

    Args:
        path: a folder with ``fer2013.csv`` and ``fer2013new.csv``, or the first with the second beside it.
        votes: ``fer2013new.csv`` where it lies elsewhere.
        progress: show a progress bar.

    Raises:
        DataError: a file is missing or damaged, or the votes are not of this csv.
    """
    source = path / CSV if path.is_dir() else path
    votes = votes or source.with_name(VOTES_CSV)
    for file, what in ((source, "FER2013's own csv"), (votes, "FER+'s votes, github.com/microsoft/FERPlus")):
        if not file.is_file():
            raise DataError(f"expected {file.name} ({what}) at {file}; nothing is there; put both files in one folder")
    images, _, usage = read_pixels(source, progress=progress)
    counted = read_votes(votes, usage)
    chosen = majority(counted)
    position = np.array([-1 if name is None else EMOTIONS.index(name) for name in DATASET_LABELS["ferplus"].values()])
    labels = position[chosen]
    kept = labels >= 0
    parts = by_usage(images[kept], labels[kept], usage[kept], source, soft_targets(counted[kept]))
    removed = {name: int((~kept & (usage == code)).sum()) for code, name in enumerate(USAGES)}
    dropped = {
        "of contempt, which is none of the seven emotions": chosen == CONTEMPT,
        "on which no emotion has a majority": chosen == UNKNOWN,
        "that are not a face": chosen == OPTIONS.index("NF"),
    }
    told = ", ".join(f"{int(rows.sum()):,} {what}" for what, rows in dropped.items() if rows.any())
    notes = (*((f"FER+: dropped pictures: {told}",) if told else ()), VOTES_NOTE)
    return Dataset("ferplus", EMOTIONS, parts, ROLES, CROP, "grey", fingerprint(parts), removed=removed, notes=notes)


def read_votes(path: Path, usage: np.ndarray) -> np.ndarray:
    """Return the votes of a ``fer2013new.csv`` as uint8 (n, 10), columns in the order of ``OPTIONS``.

    Args:
        path: the csv.
        usage: uint8 (n,), positions in ``USAGES``: the rows of the ``fer2013.csv`` that it must belong to.

    Raises:
        DataError: unreadable, columns missing, votes that are no numbers 0-10, or rows that differ in number or Usage
            from ``fer2013.csv``'s.
    """
    rows: list[list[int]] = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in ("Usage", *OPTIONS) if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"expected the columns Usage, {', '.join(OPTIONS)} in {path}; no {', '.join(missing)}; "
                    f"use FER+'s {VOTES_CSV}"
                )
            for number, row in enumerate(reader, start=2):
                if len(rows) < len(usage) and row["Usage"] != USAGES[usage[len(rows)]]:
                    raise DataError(
                        f"expected Usage {USAGES[usage[len(rows)]]} in row {number} of {path}, as in {CSV}; got "
                        f"{str(row['Usage'])[:20]!r}; use the two files in their published order"
                    )
                rows.append([_vote(row[name], name, number, path) for name in OPTIONS])
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise DataError(f"expected a readable csv of votes at {path}; {cause}; check the file") from cause
    if len(rows) != len(usage):
        raise DataError(
            f"expected {len(usage):,} rows in {path}, one for each of {CSV}; got {len(rows):,}; use FER+'s {VOTES_CSV}"
        )
    return np.array(rows, np.uint8)


def majority(votes: np.ndarray) -> np.ndarray:
    """Return the majority option of every row as int64 (n,), positions in ``OPTIONS``; ``UNKNOWN`` where none has it.

    Args:
        votes: integers (n, 10).
    """
    kept = without_outliers(votes)
    return np.where(2 * kept.max(axis=1) > kept.sum(axis=1), kept.argmax(axis=1), UNKNOWN)


def soft_targets(votes: np.ndarray) -> np.ndarray:
    """Return how the votes are shared out over the seven emotions: float32 (n, 7), canonical order.

    Outliers, contempt, unknown and NF are left out and the rest is made to sum to 1. A row is all zero where the seven
    have no more than half of the votes that remain after the outliers: the annotators see none of them there.

    Args:
        votes: integers (n, 10), columns in the order of ``OPTIONS``.
    """
    kept = without_outliers(votes)
    names = list(DATASET_LABELS["ferplus"].values())
    emotions = kept[:, [names.index(name) for name in EMOTIONS]]
    seen = emotions.sum(axis=1, keepdims=True)
    agreed = 2 * seen > kept.sum(axis=1, keepdims=True)
    return np.where(agreed, emotions / np.maximum(seen, 1), 0.0).astype(np.float32)


def without_outliers(votes: np.ndarray) -> np.ndarray:
    """Return the votes as int64 with the single ones set to 0."""
    return np.where(votes > 1, votes, 0).astype(np.int64)


def _vote(text: str | None, name: str, number: int, path: Path) -> int:
    if text is None or text.strip() not in map(str, range(ANNOTATORS + 1)):
        raise DataError(
            f"expected 0-{ANNOTATORS} votes for {name} in row {number} of {path}; got "
            f"{'nothing' if text is None else repr(text.strip()[:20])}; fix that row"
        )
    return int(text)
