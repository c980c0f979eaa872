"""What a data set is here: parts of pictures and labels, with what the device must know to repeat the crop."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.errors import DataError
from edge.inference.contract import CropSpec


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a data set.

    Attributes:
        images: uint8 ``(n, height, width)`` (grey) or ``(n, height, width, 3)`` (RGB), 0–255.
        labels: int64 ``(n,)``, indices into the data set's ``labels``.
        votes: float32 ``(n, classes)`` or None: how annotators' votes are shared out over the data set's labels. Rows
            sum to 1, or are all zero where the annotators agree on none of the labels.
    """

    images: np.ndarray
    labels: np.ndarray
    votes: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim not in (3, 4):
            raise ValueError(
                f"expected uint8 pictures (n, h, w) or (n, h, w, 3); got {self.images.dtype} {self.images.shape}"
            )
        if self.labels.shape != (len(self.images),):
            raise ValueError(f"expected one label a picture ({len(self.images)}); got {self.labels.shape}")
        if self.votes is not None and (self.votes.dtype != np.float32 or self.votes.shape[:1] != self.labels.shape):
            raise ValueError(
                f"expected float32 votes ({len(self.images)}, classes); got {self.votes.dtype} {self.votes.shape}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> Part:
        """Return the part with only ``rows`` (int indices or bool mask), in that order."""
        return Part(self.images[rows], self.labels[rows], None if self.votes is None else self.votes[rows])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with its official parts.

    Attributes:
        name: registry name, e.g. ``fer2013``.
        labels: class names in the order of the integer labels.
        parts: official part name -> pictures and labels.
        roles: which part plays ``train``, ``validation`` and ``test``.
        crop: how a detector's box must be widened on the device to give such pictures.
        colour: ``grey`` or ``rgb``: what the pictures hold.
        fingerprint: sha256 over all pictures, labels and votes.
        protocol: which rows were left out and why, in one word (``PROTOCOLS``).
        removed: rows that the reader (no label among ``labels``) or the protocol took out, by part name.
        notes: what whoever uses the data set must be told, one sentence each; commands print them.
    """

    name: str
    labels: tuple[str, ...]
    parts: Mapping[str, Part]
    roles: Mapping[str, str]
    crop: CropSpec
    colour: str
    fingerprint: str
    protocol: str = "as-is"
    removed: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def part(self, name: str) -> Part:
        """Return a part by its official name or its role (``train``, ``validation``, ``test``).

        Raises:
            DataError: there is no such part; the message lists them.
        """
        return self.parts[self.part_name(name)]

    def part_name(self, name: str) -> str:
        """Return the official name of a part that is given by name or by role."""
        if name in self.parts:
            return name
        if name in self.roles:
            return self.roles[name]
        raise DataError(f"{self.name} has no part {name!r}; it has {', '.join(self.parts)}; choose one of them")

    def counts(self) -> dict[str, dict[str, int]]:
        """Return pictures by part and class name."""
        return {
            name: dict(zip(self.labels, np.bincount(part.labels, minlength=len(self.labels)).tolist(), strict=True))
            for name, part in self.parts.items()
        }


def concatenate(parts: Sequence[Part]) -> Part:
    """Return one part with the rows of all ``parts`` in order; votes are kept where every part has them."""
    votes = [part.votes for part in parts if part.votes is not None]
    return Part(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate(votes) if len(votes) == len(parts) else None,
    )


def fingerprint(parts: Mapping[str, Part]) -> str:
    """Return the sha256 (hex) over part names, shapes, pictures, labels and (where there are any) votes."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        part = parts[name]
        digest.update(f"{name}:{part.images.shape}".encode())
        digest.update(np.ascontiguousarray(part.images).data)
        digest.update(part.labels.astype("<i8").tobytes())
        if part.votes is not None:
            digest.update(part.votes.astype("<f4").tobytes())
    return digest.hexdigest()


def added(removed: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Return the sum, by part name, of two counts of removed rows."""
    return {name: removed.get(name, 0) + more.get(name, 0) for name in dict.fromkeys([*removed, *more])}


def limit_note(dataset: Dataset, name: str, limit: int | None) -> str:
    """Return in words which classes of a part its first ``limit`` rows lack (files may be sorted); empty without any.

    Args:
        dataset: any.
        name: of the part, official.
        limit: rows taken; None takes all.
    """
    labels = dataset.parts[name].labels
    absent = [dataset.labels[number] for number in np.setdiff1d(labels, labels[:limit]).tolist()]
    if not absent:
        return ""
    return f"the first {limit:,} pictures of {name} hold none of {', '.join(absent)}; raise --limit for all classes"
