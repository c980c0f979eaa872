from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from edge.inference.contract import CropSpec
from edge.pictures.preprocess import clipped, crop_face, crop_square, fit, fit_face, in_view, roll_of

PLAIN = CropSpec(side_scale=1.0)


def gradient(height: int, width: int) -> np.ndarray:
    """Return a picture whose red is the column and whose green is the row."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, :, 0] = np.arange(width)
    picture[:, :, 1] = np.arange(height)[:, np.newaxis]
    return picture


def test_shrinking_averages_the_pixels() -> None:
    picture = np.array([[0, 100], [100, 200]], np.uint8)
    assert fit(picture, 1, 1).tolist() == [[[100, 100, 100]]]


def test_growing_interpolates_and_the_same_size_changes_nothing() -> None:
    picture = gradient(4, 4)
    assert np.array_equal(fit(picture, 4, 4), picture)
    row = fit(np.array([[0, 100]], np.uint8), 1, 4)[0, :, 0]
    assert row.tolist() == [0, 25, 75, 100]


@pytest.mark.parametrize("part", [np.s_[10:50, 5:65], np.s_[::2, ::3], np.s_[::-1, ::-1], np.s_[:, :, ::-1]])
@pytest.mark.parametrize("size", [(9, 11), (30, 30), (200, 190)])
def test_a_part_of_a_picture_is_resampled_as_its_copy_is(part: tuple[slice, ...], size: tuple[int, int]) -> None:
    view = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)[part]
    assert not view.flags.c_contiguous
    assert np.array_equal(fit(view, *size), fit(view.copy(), *size))


def test_grey_is_repeated_into_three_channels_not_renamed() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    colour = fit(grey, 3, 4)
    assert colour.shape == (3, 4, 3)
    assert all(np.array_equal(colour[:, :, channel], grey) for channel in range(3))


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8)]
)
def test_another_type_or_shape_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected a uint8 picture of shape \(h, w\) or \(h, w, 3\); got"):
        fit(picture, 2, 2)


def test_a_size_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="positive size; got 0 x 2"):
        fit(gradient(2, 2), 0, 2)


def test_the_crop_is_the_square_about_the_boxs_centre() -> None:
    face = crop_face(gradient(100, 100), (40, 30, 50, 50), PLAIN, 20, 20)  # 10 x 20: a square of 20 about (45, 40)
    assert face[0, 0].tolist() == [35, 30, 0]
    assert face[-1, -1].tolist() == [54, 49, 0]


def test_scale_and_offset_move_the_square() -> None:
    spec = CropSpec(side_scale=2.0, offset_x=0.25, offset_y=-0.25)
    assert crop_square((40, 40, 60, 60), spec) == (40, 20, 40)
    assert crop_square((40, 40, 60, 60), PLAIN) == (40, 40, 20)


def test_beyond_the_picture_the_border_is_repeated() -> None:
    face = crop_face(gradient(100, 100), (-10, -5, 10, 15), PLAIN, 20, 20)
    assert face[:, :11, 0].max() == 0 and face[0, 11, 0] == 1
    assert face[:6, :, 1].max() == 0 and face[6, 0, 1] == 1
    corner = crop_face(gradient(100, 100), (90, 90, 110, 110), PLAIN, 20, 20)
    assert corner[-1, -1].tolist() == [99, 99, 0]


def test_the_training_resolution_takes_the_sharpness_that_training_did_not_see() -> None:
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    blurred = crop_face(stripes, (0, 0, 96, 96), CropSpec(side_scale=1.0, resolution_px=48), 96, 96)
    sharp = crop_face(stripes, (0, 0, 96, 96), PLAIN, 96, 96)
    assert blurred.std() < 1 and sharp.std() > 120
    assert np.array_equal(blurred, fit_face(stripes, CropSpec(side_scale=1.0, resolution_px=48), 96, 96))


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (5, 9, 9, 5), (0, 0, float("nan"), 5), (0, 0, float("inf"), 5)])
def test_a_box_without_area_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="expected a box"):
        crop_face(gradient(20, 20), box, PLAIN, 8, 8)


def test_a_box_outside_the_picture_is_refused_and_one_that_touches_it_is_not() -> None:
    with pytest.raises(ValueError, match="expected a box inside the 20 x 20 picture"):
        crop_face(gradient(20, 20), (20, 0, 30, 10), PLAIN, 8, 8)
    assert crop_face(gradient(20, 20), (19, 0, 29, 10), PLAIN, 8, 8).shape == (8, 8, 3)
    assert [in_view((left, 0, left + 10, 10), PLAIN, 20, 20) for left in (-10, -9, 19, 20)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_grey_picture_is_refused_by_crop() -> None:
    with pytest.raises(ValueError, match=r"shape \(h, w, 3\)"):
        crop_face(np.zeros((20, 20), np.uint8), (0, 0, 9, 9), PLAIN, 8, 8)


@pytest.mark.parametrize(
    ("right_eye", "left_eye", "degrees"),
    [((10, 50), (30, 50), 0), ((10, 50), (30, 70), 45), ((10, 50), (10, 30), -90), ((30, 50), (10, 50), 180)],
)
def test_the_roll_is_the_slope_of_the_eyes_clockwise(
    right_eye: tuple[float, float], left_eye: tuple[float, float], degrees: float
) -> None:
    assert roll_of(right_eye, left_eye) == pytest.approx(degrees)


@pytest.mark.parametrize("degrees", [-30, 20, 45])
def test_a_tilted_face_comes_out_as_the_upright_one_does(degrees: float) -> None:
    picture, box, crop = data.astronaut(), (178.0, 64.0, 268.0, 176.0), CropSpec(side_scale=1.0, resolution_px=48)
    clockwise = cv2.getRotationMatrix2D((222.5, 119.5), -degrees, 1.0)  # about the box's centre; cv2 counts against it
    tilted = cv2.warpAffine(picture, clockwise, (512, 512)).astype(np.uint8, copy=False)
    upright = crop_face(picture, box, crop, 56, 56).astype(int)

    def difference(roll_deg: float) -> float:
        return float(np.abs(crop_face(tilted, box, crop, 56, 56, roll_deg) - upright).mean())

    assert difference(degrees) < 3
    assert difference(0) > 15 and difference(-degrees) > 15


@pytest.mark.parametrize(("turns", "degrees"), [(0, 1e-9), (1, 90), (2, 180), (3, -90)])
def test_quarter_turns_move_pixels_and_change_none(turns: int, degrees: float) -> None:
    picture = gradient(100, 100)
    turned = np.ascontiguousarray(np.rot90(picture, -turns))
    spec = CropSpec(side_scale=1.0, offset_x=0.1, offset_y=0.2)  # the shift turns with the face
    upright = crop_face(picture, (30, 40, 70, 80), spec, 40, 40)
    box = {0: (30, 40, 70, 80), 1: (20, 30, 60, 70), 2: (30, 20, 70, 60), 3: (40, 30, 80, 70)}[turns]
    assert upright[0, 0].tolist() == [34, 48, 0]
    assert np.abs(crop_face(turned, box, spec, 40, 40, degrees).astype(int) - upright).max() <= 1


def test_a_large_tilted_face_is_averaged_not_sampled() -> None:
    stripes = np.zeros((1500, 1500, 3), np.uint8)
    stripes[:, ::2] = 255
    spec = CropSpec(side_scale=1.0, resolution_px=48)
    turned = crop_face(stripes, (150, 150, 1350, 1350), spec, 48, 48, 30)
    assert turned.std() < 3 and abs(turned.mean() - 127.5) < 3
    assert crop_face(stripes, (150, 150, 250, 250), spec, 48, 48, 90).std() < 20


def test_beyond_the_picture_the_border_is_repeated_in_tilted_crops_too() -> None:
    picture = np.full((60, 60, 3), 50, np.uint8)
    picture[:, -1] = 200
    for box in ((40, 10, 80, 50), (59, 20, 99, 60), (-39, -39, 1, 1), (-3000, -3000, 3060, 3060)):
        crop = crop_face(picture, box, PLAIN, 40, 40, 90)
        assert crop.shape == (40, 40, 3) and crop.min() >= 50
    right = crop_face(picture, (40, 10, 80, 50), PLAIN, 40, 40, 90)
    assert (right[:20] == 200).all() and (right[21:] == 50).all()  # tilted clockwise, its top lies at the right


@pytest.mark.parametrize("degrees", [float("nan"), float("inf")])
def test_an_angle_that_is_none_is_refused(degrees: float) -> None:
    with pytest.raises(ValueError, match="expected a finite angle; got"):
        crop_face(gradient(20, 20), (0, 0, 9, 9), PLAIN, 8, 8, degrees)


def test_a_large_crop_is_halved_before_it_is_averaged_and_loses_nothing_but_rounding() -> None:
    stripes = np.repeat(np.array([0, 200], np.uint8), 8)  # blocks of 8 pixels: whole at every halving
    picture = np.repeat(np.tile(stripes, 12)[np.newaxis, :, np.newaxis], 192, axis=0).repeat(3, axis=2)
    spec = CropSpec(side_scale=1.0, offset_x=0.0, offset_y=0.0, resolution_px=24, alignment="none")
    np.testing.assert_array_equal(crop_face(picture, (0, 0, 192, 192), spec, 24, 24), picture[::8, ::8])
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    came = crop_face(noise, (2, 2, 194, 194), spec, 24, 24)
    means = noise[2:194, 2:194].reshape(24, 8, 24, 8, 3).mean(axis=(1, 3))
    assert np.abs(came - means).max() <= 2  # three halvings round three times
    assert np.abs(fit(noise, 24, 24) - means).max() > 4  # another square


@pytest.mark.parametrize("side", [100, 119, 142, 143, 170, 190, 230, 284, 310, 380])
def test_a_crop_averaged_by_whole_blocks_is_nearly_the_mean_over_shares_of_pixels(side: int) -> None:
    noise = np.random.default_rng(side).integers(0, 256, (side // 4, side // 4, 3)).astype(np.uint8)
    # Details of four pixels.
    picture = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)
    spec = CropSpec(side_scale=1.0, offset_x=0.0, offset_y=0.0, resolution_px=48, alignment="none")
    exact = cv2.resize(picture, (48, 48), interpolation=cv2.INTER_AREA).astype(int)
    came = np.abs(crop_face(picture, (0, 0, side, side), spec, 48, 48).astype(int) - exact)
    assert came.mean() < 2.5
    # The partner: the bare interpolation skips pixels.
    skipped = np.abs(cv2.resize(picture, (48, 48), interpolation=cv2.INTER_LINEAR).astype(int) - exact)
    assert skipped.mean() > 2 * came.mean()


@pytest.mark.parametrize(
    ("left", "top", "side", "channel", "value"),
    [(-1002, 0, 1003, 0, 0), (0, -1002, 1003, 1, 0), (199, 0, 1000, 0, 199), (0, 199, 1000, 1, 199)],
)
def test_a_large_square_that_meets_the_picture_in_its_last_line_shows_that_line(
    left: int, top: int, side: int, channel: int, value: int
) -> None:
    spec = CropSpec(side_scale=1.0, resolution_px=48)
    came = crop_face(gradient(200, 200), (left, top, left + side, top + side), spec, 56, 56)
    assert came.shape == (56, 56, 3)
    assert np.abs(came[:, :, channel].astype(int) - value).max() <= 1


def test_a_crop_of_odd_side_is_moved_by_half_a_block_at_most() -> None:
    ramp = np.repeat(np.arange(201, dtype=np.uint8)[np.newaxis, :, np.newaxis], 201, axis=0).repeat(3, axis=2)
    spec = CropSpec(side_scale=1.0, offset_x=0.0, offset_y=0.0, resolution_px=24, alignment="none")
    for side in (95, 97, 131, 190, 201):
        came = crop_face(ramp, (0, 0, side, side), spec, 24, 24)[0, :, 0].astype(float)
        expected = (np.arange(24) + 0.5) * side / 24 - 0.5
        assert np.abs(came - expected).max() <= 2.5, side


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((3.4, 2.6, 9.5, 7.5), (3, 3, 10, 8)),
        ((-3.0, -4.0, 99.0, 88.0), (0, 0, 20, 10)),
        ((19.4, 0.0, 30.0, 5.0), (19, 0, 20, 5)),
        ((19.6, 0.0, 30.0, 5.0), None),
        ((-9.0, 0.0, 0.4, 5.0), None),
        ((0.0, 10.0, 5.0, 15.0), None),
        ((0.0, -5.0, 5.0, 0.0), None),
    ],
)
def test_a_box_in_whole_pixels_ends_with_the_picture_and_is_none_outside(
    box: tuple[float, float, float, float], expected: tuple[int, int, int, int] | None
) -> None:
    assert clipped(box, np.zeros((10, 20, 3), np.uint8)) == expected
