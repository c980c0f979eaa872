from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.benchmarking import accuracy
from edge.benchmarking.accuracy import scored
from edge.benchmarking.benchmark import encode_classes
from edge.benchmarking.records import read_record
from edge.errors import DataError
from edge.files import sha256_of
from edge.inference.contract import CropSpec
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import default_model_path, parse_model, read_model
from edge.labels import EMOTIONS
from edge.pictures.packs import Pack, read_pack, write_pack
from edge.pictures.preprocess import fit_face
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


def classifier(path: Path) -> Classifier:
    return Classifier(read_model(path), 1)


@pytest.mark.parametrize("recipe", ["float32", "qat-int8"])
def test_the_accuracy_record_counts_what_is_right(
    recipe: str, model_paths: dict[str, Path], pack_path: Path, run: Run, tmp_path: Path
) -> None:
    words = ("benchmark", "accuracy", "--model", model_paths[recipe], "--data", pack_path)
    result = run(*words, "--record", tmp_path / "a.json")
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
        "content_sha256": read_pack(pack_path).content_sha256,
    }  # fmt: skip
    assert {"board", "features", "governor", "throttled", "temperature_after_c"} <= set(record["machine"])
    assert record["xnnpack"]["partitions"] >= 1
    assert record["model"]["sha256"] == sha256_of(model_paths[recipe])
    assert record["command"] == ["fer-edge", *map(str, words), "--record", str(tmp_path / "a.json")]
    assert record["macro_f1"] == pytest.approx((0.8 + 0 + 6 / 7 + 0.8 + 1) / 5)
    low, high = record["macro_f1_ci95"]
    assert low < record["macro_f1"] < high
    assert "accuracy 80.00% (95 % interval " in result.stdout
    sure = record["calibration"]
    assert f"ECE {sure['ece']:.4f} (95 % interval " in result.stdout
    assert f"NLL {sure['nll']:.4f} (95 % interval " in result.stdout
    assert "2 below the floor of 0.0020" in result.stdout


def test_flip_takes_the_mean_over_a_face_and_its_mirror_image(run: Run, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 48, 48, 3), np.uint8)
    write_pack(tmp_path / "p.npz", images, np.arange(6), EMOTIONS, META)
    shipped = classifier(default_model_path())
    pack = read_pack(tmp_path / "p.npz")
    single, times = scored(shipped, pack, None)
    faces = np.stack([fit_face(image, shipped.model.contract.crop, 80, 80) for image in images])
    mirrored = shipped.probabilities(np.ascontiguousarray(faces[:, :, ::-1]))
    assert np.array_equal(single, shipped.probabilities(faces)) and len(times) == 6
    both, times = scored(shipped, pack, None, "flip")
    assert np.allclose(both, (single + mirrored) / 2, atol=1e-6) and len(times) == 12
    assert np.abs(both - single).max() > 0.01
    words = ("benchmark", "accuracy", "--data", tmp_path / "p.npz", "--record")
    assert run(*words, tmp_path / "single.json").exit_code == 0
    result = run(*words, tmp_path / "flip.json", "--tta", "flip", "--reference", tmp_path / "single.json")
    assert result.exit_code == 0, result.stderr
    assert "6 faces, each with its mirror image: accuracy" in result.stdout
    record = read_record(tmp_path / "flip.json")
    assert (record["tta"], "tta" in read_record(tmp_path / "single.json")) == ("flip", False)
    assert record["predictions"] == encode_classes(both.argmax(axis=1))
    assert "tta" not in record["reference"]
    result = run(*words, tmp_path / "back.json", "--reference", tmp_path / "flip.json")
    assert "against fer2013-lite0 (qat-int8, TTA flip) in" in result.stdout
    assert read_record(tmp_path / "back.json")["reference"]["tta"] == "flip"
    with pytest.raises(ValueError, match="expected TTA none or flip; got 'crops'"):
        scored(shipped, pack, None, "crops")


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
        accuracy.read_data(str(pack_path), one)


