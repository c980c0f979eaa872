"""What is wrong with a data set before anyone trains on it: repeats within and between parts, conflicts, blanks.

Pictures are compared twice: pixel by pixel, and by a 64-bit perceptual hash, whose distance (in bits) stays small when
a picture was scaled, brightened, watermarked or saved again. ``drop_leaks`` takes out of the training and validation
parts what repeats a held-out picture either way.

The hash is pHash: the signs, about their median, of the 8 x 8 lowest frequencies of the 32 x 32 picture's cosine
transform. All hashes have 32 ones, so distances are even. Looked at on FER2013, exact repeats aside: of the 1,349
pairs within 4 bits (120 spread over all, and the 63 least correlated at 4) about 99 in 100 show one photograph; of the
1,112 at 6 bits (84 at random) about 82 in 100; of the 2,465 at 8 (14 at random) half; at 10 few. Hence the default of
4. (A difference hash told faces apart much worse: 457 pairs at 2 bits, 804 at 3.) Mirrored copies are not looked for:
of 37 mirrored pairs within 4 bits a third were different people.

Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2 (DCT hash).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import DataError
from edge.files import write_atomically
from train.datasets.core import Dataset
from train.datasets.rows import keep_rows, picture_digests
from train.progress import track

SCHEMA = 1  # of the JSON
DISTANCE = 4  # bits
MAX_DISTANCE = 16  # beyond, two pictures of one size and light are nearer than that by chance
HASH_SIDE_PX = 32
FREQUENCIES = 8
TILE_PX = 64
SHEET_COLUMNS = 20
BLOCK = 256  # rows compared at once with all others: 256 x 36,000 hashes are 74 MB


@dataclass(frozen=True)
class Audit:
    """The findings on one data set; rows are positions in their part, as loaded.

    Attributes:
        dataset: its name.
        protocol: under which its parts stand.
        fingerprint: the data set's.
        distance: bits up to which two pictures are near.
        counts: part -> class -> pictures.
        repeats: pictures (rows) that repeat an earlier one of any part, pixel by pixel.
        shared: part -> part -> rows of the first whose picture is also in the second; of one part, rows that repeat an
            earlier one of it.
        near_shared: the same for pictures that are equal or near.
        near_pairs: pairs of different pictures, each counted once, that are near.
        near_conflicts: pairs among them that share no label.
        conflicts: pictures that occur with more than one label, each with its (part, row, class) places.
        blank: part -> rows whose pixels are all alike.
        pairs: the near pairs: (part, row, part, row, bits), where each picture first occurs.
        notes: the data set's own.
    """

    dataset: str
    protocol: str
    fingerprint: str
    distance: int
    counts: Mapping[str, Mapping[str, int]]
    repeats: int
    shared: Mapping[str, Mapping[str, int]]
    near_shared: Mapping[str, Mapping[str, int]]
    near_pairs: int
    near_conflicts: int
    conflicts: tuple[tuple[tuple[str, int, str], ...], ...]
    blank: Mapping[str, tuple[int, ...]]
    pairs: tuple[tuple[str, int, str, int, int], ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}


def audit(dataset: Dataset, distance: int = DISTANCE, *, progress: bool = False) -> Audit:
    """Return the findings on all parts of a data set.

    Args:
        dataset: any; parts may hold pictures of different sizes.
        distance: bits (0-16) up to which two hashes are near.
        progress: show a progress bar.

    Raises:
        ValueError: the distance is out of range.
    """
    _check_distance(distance)
    places = [(name, row) for name, part in dataset.parts.items() for row in range(len(part))]
    part_of = np.concatenate([np.full(len(p), i) for i, p in enumerate(dataset.parts.values())])
    labels = np.concatenate([part.labels for part in dataset.parts.values()])
    picture, first = _pictures(dataset)
    blank = np.concatenate([blanks(part.images) for part in dataset.parts.values()])
    hashes = np.concatenate(
        [perceptual_hashes(part.images, f"hashing {name}", progress) for name, part in dataset.parts.items()]
    )
    seen = np.flatnonzero(~blank[first])
    pairs = near_pairs(hashes[first[seen]], distance, progress)
    pairs[:, :2] = seen[pairs[:, :2]]
    label_sets = _label_sets(picture, labels, len(first), len(dataset.labels))
    names = tuple(dataset.parts)
    where = np.zeros((len(first), len(names)), bool)
    where[picture, part_of] = True
    near_where = where.copy()
    for one, other in ((0, 1), (1, 0)):
        np.logical_or.at(near_where, pairs[:, one], where[pairs[:, other]])
    return Audit(
        dataset=dataset.name,
        protocol=dataset.protocol,
        fingerprint=dataset.fingerprint,
        distance=distance,
        counts=dataset.counts(),
        repeats=len(places) - len(first),
        shared=_shared(names, part_of, picture, where, np.zeros((0, 3), np.int64)),
        near_shared=_shared(names, part_of, picture, near_where, pairs),
        near_pairs=len(pairs),
        near_conflicts=int((~(label_sets[pairs[:, 0]] & label_sets[pairs[:, 1]]).any(axis=1)).sum()),
        conflicts=tuple(
            tuple((*places[row], dataset.labels[labels[row]]) for row in np.flatnonzero(picture == number).tolist())
            for number in np.flatnonzero(label_sets.sum(axis=1) > 1).tolist()
        ),
        blank={name: tuple(np.flatnonzero(blank[part_of == number]).tolist()) for number, name in enumerate(names)},
        pairs=tuple((*places[first[a]], *places[first[b]], bits) for a, b, bits in pairs.tolist()),
        notes=dataset.notes,
    )


def leaks(dataset: Dataset, distance: int = DISTANCE) -> dict[str, np.ndarray]:
    """Return, for the training and the validation part by name, a bool mask (n,) of the rows that leak.

    A training row leaks if its picture equals or is near one of the validation or test part, a validation row if it
    equals or is near one of the test part. Blank pictures leak by equality alone.

    Args:
        dataset: with the roles ``train``, ``validation`` and ``test``.
        distance: bits (0-16) up to which two hashes are near.

    Raises:
        ValueError: the distance is out of range.
    """
    _check_distance(distance)
    parts = {role: dataset.part(role) for role in ("train", "validation", "test")}
    digests = {role: picture_digests(part.images) for role, part in parts.items()}
    blank = {role: blanks(part.images) for role, part in parts.items()}
    hashes = {role: perceptual_hashes(part.images) for role, part in parts.items()}
    result = {}
    for role, others in (("train", ("validation", "test")), ("validation", ("test",))):
        held_out = set().union(*(digests[other] for other in others))
        mask = np.array([digest in held_out for digest in digests[role]], bool)
        targets = np.unique(np.concatenate([hashes[other][~blank[other]] for other in others]))
        result[dataset.roles[role]] = mask | (~blank[role] & _near_any(hashes[role], targets, distance))
    return result


def drop_leaks(dataset: Dataset, distance: int = DISTANCE) -> Dataset:
    """Return the data set without the rows that ``leaks`` finds; the test part is never touched.

    The protocol's name gains ``+near`` and the distance, so that the records say it and ``apply_protocol`` does the
    same again; ``removed`` counts the rows.
    """
    keep = {name: ~mask for name, mask in leaks(dataset, distance).items()}
    return keep_rows(dataset, keep, f"{dataset.protocol}+near{distance}")


def contact_sheet(dataset: Dataset, result: Audit, path: Path, limit: int = 120) -> int:
    """Write near pairs, one above the other, the farthest first, as a PNG; returns how many are on it.

    Args:
        dataset: the audited one.
        result: its audit.
        path: the picture to write.
        limit: at most so many pairs, spread evenly over all.

    Raises:
        DataError: the name does not end in .png, or there is no near pair.
    """
    import cv2

    if path.suffix != ".png":
        raise DataError(f"expected a sheet's name to end in .png; got {path.name}; rename it")
    if not result.pairs:
        raise DataError("expected near pairs to show; there are none; leave --sheet out, or raise --distance")
    ordered = sorted(result.pairs, key=lambda pair: -pair[4])
    chosen = [ordered[i] for i in np.linspace(0, len(ordered) - 1, min(limit, len(ordered))).round().astype(int)]
    cells = [
        np.vstack([_tile(dataset.parts[pair[side]].images[pair[side + 1]], cv2) for side in (0, 2)]) for pair in chosen
    ]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % SHEET_COLUMNS)
    rows = [np.hstack(cells[i : i + SHEET_COLUMNS]) for i in range(0, len(cells), SHEET_COLUMNS)]
    written, content = cv2.imencode(".png", np.vstack(rows))
    if not written:
        raise DataError(f"expected to encode the sheet as PNG; OpenCV {cv2.__version__} could not; lower the limit")
    write_atomically(path, content.tobytes())
    return len(chosen)


def perceptual_hashes(images: np.ndarray, description: str = "hashing", progress: bool = False) -> np.ndarray:
    """Return the pHash of every picture as uint64 (n,).

    Args:
        images: uint8 (n, h, w) or RGB (n, h, w, 3).
        description: of the progress bar.
        progress: show one.
    """
    import cv2

    bits = np.empty((len(images), FREQUENCIES * FREQUENCIES), bool)
    for row in track(range(len(images)), description, progress):
        image = images[row] if images.ndim == 3 else cv2.cvtColor(images[row], cv2.COLOR_RGB2GRAY)
        small = cv2.resize(image, (HASH_SIDE_PX, HASH_SIDE_PX), interpolation=cv2.INTER_AREA)
        low = np.asarray(cv2.dct(small.astype(np.float32)))[:FREQUENCIES, :FREQUENCIES].ravel()
        bits[row] = low > np.median(low[1:])  # without the mean brightness, which is above every other
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64).reshape(len(images))


def near_pairs(hashes: np.ndarray, distance: int, progress: bool = False) -> np.ndarray:
    """Return the pairs of hashes that differ in at most ``distance`` bits: int64 (m, 3): first < second, bits.

    Args:
        hashes: uint64 (n,).
        distance: bits.
        progress: show a progress bar.
    """
    found = [np.zeros((0, 3), np.int64)]
    for start in track(range(0, len(hashes), BLOCK), "comparing", progress):
        bits = np.bitwise_count(hashes[start : start + BLOCK, None] ^ hashes[None, start:])
        one, other = np.nonzero(bits <= distance)
        later = other > one
        one, other = one[later], other[later]
        found.append(np.stack([one + start, other + start, bits[one, other]], axis=1).astype(np.int64))
    return np.concatenate(found)


def blanks(images: np.ndarray) -> np.ndarray:
    """Return a bool mask (n,) of the pictures of uint8 (n, …) whose pixels are all alike."""
    flat = images.reshape(len(images), -1)
    return (flat == flat[:, :1]).all(axis=1)


def _check_distance(distance: int) -> None:
    if not 0 <= distance <= MAX_DISTANCE:
        raise ValueError(f"expected a distance of 0-{MAX_DISTANCE} bits; got {distance}; choose one in that range")


def _tile(image: np.ndarray, cv2: Any) -> np.ndarray:
    """Return a picture as BGR on a tile with a dark border."""
    colours = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., ::-1]
    return np.pad(cv2.resize(np.ascontiguousarray(colours), (TILE_PX, TILE_PX)), ((1, 1), (1, 1), (0, 0)))


def _pictures(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of every row's picture, int64 (n,), and the row where each picture first occurs, (m,)."""
    numbers: dict[bytes, int] = {}
    first: list[int] = []
    picture: list[int] = []
    for digest in _digests(dataset):
        if digest not in numbers:
            numbers[digest] = len(first)
            first.append(len(picture))
        picture.append(numbers[digest])
    return np.array(picture, np.int64), np.array(first, np.int64)


