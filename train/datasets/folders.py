"""Class-per-folder pictures: ``train/<class>/*.png`` and ``test/<class>/*.png`` (``validation/`` where it exists).

FER2013's Kaggle folder edition has this layout. Where no validation folder exists, a stratified tenth of ``train`` is
held out by a fixed seed, so that nothing is ever selected on the test part.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.contract import CropSpec
from edge.errors import DataError, ImageError
from edge.images import read_image
from train.datasets.core import Dataset, Part, fingerprint
from train.progress import track

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
VALIDATION_FRACTION = 0.1
SPLIT_SEED = 2013
PART_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val"),
    "test": ("test", "testing"),
}
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
        labels: class names that the folders must have (case aside); ``None`` takes the folders' names, sorted.
        crop: how the device must crop to get such pictures.
        colour: ``grey`` or ``rgb``; ``None`` looks at the pictures.
        progress: show a progress bar.

    Raises:
        DataError: folders missing, classes unknown, no pictures, pictures of different sizes. A class of which a
            part has no folder has no pictures there.
    """
    if not path.is_dir():
        raise DataError(f"expected a folder with train/ and test/ at {path}; it is a file; check --data")
    found = {role: _part_folder(path, role) for role in PART_FOLDERS}
    for role in ("train", "test"):
        if found[role] is None:
            raise DataError(f"expected the folders train/ and test/ in {path}; no {role}/; check --data")
    folders = {role: folder for role, folder in found.items() if folder is not None}
    names = labels or tuple(sorted(f.name.lower() for f in folders["train"].iterdir() if f.is_dir()))
    if len(names) < 2:
        raise DataError(f"expected at least two class folders in {folders['train']}; got {len(names)}; check --data")
    parts = {role: _read_part(folder, names, progress) for role, folder in folders.items()}
    if "validation" not in parts:
        held_out = _stratified(parts["train"].labels, VALIDATION_FRACTION)
        parts["validation"] = parts["train"].take(held_out)
        parts["train"] = parts["train"].take(~held_out)
    grey = all(part.images.ndim == 3 or _is_grey(part.images) for part in parts.values())
    if (colour or ("grey" if grey else "rgb")) == "grey" and grey:
        parts = {role: Part(np.ascontiguousarray(p.images[..., 0]), p.labels) for role, p in parts.items()}
    roles = {role: role for role in ("train", "validation", "test")}
    return Dataset(name, names, parts, roles, crop, colour or ("grey" if grey else "rgb"), fingerprint(parts))


def _part_folder(path: Path, role: str) -> Path | None:
    for child in sorted(path.iterdir()):
        if child.is_dir() and child.name.lower() in PART_FOLDERS[role]:
            return child
    return None


def _read_part(folder: Path, labels: tuple[str, ...], progress: bool) -> Part:
    by_name = {child.name.lower(): child for child in sorted(folder.iterdir()) if child.is_dir()}
    unknown = sorted(set(by_name) - set(labels))
    if unknown or not by_name:
        raise DataError(
            f"expected the class folders {', '.join(labels)} in {folder}; "
            f"got {', '.join(sorted(by_name)) or 'none'}; rename or add folders"
        )
    files = [
        (f, index)
        for index, label in enumerate(labels)
        if label in by_name
        for f in sorted(by_name[label].iterdir())
        if f.suffix.lower() in SUFFIXES
    ]
    images = []
    for file, _ in track(files, f"reading {folder.name}", progress):
        try:
            images.append(read_image(file))
        except ImageError as cause:
            raise DataError(str(cause)) from cause
    if not images:
        raise DataError(f"expected pictures ({', '.join(sorted(SUFFIXES))}) in {folder}; found none; check --data")
    for (file, _), image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"expected pictures of one size in {folder} ({_size(images[0])}); {file.name} is "
                f"{_size(image)}; crop them to one size first"
            )
    return Part(np.stack(images), np.array([index for _, index in files], np.int64))


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _is_grey(images: np.ndarray) -> bool:
    return bool(np.array_equal(images[..., 0], images[..., 1]) and np.array_equal(images[..., 0], images[..., 2]))


def _stratified(labels: np.ndarray, fraction: float) -> np.ndarray:
    """Return a bool mask (n,) with ``fraction`` of every class, at least one row each, by a fixed seed."""
    rng = np.random.default_rng(SPLIT_SEED)
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        mask[rng.permutation(rows)[: max(1, round(fraction * len(rows)))]] = True
    return mask
