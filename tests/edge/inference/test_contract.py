from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import jsonschema
import pytest

from edge.errors import ContractError
from edge.inference.contract import Contract
from edge.schema import load_schema, violations
from tests.edge.models import CONTRACT, METRIC

SOUND = CONTRACT.to_dict()
REMOVED = object()

# path to a field -> values that the schema must refuse there, and what the text must name
BROKEN: list[tuple[tuple[Any, ...], Any, str]] = [
    (("schema_version",), 2, "schema_version: expected 1; got 2"),
    (("schema_version",), True, "schema_version: expected 1; got true"),
    (("name",), "a model", "name: expected text that matches"),
    (("name",), 7, "name: expected string; got 7"),
    (("description",), "", "description: expected"),
    (("labels",), ["happy"], "labels: expected 2"),
    (("labels",), ["happy", "happy"], "labels: expected items that differ"),
    (("labels", 0), "Angry", r"labels\[0\]: expected text"),
    (("input", "height"), 4, "input.height: expected a number in 8..1024; got 4"),
    (("input", "height"), 64.5, "input.height: expected integer; got 64.5"),
    (("input", "width"), True, "input.width: expected integer; got true"),
    (("input", "colour"), "bgr", 'input.colour: expected "rgb"; got "bgr"'),
    (("input", "dtype"), "int8", 'input.dtype: expected "uint8"; got "int8"'),
    (("input", "depth"), 3, "input.depth: expected no such field"),
    (("crop", "side_scale"), 0, "crop.side_scale: expected a number in 0.25..4; got 0"),
    (("crop", "offset_x"), 1.5, "crop.offset_x: expected a number in -1..1; got 1.5"),
    (("crop", "resolution_px"), "48", 'crop.resolution_px: expected integer or null; got "48"'),
    (("crop", "alignment"), "eyes", 'crop.alignment: expected "none"; got "eyes"'),
    (("crop", "offset_y"), REMOVED, "crop.offset_y: expected this field; got none"),
    (("training_colour",), "bw", 'training_colour: expected one of "grey", "rgb"; got "bw"'),
    (("metrics",), {}, "metrics: expected array"),
    (("metrics", 0, "accuracy"), 65.0, r"metrics\[0\].accuracy: expected a number in 0..1; got 65.0"),
    (("metrics", 0, "ci95"), [0.1], r"metrics\[0\].ci95: expected 2..2 items; got 1"),
    (("metrics", 0, "samples"), 0, r"metrics\[0\].samples: expected"),
    (("metrics", 0, "protocol"), REMOVED, r"metrics\[0\].protocol: expected this field"),
    (("data",), {}, "data.name: expected this field; got none"),
    (("data", "rows"), 3, "data.rows: expected string; got 3"),
    (("versions", "numpy"), 2.0, "versions.numpy: expected string; got 2.0"),
    (("licence",), REMOVED, "licence: expected this field; got none"),
    (("license",), "Apache-2.0", "license: expected no such field"),
    (("flatbuffer_sha256",), "F" * 64, "flatbuffer_sha256: expected text that matches"),
]


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(SOUND)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    if value is REMOVED:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def test_a_contract_survives_its_json() -> None:
    assert Contract.from_json(CONTRACT.to_json()) == CONTRACT
    assert Contract.from_json(CONTRACT.to_json().encode()) == CONTRACT


@pytest.mark.parametrize(("path", "value", "text"), BROKEN)
def test_a_broken_field_is_named_and_jsonschema_refuses_it_too(path: tuple[Any, ...], value: Any, text: str) -> None:
    document = changed(path, value)
    with pytest.raises(ContractError, match=f"fer-edge.json: {text}"):
        Contract.from_dict(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, load_schema("fer-edge"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("crop", "resolution_px"), 48),
        (("crop", "resolution_px"), None),
        (("input", "height"), 64.0),
        (("metrics",), []),
        (("labels",), ["happy", "sad", "contempt"]),
        (("data", "note"), "further text"),
    ],
)
def test_what_the_schema_allows_passes_both_checkers(path: tuple[Any, ...], value: Any) -> None:
    document = changed(path, value)
    jsonschema.validate(document, load_schema("fer-edge"))
    assert Contract.from_dict(document).schema_version == 1


def test_a_whole_number_written_with_a_point_becomes_an_integer() -> None:
    height = Contract.from_dict(changed(("input", "height"), 64.0)).input.height
    assert height == 64 and isinstance(height, int)


def test_emotions_in_another_order_are_refused() -> None:
    rafdb = ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]
    with pytest.raises(ContractError, match=r"labels: expected the order angry, disgust, .*; got surprise, fear"):
        Contract.from_dict(changed(("labels",), rafdb))


def test_an_interval_upside_down_is_refused() -> None:
    with pytest.raises(ContractError, match=r"metrics\[0\].ci95: expected low <= high; got \[0.7, 0.6\]"):
        Contract.from_dict(changed(("metrics", 0, "ci95"), [0.7, 0.6]))


@pytest.mark.parametrize("text", ["", "{", "[1", "\ufeff{}", '{"a": NaN}', "[" * 100_000])
def test_text_that_is_no_json_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ContractError, match=r"fer-edge.json: expected JSON; got"):
        Contract.from_json(text)


@pytest.mark.parametrize("value", [None, 3, [], "text"])
def test_json_that_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ContractError, match="the document: expected object"):
        Contract.from_json(json.dumps(value))


def test_a_contract_that_breaks_its_schema_is_not_written() -> None:
    with pytest.raises(ContractError, match=r"accuracy: expected a number in 0..1; got 65"):
        dataclasses.replace(CONTRACT, metrics=({**METRIC, "accuracy": 65},)).to_json()


def test_a_contract_cannot_be_changed_after_the_fact() -> None:
    with pytest.raises(TypeError):
        CONTRACT.metrics[0]["accuracy"] = 0.99  # type: ignore[index]


def test_the_checker_refuses_keywords_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="known schema keywords; got oneOf"):
        list(violations(1, {"oneOf": []}))


def test_the_schema_is_itself_sound() -> None:
    jsonschema.Draft202012Validator.check_schema(load_schema("fer-edge"))
