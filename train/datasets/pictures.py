"""Picture files in class folders, and files to one array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edge.errors import DataError, ImageError
from edge.pictures.images import read_image
from train.datasets.core import Part
from train.progress import track

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}


def list_class_files(folder: Path, classes: Mapping[str, int]) -> list[tuple[Path, int]]:
    """Return (file, label) of every picture in ``folder/<class>/``, by class in the order given, then by name.

    Args:
        folder: holds one folder for each class (case aside); classes without a folder have no picture.
        classes: folder name in lower case -> label.

    Raises:
        DataError: a folder that is no class, no class folder at all, or no picture in any.
    """
    by_name = class_folders(folder)
    unknown = sorted(set(by_name) - set(classes))
    if unknown or not by_name:
        raise DataError(
            f"expected the class folders {', '.join(classes)} in {folder}; "
            f"got {', '.join(sorted(by_name)) or 'none'}; rename or add folders"
        )
    files = [
        (file, label)
        for name, label in classes.items()
        if name in by_name
        for file in sorted(by_name[name].iterdir())
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    ]
    if not files:
        raise DataError(f"expected pictures ({', '.join(sorted(SUFFIXES))}) in {folder}; found none; check --data")
    return files


def class_folders(folder: Path) -> dict[str, Path]:
    """Return the folders in ``folder`` by lower-case name; hidden ones (``.ipynb_checkpoints``) are none.

    Raises:
        DataError: two names differ by case alone, so that they would be one class.
    """
    found: dict[str, Path] = {}
    for child in sorted(folder.iterdir()):
        if not child.is_dir() or child.name.startswith("."):
            continue
        other = found.setdefault(child.name.lower(), child)
        if other != child:
            raise DataError(
                f"expected one folder a class in {folder}; got {other.name} and {child.name}; put their "
                "pictures together"
            )
    return found


def read_part(files: Sequence[tuple[Path, int]], description: str, progress: bool) -> Part:
    """Return the pictures (uint8 RGB, all of one size) and labels of ``files`` in their order.

    Raises:
        DataError: a file is missing, damaged or of another size than the first.
    """
    images: np.ndarray | None = None
    for row, (file, _) in enumerate(track(files, description, progress)):
        try:
            image = read_image(file)
        except ImageError as cause:
            raise DataError(str(cause)) from cause
        if images is None:
            images = np.empty((len(files), *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            raise DataError(
                f"expected pictures of one size in {files[0][0].parent.parent} ({_size(images[0])}); {file.name} is "
                f"{_size(image)}; crop them to one size first"
            )
        images[row] = image
    if images is None:
        raise ValueError("expected at least one file; got none")
    return Part(images, np.array([label for _, label in files], np.int64))


def grey(parts: Mapping[str, Part]) -> bool:
    """Return whether every picture of the parts has three equal channels."""
    return all(
        bool(np.array_equal(p.images[..., 0], p.images[..., 1]) and np.array_equal(p.images[..., 0], p.images[..., 2]))
        for p in parts.values()
    )


def one_channel(parts: Mapping[str, Part]) -> dict[str, Part]:
    """Return the parts with the first channel of their pictures alone, uint8 (n, h, w)."""
    return {name: Part(np.ascontiguousarray(p.images[..., 0]), p.labels) for name, p in parts.items()}


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
