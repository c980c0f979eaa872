"""What a fit may be told beyond its phases: averaged weights, votes, teachers, 16 bits, logs; and a lost loss."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edge.errors import DataError
from tests.conftest import require
from tests.train.conftest import tiny_model
from tests.train.models import dropping_model
from train.augmentation.augment import NONE
from train.augmentation.batches import Batches
from train.datasets import Dataset, Part
from train.evaluation.predict import predict_logits
from train.fitting.averaging import Statistics, averaged, needs_statistics
from train.fitting.distill import with_teacher
from train.fitting.fit import check_tensorboard, soft_targets, train_run
from train.fitting.state import load_progress
from train.networks.building import set_trainable
from train.networks.precision import at_precision
from train.recipes import Phase, Recipe
from train.runs import load_model

PHASE = Phase("whole", 2, 1e-2, "all")
SHORT = Recipe("short", (PHASE,), size=32, batch=8, label_smoothing=0.0)


def _fit(run: Path, faces: Dataset, recipe: Recipe, model: keras.Model | None = None, **options: object) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = model or tiny_model()
    run.mkdir(exist_ok=True)
    train_run(run, model, faces, recipe, verbose=False, **options)  # type: ignore[arg-type]
    return model


def _rows(run: Path) -> list[dict[str, str]]:
    with open(run / "history.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def test_moving_average_is_what_is_measured_and_saved_and_the_training_goes_on_without_it() -> None:
    model = tiny_model()
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    optimizer.build(model.trainable_variables)
    bias = model.get_layer("logits").bias
    gradients = [keras.ops.zeros(v.shape) for v in model.trainable_variables[:-1]] + [keras.ops.ones(7)]
    seen = []
    for _ in range(3):
        optimizer.apply(gradients)
        seen.append(averaged(model, model, optimizer)[-1][0])
    # The bias walks 0, −1, −2, −3; the average starts at the first step's result: −1, (−1 − 2)/2, (−1.5 − 3)/2.
    assert seen == pytest.approx([-1.0, -1.5, -2.25])
    assert keras.ops.convert_to_numpy(bias)[0] == -3.0


def test_statistics_are_those_of_the_given_weights_and_frozen_ones_stay(faces: Dataset) -> None:
    part = faces.part("train")
    targets, ones = np.eye(7, dtype=np.float32)[part.labels], np.ones(len(part), np.float32)
    batches = Batches(part.images, targets, ones, size=(32, 32), batch=56, augment=NONE, seed=1)
    model = tiny_model()
    assert needs_statistics(model)
    weights = [np.zeros_like(w) for w in model.get_weights()]
    weights[0][1, 1, 0, 0] = 1.0  # filter 0 passes the red channel on: (red − 128)/128 of every second pixel
    taken = Statistics(model, PHASE, batches, False, 0)(weights)
    red = (batches[0][0][:, 1::2, 1::2, 0].astype(np.float64) - 128) / 128
    left = 0.8**20  # of the zeros that the statistics started with; the one batch passes 20 times
    assert taken[3][0] == pytest.approx((1 - left) * red.mean(), abs=0.02)
    assert taken[4][0] == pytest.approx((1 - left) * red.var(), abs=0.02)
    assert all(np.array_equal(taken[i], weights[i]) for i in (0, 1, 2, 5, 6))
    frozen = Statistics(model, dataclasses.replace(PHASE, trainable="head"), batches, False, 0)(weights)
    assert all(np.array_equal(a, b) for a, b in zip(frozen, weights, strict=True))
    set_trainable(model, "head")
    assert not needs_statistics(model)


def test_statistics_of_nested_networks_are_taken_anew_too_from_however_few_batches(faces: Dataset) -> None:
    inner = keras.Input((32, 32, 3))
    body = keras.Model(inner, keras.layers.BatchNormalization(name="bn")(inner), name="body")  # momentum 0.99
    pictures = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(body(keras.layers.Rescaling(1 / 128, offset=-1.0)(pictures)))
    model = keras.Model(pictures, keras.layers.Dense(7, name="logits")(x))
    assert [weight.name for weight in model.weights][2] == "moving_mean"
    part = faces.part("train")
    targets, ones = np.eye(7, dtype=np.float32)[part.labels], np.ones(len(part), np.float32)
    batches = Batches(part.images, targets, ones, size=(32, 32), batch=14, augment=NONE, seed=1)
    assert len(batches) == 4
    statistics = Statistics(model, PHASE, batches, False, 0)
    taken = []
    for before in (0.0, 1.0):
        weights = model.get_weights()
        weights[2][:] = before
        taken.append(statistics(weights)[2])
    assert taken[1] - taken[0] == pytest.approx(np.full(3, 0.8**20), abs=1e-4)  # what is left of the old mean
    assert model.get_layer("body").get_layer("bn").momentum == 0.99


def test_averaged_run_saves_other_weights_than_it_trains_with(tmp_path: Path, faces: Dataset) -> None:
    plain = _fit(tmp_path / "plain", faces, SHORT)
    average = _fit(tmp_path / "average", faces, dataclasses.replace(SHORT, ema=0.9))
    assert _rows(tmp_path / "plain")[0]["loss"] == _rows(tmp_path / "average")[0]["loss"]  # the same steps
    saved = load_model(tmp_path / "average" / "model.keras").get_weights()
    assert not np.array_equal(saved[0], plain.get_weights()[0])
    with np.load(tmp_path / "average" / "state.npz") as state:
        assert json.loads(str(state["progress"]))["finished"]
    del average


def test_loss_that_is_lost_stops_the_run_and_keeps_the_best_model_and_the_last_good_state(
    tmp_path: Path, faces: Dataset
) -> None:
    good = dataclasses.replace(SHORT, phases=(PHASE, Phase("ruin", 3, 1e38, "all")))
    before: list[bytes] = []
    with pytest.raises(DataError, match=r"finite (loss|output) in epoch 1 of the phase ruin.*lower --learning-rate"):
        _fit(tmp_path, faces, good, report=lambda _: before.append((tmp_path / "model.keras").read_bytes()))
    assert len(before) == len(_rows(tmp_path)) == 2
    assert (tmp_path / "model.keras").read_bytes() == before[-1]
    progress = load_progress(tmp_path)
    assert progress is not None
    assert (progress.phase, progress.epoch, progress.finished) == (0, 2, False)
    with np.load(tmp_path / "state.npz") as state:
        assert all(np.isfinite(state[key]).all() for key in state.files if key != "progress")


def test_weights_that_are_lost_after_the_last_step_are_not_kept_either(tmp_path: Path, faces: Dataset) -> None:
    one_step = dataclasses.replace(SHORT, phases=(Phase("ruin", 1, 3e38, "all"),), batch=56)
    with pytest.raises(DataError, match=r"finite output in epoch 1 .*no model is kept"):
        _fit(tmp_path, faces, one_step)
    assert list(tmp_path.iterdir()) == []


def test_bad_starting_weights_are_met_in_the_first_epoch(tmp_path: Path, faces: Dataset) -> None:
    model = tiny_model()
    model.get_layer("logits").bias.assign(np.full(7, np.nan, np.float32))
    with pytest.raises(DataError, match=r"finite loss in epoch 1 .*check --weights; no model is kept"):
        _fit(tmp_path, faces, SHORT, model)
    assert list(tmp_path.iterdir()) == []


def test_votes_are_the_targets_where_a_picture_has_some_and_its_label_where_it_has_none() -> None:
    votes = np.array([[0.0, 0.7, 0.3], [0.0, 0.0, 0.0]], np.float32)
    part = Part(np.zeros((2, 4, 4), np.uint8), np.array([0, 2]), votes)
    assert np.array_equal(soft_targets(part, 3, "votes"), np.array([[0, 0.7, 0.3], [0, 0, 1]], np.float32))
    shared = soft_targets(part, 3, "votes", 0.25)  # a quarter of (0, 0.7, 0.3) and three of (1, 0, 0)
    wanted = np.array([[0.75, 0.175, 0.075], [0, 0, 1]])
    assert np.allclose(shared, wanted) and shared.dtype == np.float32
    assert soft_targets(part, 3, "labels").tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(DataError, match="expected annotators' votes in the data set"):
        soft_targets(Part(part.images, part.labels), 3, "votes")


def test_teachers_logits_stand_behind_the_student_s_and_only_the_student_trains() -> None:
    student, small, large = tiny_model(), dropping_model(), tiny_model(side=48)
    both = with_teacher(student, [small, large])
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)
    out = keras.ops.convert_to_numpy(both(pictures, training=False))
    alone = keras.ops.convert_to_numpy(student(pictures, training=False))
    in_training = keras.ops.convert_to_numpy(both(pictures, training=True))
    resized = keras.ops.image.resize(pictures, (48, 48), interpolation="bilinear", antialias=True)
    views = (small(pictures, training=False), large(resized, training=False))
    mean = sum(keras.ops.convert_to_numpy(view) for view in views) / 2
    assert out.shape == (3, 14)
    assert np.allclose(out[:, :7], alone, atol=1e-5)
    assert np.allclose(out[:, 7:], mean, atol=1e-5)
    assert np.array_equal(in_training[:, 7:], out[:, 7:])  # no dropout, no batch statistics
    assert not np.array_equal(in_training[:, :7], out[:, :7])
    assert {id(v) for v in both.trainable_variables} == {id(v) for v in student.trainable_variables}


def test_student_of_a_teacher_alone_comes_to_agree_with_it(tmp_path: Path, faces: Dataset) -> None:
    teacher = tiny_model()
    teacher.get_layer("logits").bias.assign(np.array([0, 0, 0, 0, 0, 0, 5], np.float32))  # says neutral to everything
    kept = [w.copy() for w in teacher.get_weights()]
    only = dataclasses.replace(SHORT, distillation_weight=1.0, phases=(Phase("whole", 3, 3e-2, "all"),))
    student = _fit(tmp_path, faces, only, teachers=[teacher])
    pictures = faces.part("validation").images
    assert (predict_logits(student, pictures).argmax(axis=1) == 6).all()
    assert all(np.array_equal(a, b) for a, b in zip(kept, teacher.get_weights(), strict=True))
    assert len(load_model(tmp_path / "model.keras").outputs[0].shape) == 2
    assert load_model(tmp_path / "model.keras").outputs[0].shape[-1] == 7


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_run_in_16_bits_saves_a_plain_float32_model(precision: str, tmp_path: Path, faces: Dataset) -> None:
    fast = at_precision(tiny_model(), precision)
    assert fast.get_layer("stem_conv").compute_dtype == precision
    assert fast.get_layer("stem_conv").variable_dtype == "float32"
    assert fast.get_layer("logits").compute_dtype == "float32"
    _fit(tmp_path, faces, SHORT, precision=precision)
    saved = load_model(tmp_path / "model.keras")
    assert {layer.dtype_policy.name for layer in saved.layers} == {"float32"}
    rows = _rows(tmp_path)
    part = faces.part("validation")
    best = max(float(row["val_macro_f1"]) for row in rows)
    from train.evaluation.metrics import summarize
    from train.evaluation.predict import predict

    assert summarize(part.labels, predict(saved, part.images), faces.labels)["macro_f1"] == pytest.approx(best)


def test_tensorboard_gets_a_folder_a_phase(tmp_path: Path, faces: Dataset) -> None:
    require("tensorboard")
    check_tensorboard()
    _fit(tmp_path, faces, SHORT, tensorboard=True)
    assert list((tmp_path / "tensorboard" / "0-whole").rglob("events.out.tfevents.*"))


def test_tensorboard_without_tensorflow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.fitting.fit.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install tensorflow tensorboard, or leave --tensorboard out"):
        check_tensorboard()


def test_frozen_share_stays_as_it_was(tmp_path: Path, faces: Dataset) -> None:
    keras.utils.set_random_seed(1)
    before = tiny_model().get_weights()
    half = dataclasses.replace(SHORT, phases=(dataclasses.replace(PHASE, freeze=0.5),))  # of two layers with weights
    after = _fit(tmp_path, faces, half).get_weights()
    assert np.array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])


def test_the_accuracy_of_training_counts_every_picture_alike(tmp_path: Path, faces: Dataset) -> None:
    part = faces.part("train")
    rare = Part(part.images[part.labels < 2], part.labels[part.labels < 2]).take(np.arange(12))
    skewed = dataclasses.replace(faces, parts={**faces.parts, faces.roles["train"]: rare})
    still = Phase("whole", 1, 1e-30, "all")  # the weights stay, so that the network says what it said
    recipe = dataclasses.replace(SHORT, phases=(still,), batch=len(rare), class_weights="balanced", dropout=0.0)
    keras.utils.set_random_seed(1)
    model = tiny_model()
    model.get_layer("logits").bias.assign([50, 0, 0, 0, 0, 0, 0])
    _fit(tmp_path, skewed, recipe, model)
    assert float(_rows(tmp_path)[0]["accuracy"]) == pytest.approx((rare.labels == 0).mean())


def test_class_weights_under_balanced_sampling_have_a_mean_of_one_over_what_is_drawn(
    tmp_path: Path, faces: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    class Watched(Batches):
        def __init__(self, images: np.ndarray, targets: np.ndarray, weights: np.ndarray, **options: Any) -> None:
            seen.append((weights, options["probabilities"]))
            super().__init__(images, targets, weights, **options)

    monkeypatch.setattr("train.fitting.fit.Batches", Watched)
    part = faces.part("train")
    skewed = Part(
        *(np.concatenate([rows, rows[part.labels == 0], rows[part.labels == 0]]) for rows in (part.images, part.labels))
    )
    uneven = dataclasses.replace(faces, parts={**faces.parts, faces.roles["train"]: skewed})
    one = dataclasses.replace(SHORT, phases=(dataclasses.replace(PHASE, epochs=1),), class_weights="sqrt")
    _fit(tmp_path / "balanced", uneven, dataclasses.replace(one, sampling="balanced"))
    _fit(tmp_path / "natural", uneven, one)
    (drawn, probabilities), (natural, none) = seen
    assert float((drawn * probabilities).sum()) == pytest.approx(1, abs=1e-5)
    assert none is None and float(natural.mean()) == pytest.approx(1, abs=1e-5)
    assert np.ptp(drawn) > 0.1


def test_every_setting_of_modern_trains_together(tmp_path: Path, faces: Dataset) -> None:
    from train.recipes import recipe

    modern = recipe("modern")
    short = dataclasses.replace(modern, phases=(dataclasses.replace(modern.phases[0], epochs=2),), size=32, batch=8)
    _fit(tmp_path, faces, dataclasses.replace(short, sampling="balanced"), dropping_model(), teachers=[tiny_model()])
    assert len(_rows(tmp_path)) == 2
