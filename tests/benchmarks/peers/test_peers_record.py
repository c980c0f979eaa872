"""The record of a peers study, read and refused, and its tables."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.record import read_peers, write_peers
from benchmarks.peers.table import caption, headings, markdown, rows, table
from edge.errors import DataError
from tests.benchmarks.peers_records import peers_record

Damage = Callable[[dict[str, Any]], object]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    write_peers(path, peers_record())
    assert read_peers(path) == peers_record()


def put(*where: str | int, value: Any) -> Damage:
    """A damage: another value at a place of the record."""

    def damage(record: dict[str, Any]) -> None:
        block: Any = record
        for step in where[:-1]:
            block = block[step]
        block[where[-1]] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (put("schema", value=2), "expected schema 1 and kind peers; got schema 2, kind peers"),
        (put("kind", value="latency"), "got schema 1, kind latency"),
        (put("rounds", value=0), "expected 1 or more rounds; got 0"),
        (lambda record: record.pop("truth"), "expected the field truth; got a record without it"),
        (lambda record: record["files"][0].pop("sha256"), r"expected the field files\[0\].sha256"),
        (lambda record: record["files"][1].pop("error"), r"expected the field files\[1\].error"),
        (put("files", 0, "status", value="lost"), r"files\[0\].status measured, failed or not run; got lost"),
        (put("files", 0, "drop", value=None), r"expected another value in files\[0\].drop; got None"),
        (put("files", 0, "macro_f1", value=True), r"expected another value in files\[0\].macro_f1; got True"),
        (put("files", 0, "samples_ms", value=[4.0, 8.0]), r"expected 3 numbers in files\[0\].samples_ms; got 2"),
        (put("files", 0, "samples_ms", value=[4.0, 8.0, "6"]), r"expected finite numbers in files\[0\].samples_ms"),
        (put("files", 0, "samples_ms", value=[6.0, 6.0, 6.0]), "as the samples say"),
        (
            put("files", 0, "latency_ms", "p90", value=7.5),
            r"files\[0\].latency_ms.p90 7.6, as the .*; got 7.5",
        ),
        (put("files", 0, "predictions", value="012345633"), "expected 10 predictions in files.*got 9 for 10"),
        (put("files", 0, "accuracy", value=0.8), r"expected files\[0\].accuracy 0.7, as its predictions say; got 0.8"),
        (put("reference", "accuracy", value=0.9), "expected reference.accuracy 0.8, as its predictions say; got 0.9"),
        (put("truth", value="9123456012"), "as its predictions say"),
        (put("files", 3, "name", value="ours-float32"), "expected each name once in files"),
        (put("ratios", 0, "median", value=2.1), r"ratios\[0\].median 2.0, as the samples say; got 2.1"),
        (put("ratios", 0, "ci95", value=[2.0, 2.0]), r"ratios\[0\].median 2.0, as the samples say"),
        (put("ratios", 0, "against", value="plain-int8"), "the name of a measured file in .*; got plain-int8"),
        (put("ratios", 0, "ci95", value=[2.0]), r"expected 2 numbers in ratios\[0\].ci95"),
        (put("files", 0, "samples_ms", value=[6.0, 4.0, 8.0]), "as the samples say"),  # the same ones, other rounds
    ],
)
def test_a_damaged_record_is_refused_in_one_line(tmp_path: Path, damage: Damage, text: str) -> None:
    record = peers_record()
    damage(record)
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(DataError, match=text) as refused:
        read_peers(path)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(f"{path}: expected")
    with pytest.raises(DataError, match=text):
        write_peers(tmp_path / "new.json", record)
    assert not (tmp_path / "new.json").exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"schema": 1, "kind"', "expected a JSON record; got "),
        ("[1, 2]", "expected schema 1 and kind peers; got no object"),
        ('{"schema": NaN}', "expected a JSON record; got the number NaN"),
        (b"\xff\xfe", "expected a JSON record"),
    ],
)
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: str | bytes, text: str) -> None:
    path = tmp_path / "peers.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=text):
        read_peers(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json: expected a record; got No such file"):
        read_peers(tmp_path / "none.json")


def test_the_table_has_the_keras_model_then_every_file_and_the_failed_one_with_its_reason() -> None:
    found = rows(peers_record())
    assert [row[0] for row in found] == [
        "lite0, Keras", "plain-float32", "plain-int8", "ours-float32", "ours-qat-int8",
    ]  # fmt: skip
    assert {len(row) for row in found} == {len(headings(peers_record()))}
    assert found[0][2:6] == ["80.00 % (60.0 to 100.0)", "–", "–", "0.7500"]
    assert found[2][2] == "failed: ConverterError: no | kernel <x>"
    assert found[4] == [
        "ours-qat-int8", "3.60 MB", "70.00 % (50.0 to 90.0)", "−1.50 (−3.00 to +0.25)", "99.50 %", "0.7000", "1",
        "2 QUANTIZE", "2.00 / 2.00 / 2.00", "3.00× (2.00 to 4.00)", "2.00× (1.50 to 2.00)",
    ]  # fmt: skip
    assert found[3][-2:] == ["2.00× (1.00 to 2.00)", "–"]  # not compared with itself


def test_a_peer_that_was_not_run_says_what_to_install_and_is_not_called_failed(tmp_path: Path) -> None:
    record = peers_record()
    record["files"][1] |= {"status": "not run", "error": "expected onnx; got none; run pip"}
    write_peers(tmp_path / "peers.json", record)
    assert rows(read_peers(tmp_path / "peers.json"))[2][2] == "not run: expected onnx; got none; run pip"


def test_a_rival_and_another_runtime_are_named(tmp_path: Path) -> None:
    record = peers_record()
    unknown = dict.fromkeys(("partitions", "outside", "float_operators"))
    record["files"][0] |= unknown | {"runtime": {"name": "onnxruntime", "version": "1.32.0"}}
    record["files"][2] |= {"network": "mini", "note": "as found"}
    write_peers(tmp_path / "peers.json", record)
    came = read_peers(tmp_path / "peers.json")
    assert [row[0] for row in rows(came)][3] == "ours-float32 (as found)"
    assert rows(came)[1][6:8] == ["–", "–"]
    assert "ai-edge-litert 2.3.0 and onnxruntime 1.32.0 on" in caption(came)
    assert caption(came).endswith("; other networks, whose drop and agreement are against it too: mini")


def test_a_rival_gets_a_column_of_its_own_last() -> None:
    record = peers_record()
    record["files"][2] |= {"name": "mini-plain-float32", "network": "mini"}
    for entry in record["ratios"]:
        for side in ("model", "against"):
            entry[side] = entry[side].replace("ours-float32", "mini-plain-float32")
    assert headings(record)[-2:] == ["Times as fast as plain float32 (95 %)", "as mini-plain-float32"]
    assert rows(record)[4][-1] == "2.00× (1.50 to 2.00)"


def test_a_comparison_that_no_file_has_gets_no_column() -> None:
    assert headings(peers_record())[-2:] == ["Times as fast as plain float32 (95 %)", "as ours float32"]
    record = peers_record()
    record["ratios"] = record["ratios"][:2]
    assert headings(record)[-1] == "Times as fast as plain float32 (95 %)"


def test_only_the_comparisons_asked_for_are_shown() -> None:
    text = markdown([peers_record()], against=["ours-float32", "plain-int8"])
    assert "as ours float32" in text
    assert "2.00× (1.50 to 2.00)" in text
    assert "plain float32 (95 %)" not in text
    assert "3.00× (2.00 to 4.00)" not in text


def test_the_caption_says_what_was_measured_on_what() -> None:
    assert caption(peers_record()) == (
        "lite0 (efficientnet-lite0, 56×56), fer2013 PublicTest (10 of 3,589 pictures, official), 3 rounds in turns, "
        "1 thread, ai-edge-litert 2.3.0 on Test CPU (2 cores, load 1.0), 1,024 calibration pictures"
    )


def test_markdown_has_a_table_a_record_whose_cells_end_no_column() -> None:
    text = markdown([peers_record(), peers_record()])
    lines = text.splitlines()
    assert sum(line.startswith("lite0 (efficientnet-lite0") for line in lines) == 2
    bars = [line.count("|") for line in lines if line.startswith("|")]
    assert len(bars) == 2 * (2 + 5)
    assert set(bars) == {len(headings(peers_record())) + 1}
    assert "failed: ConverterError: no / kernel &lt;x>" in text


def test_the_terminal_shows_the_same_cells() -> None:
    from rich.console import Console

    shown = io.StringIO()
    Console(width=400, file=shown).print(table(peers_record()))
    for row in rows(peers_record()):
        assert all(cell in shown.getvalue() for cell in row)
