"""Packs: labelled faces, already cropped, in one .npz; what the device's accuracy benchmark reads.

Keys: `images` uint8 (n, h, w) grey or (n, h, w, 3) RGB; `labels` int64 (n,), positions in `classes`; `classes`, names;
`meta`, a JSON text with at least dataset, part, fingerprint. Written by `python -m train pack`. A folder with one
sub-folder of pictures for each class serves as well.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import DataError
from edge.files import atomic_path, sha256_of

_KEYS = ("images", "labels", "classes", "meta")
_META_KEYS = ("dataset", "part", "fingerprint")
_MAX_ASPECT = 1.3  # longer side to shorter of what may be a cropped face; a camera's picture has 4:3 or 3:2
_MAX_FACE_PX = 448  # shorter side of a face that is not cut square; data sets of cropped faces have 48 to 400
_REMEDY = "write it with `python -m train pack`"


@dataclass(frozen=True)
class Pack:
    """Labelled faces.

    Attributes:
        images: (n, h, w) grey or (n, h, w, 3) RGB, uint8.
        labels: (n,) int64, positions in `classes`.
        classes: class names.
        meta: dataset, part, fingerprint and further entries.
        files_sha256: of the pictures' files, where they were read one by one and fitted to a model's size.
        whole: how many of those files look like whole photographs: large, or far from square.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    meta: Mapping[str, Any]
    files_sha256: str | None = None
    whole: int = 0

    @property
    def content_sha256(self) -> str:
        """Return the sha256 of what is scored: each face's class and its pixels, or its file, in order.

        The fingerprint is the whole data set's, and a text that a changed pack can keep; this is of these very faces.
        """
        if self.files_sha256 is not None:
            return self.files_sha256
        digest = hashlib.sha256(repr(self.images.shape[1:]).encode())
        for image, label in zip(self.images, self.labels, strict=True):
            digest.update(self.classes[label].encode() + b"\0" + image.tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.labels)


def write_pack(
    path: str | os.PathLike[str],
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.integer],
    classes: Sequence[str],
    meta: Mapping[str, Any],
) -> None:
    """Write a pack, compressed, in one step (no partial file).

    Args:
        path: the .npz file to write.
        images: (n, h, w) grey or (n, h, w, 3) RGB, uint8.
        labels: (n,) integers, positions in `classes`.
        classes: class names.
        meta: JSON values; must hold dataset, part and fingerprint.

    Raises:
        DataError: the arrays do not fit together, or `path` does not end in .npz.
        OutputError: the file cannot be written.
    """
    if Path(path).suffix != ".npz":
        raise DataError(f"{path}: expected a pack's name to end in .npz; got {Path(path).suffix!r}; rename it")
    pack = Pack(np.asarray(images), np.asarray(labels).astype(np.int64), tuple(classes), dict(meta))
    _check(pack, path)
    text = json.dumps(dict(meta), allow_nan=False, sort_keys=True)
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary, images=pack.images, labels=pack.labels, classes=np.array(pack.classes), meta=np.array(text)
        )


def read_pack(path: str | os.PathLike[str]) -> Pack:
    """Return the pack in a .npz file.

    Raises:
        DataError: the file is missing, damaged, no pack, or its arrays do not fit together.
    """
    try:
        _check_zip(path)
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in _KEYS if key not in archive.files]
            if missing:
                raise DataError(f"{path}: expected the keys {', '.join(_KEYS)}; got no {', '.join(missing)}; {_REMEDY}")
            for key in _KEYS:
                _check_member(archive.zip, key, path)
            images, labels, classes, meta = (archive[key] for key in _KEYS)
    except FileNotFoundError:
        raise DataError(f"{path}: expected a pack (.npz); got no such file; {_REMEDY}") from None
    except MemoryError:
        raise DataError(f"{path}: expected a pack that fits into memory; got a larger one; {_REMEDY}") from None
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path}: expected a readable pack (.npz); got: {reason}; {_REMEDY}") from error
    if labels.dtype.kind not in "iu" or classes.dtype.kind != "U" or meta.dtype.kind != "U":
        raise DataError(
            f"{path}: expected integer labels, text classes and text meta; got {labels.dtype}, {classes.dtype} and "
            f"{meta.dtype}; {_REMEDY}"
        )
    try:
        entries = json.loads(str(meta))
    except ValueError as error:
        raise DataError(f"{path}: expected JSON in the key meta; got {error}; {_REMEDY}") from error
    pack = Pack(images, labels.astype(np.int64), tuple(str(name) for name in np.atleast_1d(classes)), entries)
    _check(pack, path)
    return pack


