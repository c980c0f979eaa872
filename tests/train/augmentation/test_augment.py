"""What happens to a training picture: worked out by hand, and the accelerator's path against OpenCV's."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from edge.errors import DataError
from edge.pictures.preprocess import fit
from train.augmentation import mixing, randaugment
from train.augmentation.augment import Augment, chain, compose, draw_matrices, shrink_to, to_pixels, warp
from train.augmentation.batches import augmenting
from train.augmentation.randaugment import OPERATIONS
from train.augmentation.rendering import Draws, draw, pack, render
from train.datasets import Dataset

FULL = Augment(
    rotation_deg=15,
    shift=0.1,
    zoom=0.2,
    flip=True,
    randaugment_ops=2,
    randaugment_magnitude=9,
    erasing=0.5,
    mixup_alpha=0.4,
    cutmix_alpha=1.0,
)


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


def test_chained_matrices_move_a_picture_as_one_after_the_other() -> None:
    right, turn = _matrix(shift=(0.25, 0)), _matrix(angle=90)
    point = np.array([0.5, 0.0, 1.0])  # the right border's middle in the final picture
    # Shifted, then turned: the turn's map sends (0.5, 0) to (0, 0.5), the shift's sends that to (0.25, 0.5).
    assert np.allclose(chain(right, turn)[0] @ point, [0.25, 0.5])
    # Turned, then shifted: (0.5, 0) -> (0.75, 0) -> (0, 0.75).
    assert np.allclose(chain(turn, right)[0] @ point, [0.0, 0.75])


def test_nonsense_is_refused_with_what_was_expected() -> None:
    with pytest.raises(DataError, match=r"expected an augmentation's erasing from 0 to 1; got 1\.5; mend the recipe"):
        Augment(erasing=1.5)
    with pytest.raises(DataError, match="randaugment_magnitude from 0 to 10; got 30"):
        Augment(randaugment_ops=2, randaugment_magnitude=30)
    with pytest.raises(DataError, match="mixup_alpha of 0 or more; got -1"):
        Augment(mixup_alpha=-1)
    assert Augment(erasing=1.0).erasing == 1.0


# RandAugment


def _one(name: str, sign: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    return np.array([[OPERATIONS.index(name)]]), np.array([[sign]])


def _table(name: str, sign: float, magnitude: float, image: np.ndarray) -> np.ndarray:
    return randaugment.tables(*_one(name, sign), magnitude, image[None])[0]


RAMP = np.arange(64, 192, dtype=np.uint8).reshape(8, 16)  # grey levels 64-191, each once: mean 127.5


@pytest.mark.parametrize(
    ("name", "sign", "magnitude", "grey", "becomes"),
    [
        ("brightness", 1, 10, 100, 140),  # x 1.4
        ("brightness", -1, 5, 100, 80),  # x 0.8
        ("brightness", 1, 10, 200, 255),  # 280 is cut
        ("contrast", 1, 10, 137, 143),  # 127.5 + 9.5 x 1.6 = 142.7
        ("contrast", -1, 10, 27, 87),  # 127.5 - 100.5 x 0.4 = 87.3
        ("gamma", 1, 10, 51, 10),  # 255 x 0.2^2 = 10.2
        ("gamma", -1, 10, 51, 114),  # 255 x 0.2^0.5 = 114.04
        ("posterize", 1, 10, 0b10111011, 0b10110000),
        ("posterize", 1, 5, 0b10111011, 0b10111000),
        ("autocontrast", 1, 3, 64, 0),
        ("autocontrast", 1, 3, 191, 255),
        ("autocontrast", 1, 3, 127, 126),  # 63 x 255 / 127 = 126.5, to the even one
        ("identity", 1, 10, 99, 99),
        ("rotate", 1, 10, 99, 99),
    ],
)
def test_photometric_operation_maps_a_grey_level(
    name: str, sign: float, magnitude: float, grey: int, becomes: int
) -> None:
    assert _table(name, sign, magnitude, RAMP)[grey] == becomes


def test_equalize_is_opencv_s(picture: np.ndarray) -> None:
    grey = picture[0, :, :, 0]
    assert np.array_equal(_table("equalize", 1, 1, grey)[grey], cv2.equalizeHist(grey))
    flat = np.full((8, 8), 90, np.uint8)
    assert _table("equalize", 1, 1, flat)[90] == _table("autocontrast", 1, 1, flat)[90] == 90


def test_operations_follow_one_another_and_look_at_what_came_before() -> None:
    chosen = np.array([[OPERATIONS.index("brightness"), OPERATIONS.index("autocontrast")]])
    both = randaugment.tables(chosen, np.array([[-1.0, 1.0]]), 10, RAMP[None])[0]
    # Levels 64-191 become 38-115 (x 0.6), which are then stretched over 0-255.
    assert (both[64], both[191]) == (0, 255)
    other_way = randaugment.tables(chosen[:, ::-1], np.array([[1.0, -1.0]]), 10, RAMP[None])[0]
    assert (other_way[64], other_way[191]) == (0, 153)


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("rotate", (0.5 * np.cos(np.pi / 6), 0.5 * np.sin(np.pi / 6))),
        ("shear-x", (0.5, 0.0)),
        ("shear-y", (0.5, 0.15)),
        ("shift-x", (0.65, 0.0)),
        ("shift-y", (0.5, 0.15)),
        ("gamma", (0.5, 0.0)),
    ],
)
def test_geometric_operation_moves_the_right_border(name: str, point: tuple[float, float]) -> None:
    matrix = randaugment.matrices(*_one(name), 10)[0]
    assert np.allclose(matrix @ [0.5, 0, 1], point)


def test_shear_x_moves_the_lower_border_sideways_by_its_sign() -> None:
    for sign in (1, -1):
        assert np.allclose(randaugment.matrices(*_one("shear-x", sign), 5)[0] @ [0, 0.5, 1], [0.075 * sign, 0.5])


def test_geometric_operations_are_composed_in_their_order() -> None:
    chosen = np.array([[OPERATIONS.index("shift-x"), OPERATIONS.index("shear-y")]])
    border = [0.5, 0, 1]
    assert np.allclose(randaugment.matrices(chosen, np.ones((1, 2)), 10)[0] @ border, [0.65, 0.15])
    assert np.allclose(randaugment.matrices(chosen[:, ::-1], np.ones((1, 2)), 10)[0] @ border, [0.65, 0.195])


def test_drawn_pictures_get_the_plain_distortions_and_randaugment_s(picture: np.ndarray) -> None:
    spec = Augment(flip=True, randaugment_ops=1, randaugment_magnitude=10)
    draws = draw(spec, np.random.default_rng(0), np.repeat(picture, 800, axis=0), (64, 64))
    mirrored = np.linalg.det(draws.matrices[:, :, :2]) < 0
    assert 0.42 < mirrored.mean() < 0.58
    moved = np.abs(np.abs(draws.matrices) - np.eye(3)[:2]).max(axis=(1, 2)) > 0.01
    assert moved.mean() == pytest.approx(len(randaugment.GEOMETRIC) / len(OPERATIONS), abs=0.06)
    assert draws.tables is not None
    tabled = (draws.tables != np.arange(256)).any(axis=1)
    assert not (moved & tabled).any()  # one operation each
    assert tabled.any()
    plain = draw(Augment(flip=True), np.random.default_rng(0), picture, (64, 64))
    assert (plain.tables, plain.erased, plain.pasted) == (None, None, None)


def test_magnitude_nought_changes_nothing_but_the_two_without_magnitude() -> None:
    chosen = np.arange(len(OPERATIONS))[:, None]
    signs = np.ones_like(chosen, float)
    assert np.allclose(randaugment.matrices(chosen, signs, 0), np.eye(3)[:2])
    images = np.repeat(RAMP[None], len(chosen), axis=0)
    changed = (randaugment.tables(chosen, signs, 0, images) != np.arange(256)).any(axis=1)
    assert [OPERATIONS[i] for i in np.flatnonzero(changed)] == ["equalize", "autocontrast"]


def test_all_operations_are_drawn_alike() -> None:
    chosen, signs = randaugment.draw_operations(np.random.default_rng(0), 6000, 2)
    counts = np.bincount(chosen.ravel(), minlength=len(OPERATIONS))
    assert len(counts) == len(OPERATIONS)
    assert abs(counts / chosen.size * len(OPERATIONS) - 1).max() < 0.15
    assert abs(signs.mean()) < 0.05


# Erasing and pasting


def test_erased_boxes_keep_their_share_and_stay_inside() -> None:
    boxes, levels = mixing.draw_erasing(Augment(erasing=0.5), np.random.default_rng(0), 4000, (64, 48))
    left, top, right, bottom = boxes.T
    area = (right - left) * (bottom - top) / (64 * 48)
    erased = area > 0
    assert 0.45 < erased.mean() < 0.55
    assert boxes.min() >= 0
    assert right.max() <= 48
    assert bottom.max() <= 64
    assert 0.01 < area[erased].min() < area[erased].max() < 0.27
    assert levels.min() < 5 < 250 < levels.max()
    never, _ = mixing.draw_erasing(Augment(), np.random.default_rng(0), 100, (64, 48))
    assert not never.any()


def test_erasing_paints_the_box_alone() -> None:
    pictures = np.full((2, 4, 4), 9, np.uint8)
    mixing.erase(pictures, np.array([[1, 0, 3, 2], [0, 0, 0, 0]]), np.array([200, 100], np.uint8))
    assert pictures[0].tolist() == [[9, 200, 200, 9], [9, 200, 200, 9], [9, 9, 9, 9], [9, 9, 9, 9]]
    assert (pictures[1] == 9).all()


def test_pasting_blends_the_next_picture_s_pixels_and_counts_their_share() -> None:
    pictures = np.stack([np.full((4, 4), grey, np.uint8) for grey in (0, 100, 200)])
    boxes = np.array([[0, 0, 4, 4], [2, 0, 4, 2], [0, 0, 0, 0]], np.int32)
    opacities = np.array([0.25, 1.0, 1.0], np.float32)
    mixed = mixing.paste(pictures, boxes, opacities)
    assert (mixed[0] == 25).all()  # MixUp: a quarter of picture 1
    assert mixed[1].tolist() == [[100, 100, 200, 200]] * 2 + [[100] * 4] * 2  # CutMix: a corner of picture 2
    assert (mixed[2] == 200).all()
    assert mixing.partner_shares(boxes, opacities, (4, 4)).tolist() == [0.25, 0.25, 0.0]


def test_last_picture_is_mixed_with_the_first() -> None:
    pictures = np.stack([np.full((4, 4), grey, np.uint8) for grey in (10, 200)])
    mixed = mixing.paste(pictures, np.array([[0, 0, 0, 0], [0, 0, 4, 4]]), np.array([1.0, 1.0]))
    assert (mixed == 10).all()


def test_mixing_ratios_follow_the_recipe() -> None:
    def shares(**fields: float) -> np.ndarray:
        drawn = mixing.draw_pasting(Augment(**fields), np.random.default_rng(0), 4000, (64, 64))  # type: ignore[arg-type]
        return mixing.partner_shares(*drawn, (64, 64))

    assert not shares().any()
    mixup = shares(mixup_alpha=1.0)
    assert abs(mixup.mean() - 0.5) < 0.02
    assert abs(mixup.var() - 1 / 12) < 0.01  # Beta(1, 1) is uniform
    assert abs((shares(mixup_alpha=0.2) < 0.1).mean() - 0.345) < 0.03  # the regularised beta function at 0.1
    cut = shares(cutmix_alpha=1.0)
    assert 0.2 < cut.mean() < 0.5  # boxes are cut at the border
    assert abs((shares(mixup_alpha=1.0, mixing=0.3) > 0).mean() - 0.3) < 0.03
    boxes, opacities = mixing.draw_pasting(
        Augment(mixup_alpha=0.4, cutmix_alpha=1.0), np.random.default_rng(0), 4000, (64, 64)
    )
    assert 0.45 < (opacities == 1).mean() < 0.55
    assert (boxes[opacities < 1] == [0, 0, 64, 64]).all()
    assert (boxes[opacities == 1] != [0, 0, 64, 64]).any()


def test_mixed_picture_has_the_loss_of_its_halves_each_with_its_own_weight() -> None:
    targets, weights = np.eye(2, dtype=np.float32), np.array([1.0, 3.0], np.float32)
    mixed, total = mixing.mix_targets(targets, weights, np.array([0.5, 0.0], np.float32))
    assert total.tolist() == [2.0, 3.0]
    assert mixed.tolist() == [[0.25, 0.75], [0.0, 1.0]]
    log_p = np.log([0.9, 0.1])
    halves = 0.5 * 1.0 * -log_p[0] + 0.5 * 3.0 * -log_p[1]
    assert total[0] * -(mixed[0] @ log_p) == pytest.approx(halves)
    averaged_apart = 2.0 * -(np.array([0.5, 0.5]) @ log_p)  # what mixing weights and targets apart would give
    assert averaged_apart != pytest.approx(halves, rel=0.1)


def test_equal_weights_mix_as_the_paper_does_and_weightless_pictures_stay_finite() -> None:
    targets = np.eye(2, dtype=np.float32)
    mixed, total = mixing.mix_targets(targets, np.ones(2, np.float32), np.array([0.3, 0.3], np.float32))
    assert np.allclose(mixed, [[0.7, 0.3], [0.3, 0.7]])
    assert np.allclose(total, 1)
    mixed, total = mixing.mix_targets(targets, np.zeros(2, np.float32), np.array([0.3, 0.3], np.float32))
    assert np.allclose(mixed, [[0.7, 0.3], [0.3, 0.7]])
    assert not total.any()


# Together


def test_rendered_picture_is_looked_up_moved_erased_and_mixed_in_this_order() -> None:
    images = np.stack([np.full((4, 4), 10, np.uint8), np.full((4, 4), 20, np.uint8)])
    table = np.arange(256, dtype=np.uint8)
    table[10], table[20] = 100, 200
    draws = Draws(
        np.repeat(_matrix(), 2, axis=0),
        tables=np.stack([table, table]),
        erased=(np.array([[0, 0, 1, 4], [3, 0, 4, 4]]), np.array([0, 40], np.uint8)),
        pasted=(np.array([[2, 0, 4, 4], [0, 0, 0, 0]]), np.array([0.5, 1.0], np.float32)),
    )
    made = render(images, draws, 4, 4)
    assert made.shape == (2, 4, 4, 3)
    assert made[0, 2, :, 0].tolist() == [0, 100, 150, 70]  # the partner's erased column is blended in: (100 + 40) / 2
    assert made[1, 2, :, 0].tolist() == [200, 200, 200, 40]
    assert np.array_equal(made[..., 0], made[..., 2])


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_accelerator_makes_the_pictures_that_opencv_makes(faces: Dataset, colour: str) -> None:
    import keras

    images = faces.parts["train"].images[:24]
    images = images[..., 0] if colour == "grey" else images * np.array([1, 0, 1], np.uint8)
    passing = keras.Input((64, 64, 3))
    on_device = augmenting(keras.Model(passing, keras.layers.Identity()(passing)))
    draws = draw(FULL, np.random.default_rng(3), images, (64, 64))
    device = np.asarray(on_device(pack(images, draws, (64, 64))))
    host = render(images, draws, 64, 64).astype(np.float32)
    error = np.abs(device - host)
    assert error.mean(axis=(1, 2, 3)).max() < 1.0  # of 255; OpenCV rounds positions to 1/32 pixel, values to whole ones
    assert error.max() < 12
    replace = dataclasses.replace
    for lacking in (replace(draws, tables=None), replace(draws, erased=None), replace(draws, pasted=None)):
        without = render(images, lacking, 64, 64)  # each of them matters to that agreement
        assert np.abs(device - without.astype(np.float32)).max() > 40


def test_accelerator_s_pictures_do_not_lose_precision_under_a_16_bit_policy(faces: Dataset) -> None:
    import keras

    images = faces.parts["train"].images[:8]
    draws = draw(FULL, np.random.default_rng(3), images, (64, 64))
    made = []
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            passing = keras.Input((64, 64, 3))
            model = augmenting(keras.Model(passing, keras.layers.Identity(dtype="float32")(passing)))
        finally:
            keras.config.set_dtype_policy("float32")
        made.append(np.asarray(model(pack(images, draws, (64, 64)))))
    assert np.array_equal(made[0], made[1])
