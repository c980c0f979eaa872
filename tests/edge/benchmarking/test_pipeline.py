from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import edge
from edge.benchmarking import pipeline
from edge.benchmarking.frame_times import STAGES, FrameTimes
from edge.benchmarking.records import read_record
from edge.errors import DataError
from edge.pictures.images import encode_jpeg
from edge.streams.stream import StreamSettings
from tests.edge.conftest import Run
from tests.record_schema import check_record


def test_overhead_is_taken_cycle_by_cycle() -> None:
    # Cycles of three: 1 - 90/100 = 0.1, 1 - 80/100 = 0.2, 1 - 70/100 = 0.3; the tenth frame belongs to none.
    whole = np.array([80.0, 10.0, 10.0] * 3 + [1000.0])
    model = np.array([80.0, 5.0, 5.0, 70.0, 5.0, 5.0, 60.0, 5.0, 5.0, 0.0])
    found = pipeline.overhead(whole, model, 3)
    assert found["share"] == pytest.approx(0.2) and found["cycles"] == 3
    assert 0.099 <= found["ci95"][0] <= 0.2 <= found["ci95"][1] <= 0.301
    # Frame by frame, the frames without detection would decide: 1 - 5/10.
    assert pipeline.overhead(whole, model, 1)["share"] == pytest.approx(0.5)


def test_cycles_are_whole() -> None:
    assert pipeline.in_cycles(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0]), 3).tolist() == [6.0, 15.0]


def test_the_pipeline_record_accounts_for_the_whole_frame(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "p.json"
    words = ("benchmark", "pipeline", "--frames", 12, "--warmup", 3, "--width", 320, "--height", 240)
    result = run(*words, "--record", target)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "neither detection nor inference" in result.stdout
    record = read_record(target)
    assert record["kind"] == "pipeline" and record["frame"] == {"width": 320, "height": 240}
    assert (record["frames"], record["detect_every"], record["overhead"]["cycles"]) == (12, 3, 4)
    stages = record["stages_ms"]
    assert tuple(stages) == tuple(name for name in STAGES if name != "handover") and "live" not in record
    assert [stages[name]["n"] for name in ("decode", "detect", "post")] == [12, 4, 12]
    assert 0 < record["faces_per_frame"] <= 1 and stages["infer"]["n"] <= 12
    spent = sum(stage["mean"] * stage["n"] for stage in stages.values())
    assert spent <= 12 * record["end_to_end_ms"]["mean"] * 1.001
    assert 0 < record["overhead"]["share"] < 1
    for name, times in (("end to end", record["end_to_end_ms"]), *stages.items()):
        assert 0 <= times["mad"] <= times["max"] - times["min"]
        said = f"p99 {times['p99']:.3f} ms, max {times['max']:.3f} ms, MAD {times['mad']:.3f} ms"
        assert re.search(rf"^  {name}: p50 .*{re.escape(said)}$", result.stdout, re.MULTILINE), name
    assert [(entry["of"], entry["samples"]) for entry in record["stability"]["measures"]] == [("detection cycles", 4)]
    assert "stability: " in result.stdout and "load_1m" in record["machine"]


def test_stages_are_summed_up_over_the_frames_on_which_they_ran(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "p.json"
    words = ("benchmark", "pipeline", "--frames", 12, "--warmup", 3, "--width", 320, "--height", 240)
    assert run(*words, "--infer-every", 3, "--record", target).exit_code == 0
    record = read_record(target)
    assert record["faces_per_frame"] == 1 and record["infer_every"] == 3
    assert {name: stage["n"] for name, stage in record["stages_ms"].items()} == {
        "decode": 12, "detect": 4, "crop": 4, "infer": 4, "post": 12,
    }  # fmt: skip


def test_a_live_record_tells_the_capture_thread_apart(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "p.json"
    words = ("benchmark", "pipeline", "--live", 60, "--frames", 12, "--warmup", 3, "--width", 320, "--height", 240)
    result = run(*words, "--record", target)
    assert (result.exit_code, result.stderr) == (0, "")
    check_record(target)
    record = read_record(target)
    live, whole_ms = record["live"], 12 * record["end_to_end_ms"]["mean"]
    assert tuple(record["stages_ms"]) == tuple(name for name in STAGES if name != "decode")
    assert live["fps"] == 60 and live["captured"] >= 12 and live["dropped"] >= 0
    assert live["busy_share"] == pytest.approx(whole_ms / (1000 * live["seconds"]))
    model_ms = sum(record["stages_ms"][name]["mean"] * record["stages_ms"][name]["n"] for name in ("detect", "infer"))
    assert live["share_with_capture"] == pytest.approx(1 - model_ms / (whole_ms + live["capture_cpu_ms"]))
    assert f"{live['dropped']} of {live['captured']} frames at 60 a second dropped" in result.stdout
    cpu = live["capture_cpu_ms"] / live["captured"]
    assert f"capture thread: CPU {cpu:.3f} ms a frame" in result.stdout
    assert run("benchmark", "pipeline", "--live", 0).exit_code == 2


def test_the_capture_threads_time_is_counted_in() -> None:
    # 20 ms at work, 17 of them the models', in a tenth of a second: with 5 ms of another thread 1 - 17/25.
    stages = np.array([[0, 0, 8.0, 0, 1.0, 0], [0, 0, 7.0, 0, 1.0, 0]])
    told = {"seconds": 0.1, "capture_cpu_ms": 5.0}
    times = FrameTimes(stages, np.array([10.0, 10.0]), 2, 640, 480, told)
    assert pipeline.with_capture(times) == pytest.approx({"busy_share": 0.2, "share_with_capture": 0.32})
    with pytest.raises(ValueError, match="expected times of a live run"):
        pipeline.with_capture(FrameTimes(stages, times.whole_ms, 2, 640, 480))


def test_frames_without_a_face_are_refused() -> None:
    grey = encode_jpeg(np.full((120, 160, 3), 128, np.uint8), 90)
    with pytest.raises(DataError, match=r"expected a face in the frames; got none in 3; use another --picture"):
        pipeline.pipeline_record(edge.load(detector="haar"), StreamSettings(), [grey], 3, 0, ["x"])


def test_fewer_frames_than_a_cycle_are_refused(run: Run) -> None:
    result = run("benchmark", "pipeline", "--frames", 2)
    assert result.exit_code == 2 and "of at least --detect-every (3); got 2" in result.stderr
    with pytest.raises(ValueError, match="expected 3 or more frames"):
        pipeline.pipeline_record(edge.load(detector="haar"), StreamSettings(), [b""], 2, 0, ["x"])
    with pytest.raises(ValueError, match="expected live_fps above 0"):
        pipeline.pipeline_record(edge.load(detector="haar"), StreamSettings(), [b""], 3, 0, ["x"], live_fps=0.0)