def test_a_grey_pack_is_repeated_into_rgb(int8_path: Path) -> None:
    images = np.full((2, 48, 48), 128, np.uint8)
    pack = Pack(images, np.array([1, 0]), ("sad", "neutral"), META)
    assert accuracy.accuracy_record(classifier(int8_path), pack, "p", [])["accuracy"] == 0.5


def test_classes_that_the_model_does_not_know_are_refused(int8_path: Path) -> None:
    pack = Pack(np.zeros((1, 8, 8), np.uint8), np.array([0]), ("contempt", "sad"), META)
    with pytest.raises(DataError, match=r"expected classes among the model's \(angry, .*\); got contempt"):
        accuracy.accuracy_record(classifier(int8_path), pack, "p.npz", [])


def test_a_folders_faces_come_to_the_model_as_a_packs_do(
    networks: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Trained at 16 pixels, run at 32: each picture goes by way of 16 once, not 16, 32, 16, 32.
    contract = dataclasses.replace(models.CONTRACT, crop=CropSpec(side_scale=1.0, resolution_px=16))
    one = Classifier(parse_model(models.packed(networks["qat-int8"], contract)), 1)
    noise = np.random.default_rng(0).integers(0, 256, (2, 48, 48), dtype=np.uint8)
    (tmp_path / "faces" / "sad").mkdir(parents=True)
    for i, picture in enumerate(noise):
        cv2.imwrite(str(tmp_path / "faces" / "sad" / f"{i}.png"), picture)
    write_pack(tmp_path / "p.npz", noise, np.array([0, 0]), ("sad", "happy"), META)
    met: list[np.ndarray] = []
    infer = Classifier.infer

    def meet(own: Classifier, face: np.ndarray) -> np.ndarray:
        met.append(face)
        return infer(own, face)

    monkeypatch.setattr(Classifier, "infer", meet)
    for name in ("p.npz", "faces"):
        accuracy.accuracy_record(one, accuracy.read_data(str(tmp_path / name), one), name, ["x"])
    assert met[0].std() > 10
    assert np.array_equal(met[0], met[2]) and np.array_equal(met[1], met[3])


def test_calibration_worked_out_by_hand() -> None:
    # In bins of 1/15: two at 0.9 (one right), one at 0.5 (right), one at 0.6 (wrong, and its class has a 0).
    probabilities = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.25, 0.5, 0.25], [0.6, 0.4, 0.0]])
    block = accuracy.calibration_block(probabilities, np.array([0, 1, 1, 2]))
    assert block["ece"] == pytest.approx((2 * abs(0.5 - 0.9) + 0.5 + 0.6) / 4)
    assert block["nll"] == pytest.approx(-(np.log(0.9) + np.log(0.1) + np.log(0.5) + np.log(1 / 512)) / 4)
    assert (block["floor"], block["floored"]) == (1 / 512, 1)
    assert len(block["bins"]["count"]) == 15 and sum(block["bins"]["count"]) == 4
    assert block["bins"]["count"][13] == 2 and block["bins"]["accuracy"][13] == 0.5
    assert block["nll_ci95"][0] < block["nll"] < block["nll_ci95"][1]


@pytest.mark.parametrize("recipe", ["float32", "qat-int8"])
def test_the_record_has_the_calibration_of_the_models_own_probabilities(
    recipe: str, model_paths: dict[str, Path], pack_path: Path
) -> None:
    one = classifier(model_paths[recipe])
    pack = read_pack(pack_path)
    record = accuracy.accuracy_record(one, pack, "p.npz", ["x"])
    faces = np.stack([fit_face(image, one.model.contract.crop, models.SIDE, models.SIDE) for image in pack.images])
    probabilities = one.probabilities(faces)
    truth = [EMOTIONS.index(name) for name in TRUTH]
    sure = record["calibration"]
    assert sure["bins"]["count"][14] == (probabilities.max(axis=1) >= 14 / 15).sum()
    own = np.clip(probabilities[np.arange(10), truth], sure["floor"], 1)
    assert sure["nll"] == pytest.approx(-np.log(own).mean(), rel=1e-6)
    # Two confident mistakes: float32 gives the true class little, uint8 nothing at all; both count as half a step.
    assert sure["floored"] == 2 and probabilities[[2, 8], [truth[2], truth[8]]].max() < 1 / 512
    assert (probabilities[2, truth[2]] == 0) == (recipe == "qat-int8")


