from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import pytest

from edge.benchmarking import records
from edge.errors import DataError
from tests.edge.machines import fake

RECORD: dict[str, Any] = {
    "schema": 1, "kind": "latency", "created": records.now(), "fer_edge": "0", "command": [], "model": {},
    "runtime": {}, "threads": 1, "machine": {}, "latency_ms": {"p50": 1.0}, "samples_ms": [1.0, 2.0], "warmup": 0,
    "runs": 2, "first_inference_ms": 1.0, "load_ms": 1.0,
}  # fmt: skip


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    records.write_record(tmp_path / "results" / "r.json", RECORD)
    assert records.read_record(tmp_path / "results" / "r.json") == RECORD


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schema": 2}, "accuracy or pipeline or startup; got schema 2, kind latency"),
        ({"kind": "size"}, "got schema 1, kind size"),
        ({"kind": "accuracy"}, "expected the field data; got a record without it"),
        ({"samples_ms": [1.0, float("nan")]}, r"finite numbers; got another in samples_ms\.1"),
        ({"latency_ms": {"p50": float("inf")}}, r"finite numbers; got another in latency_ms\.p50"),
    ],
)
def test_a_broken_record_is_neither_written_nor_read(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    path = tmp_path / "r.json"
    with pytest.raises(DataError, match=text):
        records.write_record(path, RECORD | change)
    assert not path.exists()
    path.write_text(json.dumps(RECORD | change))
    with pytest.raises(DataError, match=text):
        records.read_record(path)


@pytest.mark.parametrize("field", [name for name in RECORD if name not in ("schema", "kind")])
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    with pytest.raises(DataError, match=f"expected the field {field}; got a record without it"):
        records.write_record(tmp_path / "r.json", {key: value for key, value in RECORD.items() if key != field})


@pytest.mark.parametrize("content", ["", "{", "[1]", "null"])
def test_a_file_that_is_no_record_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(DataError, match=r"r\.json: expected a (JSON )?record"):
        records.read_record(tmp_path / "r.json")
    with pytest.raises(DataError, match="got No such file or directory"):
        records.read_record(tmp_path / "none.json")


def test_the_machine_is_this_one() -> None:
    found = records.machine()
    assert found["arch"] == platform.machine()
    assert found["cores"] == os.cpu_count()
    assert found["python"] == platform.python_version()
    assert found["model"]


def test_a_board_is_named_by_its_device_tree_and_a_pc_by_its_processor(tmp_path: Path) -> None:
    processor = {"proc/cpuinfo": "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n"}
    assert records.machine(fake(tmp_path, processor))["model"] == "Some CPU @ 2 GHz"
    tree = {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"}
    assert records.machine(fake(tmp_path, tree))["model"] == "Raspberry Pi 4 Model B Rev 1.4"


def test_the_moment_is_utc_to_the_second() -> None:
    assert records.now().endswith("+00:00") and "." not in records.now()
