"""`python -m benchmarks compare`: a planted regression is told, noise is not, and strangers are not compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks.arm.count import Count
from benchmarks.arm.record import record as counted
from benchmarks.arm.record import write_instructions
from benchmarks.commands.compare import compare as command
from benchmarks.comparison.interval import median_of, ratio_of_medians
from benchmarks.comparison.records import Comparison, NotComparableError, Thresholds, compare, turns
from benchmarks.comparison.verdict import IMPROVEMENT, NO_CHANGE, REGRESSION, Finding, overall
from edge.errors import DataError
from tests.benchmarks import handmade

RUNS = 120  # simulated pairs of records
SAMPLES = 200
ROUNDS = 300


def finding(low: float, high: float, threshold: float = 5.0) -> Finding:
    return Finding("latency", 1.0, 1.1, (low + high) / 2, low, high, threshold, "%", "by hand")


def timed(samples: list[float], **changes: Any) -> dict[str, Any]:
    return handmade.latency("qat-int8", float(np.median(samples)), samples_ms=samples, **changes)


def around(middle: float) -> list[float]:
    """Forty-one samples within 2 % of their median."""
    return [middle * (0.98 + 0.001 * (7 * k % 41)) for k in range(41)]


def files(folder: Path, *records: dict[str, Any]) -> list[Path]:
    paths = [folder / f"{number}.json" for number in range(len(records))]
    for path, record in zip(paths, records, strict=True):
        path.write_text(json.dumps(record), encoding="utf-8")
    return paths


def compared(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> Comparison:
    first, second = files(folder, old, new)
    return compare(first, second, Thresholds())


def run(folder: Path, *records: dict[str, Any], flags: tuple[str, ...] = ()) -> Result:
    return CliRunner().invoke(command, [*map(str, files(folder, *records)), *flags])


def a_run(generator: np.random.Generator, factor: float, shift: float = 0.01) -> np.ndarray:
    """Samples of one process: 5 % noise that lasts from sample to sample, 3 % spikes, a level of the process's own."""
    steps = generator.normal(size=SAMPLES)
    drift = np.empty(SAMPLES)
    drift[0] = steps[0]
    for k in range(1, SAMPLES):
        drift[k] = 0.6 * drift[k - 1] + 0.8 * steps[k]
    samples = factor * np.exp(generator.normal(0, shift) + 0.05 * drift)
    return np.where(generator.random(SAMPLES) < 0.03, samples * generator.uniform(1.2, 2, SAMPLES), samples)


def verdicts(factor: float, threshold: float) -> list[str]:
    """The verdicts on pairs of simulated records, the second slower by a factor."""
    came = []
    for seed in range(RUNS):
        generator = np.random.default_rng(seed)
        old, new = a_run(generator, 1), a_run(generator, factor)
        _, low, high = ratio_of_medians(old.tolist(), new.tolist(), rounds=ROUNDS)
        came.append(finding(100 * (low - 1), 100 * (high - 1), threshold).verdict)
    return came


def test_noise_raises_no_alarm_and_a_tenth_slower_does() -> None:
    # docs/tradeoff.md states the rates: no alarm, 114 of 120 found.
    assert verdicts(1.0, threshold=5).count(REGRESSION) == 0
    assert verdicts(1.1, threshold=5).count(REGRESSION) == pytest.approx(114, abs=3)


def test_without_a_threshold_noise_would_raise_alarms() -> None:
    assert verdicts(1.0, threshold=0).count(REGRESSION) == pytest.approx(20, abs=5)


def test_the_interval_covers_the_true_ratio_at_about_its_rate() -> None:
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(RUNS):
        old, new = a_run(generator, 1, shift=0), a_run(generator, 1.1, shift=0)
        _, low, high = ratio_of_medians(old.tolist(), new.tolist(), rounds=ROUNDS)
        covered += low <= 1.1 <= high
    assert 0.85 * RUNS <= covered < RUNS


def test_the_ratio_is_that_of_the_medians() -> None:
    ratio, low, high = ratio_of_medians([1, 2, 3, 4, 5], [6, 6, 6])
    assert ratio == 2
    assert 6 / 5 <= low <= 2 <= high <= 6


def test_samples_that_do_not_vary_have_an_interval_of_one_point() -> None:
    assert ratio_of_medians([2.0] * 9, [3.0] * 5) == (1.5, 1.5, 1.5)
    assert median_of([1.25] * 9) == (1.25, 1.25, 1.25)


