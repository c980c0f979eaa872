"""Which pictures of a part a run has already seen: a figure on pictures that it was trained on is no test.

The rows that a run was trained on are made again from its ``run.json`` (data set, protocol, counts) and the data, and
pictures are compared by their pixels. So a run that was fitted under one protocol of FER2013 is not reported under
another one whose test part it was trained on. The same goes for the networks that a run began with or learned from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.errors import DataError
from train.datasets import WITH_VOTES, Dataset, Part, apply_protocol
from train.datasets.protocols import picture_digests
from train.mapping import as_colour

LABELS = "labels"  # ``supervision`` of a run.json: nothing beside the data set's own labels


@dataclass(frozen=True)
class Exposure:
    """How many pictures of a part a run has seen.

    Attributes:
        samples: pictures of the part.
        trained: of them, those whose pixels are among the run's training pictures.
        selected: of them, those whose pixels are among the pictures that picked its checkpoint.
    """

    samples: int
    trained: int
    selected: int


@dataclass(frozen=True)
class Ancestor:
    """A network that a run began with or learned from, and was itself trained on other rows than the run's.

    Attributes:
        name: its run's.
        role: ``first weights`` or ``teacher``.
        dataset: name of the data set that it was trained on.
        protocol: under which.
        own: its training and validation rows; None where they are not at hand.
    """

    name: str
    role: str
    dataset: str
    protocol: str
    own: Dataset | None


def supervision(config: Mapping[str, Any]) -> str:
    """Return what a run learned from beside its data set's labels, in words; ``labels`` where that is all."""
    return str(config.get("supervision") or LABELS)


def is_own(config: Mapping[str, Any], dataset: Dataset) -> bool:
    """Return whether the data set is the one that a run was trained on, whatever the protocol.

    The fingerprint decides; but votes are part of it, and the same pictures may be read with or without them: there
    the name does.
    """
    data = config["data"]
    if dataset.fingerprint == data["fingerprint"]:
        return True
    return dataset.name == data["name"] and dataset.name in WITH_VOTES and supervision(config) != LABELS


def own_dataset(config: Mapping[str, Any], loaded: Dataset) -> Dataset:
    """Return the data set with the rows that a run was trained and selected on.

    Args:
        config: the run's ``run.json``.
        loaded: the run's data set as loaded, no protocol applied.

    Raises:
        DataError: it is another data set, or its rows under the run's protocol are not those that the run counted.
    """
    data = config["data"]
    if not is_own(config, loaded):
        raise DataError(
            f"expected the data of run {config['name']} ({data['name']}, fingerprint {data['fingerprint'][:12]}); got "
            f"{loaded.name}, fingerprint {loaded.fingerprint[:12]}; give the files that it was trained on"
        )
    own = apply_protocol(loaded, data["protocol"])
    counts = own.counts()
    for role, name in data["roles"].items():
        expected, found = data["counts"].get(name), counts.get(name)
        if expected == found or expected is None:
            continue
        rows = sum(expected.values())
        part = own.parts[name].take(np.arange(min(rows, len(own.parts[name])))) if found else None
        own = dataclasses.replace(own, parts={**own.parts, **({name: part} if part else {})})
        if role != "train" or own.counts().get(name) != expected:  # the first rows alone: fit --limit
            raise DataError(
                f"expected {rows:,} pictures in {name} of {loaded.name} ({data['protocol']}) as run {config['name']} "
                f"counted them; got {sum((found or {}).values()):,}; give the files that it was trained on"
            )
    return own


def ancestors(config: Mapping[str, Any], loaded: Dataset) -> tuple[Ancestor, ...]:
    """Return the networks that a run comes from and whose rows are not those of the run itself, each once.

    Args:
        config: the run's ``run.json``.
        loaded: a data set as loaded, no protocol applied: the rows of the networks that were trained on it are found.
    """
    data = config["data"]
    found = {}
    for role, record in _recorded(config):
        theirs = record.get("data")
        if not theirs or (theirs["name"], theirs["protocol"]) == (data["name"], data["protocol"]):
            continue
        own = apply_protocol(loaded, theirs["protocol"]) if is_own(record, loaded) else None
        found[record["model_sha256"]] = Ancestor(record["name"], role, theirs["name"], theirs["protocol"], own)
    return tuple(found.values())


def _recorded(record: Mapping[str, Any], role: str | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the records of what a network began with and learned from, and of what those did."""
    below = [("first weights", record["start"])] if record.get("start") else []
    below += [("teacher", teacher) for teacher in record.get("teachers", [])]
    for kind, each in below:
        yield role or kind, each
        yield from _recorded(each, role or kind)


def exposure(own: Dataset, part: Part) -> Exposure:
    """Return how many pictures of ``part`` are among the training and validation pictures of ``own``."""
    digests = grey_digests(part.images)
    seen = {
        role: set(grey_digests(own.parts[own.roles[role]].images)) if own.roles.get(role) in own.parts else set()
        for role in ("train", "validation")
    }
    return Exposure(
        samples=len(digests),
        trained=sum(digest in seen["train"] for digest in digests),
        selected=sum(digest in seen["validation"] for digest in digests),
    )


def grey_digests(images: np.ndarray) -> list[bytes]:
    """Return one digest a picture of its luminance, so that a grey picture and its RGB copy have the same."""
    return picture_digests(as_colour(images, "grey"))