def test_a_failed_benchmark_is_one_line_and_writes_no_record(run: Run, int8_path: Path, tmp_path: Path) -> None:
    words = ("--model", int8_path, "--data", tmp_path / "none.npz", "--record", tmp_path / "r.json")
    result = run("benchmark", "accuracy", *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and "no such file" in result.stderr
    assert not (tmp_path / "r.json").exists()


def test_a_record_replaces_records_alone_and_never_its_reference(
    int8_path: Path, pack_path: Path, run: Run, tmp_path: Path
) -> None:
    network = tmp_path / "m.tflite"
    network.write_bytes(int8_path.read_bytes())
    words = ("benchmark", "accuracy", "--model", network, "--data", pack_path, "--record")
    before = pack_path.read_bytes()
    for name in (network, pack_path):
        result = run(*words, name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"--record: expected a new name, or a record to replace; got {name}, which is no record" in result.stderr
    assert network.read_bytes() == int8_path.read_bytes() and pack_path.read_bytes() == before
    first = tmp_path / "a.json"
    assert run(*words, first).exit_code == run(*words, first).exit_code == 0
    kept = first.read_bytes()
    result = run(*words, first, "--reference", first)
    assert result.exit_code == 2 and "--record: expected another file than those read" in result.stderr
    assert first.read_bytes() == kept
    assert "which is no record" in run("benchmark", "latency", "--model", network, "--record", network).stderr


@pytest.mark.parametrize(
    ("meta", "data", "seen"),
    [
        ({"part": "Training"}, {}, "all"),
        ({"part": "left", "role": "train"}, {}, "all"),
        ({"part": "Training", "role": "other"}, {}, "none"),
        ({"part": "Training", "dataset": "ferplus"}, {}, "all"),
        ({"part": "Training", "dataset": "rafdb"}, {}, "none"),
        ({"part": "train", "dataset": "folder"}, {"name": "folder"}, "all"),
        ({"part": "train", "dataset": "folder", "fingerprint": "other"}, {"name": "folder"}, "none"),
        ({"part": "train", "dataset": "folder"}, {"before": "folder official other"}, "none"),
        ({"part": "train", "dataset": "rafdb"}, {"before": "fer2013 official abc; rafdb official abc; unknown"}, "all"),
        ({"part": "validation"}, {}, "none"),
        ({"part": "validation", "fingerprint": "folders"}, {}, "some"),
        ({"part": "drawn", "role": "validation", "fingerprint": "folders"}, {}, "some"),
        ({"part": "PublicTest", "role": "validation", "fingerprint": "with votes"}, {}, "none"),
        ({"part": "test", "fingerprint": "folders"}, {}, "none"),
        ({"part": "validation", "dataset": "rafdb", "fingerprint": "folders"}, {}, "none"),
        ({"part": "PrivateTest"}, {}, "none"),
        ({"part": "PrivateTest", "protocol": "official"}, {}, "none"),
        ({"part": "test", "protocol": "seed"}, {}, "some"),
        ({"part": "PrivateTest"}, {"protocol": "seed+near4"}, "some"),
        ({"part": "test", "protocol": "seed"}, {"protocol": "seed"}, "none"),
    ],
)
def test_faces_that_the_model_learned_from_are_told(meta: dict[str, str], data: dict[str, str], seen: str) -> None:
    own = {"name": "fer2013", "protocol": "official-dedup", "fingerprint": "f"}
    contract = dataclasses.replace(models.CONTRACT, data={**own, **data})
    known = {"dataset": "fer2013", "part": "test", "protocol": "official-dedup", "fingerprint": "f", **meta}
    pack = Pack(np.zeros((1, 8, 8), np.uint8), np.zeros(1, np.int64), ("sad", "happy"), known)
    assert accuracy.seen_in_training(contract, pack) == seen


def test_an_accuracy_on_training_faces_is_marked_in_record_and_text(run: Run, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 48, 48), np.uint8)
    for part in ("Training", "PrivateTest"):
        meta = {"dataset": "fer2013", "part": part, "fingerprint": "f", "protocol": "official"}
        write_pack(tmp_path / f"{part}.npz", images, np.arange(7), EMOTIONS, meta)
        words = ("benchmark", "accuracy", "--data", tmp_path / f"{part}.npz", "--record", tmp_path / f"{part}.json")
        result = run(*words)
        assert result.exit_code == 0
        assert ("note: the model was trained on these faces" in result.stderr) == (part == "Training")
    assert read_record(tmp_path / "Training.json")["data"]["seen"] == "all"
    assert "seen" not in read_record(tmp_path / "PrivateTest.json")["data"]


@pytest.mark.parametrize(
    ("height", "width", "whole"),
    [(480, 640, True), (60, 80, True), (600, 512, True), (48, 48, False), (900, 900, False), (218, 178, False)],
)
def test_whole_photographs_among_cropped_faces_are_told(
    height: int, width: int, whole: bool, int8_path: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "faces" / "sad").mkdir(parents=True)
    for name, shape in (("1", (height, width, 3)), ("2", (100, 100, 3))):
        cv2.imwrite(str(tmp_path / "faces" / "sad" / f"{name}.png"), np.zeros(shape, np.uint8))
    result = run("benchmark", "accuracy", "--model", int8_path, "--data", tmp_path / "faces")
    assert result.exit_code == 0
    assert ("note: 1 of 2 pictures are large or far from square" in result.stderr) == whole


def test_where_no_record_can_be_written_nothing_is_measured_and_a_late_failure_loses_no_figure(
    int8_path: Path, pack_path: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("benchmark", "accuracy", "--model", int8_path, "--data", pack_path, "--record")
    early = run(*words, pack_path / "a.json")
    assert (early.exit_code, early.stdout) == (1, "")
    target = pack_path / "a.json"
    assert early.stderr.startswith(f"error: expected to write {target}; got: Not a directory; choose another name")

    def full(path: str, record: dict[str, object]) -> None:
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr("edge.benchmarking.records.write_record", full)
    late = run(*words, tmp_path / "a.json")
    assert late.exit_code == 1 and "No space left" in late.stderr and "accuracy 80.00%" in late.stdout


def test_where_the_figures_cannot_be_shown_the_record_is_kept(
    int8_path: Path, pack_path: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.commands.records.click.echo", full)
    target = tmp_path / "a.json"
    result = run("benchmark", "accuracy", "--model", int8_path, "--data", pack_path, "--record", target)
    assert result.exit_code == 1 and read_record(target)["accuracy"] == 0.8


@pytest.mark.parametrize("content", ['{"schema": 1, "name": "a run"}', '{"kind": "conversion"}', "{", "[]", "text"])
def test_what_is_no_record_is_not_replaced_by_one(
    content: str, int8_path: Path, pack_path: Path, run: Run, tmp_path: Path
) -> None:
    words = ("benchmark", "accuracy", "--model", int8_path, "--data", pack_path, "--record")
    (tmp_path / "run.json").write_text(content)
    result = run(*words, tmp_path / "run.json")
    assert (result.exit_code, result.stdout) == (2, "") and "which is no record" in result.stderr
    assert (tmp_path / "run.json").read_text() == content
    unnamed = run(*words, "")
    assert (unnamed.exit_code, unnamed.stdout) == (2, "") and "got an empty name" in unnamed.stderr
    (tmp_path / "empty.json").touch()
    assert run(*words, tmp_path / "empty.json").exit_code == 0
