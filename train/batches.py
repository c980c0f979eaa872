"""Batches for ``model.fit``: shuffled, augmented, reproducible from (seed, epoch, batch) whatever the thread order."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from train.augment import Augment, device_coefficients, draw_matrices, pad_to, shrink_to, warp

WORKERS = 2
QUEUE_BATCHES = 16


class Batches(keras.utils.PyDataset):
    """Training batches ``(pictures, one-hot labels, sample weights)``.

    Pictures are uint8 ``(batch, height, width, 3)``; with ``on_device`` they are the pair of padded pictures and
    float32 ``(batch, 8)`` affine coefficients that :func:`augmenting` takes. A resumed run that starts at the same
    epoch sees the same batches.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        class_weights: np.ndarray,
        *,
        size: tuple[int, int],
        batch: int,
        augment: Augment,
        seed: int,
        epoch: int = 0,
        on_device: bool = False,
    ) -> None:
        super().__init__(workers=WORKERS, use_multiprocessing=False, max_queue_size=QUEUE_BATCHES)
        self._images = shrink_to(images, *size)
        self._labels = labels
        self._class_weights = np.asarray(class_weights, np.float32)
        self._size, self._batch, self._augment = size, min(batch, len(images)), augment
        self._seed, self._epoch, self._on_device = seed, epoch, on_device
        self._order = self._shuffled()

    def __len__(self) -> int:
        return len(self._images) // self._batch

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray, np.ndarray]:
        rows = self._order[index * self._batch : (index + 1) * self._batch]
        rng = np.random.default_rng((self._seed, self._epoch, 1 + index))
        matrices = draw_matrices(self._augment, rng, len(rows))
        images, labels = self._images[rows], self._labels[rows]
        pictures: Any
        if self._on_device:
            source = (images.shape[1], images.shape[2])
            pictures = (pad_to(images, *self._size), device_coefficients(matrices, source, self._size))
        else:
            pictures = warp(images, matrices, *self._size)
        targets = np.eye(len(self._class_weights), dtype=np.float32)[labels]
        return pictures, targets, self._class_weights[labels]

    def on_epoch_end(self) -> None:
        """Shuffle for the next epoch."""
        self._epoch += 1
        self._order = self._shuffled()

    def _shuffled(self) -> np.ndarray:
        return np.random.default_rng((self._seed, self._epoch, 0)).permutation(len(self._images))


class AffineResampling(keras.layers.Layer):
    """One bilinear affine resampling a picture on the accelerator, borders repeated; holds no weights."""

    def call(self, pictures: Any, coefficients: Any) -> Any:
        """Return float pictures ``(n, h, w, 3)`` resampled by coefficients ``(n, 8)``."""
        pictures = keras.ops.cast(pictures, self.compute_dtype)
        return keras.ops.image.affine_transform(
            pictures, coefficients, interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
        )


def augmenting(model: keras.Model) -> keras.Model:
    """Return a model for training alone: (padded pictures, coefficients) -> resampling -> ``model``'s outputs."""
    height, width, channels = model.inputs[0].shape[1:]
    pictures = keras.Input((height, width, channels), name="pictures")
    coefficients = keras.Input((8,), name="coefficients")
    return keras.Model((pictures, coefficients), model(AffineResampling(name="augment")(pictures, coefficients)))
