"""Rows of a data set: told apart by their pictures, and left out."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from edge.errors import DataError
from train.datasets.core import Dataset, added


def picture_digests(images: np.ndarray) -> list[bytes]:
    """Return one 16-byte digest a picture of uint8 ``(n, …)``; equal digests mean equal pixels."""
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for image in images]


def keep_rows(dataset: Dataset, keep: dict[str, np.ndarray], protocol: str) -> Dataset:
    """Return the data set with only the rows in the masks (part name -> bool (n,)), the others counted as removed.

    Raises:
        DataError: a mask keeps no row.
    """
    for name, mask in keep.items():
        if not mask.any():
            raise DataError(
                f"expected pictures in {name} of {dataset.name} that recur in no held-out part ({protocol}); all "
                f"{len(mask):,} do; give other pictures, or --protocol official and no --drop-leaks"
            )
    parts = {
        name: part.take(keep[name]) if name in keep and not keep[name].all() else part
        for name, part in dataset.parts.items()
    }
    removed = added(dataset.removed, {name: int((~mask).sum()) for name, mask in keep.items()})
    return dataclasses.replace(dataset, parts=parts, protocol=protocol, removed=removed)
