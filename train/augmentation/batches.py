"""Batches for ``model.fit``: shuffled, augmented, reproducible from (seed, epoch, batch) whatever the thread order.

On a CPU worker threads make the pictures with OpenCV; on an accelerator the host only gathers rows and draws numbers,
and :func:`augmenting` puts the resampling, look-up, erasing and mixing in front of the network.

The threads are our own. Keras 3.15's (``workers`` above 1) keep what they made ahead when an epoch ends and serve it in
the next one: under JAX an epoch then mixes batches of two orders, as many as timing would have it, so that pictures
come twice or never and no resumed run can be repeated (seen with 40 batches an epoch; TensorFlow is not affected).
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops

from edge.errors import DataError
from train.augmentation.augment import Augment, shrink_to
from train.augmentation.mixing import mix_targets, partner_shares
from train.augmentation.randaugment import LEVELS
from train.augmentation.rendering import PARAMETERS, draw, pack, render

WORKERS_MAX = 4
AHEAD = 8  # batches made in advance

Batch = tuple[Any, np.ndarray, np.ndarray]


class Batches(keras.utils.PyDataset):
    """Training batches ``(pictures, targets, sample weights)``.

    Pictures are uint8 ``(batch, height, width, 3)``; with ``on_device`` they are the triple of small pictures, look-up
    tables and parameters that :func:`augmenting` takes. Targets are float32 ``(batch, classes)``, weights float32
    ``(batch,)``, both mixed where pictures are (:func:`train.augmentation.mixing.mix_targets`). The last, short batch
    of an epoch is left out. A resumed run that starts at the same epoch sees the same batches (Keras ends an epoch once
    before the first, so ``fit`` begins with ``epoch`` + 1, resumed or not).

    Args:
        images: uint8 ``(n, h, w)`` or ``(n, h, w, 3)``.
        targets: float32 ``(n, classes)``, one-hot or soft: rows that sum to 1.
        sample_weights: float32 ``(n,)``.
        size: (height, width) of the network's input, in pixels.
        batch: pictures a step; at most all of them.
        augment: what happens to the pictures.
        seed: with ``epoch`` and the batch's number it decides everything random.
        epoch: the first epoch's number.
        on_device: leave the pictures to :func:`augmenting`.
        probabilities: float64 ``(n,)`` that sum to 1: an epoch's rows are drawn by these, with replacement (balanced
            sampling); None takes every row once.

    Raises:
        DataError: the arrays' lengths differ, or there is no picture.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        sample_weights: np.ndarray,
        *,
        size: tuple[int, int],
        batch: int,
        augment: Augment,
        seed: int,
        epoch: int = 0,
        on_device: bool = False,
        probabilities: np.ndarray | None = None,
    ) -> None:
        super().__init__(workers=1, use_multiprocessing=False)
        _check(images, targets, sample_weights)
        self._images = shrink_to(images, *size)
        self._targets = np.asarray(targets, np.float32)
        self._weights = np.asarray(sample_weights, np.float32)
        self._size, self._batch, self._augment = size, min(batch, len(images)), augment
        self._seed, self._epoch, self._on_device = seed, epoch, on_device
        self._probabilities = probabilities
        self._order = self._shuffled()
        self._threads = ThreadPoolExecutor(min(WORKERS_MAX, os.cpu_count() or 1), "batches")
        self._made: dict[int, Future[Batch]] = {}

    def __len__(self) -> int:
        return len(self._images) // self._batch

    def __getitem__(self, index: int) -> Batch:
        wanted = range(index, min(index + 1 + AHEAD, len(self)))
        for passed in set(self._made).difference(wanted):
            self._made.pop(passed).cancel()
        for number in wanted:
            if number not in self._made:
                self._made[number] = self._threads.submit(self._make, self._order, self._epoch, number)
        return self._made.pop(index).result()

    def make(self, index: int) -> Batch:
        """Return what ``self[index]`` does, made in the caller's thread with nothing made ahead."""
        return self._make(self._order, self._epoch, index)

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch, and forget what was made ahead."""
        for future in self._made.values():
            future.cancel()
        self._made.clear()
        self._epoch += 1
        self._order = self._shuffled()

    def _make(self, order: np.ndarray, epoch: int, index: int) -> Batch:
        rows = order[index * self._batch : (index + 1) * self._batch]
        images, targets, weights = self._images[rows], self._targets[rows], self._weights[rows]
        draws = draw(self._augment, np.random.default_rng((self._seed, epoch, 1 + index)), images, self._size)
        if draws.pasted is not None:
            targets, weights = mix_targets(targets, weights, partner_shares(*draws.pasted, self._size))
        pictures = pack(images, draws, self._size) if self._on_device else render(images, draws, *self._size)
        return pictures, targets, weights

    def _shuffled(self) -> np.ndarray:
        rng = np.random.default_rng((self._seed, self._epoch, 0))
        if self._probabilities is None:
            return rng.permutation(len(self._images))
        return rng.choice(len(self._images), len(self._images), p=self._probabilities)


class Augmenting(keras.layers.Layer):
    """What :func:`train.augmentation.rendering.render` does, on the accelerator; holds no weights.

    Always in float32: in a 16-bit type positions of 64 pixels would be off by a quarter of a pixel.
    """

    def __init__(self, height: int, width: int, **options: Any) -> None:
        super().__init__(dtype="float32", **options)
        self._height, self._width = height, width

    def compute_output_spec(self, pictures: Any, tables: Any, parameters: Any) -> keras.KerasTensor:
        """Return float32 ``(n, height, width, 3)``."""
        return keras.KerasTensor((pictures.shape[0], self._height, self._width, 3), dtype="float32")

    def call(self, pictures: Any, tables: Any, parameters: Any) -> Any:
        """Return float32 pictures ``(n, height, width, 3)`` in 0–255 from what :func:`pack` gives."""
        small = self._padded(_looked_up(pictures, tables))
        maps = ops.pad(parameters[:, :6], [[0, 0], [0, 2]])
        moved = ops.image.affine_transform(
            small, maps, interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
        )
        erased = self._inside(parameters[:, 6:10])
        level = parameters[:, 10, None, None, None]
        moved = moved + erased * (level - moved)
        opacity = self._inside(parameters[:, 11:15]) * parameters[:, 15, None, None, None]
        moved = moved + opacity * (ops.roll(moved, -1, axis=0) - moved)
        return moved * ops.ones((1, 1, 1, 3))

    def _padded(self, pictures: Any) -> Any:
        """Repeat the last row and column: an affine transform keeps the size of its input."""
        _, height, width, _ = ops.shape(pictures)
        rows = ops.minimum(ops.arange(self._height), height - 1)
        columns = ops.minimum(ops.arange(self._width), width - 1)
        return ops.take(ops.take(pictures, rows, axis=1), columns, axis=2)

    def _inside(self, boxes: Any) -> Any:
        """Return float32 ``(n, height, width, 1)``: 1 within the boxes (left, top, right, bottom), else 0."""
        left, top, right, bottom = (boxes[:, i, None, None, None] for i in range(4))
        x = ops.reshape(ops.arange(self._width, dtype="float32"), (1, 1, -1, 1))
        y = ops.reshape(ops.arange(self._height, dtype="float32"), (1, -1, 1, 1))
        within = ops.logical_and(ops.logical_and(x >= left, x < right), ops.logical_and(y >= top, y < bottom))
        return ops.cast(within, "float32")


def augmenting(model: keras.Model) -> keras.Model:
    """Return a model for training alone: what :func:`pack` gives -> pictures -> ``model``'s outputs."""
    height, width, _ = model.inputs[0].shape[1:]
    pictures = keras.Input((None, None, None), name="pictures", dtype="uint8")
    tables = keras.Input((LEVELS,), name="tables", dtype="uint8")
    parameters = keras.Input((PARAMETERS,), name="parameters", dtype="float32")
    made = Augmenting(height, width, name="augment")(pictures, tables, parameters)
    return keras.Model((pictures, tables, parameters), model(made))


def _looked_up(pictures: Any, tables: Any) -> Any:
    _, height, width, channels = ops.shape(pictures)
    flat = ops.reshape(ops.cast(pictures, "int32"), (-1, height * width * channels))
    levels = ops.take_along_axis(ops.cast(tables, "float32"), flat, axis=1)
    return ops.reshape(levels, (-1, height, width, channels))


def _check(images: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> None:
    if not len(images) == len(targets) == len(weights) or len(images) == 0 or targets.ndim != 2:
        raise DataError(
            f"expected targets (n, classes) and weights (n,) for n > 0 pictures; got {len(images)} pictures, targets "
            f"of shape {targets.shape} and {len(weights)} weights; give one of each a picture"
        )
