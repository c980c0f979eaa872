"""The record of a peers study: one JSON file (kind "peers", schema 1), checked when written and when read.

A file's status is measured, failed, or not run (a package was missing). XNNPACK's partitions and what lies outside are
null for files that another runtime runs. Beside the figures the record keeps every sample, prediction and true class,
so that each ratio, accuracy and drop can be worked out again; a record whose ratios or accuracies do not follow from
them is refused.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from benchmarks.peers.turns import ratio
from edge.benchmarking.benchmark import percentiles
from edge.errors import DataError
from edge.files import read_json, write_json

SCHEMA = 1
KIND = "peers"
MEASURED, FAILED, NOT_RUN = "measured", "failed", "not run"
_CLOSE = 1e-9  # relative, of a figure worked out again from what the record keeps
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "created": str, "fer_edge": str, "command": list, "config": dict, "machine": dict, "runtime": dict, "threads": int,
    "load_average": (int, float),
    "versions": dict, "source": dict, "data": dict, "calibration": dict, "reference": dict, "truth": str,
    "rounds": int, "warmup": int, "files": list, "ratios": list,
}  # fmt: skip
_FILE_FIELDS: dict[str, type | tuple[type, ...]] = {
    "file": str, "sha256": str, "size_bytes": int, "input": dict, "operators": dict,
    "partitions": (int, type(None)), "outside": (dict, type(None)), "float_operators": (dict, type(None)),
    "accuracy": (int, float), "accuracy_ci95": list, "macro_f1": (int, float), "drop": dict,
    "agreement": (int, float), "ties": (int, float), "predictions": str, "latency_ms": dict, "samples_ms": list,
}  # fmt: skip
_FILE_OPTIONAL: dict[str, type | tuple[type, ...]] = {"runtime": dict, "network": str, "note": str}
"""Of files that another runtime runs, or that are another network's; absent from older records."""
_RATIO_FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str, "against": str, "median": (int, float), "p10": (int, float), "p90": (int, float), "ci95": list,
    "pairs": int,
}  # fmt: skip
_RATIO_NUMBERS = ("median", "p10", "p90", "pairs")
_PARTS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "machine": {"model": str, "cores": int},
    "runtime": {"name": str, "version": str},
    "source": {"name": str, "backbone": str, "sha256": str, "input": list, "labels": list},
    "data": {"name": str, "part": str, "protocol": str, "fingerprint": str, "samples": int, "in_part": int},
    "calibration": {"samples": int},
    "reference": {"accuracy": (int, float), "accuracy_ci95": list, "macro_f1": (int, float), "predictions": str},
}
_FILE_PARTS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "drop": {"points": (int, float), "low": (int, float), "high": (int, float), "p_value": (int, float)},
    "latency_ms": {"p50": (int, float), "p90": (int, float), "p99": (int, float)},
}


