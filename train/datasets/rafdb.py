"""RAF-DB, its seven basic emotions, from the official layout or from the Kaggle edition.

Official: ``EmoLabel/list_patition_label.txt`` (or that file at the root; the spelling is theirs) with lines
``train_00001.jpg 5``, and ``Image/aligned/train_00001_aligned.jpg``. Kaggle: ``DATASET/{train,test}/{1..7}/…``. Both
give the same rows in the same order, by file name. Users ask its authors for it (whdeng.cn/RAF/model1.html, academic
use); it may not be redistributed.

RAF-DB counts 1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral: mapped by name, and held to by
the published number of pictures of every class. It has no validation part: a stratified tenth of ``train`` is held out
by a fixed seed.

Source: Li, Deng and Du, "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in
the Wild", 2017 (12,271 training and 3,068 test pictures).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.inference.contract import CropSpec
from edge.labels import DATASET_LABELS, EMOTIONS
from train.datasets.core import Dataset, fingerprint
from train.datasets.folders import part_folder
from train.datasets.pictures import list_class_files, read_part
from train.datasets.published import check_counts
from train.datasets.splits import stratified

LIST = "list_patition_label.txt"
ALIGNED = Path("Image", "aligned")
PUBLISHED = {
    "train": {
        "surprise": 1290,
        "fear": 281,
        "disgust": 717,
        "happy": 4772,
        "sad": 1982,
        "angry": 705,
        "neutral": 2524,
    },
    "test": {"surprise": 329, "fear": 74, "disgust": 160, "happy": 1185, "sad": 478, "angry": 162, "neutral": 680},
}
CODES = {code: EMOTIONS.index(name) for code, name in DATASET_LABELS["rafdb"].items() if name is not None}
# Assumed, not measured: the data may not be passed on, so the project has none. The aligned edition is turned upright
# by the eyes and the mouth and cut to 100 x 100 pixels, about as tightly as FER2013's 48 as far as published examples
# show, so FER2013's measured share of the box is taken, centred. The device does not turn faces: tilted ones are a
# harder case there.
CROP = CropSpec(side_scale=48 / 47, offset_x=0.0, offset_y=0.0, resolution_px=100, alignment="none")

Files = list[tuple[Path, int]]


def load_rafdb(path: Path, *, progress: bool = True) -> Dataset:
    """Return RAF-DB with the parts ``train``, ``validation`` (a stratified tenth of the official train) and ``test``.

    Args:
        path: the folder of either edition (the one that holds ``EmoLabel`` and ``Image``, or ``DATASET``).
        progress: show a progress bar.

    Raises:
        DataError: neither layout is there, a listed picture is missing or damaged, a label is not 1-7, a class has
            more pictures than were published (its labels are then in another order).
    """
    files = _files(path)
    notes: list[str] = []
    for part, rows in files.items():
        counts = np.bincount([label for _, label in rows], minlength=len(EMOTIONS)).tolist()
        notes += check_counts(counts, PUBLISHED[part], EMOTIONS, f"RAF-DB {part}")
    held_out = stratified(np.array([label for _, label in files["train"]], np.int64))
    drawn = {
        "train": [files["train"][row] for row in np.flatnonzero(~held_out)],
        "validation": [files["train"][row] for row in np.flatnonzero(held_out)],
        "test": files["test"],
    }
    parts = {role: read_part(rows, f"reading {role}", progress) for role, rows in drawn.items()}
    roles = {role: role for role in ("train", "validation", "test")}
    return Dataset("rafdb", EMOTIONS, parts, roles, CROP, "rgb", fingerprint(parts), notes=tuple(notes))


def _files(path: Path) -> dict[str, Files]:
    if not path.is_dir():
        raise DataError(f"expected RAF-DB's folder at {path}; it is a file; pass the folder with EmoLabel and Image")
    for listing in (path / "EmoLabel" / LIST, path / LIST):
        if listing.is_file():
            return _listed(listing, path / ALIGNED)
    for root in (path / "DATASET", path):
        if root.is_dir() and part_folder(root, "train") and part_folder(root, "test"):
            return {part: _in_folders(root, part) for part in PUBLISHED}
    raise DataError(
        f"expected EmoLabel/{LIST} with {ALIGNED}/, or DATASET/train and DATASET/test, in {path}; found neither; "
        "check --data"
    )


def _in_folders(root: Path, part: str) -> Files:
    folder = part_folder(root, part)
    if folder is None:
        raise DataError(f"expected {part}/ in {root}; nothing is there; check --data")
    return sorted(list_class_files(folder, CODES), key=lambda entry: entry[0].name)


def _listed(listing: Path, folder: Path) -> dict[str, Files]:
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise DataError(f"expected a readable list at {listing}; {cause}; copy it again") from cause
    files: dict[str, Files] = {part: [] for part in PUBLISHED}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, code = line.strip().partition(" ")
        part = name.partition("_")[0]
        if part not in files or code.strip() not in CODES:
            raise DataError(
                f"expected 'train_….jpg' or 'test_….jpg' and a label 1-7 in line {number} of {listing}; "
                f"got {line.strip()[:40]!r}; use the list as published"
            )
        files[part].append((folder / f"{Path(name).stem}_aligned.jpg", CODES[code.strip()]))
    for part, rows in files.items():
        if not rows:
            raise DataError(f"expected {part} pictures in {listing}; it lists none; use the complete list")
    missing = [file for rows in files.values() for file, _ in rows if not file.is_file()]
    if missing:
        raise DataError(
            f"expected every listed picture in {folder}; {len(missing):,} are not there, {missing[0].name} first; "
            "unpack Image/aligned.zip there"
        )
    return {part: sorted(rows, key=lambda entry: entry[0].name) for part, rows in files.items()}
