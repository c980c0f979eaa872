"""Batches: what they hold, that they can be repeated, and that Keras' fit sees each of them once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edge.errors import DataError
from train.augmentation.augment import NONE, Augment
from train.augmentation.batches import AHEAD, Batches, augmenting
from train.datasets import Dataset

FULL = Augment(15, 0.1, 0.2, True, 2, 9.0, erasing=0.5, mixup_alpha=0.4, cutmix_alpha=1.0)


def _batches(faces: Dataset, **options: Any) -> Batches:
    part = faces.parts["train"]
    arguments: dict[str, Any] = {"size": (64, 64), "batch": 16, "augment": FULL, "seed": 5} | options
    targets = np.eye(7, dtype=np.float32)[part.labels]
    return Batches(part.images, targets, np.ones(len(part), np.float32), **arguments)


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(np.array_equal(mine, its) for mine, its in zip(one, other, strict=True))


def test_batches_depend_on_seed_and_epoch_alone(faces: Dataset) -> None:
    first, again = _batches(faces), _batches(faces)
    again[2]  # asked in another order
    assert _same(first[0], again[0])
    assert _same(first[1], first.make(1))
    assert not np.array_equal(first[0][0], _batches(faces, seed=6)[0][0])
    first.on_epoch_end()
    assert not np.array_equal(first[0][0], again[0][0])
    assert _same(first[0], _batches(faces, epoch=1)[0])


def test_every_picture_is_seen_once_an_epoch(faces: Dataset) -> None:
    batches = _batches(faces, batch=8, augment=NONE)
    labels = np.concatenate([batches[i][1].argmax(axis=1) for i in range(len(batches))])
    assert np.bincount(labels).tolist() == [8] * 7
    assert len(_batches(faces, batch=10)) == 5  # 56 pictures: the short sixth batch is left out
    assert len(_batches(faces, batch=1000)) == 1


def test_batch_has_the_shapes_and_types_of_the_training_step(faces: Dataset) -> None:
    pictures, targets, weights = _batches(faces)[0]
    assert pictures.shape == (16, 64, 64, 3)
    assert pictures.dtype == np.uint8
    assert (targets.shape, weights.shape) == ((16, 7), (16,))
    assert targets.dtype == weights.dtype == np.float32
    assert np.allclose(targets.sum(axis=1), 1)


def test_device_s_batch_has_the_same_targets_and_small_pictures(faces: Dataset) -> None:
    (pictures, tables, parameters), *rest = _batches(faces, on_device=True)[0]
    assert (pictures.shape, pictures.dtype) == ((16, 48, 48, 3), np.uint8)
    assert (tables.shape, tables.dtype) == ((16, 256), np.uint8)
    assert (parameters.shape, parameters.dtype) == ((16, 16), np.float32)
    made, *same = _batches(faces)[0]
    assert _same(tuple(rest), tuple(same))
    passing = keras.Input((64, 64, 3))
    device = np.asarray(
        augmenting(keras.Model(passing, keras.layers.Identity()(passing)))((pictures, tables, parameters))
    )
    assert np.abs(device - made.astype(np.float32)).mean() < 1
    assert np.abs(device - made[::-1].astype(np.float32)).mean() > 20


def test_soft_targets_and_weights_go_through_where_nothing_is_mixed() -> None:
    targets = np.array([[0.2, 0.8], [0.5, 0.5], [1.0, 0.0]], np.float32)
    weights = np.array([1, 2, 3], np.float32)
    images = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    batches = Batches(images, targets, weights, size=(8, 8), batch=3, augment=NONE, seed=0)
    pictures, got, weighed = batches[0]
    rows = pictures[:, 0, 0, 0]
    assert sorted(rows) == [0, 1, 2]
    assert np.array_equal(got, targets[rows])
    assert np.array_equal(weighed, weights[rows])


def test_mixed_pictures_have_mixed_targets_in_proportion() -> None:
    images = np.stack([np.full((8, 8), grey, np.uint8) for grey in (0, 200)])
    augment = Augment(mixup_alpha=1.0)
    batches = Batches(images, np.eye(2, dtype=np.float32), np.ones(2), size=(8, 8), batch=2, augment=augment, seed=1)
    pictures, targets, _ = batches[0]
    assert 0.05 < targets[0, 1] < 0.95
    assert np.allclose(pictures[:, 0, 0, 0], 200 * targets[:, 1], atol=1)


def test_rows_are_drawn_by_the_given_probabilities() -> None:
    labels = np.repeat([0, 1], [900, 100])
    balanced = np.where(labels == 0, 0.5 / 900, 0.5 / 100)
    options: dict[str, Any] = {"size": (8, 8), "batch": 1000, "augment": NONE, "seed": 0}
    images, targets = np.zeros((1000, 8, 8), np.uint8), np.eye(2, dtype=np.float32)[labels]
    drawn = Batches(images, targets, np.ones(1000), probabilities=balanced, **options)[0][1].mean(axis=0)
    assert abs(drawn[1] - 0.5) < 0.05
    assert Batches(images, targets, np.ones(1000), **options)[0][1].mean(axis=0)[1] == pytest.approx(0.1)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    options: dict[str, Any] = {"size": (8, 8), "batch": 2, "augment": NONE, "seed": 0}
    images = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(DataError, match=r"got 3 pictures, targets of shape \(2, 2\) and 3 weights"):
        Batches(images, np.eye(2, dtype=np.float32), np.ones(3), **options)
    with pytest.raises(DataError, match=r"targets of shape \(3,\)"):
        Batches(images, np.zeros(3, np.int64), np.ones(3), **options)
    with pytest.raises(DataError, match="got 0 pictures"):
        Batches(images[:0], np.eye(2, dtype=np.float32)[:0], np.ones(0), **options)


class Seen(keras.callbacks.Callback):
    """Notes each step's summed weights, epoch by epoch: the loss of the constant model below is their mean."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.epochs: list[list[float]] = []
        self._batch, self._total = batch, 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append([])
        self._total = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        total = float(logs["loss"]) * self._batch * (batch + 1)  # Keras reports the mean over the epoch so far
        self.epochs[-1].append(total - self._total)
        self._total = total


def test_fit_sees_every_batch_of_an_epoch_once_and_in_order() -> None:
    """Keras' own worker threads fail this under JAX: they serve what is left of one epoch in the next."""
    count, batch = 2 * 40, 2
    assert count // batch > 2 * AHEAD
    weights = np.arange(1, count + 1, dtype=np.float32)

    def made(epoch: int) -> Batches:
        targets = np.zeros((count, 2), np.float32)
        images = np.zeros((count, 8, 8), np.uint8)
        return Batches(images, targets, weights, size=(8, 8), batch=batch, augment=NONE, seed=5, epoch=epoch)

    pictures = keras.Input((8, 8, 3))
    model = keras.Model(pictures, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(pictures)))
    model.compile("sgd", loss=lambda targets, outputs: 0 * keras.ops.sum(outputs, axis=-1) + 1, jit_compile=False)
    seen = Seen(batch)
    model.fit(made(3), epochs=3, shuffle=False, verbose=0, callbacks=[seen])
    for number, sums in enumerate(seen.epochs):
        expected = made(3 + 1 + number)  # Keras ends an epoch once before the first
        assert np.allclose(sums, [expected[i][2].sum() for i in range(len(expected))], atol=0.1)
    assert not np.allclose(seen.epochs[0], seen.epochs[1], atol=0.1)