def read_folder(
    path: str | os.PathLike[str],
    classes: Sequence[str],
    height: int,
    width: int,
    progress: Callable[[int, int], None] | None = None,
) -> Pack:
    """Return the faces of a folder with one sub-folder of already cropped pictures for each class.

    Sub-folder names must be among `classes`, exactly; which classes are there is up to the folder. Pictures are
    brought to (height, width) by `edge.pictures.preprocess`. The fingerprint is over classes and files, so that models
    of different sizes find the same one.

    Args:
        path: the folder.
        classes: the class names, in the order wanted.
        height: rows of each face, pixels.
        width: columns of each face, pixels.
        progress: called with (pictures read, pictures in all).

    Raises:
        DataError: no such folder, a sub-folder that is no class, or no picture at all.
        ImageError: a picture cannot be read.
    """
    from edge.pictures.images import list_images, read_image
    from edge.pictures.preprocess import fit

    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder with one sub-folder a class; got no folder; give one, or a pack")
    try:
        names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{root}: expected a readable folder; got {error.strerror}; check its permissions") from error
    strangers = [name for name in names if name not in classes]
    if strangers or not names:
        raise DataError(
            f"{root}: expected sub-folders named {', '.join(classes)}; got {', '.join(strangers[:5]) or 'none'}; "
            "rename them after the classes"
        )
    found = [(image, list(classes).index(name)) for name in names for image in list_images([root / name])]
    digest, whole = hashlib.sha256(), 0
    images = np.empty((len(found), height, width, 3), np.uint8)
    for i, (image, label) in enumerate(found):
        picture = read_image(image)
        whole += _looks_whole(picture.shape[0], picture.shape[1])
        images[i] = fit(picture, height, width)
        digest.update(f"{classes[label]} {sha256_of(image)}\n".encode())
        if progress is not None:
            progress(i + 1, len(found))
    labels = np.array([label for _, label in found], np.int64)
    meta = {"dataset": root.resolve().name, "part": "folder", "fingerprint": f"sha256:{digest.hexdigest()}"}
    pack = Pack(images, labels, tuple(classes), meta, files_sha256=digest.hexdigest(), whole=whole)
    _check(pack, root)
    return pack


def _looks_whole(height: int, width: int) -> bool:
    shorter, longer = sorted((height, width))
    return longer > _MAX_ASPECT * shorter or (longer > shorter > _MAX_FACE_PX)


def _check_zip(path: str | os.PathLike[str]) -> None:
    """Raise DataError where the file does not begin as a .npz does; numpy would advise to unpickle it."""
    with Path(path).open("rb") as stream:
        start = stream.read(6)
    if start.startswith(b"PK"):
        return
    came = "a single array (.npy)" if start == b"\x93NUMPY" else "another kind of file" if start else "an empty file"
    raise DataError(f"{path}: expected a pack (.npz); got {came}; {_REMEDY}")


def _check_member(archive: zipfile.ZipFile, key: str, path: str | os.PathLike[str]) -> None:
    """Raise DataError where an array's header claims objects, or more bytes than its member of the zip holds."""
    info = archive.getinfo(f"{key}.npy")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise DataError(f"{path}: expected plain arrays; got Python objects in the key {key}; {_REMEDY}")
    size_bytes = math.prod(shape) * dtype.itemsize
    if size_bytes > info.file_size:
        raise DataError(
            f"{path}: expected {size_bytes:,} bytes in the key {key} as its header says; got {info.file_size:,}; "
            f"{_REMEDY}"
        )


def _check(pack: Pack, path: str | os.PathLike[str]) -> None:
    """Raise DataError where images, labels, classes and meta do not fit together."""
    images, labels = pack.images, pack.labels
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)):
        raise DataError(
            f"{path}: expected uint8 images (n, h, w) or (n, h, w, 3); got {images.dtype} {images.shape}; {_REMEDY}"
        )
    if labels.shape != (len(images),) or len(images) == 0 or 0 in images.shape:
        raise DataError(
            f"{path}: expected one label an image, and some; got {len(images)} images and labels of shape "
            f"{labels.shape}; {_REMEDY}"
        )
    if len(set(pack.classes)) != len(pack.classes) or len(pack.classes) < 2:
        raise DataError(f"{path}: expected two or more different classes; got {', '.join(pack.classes)}; {_REMEDY}")
    if labels.min() < 0 or labels.max() >= len(pack.classes):
        raise DataError(
            f"{path}: expected labels 0..{len(pack.classes) - 1}; got {labels.min()}..{labels.max()}; {_REMEDY}"
        )
    missing = [key for key in _META_KEYS if not isinstance(pack.meta, Mapping) or key not in pack.meta]
    if missing:
        raise DataError(f"{path}: expected meta with {', '.join(_META_KEYS)}; got no {', '.join(missing)}; {_REMEDY}")
