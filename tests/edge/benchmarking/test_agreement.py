"""A reference record beside a model: figures worked out by hand, and the records that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from edge.benchmarking import accuracy, agreement
from edge.benchmarking.records import read_record, write_record
from edge.errors import DataError
from edge.files import sha256_of
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import read_model
from edge.pictures.packs import Pack, write_pack
from tests.edge import models
from tests.edge.conftest import Run

META = {"dataset": "colours", "part": "test", "fingerprint": "sha256:2"}
COLOURS = [models.RED] * 3 + [models.GREEN] * 3 + [models.BLUE] * 2
LABELS = np.array([0, 0, 1, 1, 1, 1, 2, 1])
CLASSES = ("angry", "happy", "sad")


def pack(**meta: str) -> Pack:
    images = np.stack([models.face(colour, 24) for colour in COLOURS])
    return Pack(images, LABELS, CLASSES, {**META, **meta})


def record_of(path: Path, faces: Pack, reference: Path | None = None) -> dict[str, Any]:
    one = Classifier(read_model(path), 1)
    return accuracy.accuracy_record(one, faces, "p.npz", ["fer-edge"], None if reference is None else str(reference))


@pytest.fixture(scope="module")
def reference(model_paths: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float model's record on the faces."""
    path = tmp_path_factory.mktemp("reference") / "float32.json"
    write_record(path, record_of(model_paths["float32"], pack()))
    return path


def test_a_comparison_worked_out_by_hand() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    before = np.array([0, 0, 0, 1, 1, 1, 1, 1, 0, 0])  # 7 right
    after = np.array([0, 0, 1, 1, 1, 1, 1, 1, 1, 2])  # 7 right: one lost, one gained, one wrong in another way
    found = agreement.comparison(agreement.Reference({"file": "r"}, before), after, truth, ("a", "b", "c"))
    assert found["file"] == "r" and found["agreement"] == pytest.approx(0.7)
    assert found["agreement_ci95"][0] < 0.7 < found["agreement_ci95"][1]
    assert (found["only_this"], found["only_reference"], found["p_value"]) == (1, 1, 1.0)
    assert found["accuracy"] == 0.7 and found["difference_points"] == 0
    assert found["difference_ci95"][0] < 0 < found["difference_ci95"][1]
    # The third class never occurs: that one answer names it does not make it count.
    scores = [f1_score(truth, answers, average="macro", labels=[0, 1]) for answers in (after, before)]
    assert found["macro_f1_difference_points"] == pytest.approx(100 * (scores[0] - scores[1]))
    a, b = found["per_class"]["a"], found["per_class"]["b"]
    assert (a["support"], a["only_this"], a["only_reference"]) == (4, 0, 1)
    assert a["recall_change_points"] == pytest.approx(-25) and a["agreement"] == 0.75
    # F1 of a: 2·2/(2·2 + 0 + 2) = 2/3 after, 2·3/(2·3 + 2 + 1) = 2/3 before.
    assert a["f1_change_points"] == pytest.approx(0)
    assert b["recall_change_points"] == pytest.approx(100 / 6)
    assert b["f1_change_points"] == pytest.approx(100 * (10 / 13 - 8 / 11))
    assert found["per_class"]["c"] == {
        "support": 0, "f1_change_points": 0, "agreement": None, "recall_change_points": None,
        "recall_change_ci95": None, "only_this": 0, "only_reference": 0,
    }  # fmt: skip


def test_a_model_that_answers_as_the_reference_differs_by_nothing() -> None:
    truth = np.array([0, 1, 2, 1, 0])
    answers = np.array([0, 1, 1, 1, 2])
    found = agreement.comparison(agreement.Reference({}, answers), answers, truth, ("a", "b", "c"))
    assert found["agreement"] == 1 and found["p_value"] == 1
    assert found["difference_points"] == 0 and found["macro_f1_difference_ci95"] == [0, 0]
    low, high = found["difference_ci95"]
    assert low == -high and high > 40  # of five faces
    assert 0.5 < found["agreement_ci95"][0] < 0.6 and found["agreement_ci95"][1] == 1


def test_a_gain_of_this_model_is_a_plus() -> None:
    truth, before, after = np.zeros(20, int), np.ones(20, int), np.zeros(20, int)
    found = agreement.comparison(agreement.Reference({}, before), after, truth, ("a", "b"))
    assert found["difference_points"] == 100 and (found["only_this"], found["only_reference"]) == (20, 0)
    assert found["p_value"] == pytest.approx(2 / 2**20)


