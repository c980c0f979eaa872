"""The outcome of a study as one record (kind "tradeoff", schema 1), gathered from the files of its cells."""

from __future__ import annotations

import csv
import json
import os
import shlex
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import edge
from benchmarks.tradeoff.ledger import DONE, Ledger
from benchmarks.tradeoff.runner import Failure
from benchmarks.tradeoff.steps import Cell, Step, cells, run_name
from benchmarks.tradeoff.study import Study
from edge.benchmarking.records import machine, now, read_record
from edge.errors import DataError
from edge.files import read_json, write_json

SCHEMA = 1
KIND = "tradeoff"
_MACHINE = ("model", "arch", "cores", "os", "python")  # what must be the same for all latencies of a study


def gather(
    study: Study, steps: Sequence[Step], out: Path, command: Sequence[str], failures: Sequence[Failure]
) -> dict[str, Any]:
    """Return the record of what a study's folder holds today; a cell's figures are missing where a stage is not done.

    Args:
        study: what was swept.
        steps: all of its steps.
        out: the study's folder.
        command: the words of the running command.
        failures: of this run.

    Raises:
        DataError: a product is damaged, or the latencies come from more than one machine or interpreter.
    """
    ledger = Ledger(out)
    done = {path for step in steps if ledger.is_done(step) for path in step.writes}
    found = cells(study, out)
    data = [read_record(cell.accuracy)["data"] for cell in found if cell.accuracy in done]
    timed = [read_record(cell.latency) for cell in found if cell.latency in done]
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "created": now(),
        "fer_edge": edge.__version__,
        "command": list(command),
        "machine": machine(),
        "study": {
            "name": study.name,
            "schedule": study.schedule,
            "protocol": study.protocol,
            "dataset": study.dataset,
            "part": data[0]["part"] if data else study.part,
            "samples": data[0]["samples"] if data else None,
            "fingerprint": data[0]["fingerprint"] if data else None,
        },
        "latency": _setting(timed),
        "cells": [_cell(cell, done) for cell in found],
        "commands": _commands(ledger, steps),
        "failures": [asdict(failure) for failure in failures],
    }


def _commands(ledger: Ledger, steps: Sequence[Step]) -> list[str]:
    """Return the commands of the steps that are done, as a user types them, each once."""
    notes = [ledger.note(step) for step in steps]
    return list(dict.fromkeys(shlex.join(note["command"]) for note in notes if note.get("status") == DONE))


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record in one step.

    Raises:
        ValueError: a number is not finite.
        OutputError: the file cannot be written.
    """
    write_json(path, record)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the tradeoff record in a JSON file.

    Raises:
        DataError: the file is missing, of another kind, or lacks a field.
    """
    record = read_json(path, "run the study again")
    if not isinstance(record, dict) or (record.get("schema"), record.get("kind")) != (SCHEMA, KIND):
        came = (record.get("schema"), record.get("kind")) if isinstance(record, dict) else "no object"
        raise DataError(f"{path}: expected a record of schema {SCHEMA} and kind {KIND}; got {came}; run the study")
    _need(path, record, ("created", "study", "latency", "cells", "failures"))
    _need(path, record["study"], ("name", "schedule", "dataset", "part", "protocol", "samples"))
    if record["latency"] is not None:
        _need(path, record["latency"], ("machine", "runtime", "baseline"))
    for failure in record["failures"]:
        _need(path, failure, ("step", "reason"))
    for cell in record["cells"]:
        _need(path, cell, ("name", "backbone", "size", "recipe", "threads", *_FIGURES))
    return record


_FIGURES = (
    "parameters", "epochs", "train_pictures", "size_bytes", "sha256", "partitions", "accuracy", "accuracy_ci95",
    "macro_f1", "latency_ms", "ratio", "stability",
)  # fmt: skip


def _need(path: str | os.PathLike[str], block: Any, fields: Iterable[str]) -> None:
    missing = [key for key in fields if not isinstance(block, dict) or key not in block]
    if missing:
        raise DataError(f"{path}: expected the field {missing[0]}; got a record without it; run the study again")


def _cell(cell: Cell, done: set[Path]) -> dict[str, Any]:
    """Return a cell's figures; None where its stage is not done."""
    values: dict[str, Any] = {
        "name": f"{run_name(cell.network, cell.size)}-{cell.recipe}",
        "backbone": cell.network.name,
        "size": cell.size,
        "recipe": cell.recipe,
        "threads": cell.threads,
    } | dict.fromkeys(_FIGURES)
    if cell.run / "model.keras" in done:
        values |= _trained(cell.run)
    if cell.model in done:
        report = json.loads(cell.report.read_text(encoding="utf-8"))
        values |= {key: report[key] for key in ("size_bytes", "sha256")}
        values["partitions"] = report["inspection"]["partitions"]
    if cell.accuracy in done:
        record = read_record(cell.accuracy)
        values |= {key: record[key] for key in ("accuracy", "accuracy_ci95", "macro_f1")}
    if cell.latency in done:
        record = read_record(cell.latency)
        values["latency_ms"] = {key: record["latency_ms"][key] for key in ("p50", "p90", "p99")}
        values["stability"] = record.get("stability", {}).get("verdict")
        if "ratio" in record:
            values["ratio"] = {key: record["ratio"][key] for key in ("median", "ci95")} | {"pairs": record["pairs"]}
    return values


def _trained(run: Path) -> dict[str, Any]:
    config = json.loads((run / "run.json").read_text(encoding="utf-8"))
    with (run / "history.csv").open(newline="", encoding="utf-8") as stream:
        epochs = sum(1 for _ in csv.DictReader(stream))
    counts, roles = config["data"]["counts"], config["data"]["roles"]
    return {
        "parameters": parameters(run / "model.keras"),
        "epochs": epochs,
        "train_pictures": sum(counts[roles["train"]].values()),
        "weights": config["weights"],
    }


def parameters(model: Path) -> int:
    """Return how many weights a `.keras` file holds, batch-norm statistics included, without loading Keras.

    Raises:
        DataError: it is no Keras file.
    """
    import h5py
    import numpy as np

    sizes: list[int] = []

    def add(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and np.issubdtype(item.dtype, np.floating):  # seeds are whole numbers
            sizes.append(int(item.size))

    try:
        with zipfile.ZipFile(model) as archive, archive.open("model.weights.h5") as stream, h5py.File(stream) as file:
            file.visititems(add)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{model}: expected a Keras model; got: {error}; train it anew") from error
    return sum(sizes)


def _setting(timed: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return where the latencies come from, which must be one place; None where there are none."""
    settings = [
        {"machine": {key: record["machine"].get(key) for key in _MACHINE}, "runtime": record["runtime"]}
        for record in timed
    ]
    others = [setting for setting in settings if setting != settings[0]]
    if others:
        names = " and ".join(f"{each['machine']['model']}, {each['runtime']}" for each in (settings[0], others[0]))
        raise DataError(f"expected latencies of one machine and interpreter; got {names}; add --stage latency --again")
    if not settings:
        return None
    against = [record["against"] for record in timed if "against" in record]
    baseline = {key: against[0][key] for key in ("name", "recipe", "sha256")} if against else None
    dates = [record["created"] for record in timed]
    return {**settings[0], "baseline": baseline, "begun": min(dates), "ended": max(dates)}
