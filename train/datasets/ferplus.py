"""FER+: FER2013's pictures with ten annotators' votes each, as majority labels and as soft targets.

Pictures without a majority among the votes (``train.datasets.votes`` has the rules), and those whose majority is
``unknown`` or ``NF`` (not a face), are dropped. That leaves 25,060 / 3,199 / 3,153 pictures of eight emotions, the
published numbers; contempt, which the seven emotions lack, is dropped too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.labels import DATASET_LABELS, EMOTIONS
from train.datasets.core import Dataset, fingerprint
from train.datasets.fer2013 import CROP, ROLES, by_usage
from train.datasets.pixelcsv import CSV, USAGES, read_pixels
from train.datasets.votes import CONTEMPT, OPTIONS, UNKNOWN, VOTES_CSV, VOTES_NOTE, majority, read_votes, soft_targets


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
