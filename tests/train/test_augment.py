"""One affine resampling a picture: geometry worked out by hand, and the accelerator's path against OpenCV's."""

from __future__ import annotations

import numpy as np
import pytest

from edge.preprocess import fit
from train.augment import Augment, compose, draw_matrices, shrink_to, to_pixels, warp
from train.batches import Batches, augmenting
from train.datasets import Dataset


def _matrix(angle: float = 0, scale: float = 1, shift: tuple[float, float] = (0, 0), mirror: float = 1) -> np.ndarray:
    return compose(np.deg2rad([angle]), np.array([scale]), np.array([shift]), np.array([mirror]))


@pytest.fixture
def picture(faces: Dataset) -> np.ndarray:
    return faces.parts["train"].images[:1]


def test_untouched_picture_equals_the_device_s_resize(picture: np.ndarray) -> None:
    moved = warp(picture, _matrix(), 64, 64)[0].astype(int)
    assert np.abs(moved - fit(picture[0], 64, 64).astype(int)).max() <= 4  # warpAffine's grid is 1/32 of a pixel


def test_mirror_is_exact_and_a_shifted_picture_is_not_the_same(picture: np.ndarray) -> None:
    mirrored = warp(picture, _matrix(mirror=-1), 48, 48)[0]
    assert np.array_equal(mirrored, picture[0, :, ::-1])
    assert not np.array_equal(mirrored, picture[0])


def test_shift_of_a_quarter_moves_a_quarter_of_the_side(picture: np.ndarray) -> None:
    moved = warp(picture, _matrix(shift=(0.25, 0)), 48, 48)[0]
    assert np.array_equal(moved[:, :36], picture[0, :, 12:])
    assert np.array_equal(moved[:, 40], picture[0, :, 47])  # beyond the border its last column is repeated


def test_quarter_turn_maps_corner_to_corner() -> None:
    pixels = to_pixels(_matrix(angle=90), (48, 48), (48, 48))[0]
    assert np.allclose(pixels @ [0, 0, 1], [47, 0])
    assert np.allclose(pixels @ [47, 47, 1], [0, 47])


def test_zoom_enlarges_about_the_centre() -> None:
    pixels = to_pixels(_matrix(scale=2), (48, 48), (96, 96))[0]
    assert np.allclose(pixels @ [47.5, 47.5, 1], [23.5, 23.5])
    assert np.allclose(pixels[:, :2], np.eye(2) / 4)


def test_grey_pictures_come_out_with_three_equal_channels(picture: np.ndarray) -> None:
    moved = warp(picture[..., 0], _matrix(angle=10), 64, 64)
    assert moved.shape == (1, 64, 64, 3)
    assert np.array_equal(moved[..., 0], moved[..., 2])


def test_larger_pictures_are_averaged_down_first() -> None:
    checkers = (np.indices((96, 96)).sum(axis=0) % 2 * 255).astype(np.uint8)[None]
    small = shrink_to(checkers, 48, 48)
    assert small.shape == (1, 48, 48)
    assert set(np.unique(small)) <= {127, 128}
    assert shrink_to(checkers, 96, 96) is checkers


def test_drawn_distortions_stay_within_their_bounds() -> None:
    spec = Augment(rotation_deg=15, shift=0.1, zoom=0.2, flip=True)
    matrices = draw_matrices(spec, np.random.default_rng(0), 2000)
    scales = 1 / np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    assert scales.min() >= 1 / 1.2 - 1e-9
    assert scales.max() <= 1.2 + 1e-9
    assert scales.std() > 0.05
    assert np.abs(matrices[:, :, 2]).max() <= 0.1
    assert 0.4 < (np.linalg.det(matrices[:, :, :2]) < 0).mean() < 0.6
    still = draw_matrices(Augment(), np.random.default_rng(0), 3)
    assert np.allclose(still, np.eye(3)[:2])


def _batches(faces: Dataset, **options: object) -> Batches:
    part = faces.parts["train"]
    arguments = {
        "size": (64, 64),
        "batch": 16,
        "augment": Augment(rotation_deg=15, shift=0.1, zoom=0.2, flip=True),
        "seed": 5,
    } | options
    return Batches(part.images, part.labels, np.ones(7), **arguments)  # type: ignore[arg-type]


def test_batches_depend_on_seed_and_epoch_alone(faces: Dataset) -> None:
    first, again = _batches(faces), _batches(faces)
    again[2]  # asked in another order, as worker threads do
    assert np.array_equal(first[0][0], again[0][0])
    first.on_epoch_end()
    assert not np.array_equal(first[0][0], again[0][0])
    assert np.array_equal(first[0][0], _batches(faces, epoch=1)[0][0])


def test_every_picture_is_seen_once_an_epoch(faces: Dataset) -> None:
    batches = _batches(faces, batch=8)
    labels = np.concatenate([batches[i][1].argmax(axis=1) for i in range(len(batches))])
    assert np.bincount(labels).tolist() == [8] * 7


def test_accelerator_s_resampling_agrees_with_opencv_s(faces: Dataset) -> None:
    import keras

    size = 64
    passing = keras.Input((size, size, 3))
    identity = keras.Model(passing, keras.layers.Identity()(passing))
    on_device = augmenting(identity)
    inputs, labels, _ = _batches(faces, on_device=True)[0]
    device = np.asarray(on_device(inputs))
    host, same_labels, _ = _batches(faces)[0]
    assert np.array_equal(labels, same_labels)
    error = np.abs(device - host.astype(np.float32))
    assert error.mean() < 1.0  # grey levels of 255; OpenCV rounds positions to 1/32 pixel and values to whole levels
    assert np.abs(device - host[::-1].astype(np.float32)).mean() > 20
