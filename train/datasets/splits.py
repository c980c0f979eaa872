"""Which rows are held out where a data set has no official part for it: stratified, by person, always by a fixed seed.

Nothing is ever selected on a test part, so every data set needs a validation part; where its publishers made none, a
stratified tenth of the training part is held out here, the same rows on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

VALIDATION_FRACTION = 0.1
SPLIT_SEED = 2013


def stratified(labels: np.ndarray, fraction: float = VALIDATION_FRACTION, seed: int = SPLIT_SEED) -> np.ndarray:
    """Return a bool mask (n,) with ``fraction`` of every class, at least one row each, by a fixed seed."""
    return _draw(labels, {int(label): max(1, round(fraction * n)) for label, n in _counted(labels)}, seed)


def stratified_share(labels: np.ndarray, fraction: float, seed: int = SPLIT_SEED) -> np.ndarray:
    """Return a bool mask (n,) with ⌈``fraction``·n⌉ rows, shared out over the classes by largest remainders.

    The numbers a class are those of scikit-learn's ``train_test_split(..., stratify=labels)``; the rows are our own.
    """
    total = int(np.ceil(fraction * len(labels) - 1e-9))
    exact = {int(label): n * total / len(labels) for label, n in _counted(labels)}
    quota = {label: int(share) for label, share in exact.items()}
    by_remainder = sorted(exact, key=lambda label: quota[label] - exact[label])
    for label in by_remainder[: total - sum(quota.values())]:
        quota[label] += 1
    return _draw(labels, quota, seed)


def grouped(
    labels: np.ndarray, groups: Sequence[str], fractions: Mapping[str, float], seed: int = SPLIT_SEED
) -> dict[str, np.ndarray]:
    """Return a bool mask (n,) for each part; all rows of a group (a person) go to one part.

    Groups are taken in a seeded order, large ones first, each to the part that it brings nearest to its share of
    every class.

    Args:
        labels: int64 (n,).
        groups: the group of every row.
        fractions: share of each class by part, summing to 1.
        seed: of the order in which groups of one size are taken.
    """
    names = sorted(set(groups))
    place = {name: index for index, name in enumerate(names)}
    index = np.array([place[group] for group in groups], np.int64)
    tally = np.zeros((len(names), int(labels.max()) + 1))
    np.add.at(tally, (index, labels), 1)
    tally /= np.maximum(tally.sum(axis=0), 1)
    wanted = np.array(list(fractions.values()))[:, None]
    filled = np.zeros((len(fractions), tally.shape[1]))
    part_of = np.zeros(len(names), np.int64)
    order = np.random.default_rng(seed).permutation(len(names))
    sizes = np.bincount(index, minlength=len(names))
    for group in sorted(order.tolist(), key=lambda group: -sizes[group]):
        before = (filled - wanted) ** 2
        after = (filled + tally[group] - wanted) ** 2
        best = int((after - before).sum(axis=1).argmin())
        filled[best] += tally[group]
        part_of[group] = best
    return {name: part_of[index] == number for number, name in enumerate(fractions)}


def _counted(labels: np.ndarray) -> list[tuple[int, int]]:
    values, counts = np.unique(labels, return_counts=True)
    return list(zip(values.tolist(), counts.tolist(), strict=True))


def _draw(labels: np.ndarray, quota: Mapping[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    for label, count in quota.items():
        rows = np.flatnonzero(labels == label)
        mask[rng.permutation(rows)[:count]] = True
    return mask