@pytest.mark.parametrize("samples", [[], [1.0, 0.0], [1.0, float("nan")]])
def test_samples_that_are_no_times_are_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="finite samples above 0"):
        ratio_of_medians([1.0], samples)


@pytest.mark.parametrize(
    ("low", "high", "verdict", "hidden"),
    [
        (6, 9, REGRESSION, False),
        (4, 9, NO_CHANGE, True),
        (-1, 3, NO_CHANGE, False),
        (-9, -4, NO_CHANGE, True),
        (-9, -6, IMPROVEMENT, False),
        (5, 5, NO_CHANGE, False),
    ],
)
def test_a_change_counts_where_its_whole_interval_lies_past_the_threshold(
    low: float, high: float, verdict: str, hidden: bool
) -> None:
    assert (finding(low, high).verdict, finding(low, high).hidden) == (verdict, hidden)


def test_a_regression_outweighs_an_improvement() -> None:
    worse, better, same = finding(6, 9), finding(-9, -6), finding(0, 1)
    assert overall([better, worse, same]) == REGRESSION
    assert overall([same, better]) == IMPROVEMENT
    assert overall([same]) == NO_CHANGE
    with pytest.raises(ValueError, match="one finding"):
        overall([])


def test_a_slower_record_fails_with_exit_code_1(tmp_path: Path) -> None:
    result = run(tmp_path, timed(around(2.0)), timed(around(2.2)))
    assert result.exit_code == 1
    assert "latency, p50 in ms: 2.0000 -> 2.2000, loss +10.00 %" in result.stdout
    assert "verdict: regression" in result.stdout
    assert result.stderr == "error: regression: latency, p50 in ms\n"


def test_the_same_record_twice_is_no_change(tmp_path: Path) -> None:
    result = run(tmp_path, timed(around(2.0)), timed(around(2.0)))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "+0.00 %" in result.stdout
    assert "both records are of the same file" in result.stdout


def test_a_threshold_above_the_change_lets_it_pass(tmp_path: Path) -> None:
    records = timed(around(2.0)), timed(around(2.2))
    assert run(tmp_path, *records, flags=("--fail-above", "15")).exit_code == 0
    assert run(tmp_path, *records, flags=("--fail-above", "6")).exit_code == 1


def test_a_faster_record_is_an_improvement(tmp_path: Path) -> None:
    result = run(tmp_path, timed(around(2.2)), timed(around(2.0)))
    assert result.exit_code == 0
    assert "verdict: improvement" in result.stdout


def test_a_file_that_grew_is_a_regression(tmp_path: Path) -> None:
    larger = timed(around(2.0), model=handmade.model("qat-int8", size_bytes=3_672_000, sha256="c" * 64))
    result = run(tmp_path, timed(around(2.0)), larger)
    assert result.exit_code == 1
    assert "size of the file, bytes: 3,600,000 -> 3,672,000, loss +2.00 %: regression" in result.stdout


def test_in_one_record_the_pairs_are_compared_turn_by_turn(tmp_path: Path) -> None:
    (path,) = files(tmp_path, handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0))
    latency, size = turns(path, Thresholds()).findings
    assert latency.loss == pytest.approx(-66.67, abs=0.01)
    assert (latency.verdict, size.verdict) == (IMPROVEMENT, IMPROVEMENT)
    (path,) = files(tmp_path, handmade.paired_latency("float32", "qat-int8", p50=6.0, against_p50=2.0))
    assert turns(path, Thresholds()).findings[0].loss == pytest.approx(200)


def test_one_record_of_three_models_and_a_ratio_of_zero_are_told_in_one_line(tmp_path: Path) -> None:
    pair = handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0)
    (path,) = files(tmp_path, pair)
    pair["ratios"] = [0.0, *pair["ratios"][1:]]
    path.write_text(json.dumps(pair), encoding="utf-8")
    with pytest.raises(DataError, match=rf"{path.name}: ratios: expected a list of numbers above 0; got \[0\.0"):
        turns(path, Thresholds())


@pytest.mark.parametrize("words", [("--fail-above", "nan"), ("--points", "nan"), ("--points", "inf")])
def test_a_threshold_that_lets_everything_pass_is_refused(tmp_path: Path, words: tuple[str, str]) -> None:
    paths = files(tmp_path, timed(around(2.0)), timed(around(2.0)))
    result = CliRunner().invoke(command, [*map(str, paths), *words])
    assert result.exit_code == 2
    assert f"expected a finite number; got {words[1]}" in result.stderr


