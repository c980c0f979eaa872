from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import benchmark
from edge.errors import DataError
from edge.interpreter import Classifier
from edge.labels import EMOTIONS
from edge.modelfile import read_model
from edge.packs import Pack, write_pack
from edge.records import read_record
from tests.edge import models
from tests.edge.conftest import Run

META = {"dataset": "colours", "part": "test", "fingerprint": "sha256:2"}
# Ten faces, eight of them called right: a red one is labelled fear and a blue one happy.
COLOURS = [models.RED] * 3 + [models.GREEN] * 3 + [models.BLUE] * 3 + [models.GREY]
TRUTH = ["angry", "angry", "fear", "happy", "happy", "happy", "sad", "sad", "happy", "neutral"]


@pytest.fixture
def pack_path(tmp_path: Path) -> Path:
    images = np.stack([models.face(colour, side=24) for colour in COLOURS])
    classes = ("fear", *(name for name in EMOTIONS if name != "fear"))  # not the model's order
    write_pack(tmp_path / "p.npz", images, np.array([classes.index(name) for name in TRUTH]), classes, META)
    return tmp_path / "p.npz"


def classifier(path: Path, threads: int = 1) -> Classifier:
    return Classifier(read_model(path), threads)


def test_percentiles_are_taken_of_sorted_samples() -> None:
    values = benchmark.percentiles([5.0, 1.0, 2.0, 4.0, 3.0])
    assert values == {"p50": 3.0, "p90": 4.6, "p99": pytest.approx(4.96), "mean": 3.0, "min": 1.0, "max": 5.0}


def test_the_summary_adds_the_median_of_the_deviations() -> None:
    # Sorted 1 2 3 4 9: the median is 3, the deviations from it 2 1 0 1 6, their median 1.
    assert benchmark.summary_ms([9.0, 1.0, 4.0, 2.0, 3.0])["mad"] == 1.0


def test_classes_are_written_as_base_36() -> None:
    assert benchmark.encode_classes(np.array([0, 9, 10, 35])) == "09az"


def test_noise_faces_repeat_with_their_seed(int8_path: Path) -> None:
    one = classifier(int8_path)
    assert np.array_equal(benchmark.noise_faces(one, 1), benchmark.noise_faces(one, 1))
    assert not np.array_equal(benchmark.noise_faces(one, 1), benchmark.noise_faces(one, 2))
    assert benchmark.noise_faces(one, 1).dtype == np.uint8 and benchmark.noise_faces(one, 1).std() > 70


@pytest.mark.parametrize("recipe", ["float32", "qat-int8"])
def test_the_accuracy_record_counts_what_is_right(
    recipe: str, model_paths: dict[str, Path], pack_path: Path, run: Run, tmp_path: Path
) -> None:
    options = ("--model", model_paths[recipe], "--data", pack_path, "--record", tmp_path / "a.json")
    result = run("benchmark", "accuracy", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    record = read_record(tmp_path / "a.json")
    assert record["accuracy"] == 0.8
    assert record["accuracy_ci95"][0] < 0.8 < record["accuracy_ci95"][1] <= 1
    assert record["predictions"] == "0003334446"
    assert record["truth"] == "0023334436"
    assert record["correct"] == "1101111101"
    assert record["per_class"]["angry"] == {
        "precision": pytest.approx(2 / 3), "recall": 1.0, "f1": pytest.approx(0.8), "support": 2,
    }  # fmt: skip
    assert np.trace(record["confusion"]) == 8 and record["confusion"][2][0] == 1
    assert record["data"] == {
        "name": "colours", "part": "test", "fingerprint": "sha256:2", "samples": 10, "file": str(pack_path),
    }  # fmt: skip
    assert record["macro_f1"] == pytest.approx((0.8 + 0 + 6 / 7 + 0.8 + 1) / 5)
    assert "accuracy 80.00%" in result.stdout
    assert {"board", "features", "governor", "throttled", "temperature_after_c"} <= set(record["machine"])
    assert record["xnnpack"]["partitions"] >= 1


def test_a_folder_a_class_gives_what_the_pack_gives(int8_path: Path, pack_path: Path, run: Run, tmp_path: Path) -> None:
    for i, (colour, name) in enumerate(zip(COLOURS, TRUTH, strict=True)):
        (tmp_path / "faces" / name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "faces" / name / f"{i}.png"), models.face(colour, 24)[:, :, ::-1])
    records = []
    for name, data in (("pack", pack_path), ("folder", tmp_path / "faces")):
        target = tmp_path / f"{name}.json"
        result = run("benchmark", "accuracy", "--model", int8_path, "--data", data, "--record", target)
        assert result.exit_code == 0, result.stderr
        records.append(read_record(target))
    assert records[0]["confusion"] == records[1]["confusion"]
    assert records[1]["data"]["name"] == "faces"


def test_a_pack_behind_a_closed_folder_is_refused_in_a_line(
    int8_path: Path, pack_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def refuses(path: str | Path, **options: bool) -> os.stat_result:
        if str(path) == str(pack_path):
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    one = classifier(int8_path)
    monkeypatch.setattr(os, "stat", refuses)  # tests may run as root, whom no permission stops
    monkeypatch.setattr(Path, "open", lambda path, *_: refuses(path))
    with pytest.raises(DataError, match=r"expected a readable pack \(\.npz\); got: Permission denied; write it"):
        benchmark.read_data(str(pack_path), one)


def test_a_grey_pack_is_repeated_into_rgb(int8_path: Path) -> None:
    images = np.full((2, 48, 48), 128, np.uint8)
    pack = Pack(images, np.array([1, 0]), ("sad", "neutral"), META)
    assert benchmark.accuracy_record(classifier(int8_path), pack, "p", [])["accuracy"] == 0.5


def test_classes_that_the_model_does_not_know_are_refused(int8_path: Path) -> None:
    pack = Pack(np.zeros((1, 8, 8), np.uint8), np.array([0]), ("contempt", "sad"), META)
    with pytest.raises(DataError, match=r"expected classes among the model's \(angry, .*\); got contempt"):
        benchmark.accuracy_record(classifier(int8_path), pack, "p.npz", [])


def test_a_failed_benchmark_is_one_line_and_writes_no_record(run: Run, int8_path: Path, tmp_path: Path) -> None:
    words = ("--model", int8_path, "--data", tmp_path / "none.npz", "--record", tmp_path / "r.json")
    result = run("benchmark", "accuracy", *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and "no such file" in result.stderr
    assert not (tmp_path / "r.json").exists()
