"""Which rows may be trained on and selected on: the protocol behind every published figure.

FER2013 repeats itself: pictures of its test parts recur in Training, and a model that has seen them scores too well.

* ``official``: the parts as published.
* ``official-dedup``: training rows whose picture recurs in a validation or test part removed, and validation rows that
  recur in the test part. The test part itself is never touched.
* ``seed``: the two published recipes' own split: a stratified fifth of all rows, pooled, is the test part. Repeats fall
  on both sides of it, so its figures are too good; a validation part is held out of the rest, so that nothing is
  selected on the test part all the same.

``+near4`` behind any of them also removes what all but repeats a held-out picture (see ``audit.drop_leaks``).
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from edge.errors import DataError
from train.datasets.core import Dataset, concatenate
from train.datasets.rows import keep_rows, picture_digests
from train.datasets.splits import stratified, stratified_share

PROTOCOLS = ("official", "official-dedup", "seed")
SEED_TEST_FRACTION = 0.2
NEAR = re.compile(r"\+near(\d{1,2})")


def apply_protocol(dataset: Dataset, protocol: str) -> Dataset:
    """Return the data set under a protocol.

    Args:
        dataset: with the roles ``train``, ``validation`` and ``test``.
        protocol: one of ``PROTOCOLS``, perhaps with ``+near`` and a distance behind it, as runs record it.

    Raises:
        DataError: the protocol is unknown or leaves a part empty, or ``seed`` is asked of parts with pictures of
            different sizes.
    """
    base, plus, distance = protocol.partition("+")
    near = NEAR.fullmatch(plus + distance)
    if base not in PROTOCOLS or (plus and near is None):
        raise DataError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}; choose one of them")
    result = {"official": _official, "official-dedup": _deduplicated, "seed": _seed}[base](dataset)
    if near is None:
        return result
    from train.datasets.audit import drop_leaks

    return drop_leaks(result, int(near.group(1)))


def _official(dataset: Dataset) -> Dataset:
    return dataclasses.replace(dataset, protocol="official")


def _deduplicated(dataset: Dataset) -> Dataset:
    digests = {role: picture_digests(dataset.part(role).images) for role in ("train", "validation", "test")}
    test = set(digests["test"])
    held_out = test | set(digests["validation"])
    keep = {
        dataset.roles["train"]: np.array([digest not in held_out for digest in digests["train"]], bool),
        dataset.roles["validation"]: np.array([digest not in test for digest in digests["validation"]], bool),
    }
    return keep_rows(dataset, keep, "official-dedup")


def _seed(dataset: Dataset) -> Dataset:
    sources = [dataset.parts[name] for name in dict.fromkeys(dataset.roles.values())]
    sizes = {part.images.shape[1:] for part in sources}
    if len(sizes) > 1:
        raise DataError(
            f"expected pictures of one size in all parts of {dataset.name} to pool them; got "
            f"{', '.join('x'.join(map(str, size)) for size in sorted(sizes))}; use another protocol"
        )
    whole = concatenate(sources)
    test = stratified_share(whole.labels, SEED_TEST_FRACTION)
    rest = whole.take(~test)
    held_out = stratified(rest.labels)
    parts = {"train": rest.take(~held_out), "validation": rest.take(held_out), "test": whole.take(test)}
    note = "protocol seed: all parts pooled and split anew, so pictures that repeat leak into the test part"
    return dataclasses.replace(
        dataset,
        parts=parts,
        roles={role: role for role in parts},
        protocol="seed",
        removed={"pooled": sum(dataset.removed.values())} if dataset.removed else {},
        notes=(*dataset.notes, note),
    )
