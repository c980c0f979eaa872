"""The csv in which FER2013 was published (``emotion,pixels,Usage``), which CK+'s 48-pixel edition copies.

The text (290 MB for FER2013) is parsed once and kept as npz beside it, or in the cache folder where that place cannot
be written.
"""

from __future__ import annotations

import csv
import hashlib
import os
from pathlib import Path

import numpy as np

from edge.errors import DataError
from edge.files import atomic_path, cache_dir
from train.archives import DAMAGED
from train.progress import track_bytes

CSV = "fer2013.csv"
SIDE_PX = 48
USAGES = ("Training", "PublicTest", "PrivateTest")
COLUMNS = ("emotion", "pixels", "Usage")
CODES = 7


def read_pixels(path: Path, *, codes: int = CODES, progress: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what ``parse_csv`` does, parsed now or kept from an earlier time that found the same file.

    Raises:
        DataError: see ``parse_csv``; also where there is no such file.
    """
    try:
        stat = path.stat()
    except OSError as cause:
        raise DataError(f"expected a csv at {path}; got: {cause.strerror}; check --data") from cause
    stamp = f"{stat.st_size}:{stat.st_mtime_ns}" + ("" if codes == CODES else f":{codes}")
    key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    beside = path.with_name(path.name + ".npz")
    places = (beside, cache_dir() / f"fer2013-{key}.npz")
    for place in places:
        if place.is_file():
            cached = _read_cache(place, stamp)
            if cached is not None:
                return cached
    images, labels, usage = parse_csv(path, codes=codes, progress=progress)
    place = places[0] if os.access(path.parent, os.W_OK) else places[1]
    place.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(place) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, images=images, labels=labels, usage=usage, stamp=np.array(stamp))
    return images, labels, usage


def parse_csv(path: Path, *, codes: int = CODES, progress: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures uint8 (n, 48, 48), emotion codes uint8 (n,) and usage uint8 (n,), a position in ``USAGES``.

    Args:
        path: the csv; its columns may stand in any order.
        codes: emotion codes run from 0 to this minus 1.
        progress: show a progress bar.

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
                labels.append(_emotion(row[emotion_at], codes, number, path))
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
            "use the file as it was published"
        )
    return [names.index(column.lower()) for column in COLUMNS]


def _emotion(text: str, codes: int, number: int, path: Path) -> int:
    if text.strip() not in map(str, range(codes)):
        raise DataError(
            f"expected an emotion 0-{codes - 1} in row {number} of {path}; got {text.strip()[:20]!r}; fix that row"
        )
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


def _read_cache(place: Path, stamp: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return what an earlier run kept, or None where the csv has changed since or the file is not ours."""
    try:
        with open(place, "rb") as stream, np.load(stream, allow_pickle=False) as kept:
            if str(kept["stamp"]) != stamp:
                return None
            return kept["images"], kept["labels"], kept["usage"]
    except DAMAGED:
        return None
