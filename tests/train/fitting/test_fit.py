"""The training loop: it learns, keeps the best, stops early, and goes on after it was killed."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from edge.errors import DataError
from edge.files import sha256_of
from tests.train.conftest import tiny_model
from tests.train.models import dropping_model
from train.augmentation.augment import NONE
from train.datasets import Dataset
from train.fitting.checkpoint import Report
from train.fitting.fit import train_run
from train.fitting.state import load_progress, save_state
from train.recipes import Phase, Recipe, recipe
from train.runs import load_model, load_run

SHORT = Recipe(
    "short",
    (Phase("head", 1, 1e-2, "head"), Phase("whole", 3, 1e-2, "all", NONE)),
    size=32,
    batch=8,
    label_smoothing=0.0,
)


def _rows(run: Path) -> list[dict[str, str]]:
    with open(run / "history.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def _fit(
    run: Path, faces: Dataset, recipe: Recipe = SHORT, make: Callable[[], keras.Model] = tiny_model, **options: object
) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = make()
    run.mkdir(exist_ok=True)
    train_run(run, model, faces, recipe, verbose=False, **options)  # type: ignore[arg-type]
    return model


def test_run_learns_and_leaves_history_and_best_model(tmp_path: Path, faces: Dataset) -> None:
    longer = dataclasses.replace(SHORT, phases=(Phase("whole", 12, 2e-2, "all"),))
    lines: list[str] = []
    _fit(tmp_path, faces, longer, report=lines.append)
    rows = _rows(tmp_path)
    assert len(rows) == len(lines) == 12
    assert float(rows[-1]["loss"]) < 0.95 * float(rows[0]["loss"])
    best = max(float(row["val_macro_f1"]) for row in rows)
    assert best > 0.25  # chance is 1/7
    assert load_progress(tmp_path).best == pytest.approx(best)  # type: ignore[union-attr]


def test_head_phase_leaves_the_backbone_alone_and_the_whole_phase_does_not(tmp_path: Path, faces: Dataset) -> None:
    keras.utils.set_random_seed(1)
    before = tiny_model().get_weights()
    head_only = dataclasses.replace(SHORT, phases=SHORT.phases[:1])
    after = _fit(tmp_path / "head", faces, head_only).get_weights()
    assert all(np.array_equal(b, a) for b, a in zip(before[:-2], after[:-2], strict=True))
    assert not np.array_equal(before[-2], after[-2])
    whole = _fit(tmp_path / "whole", faces).get_weights()
    assert not np.array_equal(before[0], whole[0])


def test_best_checkpoint_is_kept_and_a_worse_epoch_does_not_replace_it(tmp_path: Path, faces: Dataset) -> None:
    ruinous = dataclasses.replace(SHORT, phases=(Phase("good", 6, 2e-2, "all"), Phase("ruin", 1, 1e3, "all")))
    _fit(tmp_path, faces, ruinous)
    rows = _rows(tmp_path)
    assert float(rows[-1]["val_macro_f1"]) < max(float(row["val_macro_f1"]) for row in rows)
    kept = load_model(tmp_path / "model.keras")
    from train.evaluation.metrics import summarize
    from train.evaluation.predict import predict

    part = faces.part("validation")
    summary = summarize(part.labels, predict(kept, part.images), faces.labels)
    assert summary["macro_f1"] == pytest.approx(max(float(row["val_macro_f1"]) for row in rows))


def test_phase_ends_when_the_figure_no_longer_improves(tmp_path: Path, faces: Dataset) -> None:
    still = dataclasses.replace(SHORT, phases=(Phase("whole", 9, 1e-9, "all"),), patience=2)
    _fit(tmp_path, faces, still)
    assert len(_rows(tmp_path)) < 9


class Killed(BaseException):
    """Stands for a signal that ends the process between two epochs."""


def _kill_after(count: int) -> Report:
    lines: list[str] = []

    def kill(line: str) -> None:
        lines.append(line)
        if len(lines) == count:
            raise Killed

    return kill


def test_killed_run_goes_on_where_it_was_and_ends_like_an_unbroken_one(tmp_path: Path, faces: Dataset) -> None:
    whole = _fit(tmp_path / "whole", faces, make=dropping_model).get_weights()
    with pytest.raises(Killed):
        _fit(tmp_path / "broken", faces, make=dropping_model, report=_kill_after(2))
    before = _rows(tmp_path / "broken")
    assert [(row["phase"], row["epoch"]) for row in before] == [("head", "1"), ("whole", "1")]
    shutil.copytree(tmp_path / "broken", tmp_path / "forgetful")
    resumed = _fit(tmp_path / "broken", faces, make=dropping_model, resume=True).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))
    assert [row["epoch"] for row in _rows(tmp_path / "broken")] == ["1", "1", "2", "3"]
    for a, b in zip(_rows(tmp_path / "whole"), _rows(tmp_path / "broken"), strict=True):
        assert (a["loss"], a["learning_rate"], a["val_loss"]) == (b["loss"], b["learning_rate"], b["val_loss"])
    with np.load(tmp_path / "forgetful" / "state.npz") as state:
        arrays = {key: np.zeros_like(state[key]) if key.startswith("random/") else state[key] for key in state.files}
    np.savez(tmp_path / "forgetful" / "state.npz", **arrays)
    other = _fit(tmp_path / "forgetful", faces, make=dropping_model, resume=True).get_weights()
    assert not all(np.array_equal(a, b) for a, b in zip(whole, other, strict=True))


@pytest.mark.parametrize("after_the_state", [False, True])
def test_run_killed_beside_its_state_in_a_later_phase_ends_like_an_unbroken_one(
    after_the_state: bool, tmp_path: Path, faces: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    always = iter(range(100))

    def better(*_: object) -> dict[str, float]:  # every epoch is the best so far, and writes its model
        return dict.fromkeys(("macro_f1", "accuracy", "weighted_f1", "negative_log_likelihood"), next(always) / 100)

    monkeypatch.setattr("train.fitting.checkpoint.summarize", better)
    whole = _fit(tmp_path / "whole", faces, make=dropping_model).get_weights()
    saved = []

    def dying(*arguments: object) -> None:
        saved.append(arguments)
        if len(saved) == 2 and not after_the_state:
            raise Killed
        save_state(*arguments)  # type: ignore[arg-type]
        if len(saved) == 2:
            raise Killed

    with monkeypatch.context() as killing, pytest.raises(Killed):
        killing.setattr("train.fitting.checkpoint.save_state", dying)
        _fit(tmp_path / "broken", faces, make=dropping_model)
    progress = load_progress(tmp_path / "broken")
    assert progress is not None
    assert (progress.phase, progress.epoch) == ((1, 1) if after_the_state else (0, 1))
    resumed = _fit(tmp_path / "broken", faces, make=dropping_model, resume=True).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))
    kept = [load_model(tmp_path / name / "model.keras").get_weights() for name in ("whole", "broken")]
    assert all(np.array_equal(a, b) for a, b in zip(*kept, strict=True))
    left = [sorted(file.name for file in (tmp_path / name).iterdir()) for name in ("whole", "broken")]
    assert left[0] == left[1] == ["history.csv", "model.keras", "state.npz"]


def test_state_of_an_earlier_version_goes_on_from_its_model(tmp_path: Path, faces: Dataset) -> None:
    with pytest.raises(Killed):
        _fit(tmp_path, faces, make=dropping_model, report=_kill_after(1))
    with np.load(tmp_path / "state.npz") as state:
        arrays = {name: state[name] for name in state.files}
    progress = json.loads(str(arrays["progress"]))
    assert progress.pop("model_sha256") == sha256_of(tmp_path / "model.keras")
    np.savez(tmp_path / "state.npz", allow_pickle=False, **arrays | {"progress": np.array(json.dumps(progress))})
    before = (tmp_path / "model.keras").read_bytes()
    (tmp_path / "model-next.keras").write_bytes(b"of an epoch that has no state")
    models: list[bytes] = []
    head = dataclasses.replace(SHORT, phases=SHORT.phases[:1])
    _fit(tmp_path, faces, head, dropping_model, resume=True, report=lambda _: models.append(b""))
    assert models == []  # the head phase was done
    assert (tmp_path / "model.keras").read_bytes() == before
    assert not (tmp_path / "model-next.keras").exists()


def test_finished_run_is_not_trained_again(tmp_path: Path, faces: Dataset) -> None:
    _fit(tmp_path, faces)
    lines: list[str] = []
    _fit(tmp_path, faces, resume=True, report=lines.append)
    assert lines == []


def test_accelerator_s_augmentation_trains_the_same_model(tmp_path: Path, faces: Dataset) -> None:
    _fit(tmp_path, faces, on_device=True)
    model = load_model(tmp_path / "model.keras")
    assert len(model.inputs) == 1
    assert len(_rows(tmp_path)) == 4


def test_saved_model_holds_no_optimizer_state(tmp_path: Path, faces: Dataset) -> None:
    _fit(tmp_path, faces)
    with zipfile.ZipFile(tmp_path / "model.keras") as kept:
        (tmp_path / "weights.h5").write_bytes(kept.read("model.weights.h5"))
        assert json.loads(kept.read("config.json"))["compile_config"] == {}
    with h5py.File(tmp_path / "weights.h5") as weights:
        assert "layers" in weights
        assert "optimizer" not in weights


def test_recipe_survives_json_and_refuses_nonsense() -> None:
    seed = recipe("fer2013-two-phase")
    assert Recipe.from_json(seed.to_json()) == seed
    assert [phase.trainable for phase in seed.phases] == ["head", "all"]
    assert seed.phases[1].learning_rate < seed.phases[0].learning_rate
    with pytest.raises(DataError, match="unknown recipe 'x'; known: fer2013-two-phase"):
        recipe("x")
    with pytest.raises(DataError, match="expected class weights none, sqrt, balanced"):
        dataclasses.replace(seed, class_weights="heavy")
    with pytest.raises(DataError, match="at least one epoch"):
        dataclasses.replace(seed, phases=(Phase("a", 0, 1, "all"),))


def test_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a run folder with run\.json"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(DataError, match="expected JSON"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError, match="no schema, name"):
        load_run(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"a zip.*got 4 bytes that are none"):
        load_model(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as other:
        other.writestr("a.txt", "no model")
    with pytest.raises(DataError, match="expected a Keras model in"):
        load_model(tmp_path / "model.keras")
