from __future__ import annotations

import json
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convert.verification import timing
from convert.verification.timing import side_by_side
from edge.benchmarking import turns
from edge.errors import ModelFileError
from edge.inference.contract import Contract, CropSpec, InputSpec
from edge.labels import EMOTIONS


class SleepingClassifier:
    """Stands in for an interpreter: its content is its delay in milliseconds; it writes down when it ran."""

    calls: list[bytes]

    def __init__(self, content: bytes, threads: int) -> None:
        self.content, self.threads = content, threads
        self.model = SimpleNamespace(input=SimpleNamespace(shape=(1, 2, 2, 3)))
        self.runtime = {"name": "sleep", "version": "1"}

    def infer(self, face: np.ndarray) -> None:
        assert face.shape == (1, 2, 2, 3)
        SleepingClassifier.calls.append(self.content)
        time.sleep(float(self.content) / 1000)


@pytest.fixture
def sleeping(monkeypatch: pytest.MonkeyPatch) -> type[SleepingClassifier]:
    SleepingClassifier.calls = []
    monkeypatch.setattr(timing, "Classifier", SleepingClassifier)
    monkeypatch.setattr(timing, "WARMUP", 1)
    return SleepingClassifier


# A sleep lasts at least as long as asked, on a busy machine much longer: only lower bounds are certain.
def test_samples_are_kept_by_file_and_never_mixed(sleeping: type[SleepingClassifier]) -> None:
    record = side_by_side({"slow": b"8", "fast": b"0.01"}, rounds=9)
    rows = record["recipes"]
    assert [len(rows[name]["samples_ms"]) for name in ("slow", "fast")] == [9, 9]
    assert min(rows["slow"]["samples_ms"]) >= 8
    assert min(rows["fast"]["samples_ms"]) < 8
    assert rows["slow"]["latency_ms"]["p50"] == pytest.approx(np.median(rows["slow"]["samples_ms"]), abs=1e-5)
    timed = sleeping.calls[2:]  # after one warm-up of each
    assert timed[:4] == [b"0.01", b"8", b"0.01", b"8"]
    assert Counter(timed) == {b"8": 9, b"0.01": 9}


def test_a_ratio_is_the_baselines_time_over_the_files_in_the_same_round(
    sleeping: type[SleepingClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds in which both take twice as long leave the ratio at 4; pooled samples would give 10/2.5 and 20/5 mixed."""
    planned = {b"float": iter([10.0, 20.0, 20.0, 10.0, 20.0]), b"int8": iter([2.5, 5.0, 5.0, 2.5, 4.0])}
    now = [0]

    def infer(classifier: SleepingClassifier, face: np.ndarray) -> None:
        now[0] += round(next(planned[classifier.content]) * 1e6)

    monkeypatch.setattr(turns, "time", SimpleNamespace(perf_counter_ns=lambda: now[0]))
    monkeypatch.setattr(SleepingClassifier, "infer", infer)
    monkeypatch.setattr(timing, "WARMUP", 0)
    record = side_by_side({"int8": b"int8", "float32": b"float"}, rounds=5)
    assert record["baseline"] == "float32"
    ratio = record["recipes"]["int8"]["ratio"]
    assert (ratio["median"], ratio["p10"]) == (4.0, 4.0)
    assert ratio["p90"] == pytest.approx(
        4.6
    )  # between the fourth, 4, and the fifth, 5, of the sorted ratios, at 0.9 * 4 = 3.6
    assert ratio["ci95"] == [4.0, 5.0]
    assert "ratio" not in record["recipes"]["float32"]
    assert list(record["recipes"]) == ["int8", "float32"]


def test_without_float32_the_first_file_is_the_baseline(sleeping: type[SleepingClassifier]) -> None:
    record = side_by_side({"ptq-int8": b"0", "qat-int8": b"0"}, rounds=1, threads=2)
    assert (record["baseline"], record["threads"], record["rounds"]) == ("ptq-int8", 2, 1)
    assert "ratio" in record["recipes"]["qat-int8"]


def test_the_rounds_done_are_told_and_the_record_is_json(sleeping: type[SleepingClassifier]) -> None:
    told: list[tuple[int, int]] = []
    record = side_by_side({"one": b"0"}, rounds=3, tick=lambda done, count: told.append((done, count)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert set(json.loads(json.dumps(record, allow_nan=False))) == {
        "created", "machine", "runtime", "threads", "rounds", "warmup", "baseline", "recipes",
    }  # fmt: skip
    assert set(record["machine"]) == {"model", "arch", "cores", "os", "python"}


def test_no_file_no_round_and_a_file_that_is_no_model_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one file or more and 1 round or more; got 0 and 5"):
        side_by_side({}, rounds=5)
    with pytest.raises(ValueError, match="got 1 and 0"):
        side_by_side({"float32": b"x"}, rounds=0)
    with pytest.raises(ModelFileError):
        side_by_side({"float32": b"no model"}, rounds=1)


def packaged(recipe: str) -> bytes:
    """A file with a contract around a tiny float network; no training."""
    import tensorflow as tf

    from convert.tflite.export import quiet
    from convert.tflite.packaging import package

    def serve(picture: Any) -> Any:
        mean = tf.reduce_mean(tf.cast(picture, tf.float32) / 255, axis=[1, 2])
        return tf.nn.softmax(tf.concat([mean, mean, mean[:, :1]], axis=1))

    signature = [tf.TensorSpec((1, 8, 8, 3), tf.uint8, name="picture")]
    function = tf.function(serve, input_signature=signature).get_concrete_function()
    with quiet():
        content = bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], None).convert())
    contract = Contract(
        name="tiny",
        version="1.0.0",
        description="A test.",
        recipe=recipe,
        backbone="none",
        labels=EMOTIONS,
        input=InputSpec(8, 8),
        crop=CropSpec(1.0),
        training_colour="rgb",
        licence="Apache-2.0",
        intended_use="Tests.",
        not_for="Anything else.",
        flatbuffer_sha256="0" * 64,
        data={"name": "none", "fingerprint": "none"},
    )
    return package(content, contract)


def test_real_files_are_timed_by_the_runtime_of_the_device() -> None:
    record = side_by_side({"float32": packaged("float32"), "float16": packaged("float16")}, rounds=4)
    assert record["runtime"]["name"] in ("ai-edge-litert", "tflite-runtime", "tensorflow")
    for row in record["recipes"].values():
        assert all(sample > 0 for sample in row["samples_ms"])
    low, high = record["recipes"]["float16"]["ratio"]["ci95"]
    assert 0 < low <= record["recipes"]["float16"]["ratio"]["median"] <= high
