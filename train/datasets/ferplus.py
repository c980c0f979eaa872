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

from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.labels import DATASET_LABELS, EMOTIONS
from train.datasets.core import Dataset, fingerprint
from train.datasets.fer2013 import CROP, ROLES, VOTES_NOTE, by_usage
from train.datasets.pixelcsv import CSV, USAGES, read_pixels
from train.datasets.votes import CONTEMPT, OPTIONS, UNKNOWN, VOTES_CSV, majority, read_votes, soft_targets


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
