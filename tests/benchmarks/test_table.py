"""Joining records into rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.evidence import read_evidence
from benchmarks.table import HEADINGS, MISSING, Row, Table, build, size_text
from edge.errors import DataError
from tests.benchmarks import handmade
from tests.benchmarks.conftest import Write


def _table(folder: Path) -> Table:
    return build(read_evidence([folder]))


def _cells(row: Row) -> dict[str, str]:
    return dict(zip(HEADINGS, row.cells(), strict=True))


def test_accuracy_and_latency_of_one_model_file_share_a_row(float_and_int8: Path) -> None:
    reference, quantized = _table(float_and_int8).rows
    assert _cells(reference) == {
        "Model": "lite0",
        "Recipe": "float32",
        "Size": "13.50 MB",
        "Data": "fer2013 PrivateTest (10)",
        "Accuracy (95 %)": "80.00 % (60.0 to 95.0)",
        "Macro-F1": "0.6100",
        "Drop against float, points (95 %)": MISSING,
        "p50 / p90 / p99 ms": "6.00 / 6.60 / 7.20",
        "Speed-up (95 %)": MISSING,
        "Threads": "1",
        "Runtime": "ai_edge_litert 2.3.0",
        "Machine": "Test CPU, 2 cores, x86_64, Linux 6.1.0, Python 3.11.7",
    }
    cells = _cells(quantized)
    assert cells["Drop against float, points (95 %)"].startswith("+10.00 (")
    assert cells["Speed-up (95 %)"] == "3.00× (2.94 to 3.06)"
    assert cells["p50 / p90 / p99 ms"] == "2.00 / 2.20 / 2.40"


def test_two_machines_never_share_a_row(write: Write) -> None:
    folder = write(
        handmade.accuracy("float32", "1110"),
        handmade.accuracy("qat-int8", "1100", machine=handmade.OTHER_MACHINE),
        handmade.latency("float32", 6.0, machine=handmade.OTHER_MACHINE),
    )
    rows = _table(folder).rows
    assert len(rows) == 3
    for row in rows:
        assert (row.accuracy is None) != (row.latency is None)
        assert row.drop is None  # the float reference was scored on the other machine


def test_two_runtimes_never_share_a_row(write: Write) -> None:
    other = {"name": "tflite_runtime", "version": "2.14.0"}
    rows = _table(write(handmade.accuracy("float32", "10"), handmade.latency("float32", 6.0, runtime=other))).rows
    assert [row.setting.runtime for row in rows] == ["ai_edge_litert 2.3.0", "tflite_runtime 2.14.0"]


def test_two_systems_never_share_a_row_though_they_are_shown_alike(write: Write) -> None:
    other = handmade.MACHINE | {"os": "Linux-6.1.0-x86_64-with-musl1.2"}
    rows = _table(write(handmade.accuracy("float32", "10"), handmade.latency("float32", 6.0, machine=other))).rows
    assert len(rows) == 2
    assert rows[0].setting.machine == rows[1].setting.machine


def test_each_thread_count_has_its_row(write: Write) -> None:
    folder = write(
        handmade.accuracy("float32", "10"),
        handmade.latency("float32", 6.0),
        handmade.latency("float32", 4.0, threads=2),
    )
    rows = _table(folder).rows
    assert [(row.threads, row.latency and row.latency.p50) for row in rows] == [(1, 6.0), (2, 4.0)]
    assert all(row.accuracy for row in rows)


def test_the_newest_of_two_records_counts_and_the_older_is_named(write: Write) -> None:
    folder = write(
        handmade.latency("float32", 5.0, created="2026-01-03T00:00:00+00:00"),
        handmade.latency("float32", 9.0, created="2026-01-02T00:00:00+00:00"),
    )
    table = _table(folder)
    assert [row.latency and row.latency.p50 for row in table.rows] == [5.0]
    assert [path.name for path in table.replaced] == ["1-latency.json"]


def test_a_models_own_record_counts_before_a_newer_one_where_it_was_the_other_half(write: Write) -> None:
    folder = write(
        handmade.latency("float32", 5.0),
        handmade.paired_latency("qat-int8", "float32", 2.0, 6.0, created="2027-01-01T00:00:00+00:00"),
    )
    table = _table(folder)
    found = {row.model.recipe: row.latency and row.latency.p50 for row in table.rows}
    assert found == {"float32": 5.0, "qat-int8": 2.0}
    assert table.replaced == ()


def test_a_row_s_latency_is_that_of_the_pairs_which_give_its_speed_up(write: Write) -> None:
    ptq = handmade.paired_latency("ptq-int8", "float32", 4.0, 12.0, created="2026-01-04T00:00:00+00:00")
    other = handmade.paired_latency("qat-int8", "dynamic-int8", 3.0, 4.0, created="2026-01-05T00:00:00+00:00")
    ptq["model"]["sha256"], other["against"]["sha256"] = "1" * 64, "2" * 64
    folder = write(
        handmade.paired_latency("qat-int8", "float32", 2.0, 6.0, created="2026-01-02T00:00:00+00:00"),
        ptq,
        other,  # the newest about qat-int8, in a session in which all was slower
    )
    table = _table(folder)
    found = {
        row.model.recipe: (row.latency and row.latency.p50, row.speedup and row.speedup.median) for row in table.rows
    }
    assert found == {
        "float32": (6.0, None),  # of its pairs with the recipe that ships, though those with ptq-int8 are newer
        "ptq-int8": (4.0, 3.0),
        "qat-int8": (2.0, 3.0),
        "dynamic-int8": (4.0, None),
    }
    assert table.replaced == ()


def test_speed_up_comes_from_pairs_never_from_two_medians(write: Write) -> None:
    rows = _table(write(handmade.latency("float32", 6.0), handmade.latency("qat-int8", 2.0))).rows
    assert [row.speedup for row in rows] == [None, None]


def test_a_comparison_with_a_foreign_model_is_no_speed_up_against_float(write: Write) -> None:
    record = handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0)
    record["against"]["name"] = "mini-xception"
    table = _table(write(record))
    assert [row.speedup for row in table.rows] == [None, None]
    assert [ratio.against.name for ratio in table.ratios] == ["mini-xception"]


@pytest.mark.parametrize("other", [{"backbone": "mini-xception"}, {"input": [48, 48, 3]}])
def test_a_float_file_of_the_name_but_of_another_network_is_no_reference(other: dict[str, Any], write: Write) -> None:
    scored = handmade.accuracy("float32", "1110")
    timed = handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0)
    scored["model"] |= other
    timed["against"] |= other
    reference, quantized = _table(write(scored, handmade.accuracy("qat-int8", "1100"), timed)).rows
    assert (reference.model.recipe, quantized.model.recipe) == ("float32", "qat-int8")
    assert quantized.accuracy is not None and quantized.drop is None
    assert quantized.latency is not None and quantized.speedup is None


def test_two_models_in_turns_are_one_comparison_whichever_the_record_is_about(write: Write) -> None:
    folder = write(
        handmade.paired_latency("qat-int8", "float32", 2.0, 6.0, created="2026-01-02T00:00:00+00:00"),
        handmade.paired_latency("float32", "qat-int8", 5.0, 2.0, created="2026-01-03T00:00:00+00:00"),
    )
    table = _table(folder)
    (ratio,) = table.ratios
    assert (ratio.model.recipe, ratio.median) == ("float32", 0.4)
    assert [row.speedup and row.speedup.median for row in table.rows] == [None, 2.5]


def test_two_float_files_of_one_name_are_refused_as_reference(write: Write) -> None:
    second = handmade.accuracy("float32", "1111")
    second["model"]["sha256"] = "c" * 64
    folder = write(handmade.accuracy("float32", "1110"), second, handmade.accuracy("qat-int8", "1100"))
    with pytest.raises(DataError, match=r"2-accuracy\.json: expected one float32 record of lite0; got .* and .*"):
        _table(folder)


def test_each_part_of_the_data_has_its_row(write: Write) -> None:
    public = handmade.accuracy("float32", "1100")
    public["data"] |= {"part": "PublicTest", "fingerprint": "d" * 64}
    rows = _table(write(handmade.accuracy("float32", "1110"), public)).rows
    assert [row.accuracy and row.accuracy.data.part for row in rows] == ["PrivateTest", "PublicTest"]


def test_test_time_augmentation_has_a_row_of_its_own_without_one_inference_s_latency(write: Write) -> None:
    folder = write(
        handmade.accuracy("float32", "1110"),
        handmade.accuracy("qat-int8", "1100"),
        handmade.accuracy("qat-int8", "1111", tta="flip"),
        handmade.latency("qat-int8", 2.0),
    )
    cells = [_cells(row) for row in _table(folder).rows]
    assert [(each["Data"], each["p50 / p90 / p99 ms"][:4]) for each in cells] == [
        ("fer2013 PrivateTest (4)", MISSING),
        ("fer2013 PrivateTest (4)", "2.00"),
        ("fer2013 PrivateTest (4, TTA flip)", MISSING),
    ]
    assert cells[2]["Drop against float, points (95 %)"] == MISSING  # float was looked at once


@pytest.mark.parametrize(("size", "text"), [(999_400, "999 kB"), (1_000_000, "1.00 MB"), (3_604_480, "3.60 MB")])
def test_sizes_are_told_in_powers_of_ten(size: int, text: str) -> None:
    assert size_text(size) == text


def test_faces_that_a_model_was_trained_on_are_marked_and_compared_with_nothing_else(write: Write) -> None:
    trained = handmade.accuracy("float32", "1111")
    trained["data"]["seen"] = "all"
    cells = [_cells(row) for row in _table(write(trained, handmade.accuracy("qat-int8", "1110"))).rows]
    assert [each["Data"] for each in cells] == ["fer2013 PrivateTest (4)", "fer2013 PrivateTest (4, trained on)"]
    assert cells[0]["Recipe"] == "qat-int8" and cells[0]["Drop against float, points (95 %)"] == MISSING
