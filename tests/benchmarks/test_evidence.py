"""Reading records: what is accepted, and the one line for what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.evidence import ELSEWHERE, read_evidence, record_files
from benchmarks.runtime.record import FIELDS
from edge.errors import DataError
from tests.benchmarks import boards, handmade
from tests.benchmarks.conftest import Write


def test_an_interleaved_record_gives_the_latency_of_both_models_and_their_ratio(float_and_int8: Path) -> None:
    evidence = read_evidence([float_and_int8])
    assert {(found.model.recipe, found.p50, found.own) for found in evidence.latencies} == {
        ("qat-int8", 2.0, True),
        ("float32", 6.0, False),
    }
    (ratio,) = evidence.ratios
    assert (ratio.model.recipe, ratio.against.recipe, ratio.median, ratio.pairs) == ("qat-int8", "float32", 3.0, 100)


def test_accuracy_is_read_with_every_sample(float_and_int8: Path) -> None:
    by_recipe = {found.model.recipe: found for found in read_evidence([float_and_int8]).accuracies}
    found = by_recipe["qat-int8"]
    assert found.accuracy == pytest.approx(0.7)
    assert found.correct == (True,) * 6 + (False, False, True, False)
    assert (found.data.name, found.data.part, found.data.samples) == ("fer2013", "PrivateTest", 10)


def test_a_folder_and_a_file_in_it_count_once(float_and_int8: Path) -> None:
    file = sorted(float_and_int8.iterdir())[0]
    assert len(record_files([float_and_int8, file])) == 3


def test_records_of_the_runtime_page_are_left_to_it(float_and_int8: Path) -> None:
    before = read_evidence([float_and_int8])
    assert before.others == ()
    (like,) = [path for path in float_and_int8.iterdir() if "latency" in path.name][:1]
    record = {**json.loads(like.read_text()), "kind": "startup", "commands": [], "detector": "haar"}
    (float_and_int8 / "startup.json").write_text(json.dumps(record))
    found = read_evidence([float_and_int8])
    assert replace(found, others=()) == before
    assert [(other.kind, other.command) for other in found.others] == [("startup", "python -m benchmarks runtime")]
    (float_and_int8 / "startup.json").write_text(json.dumps({**record, "kind": "latency"}))
    assert len(read_evidence([float_and_int8]).latencies) > len(before.latencies)


def test_a_missing_path_is_named() -> None:
    with pytest.raises(DataError, match=r"nowhere\.json: expected a record or a folder of records; no such file"):
        record_files([Path("nowhere.json")])


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the folder holds none"):
        record_files([tmp_path])


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "\x00",
        '{"schema": 1}',
        '{"schema": 2, "kind": "latency"}',
        '{"schema": 1, "kind": "x"}',
    ],
)
def test_a_foreign_or_broken_file_is_one_line_that_names_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "foreign.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"foreign\.json: expected") as caught:
        read_evidence([file])
    assert "\n" not in str(caught.value)


def _edit(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record.update(changes)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_edit(accuracy=0.9), r"accuracy: expected 7 / 10 as in `correct`; got 0.9"),
        (_edit(accuracy="high"), r"accuracy: expected a number in 0..1; got \"high\""),
        (_edit(accuracy_ci95=[0.9, 0.95]), r"accuracy_ci95: expected an interval around the accuracy 0.7"),
        (_edit(accuracy_ci95=0.7), r"accuracy_ci95: expected 2 numbers; got 0.7"),
        (_edit(correct="11"), r"correct: expected 10 characters 0 or 1, one a sample; got \"11\""),
        (_edit(correct="111111000x"), r"correct: expected 10 characters 0 or 1"),
        (_edit(predictions="333"), r"predictions: expected 10 characters"),
        (_edit(macro_f1=True), r"macro_f1: expected a number"),
        (_edit(machine={"model": "x", "os": "Linux-6"}), r"machine.cores: expected a whole number .* no such field"),
        (_edit(model=[]), r"model: expected an object; got \[\]"),
        (_edit(model=handmade.model("qat-int8", sha256="b" * 63)), r"model.sha256: expected 64 hexadecimal digits"),
        (_edit(model=handmade.model("qat-int8", size_bytes=0)), r"model.size_bytes: expected a whole number"),
        (_edit(model=handmade.model("qat-int8", input=[64, 64])), r"model.input: expected 3 numbers"),
        (_edit(runtime={"name": "", "version": "1"}), r"runtime.name: expected a text; got \"\""),
        (_edit(truth="333"), r"truth: expected 10 characters, one a sample"),
        (_edit(labels="angry"), r"labels: expected a list of texts"),
        (_edit(per_class={"angry": {"precision": 1}}), r"per_class.angry.recall: expected a number in 0..1"),
        (_edit(calibration={"ece": 0.1, "ece_ci95": [0.2, 0.1]}), r"calibration.ece_ci95: expected an interval"),
        (_edit(calibration={"ece": 0.1, "nll": 1, "bins": {"count": [1.5]}}), r"calibration.bins.count: expected a li"),
    ],
)
def test_a_wrong_field_of_an_accuracy_record_is_named(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    record = handmade.accuracy("qat-int8", "1111110010")
    edit(record)
    file = tmp_path / "record.json"
    file.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(DataError, match=rf"record\.json: {message}"):
        read_evidence([file])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_edit(latency_ms={"p50": 2.0, "p90": 1.0, "p99": 3.0}), r"latency_ms: expected 0 < p50 <= p90 <= p99"),
        (_edit(threads=0), r"threads: expected a whole number of at least 1; got 0"),
        (_edit(ratio={"median": 3.0, "p10": 2, "p90": 4, "ci95": [3.1, 3.2]}), r"ratio.ci95: expected an interval"),
        (_edit(against=handmade.model("float32")), r"against.latency_ms: expected an object; got no such field"),
        (_edit(pairs="many"), r"pairs: expected a whole number"),
        (_edit(ratio={"median": 3.0, "p10": 0, "p90": 4, "ci95": [2.9, 3.2]}), r"ratio.p10: expected 0 < p10 <= the m"),
        (_edit(ratio={"median": 9.0, "p10": 8, "p90": 10, "ci95": [8.5, 9.5]}), r"ratio.p10: expected 2.7 as in `rat"),
        (_edit(ratio={"median": 3.1, "p10": 2.7, "p90": 3.3, "ci95": [3, 3.2]}), r"ratio.median: expected 3 as in `ra"),
        (_edit(ratios=[3.0] * 5), r"ratios: expected one a round, 100; got \[3.0"),
        (_edit(samples_ms=[1.9] * 200), r"samples_ms: expected samples whose median is the p50 2"),
        (_edit(samples_ms=[2.0, 0]), r"samples_ms: expected a list of numbers above 0"),
        (_edit(stability={"verdict": "good", "reasons": []}), r"stability.verdict: expected one of fine, noisy, thr"),
        (_edit(stability={"verdict": "fine"}), r"stability.reasons: expected a list of texts; got no such field"),
        (_edit(peak_rss_mb="much"), r"peak_rss_mb: expected a number"),
        (_edit(machine=handmade.MACHINE | {"features": {"NEON": 1}}), r"machine.features.NEON: expected true or false"),
        (_edit(machine=handmade.MACHINE | {"throttled": True}), r"machine.throttled: expected an object"),
    ],
)
def test_a_wrong_field_of_a_latency_record_is_named(
    write: Write, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    record = handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0)
    edit(record)
    with pytest.raises(DataError, match=rf"0-latency\.json: {message}"):
        read_evidence([write(record)])


def test_models_in_turns_are_read_one_by_one(write: Write) -> None:
    evidence = read_evidence([write(boards.turns(boards.WORKSTATION, boards.NOISY, 1.0))])
    assert [(found.model.recipe, found.threads, found.p50, len(found.samples)) for found in evidence.latencies] == [
        ("qat-int8", 1, 2.0, 21),
        ("float32", 1, 6.0, 21),
        ("qat-int8", 2, 1.5, 21),
    ]
    assert [
        (found.against.recipe, found.threads, found.against_threads, found.median) for found in evidence.ratios
    ] == [("float32", 1, 1, 3.0), ("qat-int8", 1, 2, 0.75)]
    assert {found.stability and found.stability.verdict for found in evidence.latencies} == {"noisy"}


def test_one_of_several_models_without_its_threads_is_named(write: Write) -> None:
    record = boards.turns(boards.WORKSTATION, boards.FINE, 1.0)
    del record["others"][1]["own_threads"]
    with pytest.raises(DataError, match=r"0-latency\.json: others\.1\.own_threads: expected a whole number"):
        read_evidence([write(record)])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_edit(macro_f1=0.9), r"macro_f1: expected 0\.91342 as `truth` and `predictions` say; got 0\.9"),
        (_edit(weighted_f1=0.9), r"weighted_f1: expected 0\.947186 as `truth` and `predictions` say; got 0\.9"),
        (_edit(correct="1" * 19 + "0"), r"correct: expected 1 where `predictions` is as `truth`, else 0"),
        (_edit(predictions="2" * 20), r"predictions: expected characters of 01, one for each of the 2 labels"),
    ],
)
def test_figures_that_the_answers_do_not_say_are_named(
    write: Write, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    record = boards.accuracy("float32", boards.PI, (0,))
    read_evidence([write(record)])
    edit(record)
    with pytest.raises(DataError, match=rf"-accuracy\.json: {message}"):
        read_evidence([write(record)])


def test_every_record_of_the_runtime_page_is_read_or_left_to_a_command() -> None:
    assert set(FIELDS) - set(ELSEWHERE) == {"pipeline"}


def test_older_records_say_nothing_of_the_machine(float_and_int8: Path) -> None:
    for facts in read_evidence([float_and_int8]).facts:
        assert (facts.board, facts.features, facts.throttled, facts.stability) == (None, None, None, None)


def test_bins_of_unequal_length_are_named(write: Write) -> None:
    record = boards.accuracy("float32", boards.PI, (0,))
    record["calibration"] = boards.CALIBRATION | {"bins": boards.BINS | {"confidence": [0.5]}}
    with pytest.raises(DataError, match=r"calibration\.bins\.confidence: expected 3 numbers; got \[0\.5\]"):
        read_evidence([write(record)])


def test_a_pipeline_without_stages_is_named(write: Write) -> None:
    record = boards.pipeline(boards.PI, boards.FINE, 1.0) | {"stages_ms": {}}
    with pytest.raises(DataError, match=r"stages_ms: expected a stage or more"):
        read_evidence([write(record)])
