"""Class-per-folder pictures: ``train/<class>/*.png`` and ``test/<class>/*.png`` (``validation/`` where it exists).

FER2013's Kaggle folder edition has this layout. The classes may be any: their names travel in the run and in the
model file. Where no validation folder exists, a stratified tenth of ``train`` is held out by a fixed seed, so that
nothing is ever selected on the test part.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.inference.contract import CropSpec
from edge.labels import EMOTIONS
from train.datasets.core import Dataset, fingerprint
from train.datasets.pictures import class_folders, grey, list_class_files, one_channel, read_part
from train.datasets.splits import stratified

PART_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
NAME = re.compile(r"[a-z][a-z0-9_-]{0,29}")  # a label of edge/schemas/fer-edge.schema.json
MAX_CLASSES = 36  # likewise
PLAIN_CROP = CropSpec(side_scale=48 / 47, offset_x=0.0, offset_y=0.0, resolution_px=None, alignment="none")


def load_folder(
    path: Path,
    *,
    name: str = "folder",
    labels: tuple[str, ...] | None = None,
    crop: CropSpec = PLAIN_CROP,
    colour: str | None = None,
    progress: bool = True,
) -> Dataset:
    """Return a class-per-folder data set.

    Args:
        path: folder with ``train`` and ``test`` (and perhaps ``validation``), each with one folder a class.
        name: what the data set is called in records.
        labels: class names that the folders must have (case aside); ``None`` takes the folders' names: emotions in
            the canonical order, then the others sorted.
        crop: how the device must crop to get such pictures.
        colour: ``grey`` or ``rgb``; ``None`` looks at the pictures.
        progress: show a progress bar.

    Raises:
        DataError: folders missing, classes unknown or unfit as labels, no pictures, pictures of different sizes. A
            class of which a part has no folder has no pictures there.
    """
    if not path.is_dir():
        raise DataError(f"expected a folder with train/ and test/ at {path}; it is a file; check --data")
    found = {role: part_folder(path, role) for role in PART_FOLDERS}
    for role in ("train", "test"):
        if found[role] is None:
            raise DataError(f"expected the folders train/ and test/ in {path}; no {role}/; check --data")
    folders = {role: folder for role, folder in found.items() if folder is not None}
    names = labels or _names(class_folders(folders["train"]))
    if not 2 <= len(names) <= MAX_CLASSES:
        raise DataError(
            f"expected 2 to {MAX_CLASSES} class folders in {folders['train']}; got {len(names)}; check --data"
        )
    classes = {label: index for index, label in enumerate(names)}
    files = {role: list_class_files(folder, classes) for role, folder in folders.items()}
    if "validation" not in files:
        held_out = stratified(np.array([label for _, label in files["train"]], np.int64))
        files["validation"] = [files["train"][row] for row in np.flatnonzero(held_out)]
        files["train"] = [files["train"][row] for row in np.flatnonzero(~held_out)]
    if not files["train"]:
        raise DataError(f"expected pictures to train on in {folders['train']}; all are held out; add more a class")
    parts = {role: read_part(rows, f"reading {role}", progress) for role, rows in files.items()}
    all_grey = colour != "rgb" and grey(parts)
    if all_grey:
        parts = one_channel(parts)
    roles = {role: role for role in ("train", "validation", "test")}
    return Dataset(name, names, parts, roles, crop, colour or ("grey" if all_grey else "rgb"), fingerprint(parts))


def part_folder(path: Path, role: str) -> Path | None:
    """Return the folder of ``path`` that holds the part of a role, by any of its usual names, or None."""
    for child in sorted(path.iterdir()):
        if child.is_dir() and child.name.lower() in PART_FOLDERS[role]:
            return child
    return None


def _names(found: dict[str, Path]) -> tuple[str, ...]:
    """Return the classes in their order, refusing at once what no model file could carry in the end."""
    unfit = [name for name in found if not NAME.fullmatch(name)]
    if unfit:
        raise DataError(
            f"expected class folders named in at most 30 letters a-z, digits, _ and -, a letter first (the names "
            f"travel in the model file); got {', '.join(map(repr, unfit))}; rename them"
        )
    return tuple(name for name in EMOTIONS if name in found) + tuple(sorted(set(found) - set(EMOTIONS)))