def test_the_record_and_the_terminal_say_what_the_reference_is(
    run: Run, model_paths: dict[str, Path], reference: Path, tmp_path: Path
) -> None:
    faces, target = pack(), tmp_path / "int8.json"
    write_pack(tmp_path / "p.npz", faces.images, faces.labels, faces.classes, faces.meta)
    words = ("--model", model_paths["qat-int8"], "--data", tmp_path / "p.npz", "--reference", reference)
    result = run("benchmark", "accuracy", *words, "--record", target)
    assert (result.exit_code, result.stderr) == (0, "")
    block, other = read_record(target)["reference"], read_record(reference)
    assert (block["file"], block["sha256"]) == (str(reference), sha256_of(reference))
    assert (block["model"], block["created"]) == (other["model"], other["created"])
    assert block["agreement"] == 1 and block["accuracy"] == other["accuracy"] == 0.75
    assert f"against colours (float32) in {reference}" in result.stdout
    assert "the same answer on 100.00%" in result.stdout and "McNemar p = 1 " in result.stdout
    assert " surprise " not in result.stdout.partition("against")[2]  # a class without faces has no change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"kind": "latency"}, "expected the field samples_ms"),
        ({"labels": ["angry", "sad"]}, r"expected the labels angry, disgust, .*; got angry, sad; measure both"),
        ({"labels": None}, r"expected the labels angry, .*; got None"),
        ({"data": {"part": "train"}}, r"the same faces \(part test\); got part train"),
        ({"data": {"samples": 7}}, r"the same faces \(samples 8\); got samples 7"),
        ({"data": {"fingerprint": "sha256:3"}}, r"the same faces \(fingerprint sha256:2\); got fingerprint sha256:3"),
        ({"data": {"content_sha256": "0" * 64}}, r"the same faces \(content_sha256 .*\); got content_sha256 0000"),
        ({"model": {"name": "colours"}}, r"expected a model with name, recipe, sha256; got \{'name': 'colours'\}"),
        ({"model": "colours"}, "expected a model with name, recipe, sha256; got colours"),
        ({"data": None}, r"the same faces \(part test\); got part None"),
        ({"truth": "0033334430"}, "expected the same true classes in the same order; got others"),
        ({"predictions": "0003334"}, "expected 8 predictions, each one of 0123456; got others"),
        ({"predictions": "00033347"}, "expected 8 predictions, each one of 0123456; got others"),
        ({"predictions": 8}, "expected 8 predictions"),
    ],
)
def test_a_record_of_something_else_is_refused_before_anything_runs(
    change: dict[str, Any],
    text: str,
    reference: Path,
    model_paths: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = json.loads(reference.read_text())
    changed = {**record, **change}
    if change.get("data"):
        changed["data"] = {**record["data"], **change["data"]}
    (tmp_path / "r.json").write_text(json.dumps(changed))
    monkeypatch.setattr(Classifier, "infer", lambda *_: pytest.fail("an inference before the reference was checked"))
    with pytest.raises(DataError, match=text):
        record_of(model_paths["qat-int8"], pack(), tmp_path / "r.json")


def test_a_latency_record_is_no_reference(run: Run, int8_path: Path, tmp_path: Path) -> None:
    faces = pack()
    write_pack(tmp_path / "p.npz", faces.images, faces.labels, faces.classes, faces.meta)
    timed = run("benchmark", "latency", "--model", int8_path, "--runs", 3, "--record", tmp_path / "l.json")
    assert timed.exit_code == 0, timed.stderr
    words = ("--model", int8_path, "--data", tmp_path / "p.npz", "--reference", tmp_path / "l.json")
    result = run("benchmark", "accuracy", *words)
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert "l.json: expected an accuracy record as the reference; got kind latency; measure both" in result.stderr


def test_a_record_from_before_contents_were_kept_is_still_a_reference(
    reference: Path, model_paths: dict[str, Path], tmp_path: Path
) -> None:
    record = json.loads(reference.read_text())
    for key in ("calibration", "macro_f1_ci95"):
        del record[key]
    del record["data"]["content_sha256"]
    write_record(tmp_path / "old.json", record)
    assert record_of(model_paths["qat-int8"], pack(), tmp_path / "old.json")["reference"]["agreement"] == 1


def test_changed_pictures_under_the_old_fingerprint_are_other_faces(
    reference: Path, model_paths: dict[str, Path]
) -> None:
    faces = pack()
    faces.images[0, 0, 0, 0] ^= 1
    with pytest.raises(DataError, match="content_sha256"):
        record_of(model_paths["qat-int8"], faces, reference)
