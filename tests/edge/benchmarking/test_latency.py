"""`fer-edge benchmark latency`: what is timed, in which order, what belongs to whom, and what is said of it."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edge.benchmarking import turns
from edge.benchmarking.coldstart import ColdStart, cold_start
from edge.benchmarking.latency import Rounds, latency_record
from edge.benchmarking.records import read_record
from edge.errors import EdgeError
from edge.files import sha256_of
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import read_model
from edge.system.conditions import conditions
from edge.system.machine import Outcome
from tests.edge.conftest import Run
from tests.edge.machines import PI4, fake, silent

DELAY_S = 0.004


def classifier(path: Path, threads: int = 1) -> Classifier:
    return Classifier(read_model(path), threads)


def load_both(paths: Mapping[str, Path], threads: int = 1) -> list[Classifier]:
    return [classifier(paths[recipe], threads) for recipe in ("qat-int8", "float32")]


class Clock:
    """A clock that only inferences move, by milliseconds from a list of each classifier's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.order, self.times = 0, "", {}  # type: tuple[int, str, dict[int, tuple[str, Any]]]
        monkeypatch.setattr(turns, "time", self)
        monkeypatch.setattr(Classifier, "infer", lambda one, face: self.infer(one))

    def perf_counter_ns(self) -> int:
        return self.now

    def give(self, one: Classifier, name: str, milliseconds: Sequence[float]) -> None:
        self.times[id(one)] = (name, iter(milliseconds))

    def infer(self, one: Classifier) -> None:
        name, milliseconds = self.times[id(one)]
        self.order += name
        self.now += round(next(milliseconds) * 1e6)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_latency_record_holds_every_run_and_what_ran(int8_path: Path, run: Run, tmp_path: Path) -> None:
    target = tmp_path / "results" / "r.json"
    words = ("benchmark", "latency", "--model", int8_path, "--runs", 30, "--warmup", 2, "--threads", 2)
    result = run(*words, "--record", target)
    assert (result.exit_code, result.stderr) == (0, "")
    record = read_record(target)
    assert (record["kind"], record["runs"], record["warmup"], record["threads"]) == ("latency", 30, 2, 2)
    assert len(record["samples_ms"]) == 30 and min(record["samples_ms"]) > 0
    assert len(record["warmup_ms"]) == 3  # the cold first one, and two more
    assert record["latency_ms"]["p50"] == pytest.approx(np.median(record["samples_ms"]), abs=1e-5)
    assert record["latency_ms"]["min"] <= record["latency_ms"]["p50"] <= record["latency_ms"]["p99"]
    assert record["latency_ms"]["mad"] >= 0
    assert record["first_inference_ms"] > 0 and record["load_ms"] > 0
    assert 10 < record["rss_before_load_mb"] < record["peak_rss_mb"]
    assert record["xnnpack"]["operators"] >= 3
    assert record["model"] == {
        "name": "colours",
        "recipe": "qat-int8",
        "backbone": "mean",
        "file": int8_path.name,
        "sha256": sha256_of(int8_path),
        "size_bytes": int8_path.stat().st_size,
        "input": [32, 32, 3],
    }
    assert record["command"] == ["fer-edge", *map(str, words), "--record", str(target)]
    assert not {"against", "others"} & set(record)
    assert "p50" in result.stdout and "over 30 runs" in result.stdout and "max" in result.stdout
    assert f"stability: {record['stability']['verdict']}" in result.stdout


def test_figures_are_worked_out_from_the_runs(int8_path: Path, clock: Clock) -> None:
    one = classifier(int8_path)
    clock.give(one, "A", [9.0, 5.0, 1.0, 1.0, 4.0, 2.0, 3.0, 9.0])
    record = latency_record([[one]], Rounds(5, 2), ["x"])
    assert record["samples_ms"] == [1.0, 4.0, 2.0, 3.0, 9.0] and record["warmup_ms"] == [9.0, 5.0, 1.0]
    values = record["latency_ms"]
    assert values["p50"] == 3.0 and values["mad"] == 1.0 and values["max"] == 9.0
    assert values["p90"] == pytest.approx(7.0) and values["p99"] == pytest.approx(8.8)
    assert record["first_inference_ms"] == 9.0 and record["load_ms"] == one.load_ms
    assert record["steady_after"] == 1  # 3 + 3 x 1.4826 x 1 = 7.4 ms: 5, 1 and 1 are below
    assert record["peak_rss_mb"] is None  # a process of its own would say
    measured = latency_record([[slow(one, clock)]], Rounds(1, 0), ["x"], [ColdStart(7.0, 8.0, 50.0, 60.0)])
    assert (measured["load_ms"], measured["first_inference_ms"], measured["peak_rss_mb"]) == (7.0, 8.0, 60.0)


