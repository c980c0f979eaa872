"""Records and conversion reports as frozen values, checked once when they are read.

`fer-edge benchmark ... --record` writes latency and accuracy records, `python -m convert` the conversion reports; both
are told apart by their content, never by their file names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import DataError
from edge.records import read_record

_REMEDY = "write it again with `fer-edge benchmark ... --record`"
OF_RUNTIME = ("pipeline", "startup")
"""Kinds that `python -m benchmarks runtime` shows, and this report does not."""
_CONVERSION = {"schema": 1, "kind": "conversion"}


@dataclass(frozen=True, order=True)
class Model:
    """The model block of a record; `sha256` is its identity."""

    name: str
    recipe: str
    backbone: str
    sha256: str
    size_bytes: int
    input: tuple[int, ...]


@dataclass(frozen=True, order=True)
class Setting:
    """Where and with what a figure was measured; figures of two settings never share a row.

    Attributes:
        machine: model, cores, architecture, system (short) and Python, as shown.
        runtime: name and version of the interpreter, as shown.
        system: the operating system in full, which is compared but not shown.
    """

    machine: str
    runtime: str
    system: str


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single inferences of one model.

    Attributes:
        p50: median; `p90` and `p99` the percentiles.
        own: whether the record is about this model; else it was the other half of an interleaved pair.
    """

    path: Path
    created: str
    model: Model
    setting: Setting
    threads: int
    runs: int
    p50: float
    p90: float
    p99: float
    own: bool


@dataclass(frozen=True)
class Ratio:
    """How many times faster `model` is than `against`, from interleaved pairs: time of `against` / time of `model`.

    Attributes:
        low: lower end of the 95 % interval of the median; `high` the upper end.
    """

    path: Path
    created: str
    model: Model
    against: Model
    setting: Setting
    threads: int
    pairs: int
    median: float
    p10: float
    p90: float
    low: float
    high: float


@dataclass(frozen=True, order=True)
class Data:
    """The labelled pictures of an accuracy record; `fingerprint` is their identity."""

    name: str
    part: str
    samples: int
    fingerprint: str


@dataclass(frozen=True)
class Accuracy:
    """How right one model was on one part of a data set.

    Attributes:
        accuracy: share of right answers, 0..1, with `low` and `high` its 95 % interval.
        macro_f1: plain mean F1 of the classes, 0..1; `weighted_f1` weighted by support.
        correct: one bool a sample, in the data's order.
        predictions: one character a sample, the predicted class in base 36.
    """

    path: Path
    created: str
    model: Model
    setting: Setting
    data: Data
    accuracy: float
    low: float
    high: float
    macro_f1: float
    weighted_f1: float
    correct: tuple[bool, ...]
    predictions: str


@dataclass(frozen=True)
class Conversion:
    """What `python -m convert` found in the file that it wrote.

    Attributes:
        operators: operator -> count in the whole file; `outside` those that XNNPACK leaves to slower kernels, and
            `floats` those that compute in float.
        partitions: pieces into which XNNPACK cuts the graph; 1 is best.
        agreement: part of the data -> share (0..1) of samples where the file gives the class of the network that it
            was exported from (for INT8: with fake quantization).
    """

    path: Path
    name: str
    recipe: str
    sha256: str
    size_bytes: int
    operators: Mapping[str, int]
    outside: Mapping[str, int]
    floats: Mapping[str, int]
    partitions: int
    agreement: Mapping[str, float]


@dataclass(frozen=True)
class Evidence:
    """Everything that was read; `latencies` holds both models of an interleaved record."""

    latencies: tuple[Latency, ...]
    ratios: tuple[Ratio, ...]
    accuracies: tuple[Accuracy, ...]
    conversions: tuple[Conversion, ...]


def record_files(paths: Iterable[Path]) -> list[Path]:
    """Return the JSON files among `paths`, folders replaced by the *.json directly in them, sorted, each once.

    Raises:
        DataError: a path does not exist, or a folder holds no JSON file.
    """
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found = sorted(path.glob("*.json"))
            if not found:
                raise DataError(f"{path}: expected records (*.json); the folder holds none; name another folder")
            files.update(dict.fromkeys(found))
        elif path.is_file():
            files[path] = None
        else:
            raise DataError(f"{path}: expected a record or a folder of records; no such file; check the path")
    return list(files)


def read_evidence(paths: Iterable[Path]) -> Evidence:
    """Return what the records and conversion reports in files and folders say.

    Raises:
        DataError: a path is missing, a file is no record of schema 1, or one of its fields has the wrong type or
            disagrees with another.
    """
    latencies: list[Latency] = []
    ratios: list[Ratio] = []
    accuracies: list[Accuracy] = []
    conversions: list[Conversion] = []
    for path in record_files(paths):
        report = _conversion_report(path)
        if report is not None:
            conversions.append(_conversion(report))
            continue
        record = _Fields(path, "", read_record(path))
        if record.text("kind") in OF_RUNTIME:
            continue
        if record.text("kind") == "accuracy":
            accuracies.append(_accuracy(record))
        else:
            latencies.append(_latency(record, record))
            if "against" in record.values:
                ratios.append(_ratio(record))
                latencies.append(_latency(record, record.block("against")))
    return Evidence(tuple(latencies), tuple(ratios), tuple(accuracies), tuple(conversions))


