"""The published records fit each other: what one names of another is there, byte for byte."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from edge.inference.modelfile import SHIPPED

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def lost_references(folder: Path) -> list[str]:
    """Names of the accuracy records whose reference is no record of the folder with that sha256."""
    contents = {path.name: path.read_bytes() for path in sorted(folder.glob("*-accuracy-*.json"))}
    present = {hashlib.sha256(content).hexdigest() for content in contents.values()}
    records = {name: json.loads(content) for name, content in contents.items()}
    beside = {name: record["reference"]["sha256"] for name, record in records.items() if "reference" in record}
    return [name for name, sha256 in beside.items() if sha256 not in present]


def test_every_reference_of_an_accuracy_record_is_published(tmp_path: Path) -> None:
    assert any("reference" in json.loads(path.read_text()) for path in RESULTS.glob("*-accuracy-*.json"))
    assert lost_references(RESULTS) == []
    for path in RESULTS.glob("*-accuracy-*.json"):
        shutil.copy(path, tmp_path)
    for path in tmp_path.glob("*-float32-*.json"):  # written anew, with the same figures
        path.write_text(json.dumps(json.loads(path.read_text())), encoding="utf-8")
    assert lost_references(tmp_path)


def test_every_base_install_that_is_published_holds_all_models_that_ship() -> None:
    records = [json.loads(path.read_text(encoding="utf-8")) for path in (RESULTS / "runtime").glob("*.json")]
    installs = [record for record in records if record["kind"] == "footprint"]
    assert len(installs) == 5
    assert [sorted(record["models"]) for record in installs] == [sorted(SHIPPED)] * 5