def test_one_record_of_one_model_is_not_comparable(tmp_path: Path) -> None:
    result = run(tmp_path, timed(around(2.0)))
    assert result.exit_code == 1
    assert "not comparable" in result.stderr and "two models in turns" in result.stderr


def test_records_taken_in_turns_with_the_same_file_cancel_what_slowed_the_machine(tmp_path: Path) -> None:
    fast = handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0, samples_ms=around(2.0))
    slow = handmade.paired_latency("qat-int8", "float32", p50=3.0, against_p50=9.0, samples_ms=around(3.0))
    latency, _ = compared(tmp_path, fast, slow).findings
    assert (latency.loss, latency.verdict) == (0, NO_CHANGE)
    assert "lite0 float32, which both ran in turns with" in latency.method
    alone = [{key: value for key, value in record.items() if key != "against"} for record in (fast, slow)]
    latency, _ = compared(tmp_path, alone[0], alone[1]).findings
    assert (round(latency.loss), latency.verdict) == (50, REGRESSION)


def test_accuracy_is_compared_picture_by_picture(tmp_path: Path) -> None:
    right = handmade.accuracy("float32", "1" * 180 + "0" * 20)
    worse = handmade.accuracy("qat-int8", "1" * 150 + "0" * 50)
    accuracy, _ = compared(tmp_path, right, worse).findings
    assert (accuracy.loss, accuracy.unit) == (15, "points")
    assert accuracy.verdict == REGRESSION
    assert compared(tmp_path, worse, right).findings[0].verdict == IMPROVEMENT


def test_a_small_loss_of_accuracy_on_few_pictures_is_undecided(tmp_path: Path) -> None:
    result = run(
        tmp_path, handmade.accuracy("float32", "1111111100"), handmade.accuracy("qat-int8", "1111110010", model=MODEL)
    )
    assert result.exit_code == 0
    assert "loss +10.00 points" in result.stdout and "no change" in result.stdout
    assert "undecided" in result.stdout and "score more pictures" in result.stdout


MODEL = handmade.model("float32")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": {"name": "rafdb", "part": "test", "fingerprint": "e" * 64, "samples": 10}}, "the same data"),
        ({"tta": "flip"}, r"the same data; got .*\(10\), f.* and .*\(10, TTA flip\), f.*with the same --tta"),
        ({"machine": handmade.OTHER_MACHINE}, "records of one machine"),
    ],
)
def test_accuracies_of_other_data_or_machines_are_not_comparable(
    changes: dict[str, Any], text: str, tmp_path: Path
) -> None:
    record = handmade.accuracy("float32", "1111111100")
    with pytest.raises(NotComparableError, match=text):
        compared(tmp_path, record, record | changes)


def test_accuracies_on_other_faces_of_one_data_set_are_not_comparable(tmp_path: Path) -> None:
    records = [handmade.accuracy("float32", "1110"), handmade.accuracy("qat-int8", "1100", model=MODEL)]
    for record, content in zip(records, "01", strict=True):
        record["data"]["content_sha256"] = content * 64
    with pytest.raises(NotComparableError, match="expected the very faces of"):
        compared(tmp_path, *records)


def test_two_machines_are_compared_only_where_that_is_asked_for(tmp_path: Path) -> None:
    records = timed(around(2.0)), timed(around(2.0), machine=handmade.OTHER_MACHINE)
    refused = run(tmp_path, *records)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: not comparable: expected records of one machine; got Test CPU, x86_64, 2")
    assert refused.stderr.count("\n") == 1
    allowed = run(tmp_path, *records, flags=("--across-machines",))
    assert allowed.exit_code == 0
    assert "other model: Test CPU and Raspberry Pi 5" in allowed.stdout


def test_another_number_of_threads_is_not_comparable(tmp_path: Path) -> None:
    with pytest.raises(NotComparableError, match="as many threads; got 1 and 2"):
        compared(tmp_path, timed(around(2.0)), timed(around(2.0), threads=2))


def test_two_kinds_are_not_comparable_and_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotComparableError, match="records of one kind; got latency"):
        compared(tmp_path, timed(around(2.0)), handmade.accuracy("float32", "10"))
    with pytest.raises(DataError, match="got 'soak'"):
        compared(tmp_path, timed(around(2.0)), {"kind": "soak"})


