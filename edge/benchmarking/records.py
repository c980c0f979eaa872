"""Records: one JSON file for each benchmark run, the only source of figures in reports (schema 1).

Every record says what ran (model with sha256), on what (machine, runtime, threads), when and by which command.
`fer-edge benchmark ... --record` writes them, `python -m benchmarks` reads them.
"""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import Any

from edge.errors import DataError
from edge.files import not_finite, read_json, write_json
from edge.system import board
from edge.system.machine import Machine

SCHEMA = 1
KINDS = ("latency", "accuracy", "pipeline", "startup")
_COMMON = (
    "schema", "kind", "created", "fer_edge", "command", "model", "runtime", "threads", "machine",
)  # fmt: skip
_OF_KIND = {
    "latency": ("latency_ms", "samples_ms", "warmup", "runs", "first_inference_ms", "load_ms"),
    "accuracy": (
        "data", "accuracy", "accuracy_ci95", "macro_f1", "weighted_f1", "per_class", "confusion", "predictions",
        "correct",  # "1" for each sample that was right, else "0": what benchmarks pairs two models by
        "latency_ms",
    ),
    "pipeline": (
        "frame", "frames", "faces_per_frame", "detector", "detect_every", "infer_every", "stages_ms", "end_to_end_ms",
        "overhead",
    ),
    "startup": ("commands", "detector"),
}  # fmt: skip


def machine(where: Machine | None = None) -> dict[str, Any]:
    """Return what every record says about its machine: model (board or processor), arch, cores, os, python.

    Args:
        where: where the model is read; None: this machine.
    """
    found = Machine() if where is None else where
    return {
        "model": board.board(found) or board.processor(found) or platform.processor() or "unknown",
        "arch": platform.machine(),
        "cores": os.cpu_count() or 1,
        "os": platform.platform(),
        "python": platform.python_version(),
    }


def now() -> str:
    """Return this moment as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def write_record(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Write a record in one step (no partial file), after checking it.

    Raises:
        DataError: a field is missing, or a number is not finite or none that a float holds.
        OSError: the file cannot be written.
    """
    _check(record, path)
    write_json(path, record)


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the record in a JSON file.

    Raises:
        DataError: the file is missing, no JSON, no record of schema 1, or lacks a field.
    """
    record: dict[str, Any] = read_json(path, "run `fer-edge benchmark` again", finite=False)
    _check(record, path)
    return record


def _check(record: Any, path: str | os.PathLike[str]) -> None:
    remedy = "write it with `fer-edge benchmark ... --record`"
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or record.get("kind") not in KINDS:
        came = f"schema {record.get('schema')}, kind {record.get('kind')}" if isinstance(record, dict) else "no object"
        raise DataError(
            f"{path}: expected a record of schema {SCHEMA} and kind {' or '.join(KINDS)}; got {came}; {remedy}"
        )
    missing = [key for key in (*_COMMON, *_OF_KIND[record["kind"]]) if key not in record]
    if missing:
        raise DataError(f"{path}: expected the field {missing[0]}; got a record without it; {remedy}")
    place = not_finite(record)
    if place is not None:
        raise DataError(f"{path}: expected finite numbers; got another in {place}; {remedy}")
