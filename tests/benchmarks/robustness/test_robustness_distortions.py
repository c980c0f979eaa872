"""What is done to faces: each distortion by numbers worked out by hand, and the same pictures from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.robustness.distortions import (
    CLEAN,
    CONDITIONS,
    GREY,
    Condition,
    Image,
    blur,
    brightness,
    check_size,
    contrast,
    distorted,
    jpeg,
    noise,
    occlusion,
    resolution,
    rotation,
)
from edge.errors import DataError

NOBODY = np.random.default_rng(0)  # for distortions that draw nothing
FACES = np.random.default_rng(1).integers(0, 256, (3, 48, 48), dtype=np.uint8)


def picture(*rows: list[int]) -> Image:
    return np.array(rows, np.uint8)


def condition(name: str) -> Condition:
    (found,) = (each for each in CONDITIONS if each.name == name)
    return found


def set_of(name: str, seed: int, images: Image = FACES) -> Image:
    return np.stack(list(distorted(images, condition(name), seed)))


def test_a_quarter_turn_clockwise_brings_the_left_column_to_the_top() -> None:
    turned = rotation(picture([10, 20], [30, 40]), NOBODY, clockwise_deg=90)
    assert turned.tolist() == [[30, 10], [40, 20]]
    assert rotation(picture([10, 20], [30, 40]), NOBODY, clockwise_deg=-90).tolist() == [[20, 40], [10, 30]]


def test_a_turn_keeps_size_and_centre_and_repeats_the_border() -> None:
    middle = np.full((5, 5), 100, np.uint8)
    assert (rotation(middle, NOBODY, clockwise_deg=15) == 100).all()  # no black corner
    middle[2, 2] = 200
    assert rotation(middle, NOBODY, clockwise_deg=15)[2, 2] == 200


@pytest.mark.parametrize(
    ("half", "grey"),
    [
        ("left", np.s_[:, :2]),
        ("right", np.s_[:, 3:]),
        ("upper", np.s_[:2]),
        ("lower", np.s_[2:]),
    ],
)
def test_the_hidden_half_is_grey_and_the_other_untouched(half: str, grey: tuple[slice, ...]) -> None:
    face = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    covered = occlusion(face, NOBODY, half=half)
    hidden = np.zeros((4, 5), bool)
    hidden[grey] = True
    assert (covered[hidden] == GREY).all()
    assert (covered[~hidden] == face[~hidden]).all()  # of five columns, the middle one stays
    assert face.max() == 59  # the face itself is not written to


def test_noise_has_the_deviation_that_it_says_and_no_mean() -> None:
    face = np.full((300, 300), 128, np.uint8)
    found = noise(face, np.random.default_rng(0), deviation=0.04).astype(float) - 128
    assert found.std() == pytest.approx(0.04 * 255, rel=0.02)  # rounding adds 1/12 to a variance of 104
    assert abs(found.mean()) < 0.15  # four standard errors


def test_noise_of_a_coloured_face_is_drawn_for_each_value_and_stays_in_range() -> None:
    found = noise(np.full((50, 50, 3), 250, np.uint8), np.random.default_rng(0), deviation=0.12)
    assert (found[..., 0] != found[..., 1]).mean() > 0.3
    assert found.max() == 255 and found.min() > 100


def test_brightness_adds_to_the_largest_value_and_keeps_the_colour() -> None:
    # 0.3 of 255 is 76.5: 100 becomes 176.5, and 50 beside it half of that; 200 cannot become more than 255.
    face = np.array([[[100, 50, 0], [200, 100, 100], [0, 0, 0]]], np.uint8)
    assert brightness(face, NOBODY, change=0.3).tolist() == [[[176, 88, 0], [255, 128, 128], [76, 76, 76]]]
    assert brightness(face, NOBODY, change=-0.3).tolist() == [[[24, 12, 0], [124, 62, 62], [0, 0, 0]]]
    assert brightness(picture([100, 0, 250]), NOBODY, change=0.3).tolist() == [[176, 76, 255]]


def test_contrast_shrinks_the_distance_from_the_mean_of_the_channel() -> None:
    assert contrast(picture([100, 200]), NOBODY, factor=0.2).tolist() == [[140, 160]]
    coloured = np.array([[[0, 10, 20], [100, 10, 40]]], np.uint8)
    assert contrast(coloured, NOBODY, factor=0.2).tolist() == [[[40, 10, 28], [60, 10, 32]]]


def test_blur_is_a_gaussian_of_the_stated_width_that_repeats_the_border() -> None:
    point = np.zeros((21, 21), np.uint8)
    point[10, 10] = 255
    found = blur(point, NOBODY, sigma_px=1.0)
    weight = 1 / sum(np.exp(-(k**2) / 2) for k in range(-4, 5))
    assert found[10, 10] == round(255 * weight**2)
    assert found[10, 11] == found[9, 10] == round(255 * weight**2 * np.exp(-0.5))
    assert (blur(np.full((9, 9, 3), 70, np.uint8), NOBODY, sigma_px=1.0) == 70).all()


def test_jpeg_loses_more_at_a_lower_quality_and_nothing_of_a_plain_face() -> None:
    smooth = np.tile(np.arange(0, 240, 5, dtype=np.uint8), (48, 1))
    near, far = (np.abs(jpeg(smooth, NOBODY, quality=q).astype(int) - smooth).mean() for q in (95, 10))
    assert near < 2 < far
    red = np.full((16, 16, 3), (200, 20, 20), np.uint8)
    assert np.abs(jpeg(red, NOBODY, quality=65).astype(int) - red).max() <= 4  # red stays red, not blue


def test_low_resolution_averages_blocks() -> None:
    face = np.zeros((48, 48), np.uint8)
    face[:24, 24:] = face[24:, :24] = 200
    fine = face.copy()
    fine[::2] = 0  # every block of 2 x 2 holds the mean of both rows
    assert resolution(fine, NOBODY, side_px=24)[0, 47] == 100
    back = resolution(face, NOBODY, side_px=24)
    assert back.shape == (48, 48) and back[0, 0] == 0 and back[0, 47] == 200
    assert resolution(np.stack([face] * 3, axis=2), NOBODY, side_px=24).shape == (48, 48, 3)


def test_the_published_strengths_stand_in_the_list_with_their_units() -> None:
    # Severity 3, and 1 before it, of Tiny-ImageNet-C: blur .5 and 1, noise .04 and .12, brightness .3, contrast .2.
    told = [(each.kind, each.strength) for each in CONDITIONS]
    assert told[:10] == [
        ("none", None), ("blur", 0.5), ("blur", 1.0), ("noise", 0.04), ("noise", 0.12), ("brightness", -0.3),
        ("brightness", 0.3), ("contrast", 0.2), ("jpeg", 65), ("jpeg", 50),
    ]  # fmt: skip
    assert len({each.name for each in CONDITIONS}) == len({each.text for each in CONDITIONS}) == len(CONDITIONS) == 17
    assert all((each.unit is None) == (each is CLEAN) for each in CONDITIONS)


@pytest.mark.parametrize("each", CONDITIONS, ids=lambda each: each.name)
def test_a_condition_keeps_shape_and_type_and_does_what_it_says(each: Condition) -> None:
    coloured = np.stack([FACES[0]] * 3, axis=2)
    for face in (FACES[0], coloured):
        before = face.copy()
        (found,) = distorted([face], each, 0)
        assert found.shape == face.shape and found.dtype == np.uint8
        assert (found == face).all() == (each is CLEAN)
        assert (face == before).all()


def test_the_same_seed_gives_the_same_pictures_whatever_was_drawn_before() -> None:
    first = set_of("noise-0.04", 7)
    set_of("noise-0.12", 7)
    assert (set_of("noise-0.04", 7) == first).all()
    assert (set_of("noise-0.04", 8) != first).any()


def test_two_faces_and_two_strengths_do_not_get_the_same_noise() -> None:
    plain = np.full((2, 48, 48), 128, np.uint8)
    mild, strong = (set_of(name, 0, plain).astype(float) - 128 for name in ("noise-0.04", "noise-0.12"))
    for one, other in ((mild[0], mild[1]), (mild[0], strong[0])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1


def test_faces_that_low_resolution_would_not_reduce_are_refused() -> None:
    check_size(np.zeros((1, 25, 25), np.uint8), "p.npz")
    with pytest.raises(DataError, match=r"p\.npz: expected faces of more than 24 pixels a side.*; got 48 x 24"):
        check_size(np.zeros((1, 48, 24), np.uint8), "p.npz")