def test_a_newer_runtime_is_noted_and_compared(tmp_path: Path) -> None:
    newer = timed(around(2.0), runtime={"name": "ai_edge_litert", "version": "2.4.0"})
    result = run(tmp_path, timed(around(2.0)), newer)
    assert result.exit_code == 0
    assert "note: other runtime: ai_edge_litert 2.3.0 and ai_edge_litert 2.4.0" in result.stdout


def judged(verdict: str) -> dict[str, Any]:
    return timed(around(2.0), stability={"verdict": verdict, "reasons": [], "measures": []})


def test_a_record_that_was_disturbed_is_noted(tmp_path: Path) -> None:
    notes = compared(tmp_path, judged("fine"), judged("noisy")).notes
    assert notes[0] == "the new record calls its own measurement noisy"
    assert len(compared(tmp_path, judged("fine"), judged("fine")).notes) == len(notes) - 1


def test_pairs_of_one_record_that_were_disturbed_are_noted(tmp_path: Path) -> None:
    pair = handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0)
    for verdict, notes in (("noisy", ("the record calls its own measurement noisy",)), ("fine", ())):
        (path,) = files(tmp_path, pair | {"stability": {"verdict": verdict, "reasons": []}})
        assert turns(path, Thresholds()).notes == notes


def test_instructions_are_compared_model_by_model_and_board_by_board(tmp_path: Path) -> None:
    model = tmp_path / "peer.tflite"
    model.write_bytes(b"0123TFL3")
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for path, of_pi5 in zip(paths, (10_000_000, 10_200_000), strict=True):
        counts = {"pi4": [_count(model, 20_000_000)], "pi5": [_count(model, of_pi5)]}
        write_instructions(path, counted(counts, suite="bookworm", qemu="7.2.22", command=["by hand"]))
    found = {finding.what: finding for finding in compare(paths[0], paths[1], Thresholds()).findings}
    assert found["peer on pi4: million instructions"].verdict == NO_CHANGE
    assert found["peer on pi5: million instructions"].loss == pytest.approx(2)
    assert found["peer on pi5: million instructions"].verdict == REGRESSION
    assert [what for what in found if "size" in what] == ["peer: size of the file, bytes"]


def test_files_of_one_name_in_a_record_of_instructions_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "peer.tflite", tmp_path / "other" / "peer.tflite"
    two.parent.mkdir()
    for model in (one, two):
        model.write_bytes(b"0123TFL3")
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for path, of_one in zip(paths, (10_000_000, 15_000_000), strict=True):
        counts = {"pi5": [_count(one, of_one), _count(two, 10_000_000)]}
        write_instructions(path, counted(counts, suite="bookworm", qemu="7.2.22", command=["by hand"]))
    with pytest.raises(NotComparableError, match=r"old\.json: expected files that name and recipe .* several of peer;"):
        compare(paths[0], paths[1], Thresholds())


def _count(model: Path, instructions: int) -> Count:
    return Count(model, "2.3.0", instructions=instructions, spread=10, sdot=0, l2_misses=None)


def test_json_says_the_same_as_the_lines(tmp_path: Path) -> None:
    result = run(tmp_path, timed(around(2.0)), timed(around(2.2)), flags=("--json",))
    came = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (came["kind"], came["verdict"]) == ("comparison", "regression")
    assert [(entry["what"], entry["verdict"]) for entry in came["findings"]] == [
        ("latency, p50 in ms", "regression"),
        ("size of the file, bytes", "no change"),
    ]
    refused = run(tmp_path, timed(around(2.0)), flags=("--json",))
    assert json.loads(refused.stdout)["verdict"] == "not comparable"
    assert refused.exit_code == 1


def test_a_file_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "none.json"), str(tmp_path / "none.json")])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ({"samples_ms": "many"}, "samples_ms: expected a list of numbers"),
        ({"samples_ms": [1.0, "2"]}, "samples_ms: expected a list of numbers"),
        ({"latency_ms": {}}, "latency_ms.p50"),
        ({"model": {}}, "model.sha256"),
    ],
)
def test_a_damaged_record_is_told_in_one_line(damage: dict[str, Any], text: str, tmp_path: Path) -> None:
    result = run(tmp_path, timed(around(2.0)), timed(around(2.0)) | damage)
    assert result.exit_code == 1
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


def test_pairs_without_their_ratios_are_told_in_one_line(tmp_path: Path) -> None:
    record = handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0)
    result = run(tmp_path, {key: value for key, value in record.items() if key != "ratios"})
    assert result.exit_code == 1
    assert "ratios: expected a list of numbers above 0; got none" in result.stderr
