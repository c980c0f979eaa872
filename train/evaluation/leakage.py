"""Which pictures of a part a run has already seen: a figure on pictures that it was trained on is no test.

The rows that a run was trained on are made again from its ``run.json`` (data set, protocol, counts) and the data, and
pictures are compared by their pixels. So a run that was fitted under one protocol of FER2013 is not reported under
another one whose test part it was trained on. The same goes for the networks that a run began with or learned from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.errors import DataError
from train.datasets import WITH_VOTES, Dataset, Part, apply_protocol
from train.datasets.mapping import as_colour
from train.datasets.rows import picture_digests

LABELS = "labels"  # ``supervision`` of a run.json: nothing beside the data set's own labels
THROUGH_TEACHER, THROUGH_START = " through a teacher", " through its first weights"
THROUGH = (THROUGH_TEACHER, THROUGH_START)
UNKNOWN = "unknown"
KEYS = ("name", "protocol", "fingerprint")
PUBLISHED_TRAIN = "Training"  # FER2013's own name of its training part; its folder edition has other parts
MODEL_SUFFIXES = (".keras", ".h5")


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
    """A network that a run began with or learned from, perhaps through others, and that saw other rows than the run.

    Attributes:
        name: its run's or file's; empty where only its data is on record.
        role: what it is to the run, with its article: ``its first weights``, ``a teacher of its first weights``.
        dataset: name of the data set that it was trained on; empty where that is not on record.
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
    the name does, where the parts are the same too (those of another edition are not).
    """
    data = config["data"]
    if dataset.fingerprint == data["fingerprint"]:
        return True
    named = dataset.name == data["name"] and dataset.name in WITH_VOTES and supervision(config) != LABELS
    return named and _same_parts(data, dataset)


def _same_parts(data: Mapping[str, Any], dataset: Dataset) -> bool:
    """Return whether a data set has the parts of a run's, and as many test pictures of each class.

    The test part is the one that no protocol changes but ``seed``, whose parts have names of their own: there the other
    side must have the published parts.

    Args:
        data: of a run's ``run.json``, or of the record of a network; a model file's, which has neither parts nor
            counts, decides nothing.
        dataset: whatever the protocol.
    """
    if "roles" not in data or "counts" not in data:
        return True
    ours, theirs = (protocol.startswith("seed") for protocol in (dataset.protocol, data["protocol"]))
    if ours != theirs:
        return bool((data["roles"] if ours else dataset.roles).get("train") == PUBLISHED_TRAIN)
    test = data["roles"]["test"]
    return dict(data["roles"]) == dict(dataset.roles) and data["counts"].get(test) == dataset.counts().get(test)


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


def ancestors(config: Mapping[str, Any], loaded: Sequence[Dataset], own: Dataset | None) -> tuple[Ancestor, ...]:
    """Return the networks that a run comes from and whose rows are not those of the run itself; the same rows once.

    Args:
        config: the run's ``run.json``.
        loaded: data sets as loaded, no protocol applied: the rows of the networks that were trained on them are found.
        own: the run's own rows, where they are at hand.
    """
    mine = _key(config["data"])
    found: list[Ancestor] = []
    met = set()
    for role, record in _recorded(config):
        data = record["data"]
        network = (record["model_sha256"], data and _key(data))
        if network in met:
            continue
        met.add(network)
        if data is None:
            found.append(Ancestor(record["name"], role, "", "", None))
            continue
        rows = _find_rows(record, loaded)
        if rows is None and own is None and _key(data) == mine:
            continue  # that the run's own rows are not known is said already
        seen = (own, *(each.own for each in found))
        if rows is not None and any(one is not None and _same_rows(rows, one) for one in seen):
            continue
        found.append(Ancestor(record["name"], role, data["name"], data["protocol"], rows))
    return tuple(found)


def before(config: Mapping[str, Any]) -> str:
    """Return what the networks were trained on that a run comes from, for the files that it is converted to.

    ``NAME PROTOCOL FINGERPRINT`` of each data set, between semicolons; ``unknown`` for one that is not on record.
    """
    keys = [UNKNOWN if record["data"] is None else " ".join(_key(record["data"])) for _, record in _recorded(config)]
    return "; ".join(dict.fromkeys(keys))


def read_before(text: str) -> list[dict[str, str] | None]:
    """Return the data sets in a text of :func:`before`: name, protocol, fingerprint, or None for an unknown one."""
    words = [each.split() for each in text.split("; ") if each]
    return [dict(zip(KEYS, each, strict=True)) if len(each) == len(KEYS) else None for each in words]


def _key(data: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(data[key]) for key in KEYS)


def _recorded(record: Mapping[str, Any], whose: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield role and record of each network that one comes from, and of those that these come from.

    A record has ``name``, ``model_sha256``, ``data`` (None where not on record) and, but for what a file tells,
    ``supervision``.
    """
    earlier = f"before {record.get('model_sha256', '')}"
    known = [("the first weights", record["start"])] if record.get("start") else []
    known += [("a teacher", teacher) for teacher in record.get("teachers", [])]
    for kind, each in known:
        role = f"{kind} of {whose}" if whose else f"its {kind.split(' ', 1)[1]}"
        yield role, each
        yield from _recorded(each, role)
    for data in record.get("before", []):  # of a file
        yield f"networks before {whose}", {"name": "", "model_sha256": earlier, "data": data}
    unknown = unrecorded(record)
    if unknown is not None:
        yield (
            f"the first weights of {whose}" if whose else "its first weights",
            {"name": unknown, "model_sha256": earlier, "data": None},
        )
    elif not known and not record.get("before") and whose and any(words in supervision(record) for words in THROUGH):
        yield f"networks before {whose}", {"name": "", "model_sha256": earlier, "data": None}


