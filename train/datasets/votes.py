"""The annotators' votes of FER+ (``fer2013new.csv``): read, counted by its authors' rules, shared out over emotions.

There is one row of votes for every row of ``fer2013.csv``, in the same order. The rules are those of the authors' own
code: votes that an option got from one annotator alone are outliers and count as none; the option with more than half
of what remains is the label; without one the picture is unknown.

Source: Barsoum et al., "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
Distribution", 2016, section 3; github.com/microsoft/FERPlus, src/ferplus.py (MIT).
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.labels import DATASET_LABELS, EMOTIONS
from train.datasets.pixelcsv import CSV, USAGES

VOTES_CSV = "fer2013new.csv"
OPTIONS = tuple(DATASET_LABELS["ferplus"])  # the vote columns: eight emotions, unknown, NF
UNKNOWN = OPTIONS.index("unknown")
CONTEMPT = OPTIONS.index("contempt")
ANNOTATORS = 10
VOTES_NOTE = "annotators' votes of FER+ are attached: extra supervision wherever a result uses them"


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
    kept = _without_outliers(votes)
    return np.where(2 * kept.max(axis=1) > kept.sum(axis=1), kept.argmax(axis=1), UNKNOWN)


def soft_targets(votes: np.ndarray) -> np.ndarray:
    """Return how the votes are shared out over the seven emotions: float32 (n, 7), canonical order.

    Outliers, contempt, unknown and NF are left out and the rest is made to sum to 1. A row is all zero where the seven
    have no more than half of the votes that remain after the outliers: the annotators see none of them there.

    Args:
        votes: integers (n, 10), columns in the order of ``OPTIONS``.
    """
    kept = _without_outliers(votes)
    names = list(DATASET_LABELS["ferplus"].values())
    emotions = kept[:, [names.index(name) for name in EMOTIONS]]
    seen = emotions.sum(axis=1, keepdims=True)
    agreed = 2 * seen > kept.sum(axis=1, keepdims=True)
    return np.where(agreed, emotions / np.maximum(seen, 1), 0.0).astype(np.float32)


def _without_outliers(votes: np.ndarray) -> np.ndarray:
    """Return the votes as int64 with the single ones set to 0."""
    return np.where(votes > 1, votes, 0).astype(np.int64)


def _vote(text: str | None, name: str, number: int, path: Path) -> int:
    if text is None or text.strip() not in map(str, range(ANNOTATORS + 1)):
        raise DataError(
            f"expected 0-{ANNOTATORS} votes for {name} in row {number} of {path}; got "
            f"{'nothing' if text is None else repr(text.strip()[:20])}; fix that row"
        )
    return int(text)
