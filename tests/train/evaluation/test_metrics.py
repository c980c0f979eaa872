"""Metrics and TTA against numbers worked out by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edge.benchmarking.statistics import confusion_matrix, macro_f1
from edge.errors import DataError
from edge.pictures.preprocess import fit
from tests.train.conftest import tiny_model
from train.augmentation.augment import warp
from train.datasets import Dataset
from train.datasets.mapping import as_colour, map_labels
from train.evaluation.calibration import softmax
from train.evaluation.metrics import class_table, summarize
from train.evaluation.predict import predict, predict_logits, predict_views, views


def test_summary_of_four_samples_is_as_worked_out_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    summary = summarize(labels, probabilities, ("no", "yes"))
    # no: precision 1/1, recall 1/2, F1 2/3; yes: precision 2/3, recall 2/2, F1 4/5.
    assert summary["accuracy"] == 0.75
    assert summary["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert summary["per_class"]["yes"] == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(0.8),
        "support": 2,
    }
    assert summary["confusion"] == [[1, 1], [0, 2]]
    assert summary["negative_log_likelihood"] == pytest.approx(-np.log([0.9, 0.2, 0.6, 0.7]).mean())
    assert summary["ci95"][0] <= 0.75 <= summary["ci95"][1]
    assert "| 1 yes | 0.667 | 1.000 | 0.800 | 2 |" in class_table(summary)


def test_class_that_never_occurs_does_not_pull_macro_f1_down() -> None:
    summary = summarize(np.array([0, 1]), np.eye(3)[:2], ("a", "b", "c"))
    assert summary["macro_f1"] == 1.0
    assert summary["per_class"]["c"]["support"] == 0


def test_summary_has_the_calibration_error_and_the_interval_of_macro_f1() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    summary = summarize(labels, probabilities, ("no", "yes"))
    # one sample a bin: sure by 0.9, 0.8, 0.6, 0.7; right, wrong, right, right
    assert summary["ece"] == pytest.approx((0.1 + 0.8 + 0.4 + 0.3) / 4)
    low, high = summary["macro_f1_ci95"]
    assert 0 <= low < summary["macro_f1"] < high <= 1
    assert summarize(labels, np.eye(2)[labels], ("no", "yes"))["macro_f1_ci95"] == [1.0, 1.0]


@pytest.mark.parametrize(("used", "answered"), [(5, 5), (4, 5), (3, 3), (5, 2)])
def test_macro_f1_is_that_of_the_device_whatever_classes_are_absent(used: int, answered: int) -> None:
    generator = np.random.default_rng(used)
    labels, answers = generator.integers(0, used, 300), generator.integers(0, answered, 300)
    summary = summarize(labels, np.eye(5)[answers], tuple("abcde"))
    assert summary["macro_f1"] == pytest.approx(macro_f1(confusion_matrix(labels, answers, 5)))
    low, high = summary["macro_f1_ci95"]
    assert low < summary["macro_f1"] < high


def test_views_of_tta_start_with_the_picture_itself() -> None:
    assert [len(views(kind)) for kind in ("none", "flip", "crops")] == [1, 2, 10]
    assert all(np.allclose(views(kind)[0], np.eye(3)[:2]) for kind in ("none", "flip", "crops"))
    assert np.linalg.det(views("flip")[1][:, :2]) == pytest.approx(-1)
    with pytest.raises(DataError, match="expected TTA none, flip, crops; got 'all'"):
        views("all")


def test_flip_tta_makes_a_picture_and_its_mirror_equal(faces: Dataset) -> None:
    model = tiny_model()
    images = faces.parts["test"].images[:5]
    mirrored = images[:, :, ::-1]
    assert np.allclose(predict(model, images, "flip"), predict(model, mirrored, "flip"), atol=1e-4)
    assert not np.allclose(predict(model, images), predict(model, mirrored), atol=1e-4)


def test_first_view_of_tta_is_the_single_view_and_the_mean_is_of_probabilities(faces: Dataset) -> None:
    model = tiny_model()
    head = model.get_layer("logits")
    head.set_weights([50 * weight for weight in head.get_weights()])  # sure enough for the two means to differ
    images = faces.parts["test"].images[:5]
    found = predict_views(model, images, "flip")
    assert np.array_equal(found[0], predict_logits(model, images))
    assert np.allclose(predict(model, images, "flip"), (softmax(found[0]) + softmax(found[1])) / 2)
    assert not np.allclose(predict(model, images, "flip"), softmax(found.mean(axis=0)), atol=1e-6)


def test_predictions_do_not_depend_on_the_batch(faces: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    images = faces.parts["test"].images[:5]
    whole = predict_logits(model, images)
    monkeypatch.setattr("train.evaluation.predict.BATCH", 2)
    assert np.allclose(predict_logits(model, images), whole, atol=1e-5)
    assert np.allclose(softmax(np.array([[0.0, np.log(3)]])), [[0.25, 0.75]])


def test_labels_are_mapped_by_name_and_unknown_ones_refused() -> None:
    assert map_labels(np.array([0, 1]), ("sad", "happy"), ("angry", "happy", "sad")).tolist() == [2, 1]
    with pytest.raises(DataError, match="also has contempt"):
        map_labels(np.array([0]), ("contempt",), ("angry",))


def test_grey_is_the_luminance_of_the_colours() -> None:
    red = np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 0] = 200
    assert as_colour(red, "grey").tolist() == [[[60, 60], [60, 60]]]
    assert as_colour(red, "rgb") is red


def test_single_view_is_resampled_as_on_the_device(faces: Dataset) -> None:
    passing = keras.Input((64, 64, 3))
    pixels = keras.Model(passing, keras.layers.Flatten()(passing))
    image = faces.parts["test"].images[0]
    seen = predict_logits(pixels, image[None]).reshape(64, 64, 3)
    assert np.array_equal(seen, fit(image, 64, 64))
    assert not np.array_equal(seen, warp(image[None], views("none"), 64, 64)[0])
