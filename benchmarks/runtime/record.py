"""Records of runtime studies (schema 1): written whole, read back through a check of their main fields.

`fer-edge benchmark` writes pipeline and startup, `python -m benchmarks` soak, footprint, faces, detectors
and alignment, and `python -m tests.edge.fuzz` fuzz.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import edge
from edge.benchmarking.records import machine, now
from edge.errors import DataError
from edge.files import read_json, write_json

SCHEMA = 1
_NUMBER = (int, float)
_Fields = Mapping[str, type | tuple[type, ...]]
_COMMON: _Fields = {"created": str, "fer_edge": str, "command": list, "machine": dict}
# Dotted names are looked up in blocks; a name behind [] in each entry of a list.
FIELDS: Mapping[str, _Fields] = {
    "pipeline": {
        "frame.width": int, "frame.height": int, "frames": int, "detector": str, "detect_every": int,
        "overhead.share": _NUMBER, "overhead.ci95": list, "end_to_end_ms.p50": _NUMBER, "stages_ms": dict,
    },
    "startup": {
        "commands[].name": str, "commands[].repeats": int, "commands[].seconds.median": _NUMBER,
        "commands[].seconds.p90": _NUMBER,
    },
    "soak": {
        "verdict": str, "tolerance_mb": _NUMBER, "legs[].name": str, "legs[].frames": int, "legs[].dropped": int,
        "legs[].waiting": int, "legs[].seconds": _NUMBER, "legs[].verdict": str, "legs[].width": int,
        "legs[].height": int, "legs[].descriptors": list, "legs[].threads": list, "legs[].memory_mb.median": _NUMBER,
        "legs[].memory_mb.deviation": _NUMBER, "legs[].memory_mb.growth": _NUMBER, "legs[].memory_mb.growth_ci95": list,
    },
    "footprint": {
        "system": str, "wheel_bytes": int, "size_bytes": int, "packages": dict, "asks_for": list, "import_s": _NUMBER,
        "first_answer_s": _NUMBER, "repeats": int, "emulated": bool,
    },
    "faces": {
        "tools[].name": str, "tools[].status": str, "pictures": list, "rounds": int, "ratios": list, "compared": list,
    },
    "detectors": {
        "about": str, "scenes": int, "faces": int, "frame.width": int, "frame.height": int, "settings[].contrast": str,
        "settings[].found": _NUMBER, "settings[].false_per_scene": _NUMBER, "settings[].scene_ms.p50": _NUMBER,
        "settings[].found_ci95": list, "settings[].found_dark": _NUMBER, "settings[].false_ci95": list,
        "settings[].more_points": _NUMBER, "settings[].more_ci95": list, "settings[].times.median": _NUMBER,
        "settings[].times.ci95": list,
    },
    "alignment": {
        "model": str, "faces": int, "training_faces": int, "align_from_deg": _NUMBER, "detectors[].name": str,
        "detectors[].median": list, "detectors[].quartiles": list, "rows[].detector": str, "rows[].tilt_deg": int,
        "rows[].box_off": _NUMBER, "rows[].found": _NUMBER, "rows[].roll_deg": _NUMBER, "rows[].refused": _NUMBER,
        "rows[].right.frame": _NUMBER, "rows[].right.none": _NUMBER, "rows[].right.eyes": _NUMBER,
        "rows[].right.auto": _NUMBER, "rows[].right.points": _NUMBER,
        "rows[].eyes_over_none.points": _NUMBER, "rows[].eyes_over_none.ci95": list,
        "rows[].auto_over_none.points": _NUMBER, "rows[].auto_over_none.ci95": list,
        "rows[].points_over_auto.points": _NUMBER, "rows[].points_over_auto.ci95": list,
        "thresholds[].detector": str, "thresholds[].by": str, "thresholds[].from_deg": _NUMBER,
        "thresholds[].right": list, "thresholds[].more_points": _NUMBER, "thresholds[].more_ci95": list,
    },
    "fuzz": {
        "seed": int, "pictures.outcomes": dict, "pictures.wrong": list, "models.outcomes": dict, "models.wrong": list,
    },
}  # fmt: skip
# Of records that judge their own run.
_STABILITY: _Fields = {"stability.verdict": str, "stability.reasons": list}
# Of a pipeline record with the block `live`: its frames were decoded in a capture thread.
_LIVE: _Fields = {
    "live.fps": _NUMBER, "live.captured": int, "live.dropped": int, "live.decode_ms.p50": _NUMBER,
    "live.capture_cpu_ms": _NUMBER, "live.share_with_capture": _NUMBER,
}  # fmt: skip


def common_fields(kind: str, command: Sequence[str]) -> dict[str, Any]:
    """Return what every record begins with: what ran, where, when, by which command (its words)."""
    return {
        "schema": SCHEMA,
        "kind": kind,
        "created": now(),
        "fer_edge": edge.__version__,
        "command": list(command),
        "machine": machine(),
    }


def write(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Write a record in one step, after checking it.

    Raises:
        DataError: a field is missing, of another type, or no finite number.
        OutputError: the file cannot be written.
    """
    _check(record, path)
    write_json(path, record)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the record in a JSON file.

    Raises:
        DataError: the file is missing, no JSON, of another kind, or lacks a field.
    """
    record: dict[str, Any] = read_json(path, "measure again")
    _check(record, path)
    return record


@contextmanager
def one_line(path: str | os.PathLike[str], remedy: str = "measure again") -> Iterator[None]:
    """Turn what a look-up in a damaged record raises into one line.

    Raises:
        DataError: a field is missing, too short, or of another type.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{path}: expected a sound record; got {type(error).__name__}: {error}; {remedy}") from error


def _check(record: Any, path: str | os.PathLike[str]) -> None:
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or record.get("kind") not in FIELDS:
        came = f"schema {record.get('schema')}, kind {record.get('kind')!r}" if isinstance(record, dict) else "none"
        raise DataError(f"{path}: expected a record of schema {SCHEMA} and kind {' or '.join(FIELDS)}; got {came}")
    live = _LIVE if record["kind"] == "pipeline" and "live" in record else {}
    judged = _STABILITY if record.get("stability") is not None else {}
    for name, kinds in {**_COMMON, **FIELDS[record["kind"]], **live, **judged}.items():
        head, _, rest = name.partition("[].")
        blocks = _at(record, head, path) if rest else [record]
        if not isinstance(blocks, list) or not blocks:
            raise DataError(f"{path}: expected entries in {head}; got {blocks!r:.40}; measure again")
        for block in blocks:
            value = _at(block, rest or head, path)
            if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool) or not _finite(value):
                raise DataError(f"{path}: expected another value in {name}; got {value!r:.60}; measure again")


def _at(block: Any, name: str, path: str | os.PathLike[str]) -> Any:
    for key in name.split("."):
        if not isinstance(block, dict) or key not in block:
            raise DataError(f"{path}: expected the field {name}; got a record without it; measure again")
        block = block[key]
    return block


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
