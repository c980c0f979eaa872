"""The published schema of records: valid itself, true of every published record, and false of broken ones."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from edge.benchmarking import records
from edge.benchmarking.accuracy import accuracy_record
from edge.errors import DataError
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import read_model
from edge.labels import EMOTIONS
from edge.pictures.packs import Pack
from edge.schema import record_schema
from tests.edge.conftest import Run
from tests.project.readme import blocks
from tests.record_schema import check_record, strict

META = {"dataset": "colours", "part": "test", "fingerprint": "sha256:2"}
ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = [
    path
    for path in sorted((ROOT / "benchmarks" / "results").rglob("*.json"))
    if json.loads(path.read_text(encoding="utf-8")).get("kind") in records.KINDS
]
Change = Callable[[dict[str, Any]], object]


def published(kind: str) -> dict[str, Any]:
    """Return a published record of a kind."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in PUBLISHED)
    return next(record for record in found if record["kind"] == kind)


def is_valid(record: Mapping[str, Any], kind: str | None = None) -> bool:
    """Return what the `jsonschema` package says."""
    return bool(jsonschema.Draft202012Validator(record_schema(kind)).is_valid(record))


@pytest.mark.parametrize("kind", [None, *records.KINDS])
def test_the_schema_is_one_of_draft_2020_12_and_refers_to_nothing_outside(kind: str | None) -> None:
    schema = record_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for target in _references(schema):
        assert target.removeprefix("#/$defs/") in schema["$defs"], target


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [target for part in schema for target in _references(part)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if "$ref" in schema else []
    return own + [target for part in schema.values() for target in _references(part)]


def test_there_are_published_records_of_every_kind() -> None:
    assert {json.loads(path.read_text(encoding="utf-8"))["kind"] for path in PUBLISHED} == set(records.KINDS)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_a_published_record_fits_the_schema_and_holds_no_field_beyond_it(path: Path) -> None:
    check_record(path)


@pytest.mark.parametrize("kind", records.KINDS)
def test_the_schema_asks_for_the_fields_that_reading_asks_for(kind: str, tmp_path: Path) -> None:
    record = published(kind)
    for field in record:
        (tmp_path / "r.json").write_text(json.dumps({key: value for key, value in record.items() if key != field}))
        try:
            read: dict[str, Any] | None = records.read_record(tmp_path / "r.json")
        except DataError:
            read = None
        without = json.loads((tmp_path / "r.json").read_text())
        assert is_valid(without) == (read is not None), field


@pytest.mark.parametrize("kind", records.KINDS)
def test_a_kinds_own_schema_refuses_the_other_kinds(kind: str) -> None:
    for other in records.KINDS:
        assert is_valid(published(other), kind) == (other == kind)


def _set(*path: str | int, value: Any) -> Change:
    """Return what puts a value at a place of a record."""

    def change(record: dict[str, Any]) -> None:
        place: Any = record
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


BROKEN: list[tuple[str, Change]] = [
    ("latency", _set("schema", value=2)),
    ("latency", _set("kind", value="size")),
    ("latency", _set("created", value="yesterday")),
    ("latency", _set("command", value=[])),
    ("latency", _set("command", value="fer-edge benchmark latency")),
    ("latency", _set("model", "sha256", value="A" * 64)),
    ("latency", _set("model", "input", value=[56, 56])),
    ("latency", _set("threads", value=0)),
    ("latency", _set("threads", value=True)),
    ("latency", _set("machine", "cores", value="2")),
    ("latency", _set("machine", "clock_mhz", value="fast")),
    ("latency", _set("machine", "throttled", value=True)),
    ("latency", _set("samples_ms", value=[])),
    ("latency", _set("samples_ms", 0, value=-1.0)),
    ("latency", _set("latency_ms", "p50", value=None)),
    ("latency", _set("peak_rss_mb", value=-1)),
    ("latency", _set("stability", value={"verdict": "good", "reasons": []})),
    ("latency", _set("stability", value={"verdict": "fine"})),
    ("latency", _set("against", "sha256", value="0")),
    ("latency", _set("ratio", "ci95", value=[1.0])),
    ("latency", _set("ratios", 0, value=0)),
    ("accuracy", _set("accuracy", value=66.5)),
    ("accuracy", _set("accuracy_ci95", value=[0.6, 0.7, 0.8])),
    ("accuracy", _set("data", "samples", value=0)),
    ("accuracy", _set("data", "content_sha256", value="1")),
    ("accuracy", _set("per_class", "happy", "recall", value=1.5)),
    ("accuracy", _set("confusion", 0, 0, value=0.5)),
    ("accuracy", _set("predictions", value="0 1")),
    ("accuracy", _set("correct", value="012")),
    ("accuracy", _set("calibration", "ece", value=-0.1)),
    ("accuracy", _set("calibration", "bins", "count", value=[0.5])),
    ("accuracy", _set("calibration", "floor", value=0)),
    ("accuracy", _set("reference", "agreement", value=2)),
    ("accuracy", _set("reference", "per_class", "happy", "recall_change_ci95", value=[1])),
    ("pipeline", _set("detector", value="eyes")),
    ("pipeline", _set("stages_ms", "rest", value={})),
    ("pipeline", _set("stages_ms", "detect", "n", value=0)),
    ("pipeline", _set("overhead", "share", value=2)),
    ("pipeline", _set("live", value=True)),
    ("pipeline", _set("live", value={"fps": 30.0})),
    ("startup", _set("commands", value=[])),
    ("startup", _set("commands", 0, "samples_s", 0, value="1 s")),
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(model_paths: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A valid record of each kind with every block that it can have."""
    faces = Pack(np.full((2, 24, 24), 128, np.uint8), np.array([0, 6]), EMOTIONS, META)
    one = Classifier(read_model(model_paths["qat-int8"]), 1)
    path = tmp_path_factory.mktemp("records") / "reference.json"
    records.write_record(path, accuracy_record(one, faces, "p.npz", ["fer-edge"]))
    compared = accuracy_record(one, faces, "p.npz", ["fer-edge"], str(path))
    return {kind: published(kind) for kind in records.KINDS} | {"accuracy": compared}


@pytest.mark.parametrize(("kind", "change"), BROKEN)
def test_a_broken_record_does_not_fit(kind: str, change: Change, whole: dict[str, dict[str, Any]]) -> None:
    record = copy.deepcopy(whole[kind])
    assert is_valid(record) and is_valid(record, kind)
    change(record)
    assert not is_valid(record) and not is_valid(record, kind)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("latency", ("new",)),
        ("latency", ("machine", "new")),
        ("latency", ("against", "new")),
        ("accuracy", ("calibration", "new")),
        ("accuracy", ("per_class", "happy", "new")),
        ("pipeline", ("stages_ms", "detect", "new")),
        ("startup", ("commands", 0, "new")),
    ],
)
def test_a_field_of_a_later_version_is_let_pass_but_not_written_undescribed(
    kind: str, path: tuple[str | int, ...], whole: dict[str, dict[str, Any]]
) -> None:
    record = copy.deepcopy(whole[kind])
    closed = jsonschema.Draft202012Validator(strict(record_schema()))
    assert closed.is_valid(record)
    _set(*path, value=1)(record)
    assert is_valid(record) and not closed.is_valid(record)


def test_every_record_but_that_of_accuracy_has_a_verdict(whole: dict[str, dict[str, Any]]) -> None:
    for kind in records.KINDS:
        described = record_schema(kind)["$defs"][kind]["properties"]
        assert ("stability" in described) == (kind != "accuracy"), kind
    assert "stability" in whole["latency"] and "stability" not in whole["accuracy"]


def test_the_command_prints_the_schema(run: Run) -> None:
    for kind in (None, *records.KINDS):
        result = run("benchmark", "schema", *([] if kind is None else [kind]))
        assert (result.exit_code, result.stderr) == (0, "")
        assert json.loads(result.stdout) == record_schema(kind)
    assert run("benchmark", "schema", "size").exit_code == 2


def test_a_kind_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a kind of record \(latency, .*\); got conversion"):
        record_schema("conversion")


def test_the_snippet_of_the_documents_checks_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (snippet,) = blocks((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"), "python")
    monkeypatch.chdir(tmp_path)
    record = published("accuracy")
    Path("int8.json").write_text(json.dumps(record))
    exec(snippet, {})
    Path("int8.json").write_text(json.dumps(record | {"accuracy": 66.5}))
    with pytest.raises(jsonschema.ValidationError, match=r"66\.5 is greater than the maximum of 1"):
        exec(snippet, {})
