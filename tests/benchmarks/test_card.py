"""The model card: the shipped file's own words and its measured rows, and nothing where a record is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from benchmarks.card import HEADINGS, model_card, model_cards
from benchmarks.evidence import read_evidence
from benchmarks.table import build
from edge.errors import DataError
from edge.inference.modelfile import ModelFile, read_model
from tests.benchmarks import handmade
from tests.benchmarks.conftest import Write


@pytest.fixture(scope="module")
def shipped() -> ModelFile:
    return read_model()


def _records(shipped: ModelFile, **changes: Any) -> list[dict[str, Any]]:
    """Both files' records under the shipped model's name; `changes` go into the INT8 model block."""
    name = shipped.contract.name
    floats = handmade.accuracy("float32", "1111111100")
    ints = handmade.accuracy("qat-int8", "1111110010")
    floats["model"] |= {"name": name}
    ints["model"] |= {"name": name, "sha256": shipped.sha256} | changes
    pair = handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0)
    pair["model"], pair["against"] = ints["model"], floats["model"] | {"latency_ms": handmade.times(6.0)}
    return [floats, ints, pair]


def _card(folder: Path, shipped: ModelFile) -> list[str]:
    return model_card(build(read_evidence([folder])), shipped).splitlines()


def test_card_sets_float_beside_int8_from_the_records(write: Write, shipped: ModelFile) -> None:
    lines = _card(write(*_records(shipped)), shipped)
    assert lines[-4] == f"| {' | '.join(HEADINGS)} |"
    assert lines[-2].startswith("| float32 | 13.50 MB | 80.00 % (60.0 to 95.0) |")
    assert lines[-2].endswith("| 6.00 |")
    assert lines[-1].startswith("| qat-int8 | 3.60 MB | 70.00 % (50.0 to 85.0) |")
    assert lines[-1].endswith("| 2.00 |")


def test_each_shipped_model_has_its_card_and_test_time_augmentation_is_in_none(
    write: Write, shipped: ModelFile
) -> None:
    flip = handmade.accuracy("qat-int8", "1111111111", tta="flip")
    flip["model"] = _records(shipped)[1]["model"]
    table = build(read_evidence([write(*_records(shipped), flip)]))
    text = model_cards(table, {"default": shipped, "small": shipped})
    assert text.count("#### `default`\n\n| | |") == text.count("#### `small`\n\n| | |") == 1
    assert text.count("70.00 %") == 2 and "100.00 %" not in text


def test_card_takes_the_row_with_a_latency_where_another_machine_has_the_accuracy_alone(
    write: Write, shipped: ModelFile
) -> None:
    records = _records(shipped)
    elsewhere = [record | {"machine": handmade.OTHER_MACHINE} for record in records[:2]]
    lines = _card(write(*elsewhere, *records), shipped)
    assert lines[-2].endswith("| 6.00 |") and lines[-1].endswith("| 2.00 |")


def test_card_quotes_the_file_itself(write: Write, shipped: ModelFile) -> None:
    text = "\n".join(_card(write(*_records(shipped)), shipped))
    for said in (shipped.sha256, shipped.contract.not_for, shipped.contract.intended_use, "official-dedup"):
        assert said in text


def test_card_says_what_a_model_learned_from_beside_its_labels(write: Write, shipped: ModelFile) -> None:
    silent = {key: text for key, text in shipped.contract.data.items() if key != "supervision"}

    def told(data: dict[str, str]) -> list[str]:
        contract = dataclasses.replace(shipped.contract, data=data)
        return _card(folder, dataclasses.replace(shipped, contract=contract))

    folder = write(*_records(shipped))
    assert "| Learned from | labels with half of FER+ votes |" in told(
        silent | {"supervision": "labels with half of FER+ votes"}
    )
    assert not any(line.startswith("| Learned from") for line in told(silent))


def test_card_of_another_file_than_the_records_is_refused(write: Write, shipped: ModelFile) -> None:
    with pytest.raises(DataError, match="expected an accuracy record of the shipped file"):
        _card(write(*_records(shipped, sha256="c" * 64)), shipped)


def test_card_without_the_float_twin_is_refused(write: Write, shipped: ModelFile) -> None:
    with pytest.raises(DataError, match="expected an accuracy record of the float32 file of"):
        _card(write(_records(shipped)[1]), shipped)
