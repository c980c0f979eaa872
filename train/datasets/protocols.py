"""Which rows may be trained on and selected on: the protocol behind every published figure.

FER2013 repeats itself: pictures of its test parts recur in Training, and a model that has seen them scores too well.
``official-dedup`` removes training rows whose picture recurs in a validation or test part, and validation rows that
recur in the test part. The test part itself is never touched.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from edge.errors import DataError
from train.datasets.core import Dataset

PROTOCOLS = ("official", "official-dedup")


def apply_protocol(dataset: Dataset, protocol: str) -> Dataset:
    """Return the data set under a protocol.

    Args:
        dataset: with the roles ``train``, ``validation`` and ``test``.
        protocol: ``official`` (parts as published) or ``official-dedup``.

    Raises:
        DataError: the protocol is unknown.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}; choose one of them")
    if protocol == "official":
        return dataclasses.replace(dataset, protocol=protocol)
    names = {role: dataset.roles[role] for role in ("train", "validation", "test")}
    digests = {role: picture_digests(dataset.parts[name].images) for role, name in names.items()}
    test = set(digests["test"])
    held_out = test | set(digests["validation"])
    keep = {
        "train": np.array([digest not in held_out for digest in digests["train"]], bool),
        "validation": np.array([digest not in test for digest in digests["validation"]], bool),
    }
    parts = dict(dataset.parts)
    removed = {}
    for role, mask in keep.items():
        parts[names[role]] = parts[names[role]].take(mask)
        removed[names[role]] = int((~mask).sum())
    return dataclasses.replace(dataset, parts=parts, protocol=protocol, removed=removed)


def picture_digests(images: np.ndarray) -> list[bytes]:
    """Return one 16-byte digest a picture of uint8 ``(n, …)``; equal digests mean equal pixels."""
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images]