@dataclass(frozen=True)
class _Fields:
    """One JSON object of a record; every look-up is checked and names the file and the field when it fails."""

    path: Path
    where: str
    values: Mapping[str, Any]

    def fail(self, key: str, expected: str) -> DataError:
        """Return the error for a field that is not what was expected."""
        came = json.dumps(self.values.get(key), ensure_ascii=False) if key in self.values else "no such field"
        short = came if len(came) <= 60 else came[:57] + "..."
        return DataError(f"{self.path}: {self.where}{key}: expected {expected}; got {short}; {_REMEDY}")

    def text(self, key: str) -> str:
        """Return a non-empty text."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.fail(key, "a text")
        return value

    def number(self, key: str, low: float = 0.0, high: float = float("inf")) -> float:
        """Return a number in low..high."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.fail(key, f"a number in {low:g}..{high:g}")
        return float(value)

    def whole(self, key: str, low: int = 1) -> int:
        """Return a whole number of at least `low`."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self.fail(key, f"a whole number of at least {low}")
        return value

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """Return `count` numbers."""
        value = self.values.get(key)
        if not isinstance(value, list) or len(value) != count or not all(isinstance(x, int | float) for x in value):
            raise self.fail(key, f"{count} numbers")
        return tuple(float(x) for x in value)

    def counts(self, key: str) -> dict[str, int]:
        """Return an object of names and whole numbers."""
        block = self.block(key)
        return {name: block.whole(name, low=0) for name in block.values}

    def block(self, key: str) -> _Fields:
        """Return the object under `key`."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.fail(key, "an object")
        return _Fields(self.path, f"{self.where}{key}.", value)


def _model(block: _Fields) -> Model:
    sha256 = block.text("sha256")
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise block.fail("sha256", "64 hexadecimal digits")
    return Model(
        name=block.text("name"),
        recipe=block.text("recipe"),
        backbone=block.text("backbone"),
        sha256=sha256,
        size_bytes=block.whole("size_bytes"),
        input=tuple(int(size) for size in block.numbers("input", 3)),
    )


def _setting(record: _Fields) -> Setting:
    machine, runtime = record.block("machine"), record.block("runtime")
    system = machine.text("os")
    short = " ".join(system.split("-")[:2])  # Linux-6.1.21-v8+-aarch64-with-glibc2.36 -> Linux 6.1.21
    return Setting(
        machine=f"{machine.text('model')}, {machine.whole('cores')} cores, {machine.text('arch')}, "
        f"{short}, Python {machine.text('python')}",
        runtime=f"{runtime.text('name')} {runtime.text('version')}",
        system=system,
    )


def _latency(record: _Fields, source: _Fields) -> Latency:
    """Return the latency in `source`: the record itself, or its `against` block."""
    times = source.block("latency_ms")
    p50, p90, p99 = times.number("p50"), times.number("p90"), times.number("p99")
    if not 0 < p50 <= p90 <= p99:
        raise source.fail("latency_ms", "0 < p50 <= p90 <= p99")
    return Latency(
        path=record.path,
        created=record.text("created"),
        model=_model(source.block("model") if source is record else source),
        setting=_setting(record),
        threads=record.whole("threads"),
        runs=record.whole("runs"),
        p50=p50,
        p90=p90,
        p99=p99,
        own=source is record,
    )


def _ratio(record: _Fields) -> Ratio:
    ratio = record.block("ratio")
    median = ratio.number("median")
    low, high = ratio.numbers("ci95", 2)
    if not 0 < low <= median <= high:
        raise ratio.fail("ci95", f"an interval around the median {median:g}")
    return Ratio(
        path=record.path,
        created=record.text("created"),
        model=_model(record.block("model")),
        against=_model(record.block("against")),
        setting=_setting(record),
        threads=record.whole("threads"),
        pairs=record.whole("pairs"),
        median=median,
        p10=ratio.number("p10"),
        p90=ratio.number("p90"),
        low=low,
        high=high,
    )


def _accuracy(record: _Fields) -> Accuracy:
    data = record.block("data")
    samples = data.whole("samples")
    correct, predictions = record.text("correct"), record.text("predictions")
    if len(correct) != samples or set(correct) - set("01"):
        raise record.fail("correct", f"{samples} characters 0 or 1, one a sample")
    if len(predictions) != samples:
        raise record.fail("predictions", f"{samples} characters, one a sample")
    share = record.number("accuracy", high=1.0)
    if abs(share - correct.count("1") / samples) > 1e-6:
        raise record.fail("accuracy", f"{correct.count('1')} / {samples} as in `correct`")
    low, high = record.numbers("accuracy_ci95", 2)
    if not 0 <= low <= share <= high <= 1:
        raise record.fail("accuracy_ci95", f"an interval around the accuracy {share:g}")
    return Accuracy(
        path=record.path,
        created=record.text("created"),
        model=_model(record.block("model")),
        setting=_setting(record),
        data=Data(data.text("name"), data.text("part"), samples, data.text("fingerprint")),
        accuracy=share,
        low=low,
        high=high,
        macro_f1=record.number("macro_f1", high=1.0),
        weighted_f1=record.number("weighted_f1", high=1.0),
        correct=tuple(character == "1" for character in correct),
        predictions=predictions,
    )


def _conversion_report(path: Path) -> _Fields | None:
    """Return the file's fields if it is a conversion report; None for all else, which `read_record` judges."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    is_report = isinstance(values, dict) and {key: values.get(key) for key in _CONVERSION} == _CONVERSION
    return _Fields(path, "", values) if is_report else None


def _conversion(report: _Fields) -> Conversion:
    inspection, parts = report.block("inspection"), report.block("parts")
    return Conversion(
        path=report.path,
        name=report.block("source").text("name"),
        recipe=report.text("recipe"),
        sha256=report.text("sha256"),
        size_bytes=report.whole("size_bytes"),
        operators=inspection.counts("operators"),
        outside=inspection.counts("outside"),
        floats=inspection.counts("float_operators"),
        partitions=inspection.whole("partitions", low=0),
        agreement={name: parts.block(name).number("agreement_with_network", high=1.0) for name in parts.values},
    )
