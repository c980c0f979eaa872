"""FER2013 from its challenge file ``fer2013.csv`` or from the image-folder edition.

The csv (``emotion,pixels,Usage``; 290 MB of text) is parsed once and kept as npz beside it, or in the cache folder
where that place cannot be written. Users get it from Kaggle ("Challenges in Representation Learning: Facial Expression
Recognition Challenge"); it may not be redistributed.

Source: Goodfellow et al., "Challenges in Representation Learning: A report on three machine learning contests", 2013.
"""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from edge.contract import CropSpec
from edge.errors import DataError
from edge.files import atomic_path, cache_dir
from edge.labels import EMOTIONS
from train.datasets.core import Dataset, Part, fingerprint
from train.progress import track_bytes

SIDE_PX = 48
USAGES = ("Training", "PublicTest", "PrivateTest")
COLUMNS = ("emotion", "pixels", "Usage")
ROLES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
# FER2013's 48-pixel frame around YuNet's box (median 39 x 47 px, left 4, top 1 over raw faces): the frame's side is
# 48/47 of the box's height, its centre (24, 24) lies (+0.5, -0.5) px from the box's centre (23.5, 24.5).
CROP = CropSpec(side_scale=48 / 47, offset_x=0.5 / 48, offset_y=-0.5 / 48, resolution_px=SIDE_PX, alignment="none")


def load_fer2013(path: Path, *, progress: bool = True) -> Dataset:
    """Return FER2013 from ``fer2013.csv`` (parts by Usage) or from a folder with ``train/`` and ``test/``.

    Raises:
        DataError: columns missing, a pixel row short (the message has its row number), a folder without classes.
    """
    if path.is_dir():
        if (path / "fer2013.csv").is_file():
            path = path / "fer2013.csv"
        else:
            from train.datasets.folders import load_folder

            return load_folder(path, name="fer2013", labels=EMOTIONS, crop=CROP, colour="grey", progress=progress)
    images, labels, usage = _cached(path, progress)
    parts = {
        name: Part(images[usage == code], labels[usage == code].astype(np.int64))
        for code, name in enumerate(USAGES)
        if (usage == code).any()
    }
    missing = [name for name in USAGES if name not in parts]
    if missing:
        raise DataError(
            f"expected rows of Usage {', '.join(USAGES)} in {path}; none of {', '.join(missing)}; use the complete file"
        )
    return Dataset("fer2013", EMOTIONS, parts, ROLES, CROP, "grey", fingerprint(parts))


def parse_csv(path: Path, *, progress: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures uint8 (n, 48, 48), labels uint8 (n,) and usage uint8 (n,) of a ``fer2013.csv``.

    Raises:
        DataError: with the row number (the header is row 1) and what was wrong in it.
    """
    images: list[np.ndarray] = []
    labels: list[int] = []
    usage: list[int] = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream, track_bytes(path, "reading", progress) as advance:
            reader = csv.reader(stream)
            emotion_at, pixels_at, usage_at = _columns(next(reader, []), path)
            for number, row in enumerate(reader, start=2):
                if not row:
                    continue
                if len(row) <= max(emotion_at, pixels_at, usage_at):
                    raise DataError(
                        f"expected {len(COLUMNS)} columns in row {number} of {path}; got {len(row)}; "
                        "the file looks cut off: copy it again"
                    )
                labels.append(_emotion(row[emotion_at], number, path))
                images.append(_pixels(row[pixels_at], number, path))
                usage.append(_usage(row[usage_at], number, path))
                advance(len(row[pixels_at]) + 16)
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise DataError(f"expected a readable csv at {path}; {cause}; check the file") from cause
    if not images:
        raise DataError(f"expected rows under the header of {path}; found none; copy the file again")
    return np.stack(images), np.array(labels, np.uint8), np.array(usage, np.uint8)


def _columns(header: list[str], path: Path) -> list[int]:
    names = [cell.strip().lower() for cell in header]
    missing = [column for column in COLUMNS if column.lower() not in names]
    if missing:
        shown = ", ".join(cell.strip()[:20] for cell in header[:6]) or "nothing"
        raise DataError(
            f"expected the columns {', '.join(COLUMNS)} in {path}; got {shown} (no {', '.join(missing)}); "
            "use the challenge's fer2013.csv"
        )
    return [names.index(column.lower()) for column in COLUMNS]


def _emotion(text: str, number: int, path: Path) -> int:
    if text.strip() not in map(str, range(len(EMOTIONS))):
        raise DataError(f"expected an emotion 0-6 in row {number} of {path}; got {text.strip()[:20]!r}; fix that row")
    return int(text)


def _pixels(text: str, number: int, path: Path) -> np.ndarray:
    expected = SIDE_PX * SIDE_PX
    try:
        values = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise DataError(
            f"expected {expected} whole numbers as pixels in row {number} of {path}; got other text; fix that row"
        ) from None
    if values.size != expected:
        raise DataError(f"expected {expected} pixels in row {number} of {path}; got {values.size}; fix that row")
    if values.min() < 0 or values.max() > 255:
        raise DataError(
            f"expected pixels 0-255 in row {number} of {path}; got {values.min()} to {values.max()}; fix that row"
        )
    return values.astype(np.uint8).reshape(SIDE_PX, SIDE_PX)


def _usage(text: str, number: int, path: Path) -> int:
    if text.strip() not in USAGES:
        raise DataError(
            f"expected Usage {', '.join(USAGES)} in row {number} of {path}; got {text.strip()[:20]!r}; fix that row"
        )
    return USAGES.index(text.strip())


def _cached(path: Path, progress: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    stat = path.stat()
    stamp = f"{stat.st_size}:{stat.st_mtime_ns}"
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    beside = path.with_name(path.name + ".npz")
    places = (beside, cache_dir() / f"fer2013-{key}.npz")
    for place in places:
        if place.is_file():
            cached = _read_cache(place, stamp)
            if cached is not None:
                return cached
    images, labels, usage = parse_csv(path, progress=progress)
    place = places[0] if os.access(path.parent, os.W_OK) else places[1]
    place.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(place) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, images=images, labels=labels, usage=usage, stamp=np.array(stamp))
    return images, labels, usage


def _read_cache(place: Path, stamp: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return what an earlier run kept, or None where the csv has changed since or the file is not ours."""
    try:
        with open(place, "rb") as stream, np.load(stream, allow_pickle=False) as kept:
            if str(kept["stamp"]) != stamp:
                return None
            return kept["images"], kept["labels"], kept["usage"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
