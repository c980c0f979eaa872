from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.annotate import annotate, save_image
from edge.errors import ImageError
from edge.pictures.images import read_image
from edge.recognizer import Face


def face(box: tuple[int, int, int, int], emotion: str = "happy") -> Face:
    return Face(box, 0.9, emotion, {emotion: 0.8, "other": 0.2})


def test_the_box_and_a_label_above_it_are_drawn_and_the_rest_is_untouched() -> None:
    picture = np.full((200, 300, 3), 100, np.uint8)
    drawn = annotate(picture, [face((50, 60, 150, 160))])
    assert (picture == 100).all()
    assert drawn[159, 100].tolist() == drawn[100, 50].tolist() == [240, 228, 66]
    changed = np.argwhere((drawn != 100).any(axis=2))
    assert changed[:, 0].min() >= 60 - 30 and changed[:, 0].max() == 159
    assert changed[:, 1].min() == 50 and changed[:, 1].max() == 149
    assert (drawn[61:159, 51:149] == 100).all()


def test_a_label_without_room_above_or_beside_stays_in_the_picture() -> None:
    picture = np.full((200, 300, 3), 100, np.uint8)
    for box in ((0, 0, 60, 60), (280, 0, 300, 40), (0, 190, 20, 200)):
        drawn = annotate(picture, [face(box, "surprise")])
        assert drawn.shape == picture.shape
        assert (drawn == (230, 159, 0)).all(axis=2).sum() > 100


def test_a_label_wider_than_the_picture_is_written_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[float, int]] = []
    put_text = cv2.putText

    def spy(
        canvas: np.ndarray, text: str, at: tuple[int, int], font: int, scale: float, *rest: Any, **more: Any
    ) -> Any:
        written.append((scale, at[0] + cv2.getTextSize(text, font, scale, 1)[0][0]))
        return put_text(canvas, text, at, font, scale, *rest, **more)

    monkeypatch.setattr(cv2, "putText", spy)
    for width in (40, 55, 300):
        annotate(np.full((80, width, 3), 100, np.uint8), [face((5, 30, 35, 70))])
    scales, ends = zip(*written, strict=True)
    assert all(end <= width for end, width in zip(ends, (40, 55, 300), strict=True))
    assert scales[0] < scales[1] < scales[2] == 0.35


def test_a_picture_of_one_pixel_and_an_unknown_label_are_drawn() -> None:
    drawn = annotate(np.zeros((1, 1, 3), np.uint8), [face((0, 0, 1, 1), "contempt")])
    assert drawn.shape == (1, 1, 3)


def test_without_faces_the_picture_is_copied() -> None:
    picture = np.full((20, 30, 3), 7, np.uint8)
    drawn = annotate(picture, [])
    assert np.array_equal(drawn, picture) and not np.shares_memory(drawn, picture)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".webp"])
def test_a_saved_picture_reads_back_in_its_colours(suffix: str, tmp_path: Path) -> None:
    picture = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    save_image(tmp_path / f"a{suffix}", picture)
    assert np.abs(read_image(tmp_path / f"a{suffix}").astype(int) - picture).max() <= (0 if suffix in ".png.bmp" else 6)


def test_a_suffix_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"expected a name ending in \.jpg, .*; got '\.gif'"):
        save_image(tmp_path / "a.gif", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ImageError, match=r"expected OpenCV to encode \.webp; got a refusal"):
        save_image(tmp_path / "a.webp", np.zeros((2, 20_000, 3), np.uint8))  # WebP ends at 16,383 pixels
    assert not list(tmp_path.iterdir())