def _digests(dataset: Dataset) -> Iterator[bytes]:
    for part in dataset.parts.values():
        yield from picture_digests(part.images)


def _label_sets(picture: np.ndarray, labels: np.ndarray, pictures: int, classes: int) -> np.ndarray:
    sets = np.zeros((pictures, classes), bool)
    sets[picture, labels] = True
    return sets


def _shared(
    names: tuple[str, ...], part_of: np.ndarray, picture: np.ndarray, where: np.ndarray, pairs: np.ndarray
) -> dict[str, dict[str, int]]:
    """Count, for every part, its rows whose picture is (in the sense of ``where``) in each other part."""
    table = {name: dict.fromkeys(names, 0) for name in names}
    for one, other in combinations(range(len(names)), 2):
        for a, b in ((one, other), (other, one)):
            table[names[a]][names[b]] = int(where[picture[part_of == a], b].sum())
    for number, name in enumerate(names):
        rows = picture[part_of == number]
        _, begin = np.unique(rows, return_index=True)
        repeated = np.ones(len(rows), bool)
        repeated[begin] = False
        inside = np.zeros(len(where), bool)
        inside[rows] = True
        both = pairs[inside[pairs[:, 0]] & inside[pairs[:, 1]]]
        repeated |= np.isin(rows, both[:, 1])
        table[name][name] = int(repeated.sum())
    return table


def _near_any(hashes: np.ndarray, targets: np.ndarray, distance: int) -> np.ndarray:
    """Return a bool mask (n,) of the hashes within ``distance`` bits of any target; both uint64."""
    mask = np.zeros(len(hashes), bool)
    for start in range(0, len(hashes), BLOCK):
        bits = np.bitwise_count(hashes[start : start + BLOCK, None] ^ targets[None, :])
        mask[start : start + BLOCK] = (bits <= distance).any(axis=1)
    return mask