def write_peers(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Write a record in one step, after checking it.

    Raises:
        DataError: a field is missing or does not follow from the others.
        OSError: the file cannot be written.
    """
    _check(record, path)
    write_json(path, record)


def read_peers(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the record in a JSON file.

    Raises:
        DataError: the file is missing, no JSON, no peers record of schema 1, lacks a field, or contradicts itself.
    """
    record: dict[str, Any] = read_json(path, "run `python -m benchmarks peers` again")
    _check(record, path)
    return record


def measured(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the files of a record that were made and run."""
    return [file for file in record["files"] if file["status"] == MEASURED]


def _check(record: Any, path: str | os.PathLike[str]) -> None:
    if not isinstance(record, dict) or (record.get("schema"), record.get("kind")) != (SCHEMA, KIND):
        came = f"schema {record.get('schema')}, kind {record.get('kind')}" if isinstance(record, dict) else "no object"
        raise _unlike(path, f"schema {SCHEMA} and kind {KIND}", came)
    _check_fields(record, _FIELDS, "", path)
    for name, fields in _PARTS.items():
        _check_fields(record[name], fields, f"{name}.", path)
    if record["rounds"] < 1:
        raise _unlike(path, "1 or more rounds", str(record["rounds"]))
    for index, file in enumerate(record["files"]):
        _check_file(file, f"files[{index}].", record, path)
    _check_score(record["reference"], "reference.", record, path)
    names = [file["name"] for file in record["files"]]
    if len(set(names)) != len(names):
        raise _unlike(path, "each name once in files", ", ".join(names))
    for index, entry in enumerate(record["ratios"]):
        _check_ratio(entry, f"ratios[{index}].", record, path)


def _check_file(file: Any, where: str, record: dict[str, Any], path: str | os.PathLike[str]) -> None:
    _check_fields(file, {"name": str, "ours": bool, "status": str}, where, path)
    if file["status"] in (FAILED, NOT_RUN):
        _check_fields(file, {"error": str}, where, path)
        return
    if file["status"] != MEASURED:
        raise _unlike(path, f"{where}status {MEASURED}, {FAILED} or {NOT_RUN}", file["status"])
    _check_fields(file, _FILE_FIELDS, where, path)
    for name, kind in _FILE_OPTIONAL.items():
        if name in file:
            _check_fields(file, {name: kind}, where, path)
    for name, fields in _FILE_PARTS.items():
        _check_fields(file[name], fields, f"{where}{name}.", path)
    if len(file["samples_ms"]) != record["rounds"]:
        raise _unlike(path, f"{record['rounds']} numbers in {where}samples_ms", str(len(file["samples_ms"])))
    _check_numbers(file["samples_ms"], f"{where}samples_ms", path)
    for name, found in percentiles(file["samples_ms"]).items():
        came = file["latency_ms"].get(name, found)
        if not math.isclose(came, found, rel_tol=_CLOSE):
            raise _unlike(path, f"{where}latency_ms.{name} {found}, as the samples say", str(came))
    _check_score(file, where, record, path)


def _check_score(block: dict[str, Any], where: str, record: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Check predictions against the truth, and the accuracy against both."""
    truth, predictions = record["truth"], block["predictions"]
    if not truth or not len(truth) == len(predictions) == record["data"]["samples"]:
        came = f"{len(predictions)} for {len(truth)} true classes"
        raise _unlike(path, f"{record['data']['samples']} predictions in {where}predictions", came)
    _check_numbers(block["accuracy_ci95"], f"{where}accuracy_ci95", path, 2)
    share = sum(a == b for a, b in zip(truth, predictions, strict=True)) / len(truth)
    if not math.isclose(share, block["accuracy"], rel_tol=_CLOSE):
        raise _unlike(path, f"{where}accuracy {share}, as its predictions say", str(block["accuracy"]))


def _check_ratio(entry: Any, where: str, record: dict[str, Any], path: str | os.PathLike[str]) -> None:
    _check_fields(entry, _RATIO_FIELDS, where, path)
    _check_numbers(entry["ci95"], f"{where}ci95", path, 2)
    samples = {file["name"]: file["samples_ms"] for file in measured(record)}
    strangers = [name for name in (entry["model"], entry["against"]) if name not in samples]
    if strangers:
        raise _unlike(path, f"the name of a measured file in {where}", strangers[0])
    try:
        found = ratio(samples[entry["model"]], samples[entry["against"]])
    except ValueError as error:
        raise _unlike(path, "positive samples", str(error)) from error
    wanted, came = ([*block["ci95"], *(block[name] for name in _RATIO_NUMBERS)] for block in (found, entry))
    if not np.allclose(wanted, came, rtol=_CLOSE, atol=0):
        raise _unlike(path, f"{where}median {found['median']}, as the samples say", str(entry["median"]))


def _check_fields(
    block: Any, fields: dict[str, type | tuple[type, ...]], where: str, path: str | os.PathLike[str]
) -> None:
    if not isinstance(block, dict):
        raise _unlike(path, f"an object at {where.rstrip('.') or 'the top'}", type(block).__name__)
    for name, kinds in fields.items():
        if name not in block:
            raise _unlike(path, f"the field {where}{name}", "a record without it")
        value = block[name]
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool)
        if wrong or (isinstance(value, float) and not math.isfinite(value)):
            raise _unlike(path, f"another value in {where}{name}", f"{value!r:.60}")


def _check_numbers(values: Any, where: str, path: str | os.PathLike[str], count: int | None = None) -> None:
    numbers = isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )
    if not numbers or (count is not None and len(values) != count):
        raise _unlike(path, f"{count or 'finite'} numbers in {where}", f"{values!r:.60}")


def _unlike(path: str | os.PathLike[str], expected: str, came: str) -> DataError:
    return DataError(f"{path}: expected {expected}; got {came}; write it with `python -m benchmarks peers --record`")
