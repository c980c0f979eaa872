"""The packaged schemas, and a checker for what `fer-edge.schema.json` uses of JSON Schema: a device needs no library.

The records' schema, `record.schema.json`, uses more of it and is for validators elsewhere. A keyword outside
`_KEYWORDS` is refused rather than ignored; a test holds that this checker and the `jsonschema` package agree. Source:
JSON Schema draft 2020-12, "Validation", sections 6.1-6.5.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

_ANNOTATIONS = ("$schema", "title", "description")
_KEYWORDS = {
    *_ANNOTATIONS,
    "type", "const", "enum", "required", "properties", "additionalProperties", "items", "minItems", "maxItems",
    "uniqueItems", "minimum", "maximum", "pattern", "minLength", "maxLength",
}  # fmt: skip


def load_schema(name: str) -> dict[str, Any]:
    """Return the packaged schema `edge/schemas/NAME.schema.json`."""
    text = resources.files("edge").joinpath("schemas", f"{name}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def record_schema(kind: str | None = None) -> dict[str, Any]:
    """Return the JSON Schema of the records of one kind, or of all; it refers to nothing outside itself.

    Args:
        kind: "latency", "accuracy", "pipeline" or "startup"; None: all.

    Raises:
        ValueError: another kind.
    """
    whole = load_schema("record")
    kinds = whole["properties"]["kind"]["enum"]
    if kind is None:
        return whole
    if kind not in kinds:
        raise ValueError(f"expected a kind of record ({', '.join(kinds)}); got {kind}")
    definitions = {name: part for name, part in whole["$defs"].items() if name == kind or name not in kinds}
    return {**{key: whole[key] for key in _ANNOTATIONS}, "$ref": f"#/$defs/{kind}", "$defs": definitions}


def violations(value: Any, schema: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """Yield one text for each place where `value` (decoded JSON) breaks the schema: 'field: expected ...; got ...'.

    Raises:
        ValueError: the schema uses a keyword that this checker does not know.
    """
    unknown = set(schema) - _KEYWORDS
    if unknown:
        raise ValueError(f"expected only known schema keywords; got {', '.join(sorted(unknown))}")
    here = where or "the document"
    if "const" in schema and (value != schema["const"] or isinstance(value, bool)):
        yield f"{here}: expected {json.dumps(schema['const'])}; got {_shown(value)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{here}: expected one of {', '.join(map(json.dumps, schema['enum']))}; got {_shown(value)}"
        return
    if "type" in schema:
        types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if not any(_is(value, kind) for kind in types):
            yield f"{here}: expected {' or '.join(types)}; got {_shown(value)}"
            return
    if isinstance(value, dict):
        yield from _object_violations(value, schema, where)
    elif isinstance(value, list):
        yield from _array_violations(value, schema, where)
    elif isinstance(value, str):
        yield from _string_violations(value, schema, here)
    elif _is(value, "number") and not schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf):
        limits = f"{schema.get('minimum', 'any')}..{schema.get('maximum', 'any')}"
        yield f"{here}: expected a number in {limits}; got {_shown(value)}"


def _object_violations(value: dict[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    prefix = f"{where}." if where else ""
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield f"{prefix}{name}: expected this field; got none"
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            yield from violations(item, properties[name], f"{prefix}{name}")
        elif others is False:
            yield f"{prefix}{name}: expected no such field; got {_shown(item)}"
        elif isinstance(others, dict):
            yield from violations(item, others, f"{prefix}{name}")


def _array_violations(value: list[Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    here = where or "the document"
    low, high = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    if not low <= len(value) <= high:
        yield f"{here}: expected {low}..{high} items; got {len(value)}"
    if schema.get("uniqueItems") and any(item in value[:i] for i, item in enumerate(value)):
        yield f"{here}: expected items that differ; got {_shown(value)}"
    for i, item in enumerate(value):
        if "items" in schema:
            yield from violations(item, schema["items"], f"{where}[{i}]")


def _string_violations(value: str, schema: Mapping[str, Any], here: str) -> Iterator[str]:
    low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    if not low <= len(value) <= high:
        yield f"{here}: expected {low}..{high} characters; got {len(value)}"
    elif "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{here}: expected text that matches {schema['pattern']}; got {_shown(value)}"


def _is(value: Any, kind: str) -> bool:
    """Return whether a decoded JSON value has the JSON Schema type; 1.0 counts as an integer, true does not."""
    if kind == "object":
        return isinstance(value, dict)
    if kind == "array":
        return isinstance(value, list)
    if kind == "string":
        return isinstance(value, str)
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, float):
        return math.isfinite(value) and (kind == "number" or (kind == "integer" and value.is_integer()))
    return isinstance(value, int) and not isinstance(value, bool) and kind in ("number", "integer")


def _shown(value: Any) -> str:
    """Return the value as short JSON for an error text."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
