"""Records against the published JSON Schema, by the `jsonschema` package.

The published schema lets unknown fields pass, so that records of later versions are still valid. For what this version
writes, `strict` closes every object: a field that the schema does not describe is an error.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema

from edge.schema import record_schema


def check_record(path: Path) -> None:
    """Fail where a record that fer-edge just wrote breaks the schema of all records or of its kind, or goes beyond."""
    record = json.loads(path.read_text(encoding="utf-8"))
    for schema in (record_schema(), record_schema(record["kind"])):
        errors = jsonschema.Draft202012Validator(strict(schema)).iter_errors(record)
        assert [f"{path.name}: {error.json_path}: {error.message[-300:]}" for error in errors] == []


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with every object closed where it is used, not where it is a part of a larger one."""
    closed = copy.deepcopy(schema)
    for name in ("latency", "accuracy", "pipeline", "startup"):
        if name in closed["$defs"]:
            closed["$defs"][name]["unevaluatedProperties"] = False
    for definition in closed["$defs"].values():
        _close(definition)
    return closed


def _close(schema: dict[str, Any]) -> None:
    """Close the schemas of an object's fields and of a list's items."""
    inner = [*schema.get("properties", {}).values()]
    inner += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for part in inner:
        _close(part)
        part["unevaluatedProperties"] = False
