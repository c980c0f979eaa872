"""Whether every detector's crop is framed like the pictures that the model was trained on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from edge.detectors import BLAZEFACE_NAME, YUNET_NAME, Detector, load_detector
from edge.inference.modelfile import read_model
from edge.pictures.preprocess import crop_square
from tests.edge.detectors.test_detectors import FACES, overlap

KINDS = ("yunet", "blazeface", "haar")
PAD_PX, ENLARGED, FACE_PX = 12, 3, 48


@pytest.fixture(scope="module")
def detectors(shared_data: Path) -> dict[str, Detector]:
    folder = shared_data / "detectors"
    files = {"yunet": folder / YUNET_NAME, "blazeface": folder / BLAZEFACE_NAME, "haar": None}
    return {kind: load_detector(kind, files[kind]) for kind in KINDS}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def training_faces(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """FER2013's first 200 Training faces, with a replicated border, enlarged: (200, 216, 216, 3)."""
    file = tmp_path_factory.mktemp("fer2013") / "faces.npz"
    command = [sys.executable, str(shared_data / "fer2013" / "unpack.py"), "--rows", "200", "--npz", str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    with np.load(file) as archive:
        faces = archive["images"][archive["usage"] == 0]
    padded = [cv2.copyMakeBorder(face, PAD_PX, PAD_PX, PAD_PX, PAD_PX, cv2.BORDER_REPLICATE) for face in faces]
    large = [cv2.resize(face, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_LINEAR) for face in padded]
    return np.repeat(np.array(large)[..., np.newaxis], 3, axis=3)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "share"), [("yunet", 0.85), ("blazeface", 0.85), ("haar", 0.65)])
def test_crops_are_framed_like_fer2013s_own(
    kind: str, share: float, detectors: dict[str, Detector], training_faces: np.ndarray
) -> None:
    crop = read_model().contract.crop
    squares = []
    for picture in training_faces:
        if found := detectors[kind].detect(picture):
            left, top, side = (value / ENLARGED for value in crop_square(found[0].box, crop))
            squares.append((left + side / 2 - PAD_PX, top + side / 2 - PAD_PX, side))
    assert len(squares) > share * len(training_faces)
    centre_x, centre_y, side = np.median(squares, axis=0)
    # The true frame is 48 pixels about (24, 24). On 600 faces the medians are off by (0.5, -0.3) pixels and a factor of
    # 1.07 for YuNet, (0.5, -0.2) and 1.05 for BlazeFace, (0.5, 0.0) and 1.08 for Haar.
    assert abs(centre_x - FACE_PX / 2) < 1.5
    assert abs(centre_y - FACE_PX / 2) < 1.5
    assert 0.97 < side / FACE_PX < 1.13


@pytest.mark.parametrize("kind", KINDS)
def test_all_faces_of_a_group_are_found_each_once(kind: str, detectors: dict[str, Detector]) -> None:
    head = data.astronaut()[20:220, 120:320]
    count = 3 if kind == "blazeface" else 5  # a fifth of the picture is too small for a face's surroundings
    found = detectors[kind].detect(np.tile(head, (count, count, 1)))
    assert len(found) == count**2
    left, top, right, bottom = (
        value - start for value, start in zip(FACES["astronaut"][0], (120, 20, 120, 20), strict=True)
    )
    for column in range(count):
        for row in range(count):
            place = (left + 200 * column, top + 200 * row, right + 200 * column, bottom + 200 * row)
            assert sum(overlap(face.box, place) > 0.5 for face in found) == 1, (column, row)


@pytest.mark.parametrize("kind", ["yunet", "blazeface"])
@pytest.mark.parametrize("side", ["left", "top", "right", "bottom"])
def test_a_face_cut_by_the_border_keeps_its_size(kind: str, side: str, detectors: dict[str, Detector]) -> None:
    picture = data.astronaut()
    left, top, right, bottom = FACES["astronaut"][0]
    cut_x, cut_y = (right - left) // 5, (bottom - top) // 5
    cuts = {
        "left": (left + cut_x, 0, 512, 512),
        "top": (0, top + cut_y, 512, 512),
        "right": (0, 0, right - cut_x, 512),
        "bottom": (0, 0, 512, bottom - cut_y),
    }
    x0, y0, x1, y1 = cuts[side]
    found = detectors[kind].detect(picture[y0:y1, x0:x1])
    assert len(found) == 1
    assert overlap(found[0].box, (left - x0, top - y0, right - x0, bottom - y0)) > 0.55
    assert found[0].box[2] - found[0].box[0] > 0.7 * (right - left)
