"""What changed from one record to another: latency, accuracy, size, or counted ARM instructions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.arm.record import KIND as INSTRUCTIONS
from benchmarks.arm.record import Counted, Instructions, read_instructions
from benchmarks.comparison.interval import median_of, ratio_of_medians
from benchmarks.comparison.verdict import Finding
from benchmarks.evidence import read_evidence
from benchmarks.paired import compare as paired_drop
from benchmarks.table import data_text
from benchmarks.targets import kind_of
from edge.benchmarking.records import read_record
from edge.benchmarking.stability import FINE
from edge.errors import DataError

LATENCY, ACCURACY = "latency", "accuracy"
KINDS = (LATENCY, ACCURACY, INSTRUCTIONS)
_SAME_MACHINE = ("model", "arch", "cores")
_WORTH_A_NOTE = ("os", "python")


class NotComparableError(DataError):
    """Two records that say nothing about each other."""


@dataclass(frozen=True)
class Thresholds:
    """What is let pass: percent of the old value, and points of accuracy.

    The one for latency allows for what two runs of one file on an idle machine differ by; counts and sizes do not vary.
    """

    latency: float = 5.0
    size: float = 1.0
    instructions: float = 1.0
    points: float = 0.5


@dataclass(frozen=True)
class Comparison:
    """What changed, and what a reader should know beside it."""

    old: str
    new: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Timing:
    """Two medians in milliseconds, and their ratio, new to old, with the ends of its 95 % interval.

    The ratio need not be that of the two medians: where both ran in turns, it is found pair by pair.
    """

    old: float
    new: float
    ratio: tuple[float, float, float]


def compare(old: Path, new: Path, limits: Thresholds, across_machines: bool = False) -> Comparison:
    """Return what changed from one record to another of the same kind.

    Args:
        old: file of the record that was right.
        new: file of the one to judge.
        limits: what is let pass.
        across_machines: compare records of two machines all the same.

    Raises:
        NotComparableError: other kinds, data, threads, boards or (unless allowed) machines.
        DataError: a file is no such record.
    """
    kinds = [kind_of(path) for path in (old, new)]
    for path, kind in zip((old, new), kinds, strict=True):
        if kind not in KINDS:
            raise DataError(f"{path}: expected a record of kind {' or '.join(KINDS)}; got {kind!r}; choose another")
    if kinds[0] != kinds[1]:
        raise NotComparableError(f"expected records of one kind; got {kinds[0]} ({old}) and {kinds[1]} ({new})")
    if kinds[0] == INSTRUCTIONS:
        return _instructions(old, new, limits)
    records = _read(old), _read(new)
    _same_machine(*records, across_machines)
    findings = _latency((old, new), *records, limits) if kinds[0] == LATENCY else _accuracy(old, new, limits)
    before, after = (record["model"] for record in records)
    size = _plain("size of the file, bytes", before["size_bytes"], after["size_bytes"], limits.size)
    return Comparison(_title(before), _title(after), (*findings, size), _notes(*records))


def turns(path: Path, limits: Thresholds) -> Comparison:
    """Return what changed from the model that a latency record was taken against to its own, turn by turn.

    Raises:
        NotComparableError: the record holds one model alone.
        DataError: it is no latency record.
    """
    record = _read(path)
    if "others" in record:
        raise NotComparableError(
            f"{path}: expected a latency record of two models in turns; got several models or counts of threads; "
            "measure with one --against at one count"
        )
    if record["kind"] != LATENCY or "against" not in record:
        raise NotComparableError(
            f"{path}: expected a latency record of two models in turns; got one model; name a second record"
        )
    other, model = record["against"], record["model"]
    slower = [1 / ratio for ratio in _numbers(path, record, "ratios")]
    found = Timing(other["latency_ms"]["p50"], record["latency_ms"]["p50"], median_of(slower))
    method = f"median of {len(slower)} interleaved pairs' ratios"
    size = _plain("size of the file, bytes", other["size_bytes"], model["size_bytes"], limits.size)
    return Comparison(_title(other), _title(model), (_slower(found, limits, method), size), tuple(_unrest("", record)))


def _latency(
    files: tuple[Path, Path], old: Mapping[str, Any], new: Mapping[str, Any], limits: Thresholds
) -> list[Finding]:
    if old["threads"] != new["threads"]:
        raise NotComparableError(f"expected records of as many threads; got {old['threads']} and {new['threads']}")
    common = old.get("against", {}).get("sha256")
    if common is not None and common == new.get("against", {}).get("sha256"):
        # Both ran in turns with the same file: what slowed the machine slowed that file too, and cancels out.
        ratio = ratio_of_medians(_numbers(files[1], new, "ratios"), _numbers(files[0], old, "ratios"))
        method = f"median ratios to {_title(old['against'])}, which both ran in turns with"
    else:
        before, after = (_numbers(*pair, "samples_ms") for pair in zip(files, (old, new), strict=True))
        ratio = ratio_of_medians(before, after)
        method = f"ratio of medians over {len(before)} and {len(after)} inferences"
    return [_slower(Timing(old["latency_ms"]["p50"], new["latency_ms"]["p50"], ratio), limits, method)]


def _accuracy(old: Path, new: Path, limits: Thresholds) -> list[Finding]:
    first, second = (read_evidence([path]).accuracies[0] for path in (old, new))
    if first.data != second.data:
        names = " and ".join(f"{data_text(data)}, {data.fingerprint[:12]}" for data in (first.data, second.data))
        raise NotComparableError(
            f"expected records of the same data; got {names}; score both models on one pack, with the same --tta"
        )
    try:
        drop = paired_drop(first, second)
    except DataError as error:  # other faces or classes under one fingerprint
        raise NotComparableError(str(error)) from error
    return [
        Finding(
            "accuracy, %", 100 * first.accuracy, 100 * second.accuracy, drop.points, drop.low, drop.high, limits.points,
            "points", f"paired on {first.data.samples:,} pictures, McNemar p = {drop.p_value:.2g}",
        )
    ]  # fmt: skip


def _instructions(old: Path, new: Path, limits: Thresholds) -> Comparison:
    records = [read_instructions(path) for path in (old, new)]
    before, after = (_by_file(path, record) for path, record in zip((old, new), records, strict=True))
    both = [key for key in before if key in after]
    if not both:
        raise NotComparableError(f"expected a model and board that are in both records; got none in {old} and {new}")
    findings, sized = [], set()
    for key in both:
        name = f"{_named(key[1], key[2])} on {key[0]}"
        counts = before[key].instructions_million, after[key].instructions_million
        findings.append(_plain(f"{name}: million instructions", *counts, limits.instructions))
        if key[1:] not in sized:  # a file has one size, on whatever board
            sized.add(key[1:])
            sizes = before[key].size_bytes, after[key].size_bytes
            findings.append(_plain(f"{_named(key[1], key[2])}: size of the file, bytes", *sizes, limits.size))
    left = [f"{_named(key[1], key[2])} on {key[0]}" for key in before.keys() ^ after.keys()]
    notes = [f"in one record only: {', '.join(sorted(left))}"] if left else []
    changed = [name for name in ("suite", "qemu", "runtime") if records[0].fields[name] != records[1].fields[name]]
    notes += [f"other {name}: {records[0].fields[name]} and {records[1].fields[name]}" for name in changed]
    if any(record.others for record in records):
        notes.append("counts with further runtimes are not compared")
    return Comparison(old.name, new.name, tuple(findings), tuple(notes))


def _by_file(path: Path, record: Instructions) -> dict[tuple[str, str, str | None], Counted]:
    """Return what was counted by board, name and recipe, which must tell the files of a record apart."""
    found = {(each.board, each.name, each.recipe): each for each in record.counted}
    if len(found) < len(record.counted):
        times = Counter((each.board, each.name, each.recipe) for each in record.counted)
        _, name, recipe = max(times, key=lambda key: times[key])
        raise NotComparableError(
            f"{path}: expected files that name and recipe tell apart; got several of {_named(name, recipe)}; count "
            "each in a record of its own"
        )
    return found


def _read(path: Path) -> dict[str, Any]:
    """Return a record of latency or accuracy whose fields have been checked."""
    read_evidence([path])
    return read_record(path)


def _numbers(path: Path, record: Mapping[str, Any], key: str) -> list[float]:
    came = record.get(key)
    if not isinstance(came, list) or not all(type(value) in (int, float) and value > 0 for value in came):
        raise DataError(f"{path}: {key}: expected a list of numbers above 0; got "
                        f"{'none' if came is None else repr(came)[:40]}; measure again")  # fmt: skip
    return came


def _same_machine(old: Mapping[str, Any], new: Mapping[str, Any], across: bool) -> None:
    first, second = ([record["machine"].get(key) for key in _SAME_MACHINE] for record in (old, new))
    if first != second and not across:
        names = " and ".join(", ".join(map(str, machine)) for machine in (first, second))
        raise NotComparableError(
            f"expected records of one machine; got {names}; measure both on one, or give --across-machines"
        )


def _notes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what differs that may be the cause, and is no ground to refuse."""
    pairs = [("runtime", old["runtime"], new["runtime"]), ("fer-edge", old["fer_edge"], new["fer_edge"])]
    pairs += [(key, old["machine"].get(key), new["machine"].get(key)) for key in (*_SAME_MACHINE, *_WORTH_A_NOTE)]
    notes = [f"other {name}: {_short(before)} and {_short(after)}" for name, before, after in pairs if before != after]
    for which, record in (("old", old), ("new", new)):
        notes += _unrest(f"{which} ", record)
    if old["model"]["sha256"] == new["model"]["sha256"]:
        notes.append("both records are of the same file: what changed is the machine or the software")
    return tuple(notes)


def _unrest(which: str, record: Mapping[str, Any]) -> list[str]:
    """Return a note where a record says that its run was noisy or throttled."""
    verdict = record.get("stability", {}).get("verdict", FINE)
    return [f"the {which}record calls its own measurement {verdict}"] if verdict != FINE else []


def _slower(found: Timing, limits: Thresholds, method: str) -> Finding:
    loss, low, high = (100 * (value - 1) for value in found.ratio)
    return Finding("latency, p50 in ms", found.old, found.new, loss, low, high, limits.latency, "%", method)


def _plain(what: str, old: float, new: float, threshold: float) -> Finding:
    """Return the loss in a figure of which less is better, and that does not vary from run to run."""
    loss = 100 * (new / old - 1)
    return Finding(what, old, new, loss, loss, loss, threshold, "%", "counted, not sampled")


def _title(model: Mapping[str, Any]) -> str:
    return _named(model["name"], model["recipe"])


def _named(name: str, recipe: str | None) -> str:
    return f"{name} {recipe}" if recipe else name


def _short(value: Any) -> str:
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)