def slow(one: Classifier, clock: Clock) -> Classifier:
    clock.give(one, "A", [2.0] * 100)
    return one


def test_pairs_are_interleaved_with_a_turning_order(model_paths: dict[str, Path], clock: Clock) -> None:
    first, second = load_both(model_paths)
    clock.give(first, "A", [1.0] * 20)
    clock.give(second, "B", [2.0] * 20)
    record = latency_record([[first, second]], Rounds(6, 0), [])
    assert clock.order == "ABBABAABABBABA"  # the first two are the cold ones
    assert record["pairs"] == record["runs"] == len(record["ratios"]) == 6


def test_the_speed_up_is_the_median_of_the_pairs_own_ratios(model_paths: dict[str, Path], clock: Clock) -> None:
    first, second = load_both(model_paths)
    # Pair by pair: 1 against 2 ms, 10 against 40 ms (a hiccup that strikes both), 1 against 8 ms. The mean of the
    # ratios would be 14/3, the ratio of the medians 8.
    clock.give(first, "A", [9.0, 1.0, 10.0, 1.0])
    clock.give(second, "B", [9.0, 2.0, 40.0, 8.0])
    record = latency_record([[first, second]], Rounds(3, 0), ["x"])
    assert record["ratios"] == [2.0, 4.0, 8.0]
    assert record["ratio"]["median"] == 4.0
    assert record["ratio"]["p10"] == pytest.approx(2.4) and record["ratio"]["p90"] == pytest.approx(7.2)
    assert record["ratio"]["ci95"] == [2.0, 8.0]
    assert record["samples_ms"] == [1.0, 10.0, 1.0] and record["against"]["samples_ms"] == [2.0, 40.0, 8.0]
    assert record["first_inference_ms"] == 9.0
    assert (record["model"]["recipe"], record["against"]["recipe"]) == ("qat-int8", "float32")


def test_samples_of_models_and_threads_are_never_pooled(model_paths: dict[str, Path], clock: Clock) -> None:
    """Int8 takes 1 and 0.5 ms with 1 and 2 threads, float32 3 and 2 ms; every untimed run takes 50 ms."""
    grid = [load_both(model_paths), load_both(model_paths, 2)]
    for (row, column), milliseconds in {(0, 0): 1.0, (0, 1): 3.0, (1, 0): 0.5, (1, 1): 2.0}.items():
        settled = [time for _ in range(12) for time in (50.0, milliseconds)]
        clock.give(grid[row][column], "ABCD"[2 * row + column], [50.0, *settled])
    record = latency_record(grid, Rounds(12, 0), ["x"])
    assert record["samples_ms"] == [1.0] * 12 and record["threads"] == 1
    others = {(other["recipe"], other["threads"]): other for other in record["others"]}
    assert {key: set(other["samples_ms"]) for key, other in others.items()} == {
        ("float32", 1): {3.0}, ("qat-int8", 2): {0.5}, ("float32", 2): {2.0},
    }  # fmt: skip
    # Float32 is held against int8 with as many threads, int8 with two threads against int8 with one.
    assert {key: (other["ratio"]["median"], other["own_threads"]) for key, other in others.items()} == {
        ("float32", 1): (3.0, 1), ("qat-int8", 2): (0.5, 1), ("float32", 2): (4.0, 2),
    }  # fmt: skip
    assert all(other["latency_ms"]["mad"] == 0 for other in (record, *record["others"]))
    assert [entry["mad_share"] for entry in record["stability"]["measures"]] == [0.0] * 4
    counted = {name: clock.order[4:].count(name) for name in "ABCD"}  # after the cold round
    assert counted == dict.fromkeys("ABCD", 24)
    assert "AABB" in clock.order and "BBAA" in clock.order