def unrecorded(config: Mapping[str, Any]) -> str | None:
    """Return the file that a run began with, where nothing says what its network was trained on; None without one."""
    if config.get("start"):
        return None
    recipe = config.get("recipe")
    network = recipe.get("backbone") if isinstance(recipe, Mapping) else None  # the record of a network has its name
    names = (config.get("unrecorded"), config.get("weights"), network)
    return next((str(name) for name in names if str(name).endswith(MODEL_SUFFIXES)), None)


def _find_rows(record: Mapping[str, Any], loaded: Sequence[Dataset]) -> Dataset | None:
    found = (_rows(record, each, exact) for exact in (True, False) for each in loaded)
    return next((rows for rows in found if rows is not None), None)


def _rows(record: Mapping[str, Any], loaded: Dataset, exact: bool) -> Dataset | None:
    """Return the rows of ``loaded`` that a network was trained and selected on; None where it is not its data.

    Args:
        record: of the network.
        loaded: no protocol applied.
        exact: the network's own data set; else FER+ for FER2013 and the reverse, which have the same pictures in the
            same parts (FER+ leaves some out).
    """
    data, protocol = record["data"], record["data"]["protocol"]
    published = loaded.roles.get("train") == PUBLISHED_TRAIN and loaded.name in WITH_VOTES
    voted = "supervision" not in record and loaded.name == data["name"]  # from a file: votes may be in the fingerprint
    try:
        if not exact:
            other = published and data["name"] in WITH_VOTES and data["name"] != loaded.name
            return apply_protocol(loaded, protocol) if other and not protocol.startswith("seed") else None
        if "counts" in data and is_own(record, loaded):
            return own_dataset(record, loaded)
        if loaded.fingerprint == data["fingerprint"] or (published and (voted or is_own(record, loaded))):
            return apply_protocol(loaded, protocol)
    except DataError:
        pass
    return None


def _same_rows(one: Dataset, other: Dataset) -> bool:
    """Return whether two data sets have the same training and validation pictures."""
    for role in ("train", "validation"):
        first, second = (each.parts.get(each.roles.get(role, "")) for each in (one, other))
        if (first is None) != (second is None):
            return False
        if first is not None and second is not None and not np.array_equal(first.images, second.images):
            return False
    return True


def exposure(own: Dataset, part: Part) -> Exposure:
    """Return how many pictures of ``part`` are among the training and validation pictures of ``own``."""
    trained, selected = seen_rows(own, part)
    return Exposure(samples=len(part), trained=int(trained.sum()), selected=int(selected.sum()))


def seen_rows(own: Dataset, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """Return which pictures of ``part`` are among the training, and which among the validation pictures of ``own``.

    Returns:
        two bool arrays ``(n,)``; all false where ``own`` has no such part.
    """
    digests = grey_digests(part.images)
    seen = (
        set(grey_digests(own.parts[own.roles[role]].images)) if own.roles.get(role) in own.parts else set()
        for role in ("train", "validation")
    )
    trained, selected = (np.array([digest in known for digest in digests], bool) for known in seen)
    return trained, selected


def grey_digests(images: np.ndarray) -> list[bytes]:
    """Return one digest a picture of its luminance, so that a grey picture and its RGB copy have the same."""
    return picture_digests(as_colour(images, "grey"))
