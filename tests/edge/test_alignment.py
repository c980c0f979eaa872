"""Faces turned upright by the eyes, and by a similarity fitted to all points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from skimage import data, transform

from edge.__main__ import cli
from edge.alignment import ALIGN_FROM_DEG, TEMPLATES, placed, similarity
from edge.detectors import YUNET_NAME, Detection, Point, load_detector
from edge.inference.contract import CropSpec
from edge.pictures.preprocess import Box, crop_face
from edge.recognizer import Recognizer, load

TRIANGLE = ((0.0, 0.0), (4.0, 0.0), (0.0, 2.0))
BOX = (4.0, 1.0, 43.0, 48.0)  # the reference box in FER2013's 48 pixels: centre (23.5, 24.5), longer side 47


def moved(points: Sequence[Point], scale: float, degrees: float, x: float, y: float) -> tuple[Point, ...]:
    """Points turned clockwise as pictures are seen, scaled, and shifted."""
    cosine, sine = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return tuple((cosine * px - sine * py + x, sine * px + cosine * py + y) for px, py in points)


def face(points: tuple[Point, ...] | None, box: Box = BOX) -> Detection:
    return Detection(box, 0.9, points)


def test_a_quarter_turn_clockwise_twice_as_large_and_shifted_is_found_exactly() -> None:
    # (x, y) goes to (10 - 2 y, 20 + 2 x)
    fit = similarity(TRIANGLE, ((10.0, 20.0), (10.0, 28.0), (6.0, 20.0)))
    assert (fit.scale, fit.roll_deg, fit.residual) == pytest.approx((2, 90, 0), abs=1e-7)
    assert fit.shift_px == pytest.approx((10, 20))
    assert fit(1, 1) == pytest.approx((8, 22))


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("degrees", [-170, -45, 0, 12.5, 90])
def test_any_turn_scale_and_shift_of_a_template_is_found(count: int, degrees: float) -> None:
    fit = similarity(TEMPLATES[count], moved(TEMPLATES[count], 3.5, degrees, -20, 7))
    assert (fit.scale, fit.roll_deg, *fit.shift_px) == pytest.approx((3.5, degrees, -20, 7))
    assert fit.residual == pytest.approx(0, abs=1e-6)


def test_one_point_that_is_off_moves_the_fit_by_its_share() -> None:
    # A cross of radius 1 whose right point lies at 3. About their mean (0.5, 0) the points are (2.5, 0), (-1.5, 0),
    # (-0.5, 1), (-0.5, -1): the scale is (2.5 + 1.5 + 1 + 1) / 4, and of their spread 11, 1 + 0 + 0.5 + 0.5 is left.
    cross = ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))
    fit = similarity(cross, ((3.0, 0.0), *cross[1:]))
    assert (fit.scale, fit.roll_deg) == pytest.approx((1.5, 0))
    assert fit.shift_px == pytest.approx((0.5, 0))
    assert fit.residual == pytest.approx(math.sqrt(2 / 11))


def test_the_residual_is_what_is_left_of_the_points_own_spread() -> None:
    # The cross squeezed to half its height. Its scale is the mean of both, 0.75: each point is off by 0.25. Of the
    # spread 2 + 0.5, a part of 4 / 16 is left: the root of 0.1.
    cross = ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))
    fit = similarity(cross, ((1.0, 0.0), (-1.0, 0.0), (0.0, 0.5), (0.0, -0.5)))
    assert fit.scale == pytest.approx(0.75)
    assert fit.residual == pytest.approx(math.sqrt(0.1))


def test_noise_of_a_pixel_in_a_large_face_changes_the_fit_little() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (5, 2))
    points = moved(TEMPLATES[5], 4, 20, 50, 60)
    fit = similarity(TEMPLATES[5], [(x + dx, y + dy) for (x, y), (dx, dy) in zip(points, noise, strict=True)])
    assert abs(fit.roll_deg - 20) < 2 and abs(fit.scale - 4) < 0.15
    assert 0 < fit.residual < 0.05


@pytest.mark.parametrize("mirror", [1, -1])
def test_the_fit_is_scikit_images(mirror: int) -> None:
    random = np.random.default_rng(3)
    for count in (3, 5):
        template = np.array(TEMPLATES[count])
        points = template @ random.normal(0, 1, (2, 2)) * (mirror, 1) + random.normal(0, 3, (count, 2))
        fit = similarity([(x, y) for x, y in template], [(x, y) for x, y in points])
        expected = transform.SimilarityTransform.from_estimate(template, points)
        moved_by_us = np.array([fit(x, y) for x, y in template])
        assert np.allclose(moved_by_us, expected(template))
        assert not np.allclose(moved_by_us, points, atol=1)


@pytest.mark.parametrize("count", [3, 5])
def test_a_mirrored_face_is_turned_never_reflected_and_is_refused(count: int) -> None:
    mirrored = tuple((48 - x, y) for x, y in TEMPLATES[count])
    fit = similarity(TEMPLATES[count], mirrored)
    corners = [fit(0, 0), fit(1, 0), fit(0, 1)]
    (ax, ay), (bx, by) = ((x - corners[0][0], y - corners[0][1]) for x, y in corners[1:])
    assert ax * by - ay * bx >= 0  # the determinant of a turn, not of a reflection
    assert fit.residual > 0.7
    assert placed(face(mirrored), "points", 48, 48) == (BOX, 0)


@pytest.mark.parametrize(
    "points",
    [((1.0, 1.0),) * 3, ((1.0, math.nan), (2.0, 1.0), (3.0, 4.0)), ((0.0, 0.0), (1.0, 1.0)), ((math.inf, 1.0),) * 3],
)
def test_points_that_fix_no_similarity_are_refused(points: tuple[Point, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        similarity(TRIANGLE, points)


def test_the_template_itself_gives_the_reference_box_upright() -> None:
    for points in TEMPLATES.values():
        box, roll = placed(face(points), "points", 48, 48)
        assert box == pytest.approx((0, 1, 47, 48)) and roll == pytest.approx(0)  # 47 about (23.5, 24.5)


@pytest.mark.parametrize("count", [3, 5])
def test_the_placed_box_follows_the_points_not_the_detectors_box(count: int) -> None:
    points = moved(TEMPLATES[count], 2, 30, 100, 100)
    x, y = moved(((23.5, 24.5),), 2, 30, 100, 100)[0]
    for off in (0.0, 10.0):  # a box that is a tenth off
        found = face(points, (x - 39 + off, y - 47, x + 39 + off, y + 47))
        box, roll = placed(found, "points", 300, 300)
        assert box == pytest.approx((x - 47, y - 47, x + 47, y + 47)) and roll == pytest.approx(30)
        assert placed(found, "eyes", 300, 300)[0] == found.box


@pytest.mark.parametrize(
    "points",
    [
        None,
        (),
        TEMPLATES[5][:2],  # no template of two
        TEMPLATES[5][:4],
        ((7.0, 7.0),) * 5,
        ((7.0, math.nan), *TEMPLATES[5][1:]),
        ((10.0, 9.0), (20.0, 19.0), (25.0, 24.0), (30.0, 29.0), (40.0, 39.0)),  # on a line
        moved(TEMPLATES[5], 1, 0, 24, 0),  # more than half a box to the right
        moved(TEMPLATES[5], 0.49, 0, 12, 12),  # less than half the box's size
        moved(TEMPLATES[5], 2.01, 0, -23.5, -24.5),
    ],
)
def test_a_fit_that_is_none_leaves_the_detectors_box_as_it_is(points: tuple[Point, ...] | None) -> None:
    assert placed(face(points), "points", 48, 48) == (BOX, 0)


def test_fits_just_within_the_limits_are_taken() -> None:
    for points in (moved(TEMPLATES[5], 1, 0, 23, 0), moved(TEMPLATES[5], 0.51, 0, 12, 12),
                   moved(TEMPLATES[5], 1.99, 0, -23.5, -24.5)):  # fmt: skip
        assert placed(face(points), "points", 100, 100)[0] != BOX


def test_a_fit_about_a_place_outside_the_picture_leaves_the_box_as_it_is() -> None:
    points = moved(TEMPLATES[5], 1, 0, -10, 0)  # about (13.5, 24.5)
    for left, taken in ((0.0, True), (-14.0, False)):
        shifted = tuple((x + left, y) for x, y in points)
        box = (BOX[0] + left, BOX[1], BOX[2] + left, BOX[3])
        assert (placed(face(shifted, box), "points", 48, 48) != (box, 0)) is taken


def test_auto_is_by_the_eyes_above_ten_degrees_and_takes_no_notice_of_other_points() -> None:
    assert ALIGN_FROM_DEG == 10
    for degrees in (-30.0, 4.0, 30.0):
        eyes = moved(TEMPLATES[5][:2], 1, degrees - math.degrees(math.atan2(0.4, 18.3)), 0, 0)
        for others in (((0.0, 0.0), (9.0, 9.0), (5.0, 5.0)), moved(TEMPLATES[5][2:], 1, degrees, 0, 0)):
            found = face((*eyes, *others))
            assert placed(found, "none", 48, 48) == (BOX, 0)
            for align, turned in (("eyes", degrees), ("auto", degrees if abs(degrees) > 10 else 0)):
                box, roll = placed(found, align, 48, 48)  # type: ignore[arg-type]
                assert box == BOX and roll == pytest.approx(turned, abs=0.01)


@pytest.mark.parametrize("degrees", [-25, 0, 40])
def test_a_face_fitted_by_its_points_comes_out_as_the_upright_one_does(degrees: float) -> None:
    picture, crop = data.astronaut(), CropSpec(side_scale=48 / 47, resolution_px=48)
    upright = moved(TEMPLATES[5], 2, 0, 170, 70)
    clockwise = cv2.getRotationMatrix2D((223.0, 120.0), -degrees, 1.0)
    tilted = cv2.warpAffine(picture, clockwise, (512, 512)).astype(np.uint8, copy=False)
    # cv2 counts from the first pixel's centre, crops from its corner.
    turned = (np.array(upright) - 0.5) @ clockwise[:, :2].T + clockwise[:, 2] + 0.5
    points = tuple((float(x), float(y)) for x, y in turned)

    def cut(image: np.ndarray, points: tuple[Point, ...], align: str) -> np.ndarray:
        box, roll = placed(face(points, (178, 72, 256, 166)), align, 512, 512)  # type: ignore[arg-type]
        return crop_face(image, box, crop, 48, 48, roll).astype(int)

    wanted = cut(picture, upright, "points")
    assert np.abs(cut(tilted, points, "points") - wanted).mean() < 3
    if degrees:
        assert np.abs(cut(tilted, points, "none") - wanted).mean() > 15


def test_the_photographs_face_is_placed_by_points_much_as_by_its_box(shared_data: Path) -> None:
    (found,) = load_detector("yunet", shared_data / "detectors" / YUNET_NAME).detect(data.astronaut())
    (left, top, right, bottom), roll = placed(found, "points", 512, 512)
    box_left, box_top, box_right, box_bottom = found.box
    assert abs(left + right - box_left - box_right) / 2 < 10 and abs(top + bottom - box_top - box_bottom) / 2 < 10
    assert 0.8 < (right - left) / (box_bottom - box_top) < 1.2 and abs(roll) < 15
    assert (left, top, right, bottom) != found.box  # the fit was taken


@pytest.mark.parametrize("words", [["image", "FILE"], ["video", "FILE"], ["camera", "synthetic", "--max-frames", "1"]])
def test_commands_hand_the_alignment_on(
    words: list[str], int8_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[str] = []

    def watched(*args: object, **options: object) -> Recognizer:
        made: Recognizer = load(*args, **options)  # type: ignore[arg-type]
        chosen.append(made.align)
        return made

    monkeypatch.setattr("edge.recognizer.load", watched)
    cv2.imwrite(str(tmp_path / "photo.png"), data.astronaut())
    file = str(tmp_path / ("photo.png" if words[0] == "image" else "clip.mp4"))
    words = [file if word == "FILE" else word for word in words]
    for align in ("points", "none"):
        CliRunner().invoke(cli, [*words, "--model", str(int8_path), "--detector", "haar", "--align", align])
    CliRunner().invoke(cli, [*words, "--model", str(int8_path), "--detector", "haar"])
    assert chosen == ["points", "none", "auto"]
    refused = CliRunner().invoke(cli, [*words, "--align", "nose"])
    assert refused.exit_code == 2 and "'nose' is not one of" in refused.output