class Waits:
    """An interpreter whose inference waits, and notes how long it really did."""

    spent_s: ClassVar[list[float]] = []

    def __init__(self, model_content: bytes, num_threads: int) -> None:
        self.size = len(model_content)

    def allocate_tensors(self) -> None:
        pass

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"index": 0}]

    get_output_details = get_input_details

    def set_tensor(self, index: int, value: np.ndarray) -> None:
        pass

    def invoke(self) -> None:
        start = time.monotonic()
        time.sleep(DELAY_S)
        Waits.spent_s.append(time.monotonic() - start)

    def get_tensor(self, index: int) -> np.ndarray:
        return np.zeros((1, 7), np.uint8)


@pytest.mark.alone
def test_a_built_in_delay_is_measured_within_5_percent(int8_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held against the wait that came to pass: a busy machine makes it longer."""
    monkeypatch.setattr("edge.inference.interpreter.find_runtime", lambda: (Waits, {"name": "waits", "version": "1"}))
    monkeypatch.setattr(Waits, "spent_s", [])
    record = latency_record([[classifier(int8_path)]], Rounds(40, 3), ["x"])
    waited_ms = 1000 * np.array(Waits.spent_s)
    assert len(waited_ms) == 1 + 3 + 40 and record["latency_ms"]["min"] >= 1000 * DELAY_S
    assert record["latency_ms"]["p50"] == pytest.approx(np.median(waited_ms[4:]), rel=0.05)
    assert record["warmup_ms"][0] == record["first_inference_ms"] >= waited_ms[0]
    assert record["xnnpack"] is None  # this interpreter does not say


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Put the command on a machine made of files; returns its root."""

    def put(files: Mapping[str, str], run: Callable[[Sequence[str]], Outcome | None] = silent) -> Path:
        machine = fake(tmp_path / "machine", files, run)
        monkeypatch.setattr("edge.system.machine.this_machine", lambda: machine)
        return machine.root

    return put


@pytest.mark.parametrize("kind", ["latency", "pipeline", "startup"])
def test_a_throttled_machine_is_called_throttled(kind: str, run: Run, tmp_path: Path, on: Callable[..., Path]) -> None:
    on(PI4 | {"sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n"})
    quick = {"latency": ("--runs", 12), "pipeline": ("--frames", 3, "--width", 320, "--height", 240),
             "startup": ("--repeats", 1)}[kind]  # fmt: skip
    result = run("benchmark", kind, *quick, "--record", tmp_path / "r.json")
    assert result.exit_code == 0, result.stderr
    assert "stability: throttled\n  the firmware says: under-voltage, throttled, during the run" in result.stdout
    record = read_record(tmp_path / "r.json")
    assert record["stability"]["verdict"] == "throttled"
    assert record["machine"]["model"] == record["machine"]["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert record["machine"]["throttled"]["now"] == ["under-voltage", "throttled"]
    assert (record["machine"]["governor"], record["machine"]["clock_max_mhz"]) == ("ondemand", 1800)


def test_a_calm_machine_is_called_fine(int8_path: Path, clock: Clock, tmp_path: Path) -> None:
    one = slow(classifier(int8_path), clock)
    record = latency_record([[one]], Rounds(30, 5), ["x"], machine=fake(tmp_path, PI4))
    assert (record["stability"]["verdict"], record["stability"]["reasons"]) == ("fine", [])
    clock.give(one, "A", [2.0] * 6 + [2.0 + 0.02 * number for number in range(30)])
    drifting = latency_record([[one]], Rounds(30, 5), ["x"], machine=fake(tmp_path, PI4))
    assert drifting["stability"]["verdict"] == "noisy"
    assert "colours qat-int8, 1 thread: the last third's median is +" in drifting["stability"]["reasons"][0]


def test_a_paired_record_says_which_model_is_how_many_times_as_fast(
    run: Run, tmp_path: Path, model_paths: dict[str, Path]
) -> None:
    first, second = model_paths["qat-int8"], model_paths["float32"]
    options = ("--model", first, "--against", second, "--pairs", 40, "--record", tmp_path / "r.json")
    result = run("benchmark", "latency", *options)
    assert result.exit_code == 0, result.stderr
    record = read_record(tmp_path / "r.json")
    assert (record["model"]["file"], record["against"]["file"]) == (first.name, second.name)
    pairs = zip(record["samples_ms"], record["against"]["samples_ms"], strict=True)
    assert record["ratios"] == pytest.approx([theirs / ours for ours, theirs in pairs], rel=1e-2)
    ratio = record["ratio"]
    assert ratio["ci95"][0] <= ratio["median"] <= ratio["ci95"][1]
    assert f"speed-up {ratio['median']:.2f}" in result.stdout and "40 interleaved pairs" in result.stdout
    assert "fewer than 100 pairs: good for a look, not a figure to publish" in result.stdout
    enough = run("benchmark", "latency", "--model", model_paths["qat-int8"], "--against", model_paths["float32"],
                 "--pairs", 100)  # fmt: skip
    assert "100 interleaved pairs" in enough.stdout and "publish" not in enough.stdout


def test_several_models_and_thread_counts_are_one_record(
    run: Run, tmp_path: Path, model_paths: dict[str, Path]
) -> None:
    int8, plain = model_paths["qat-int8"], model_paths["float32"]
    words = ("--model", int8, "--against", plain, "--against", int8, "--threads", "1,2", "--pairs", 12)
    result = run("benchmark", "latency", *words, "--record", tmp_path / "r.json")
    assert result.exit_code == 0, result.stderr
    record = read_record(tmp_path / "r.json")
    assert "against" not in record
    found = [(other["file"], other["threads"], other["own_threads"]) for other in record["others"]]
    assert found == [
        (plain.name, 1, 1), (int8.name, 1, 1), (int8.name, 2, 1), (plain.name, 2, 2), (int8.name, 2, 2),
    ]  # fmt: skip
    assert all(len(other["samples_ms"]) == len(other["ratios"]) == 12 for other in record["others"])
    assert "times as fast as with 1 thread" in result.stdout
    assert "colours qat-int8 with as many threads is" in result.stdout


def test_counts_and_threads_that_make_no_sense_are_refused(int8_path: Path, run: Run) -> None:
    one, other = classifier(int8_path, 1), classifier(int8_path, 2)
    with pytest.raises(ValueError, match="1 or more runs and 0 or more for warm-up; got 0 and 5"):
        Rounds(0, 5)
    with pytest.raises(ValueError, match="expected equal threads; got 1 and 2"):
        latency_record([[one, other]], Rounds(1, 0), [])
    with pytest.raises(ValueError, match=r"expected rows of one length; got \[1, 2\]"):
        latency_record([[one], [other, other]], Rounds(1, 0), [])
    assert run("benchmark", "latency", "--model", int8_path, "--runs", 0).exit_code == 2


@pytest.mark.parametrize("text", ["0", "65", "1,1", "1,,2", "one", "", "1;2"])
def test_threads_are_numbers_each_once(text: str, run: Run, int8_path: Path) -> None:
    result = run("benchmark", "latency", "--model", int8_path, "--threads", text)
    assert result.exit_code == 2 and f"expected numbers in 1..64, each once, as 1,2,4; got {text}" in result.stderr


def test_a_failed_benchmark_is_one_line_and_writes_no_record(run: Run, int8_path: Path, tmp_path: Path) -> None:
    words = ("--model", int8_path, "--against", tmp_path / "none.tflite", "--record", tmp_path / "r.json")
    result = run("benchmark", "latency", *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and "no such file" in result.stderr
    assert not (tmp_path / "r.json").exists()


def test_a_cold_start_that_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"expected the command to succeed; got exit code 1: .*no such file"):
        cold_start(tmp_path / "none.tflite", 1)


def test_where_no_process_can_be_started_its_memory_is_not_invented(
    run: Run, int8_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    result = run("benchmark", "latency", "--model", int8_path, "--runs", 3, "--record", tmp_path / "r.json")
    assert result.exit_code == 0, result.stderr
    record = read_record(tmp_path / "r.json")
    assert record["peak_rss_mb"] is None and record["rss_before_load_mb"] is None
    assert record["first_inference_ms"] == pytest.approx(record["warmup_ms"][0], abs=1e-6)
    assert "memory" not in result.stdout


def test_records_are_plain_json(int8_path: Path) -> None:
    record = latency_record([[classifier(int8_path)]], Rounds(3, 0), ["fer-edge"])
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_the_state_before_is_the_one_that_was_given_not_that_after_our_own_cold_starts(
    int8_path: Path, tmp_path: Path
) -> None:
    where = fake(tmp_path, PI4)
    now = conditions(where)
    given = dataclasses.replace(now, load_1m=0.125)
    came = latency_record([[classifier(int8_path)]], Rounds(3, 0), ["x"], machine=where, before=given)
    assert came["machine"]["load_1m"] == 0.125
    assert latency_record([[classifier(int8_path)]], Rounds(3, 0), ["x"], machine=where)["machine"]["load_1m"] != 0.125
