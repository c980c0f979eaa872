"""The audit: hashes and distances by hand, leaks dropped and nothing else, FER2013's own figures, the command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge.errors import DataError
from edge.labels import EMOTIONS
from train.__main__ import main
from train.datasets import Dataset, Part, apply_protocol, load
from train.datasets.audit import audit, blanks, contact_sheet, drop_leaks, leaks, near_pairs, perceptual_hashes
from train.datasets.folders import PLAIN_CROP
from train.datasets.synthetic import load_synthetic


def distance(one: np.ndarray, other: np.ndarray) -> int:
    hashes = perceptual_hashes(np.stack([one, other]))
    return int(np.bitwise_count(hashes[0] ^ hashes[1]))


def saved_again(image: np.ndarray, quality: int = 70) -> np.ndarray:
    """The picture a little brighter and through a JPEG: other pixels, the same photograph."""
    brighter = np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8)
    _, content = cv2.imencode(".jpg", brighter, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


@pytest.fixture(scope="module")
def grey_faces() -> np.ndarray:
    drawn = load_synthetic(progress=False, counts={"train": 4})
    return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in drawn.part("train").images])


@pytest.fixture
def leaky(grey_faces: np.ndarray) -> Dataset:
    """Train 0-7, validation 8-11, test 12-15; what repeats is said where it is put in."""
    faces = grey_faces[:16].copy()
    faces[0] = faces[12]  # train repeats test exactly, with another label
    faces[1] = saved_again(faces[13])  # train is near test
    faces[2] = saved_again(faces[8])  # train is near validation
    faces[3] = faces[4]  # within train, same label
    faces[9] = saved_again(faces[14])  # validation is near test
    faces[5] = 40  # blank, nowhere else
    faces[6] = faces[15] = 7  # blank in train and test
    labels = np.array([1, 0, 0, 2, 2, 3, 4, 5, 0, 6, 1, 2, 2, 0, 6, 4])
    rows = {"train": slice(0, 8), "validation": slice(8, 12), "test": slice(12, 16)}
    parts = {name: Part(faces[s], labels[s]) for name, s in rows.items()}
    return Dataset("made", EMOTIONS, parts, {name: name for name in parts}, PLAIN_CROP, "grey", "f")


def test_hash_is_the_signs_of_the_low_frequencies_about_their_median() -> None:
    # One horizontal cosine of three half waves over 32 pixels is one frequency: column 3 of row 0 of the transform. Its
    # value and the mean's are far above the median of the others, which are rounding noise; inverted, far below.
    x = np.arange(32)
    picture = 128 + 100 * np.cos(np.pi * 3 * (x + 0.5) / 32)
    (number,) = perceptual_hashes(np.tile(picture.round().astype(np.uint8), (1, 32, 1)))
    bits = np.unpackbits(np.array([number], ">u8").view(np.uint8))
    assert bits[0] == 1
    assert bits[3] == 1
    inverted = (256 - picture).round().clip(0, 255).astype(np.uint8)
    (other,) = perceptual_hashes(np.tile(inverted, (1, 32, 1)))
    assert np.unpackbits(np.array([other], ">u8").view(np.uint8))[3] == 0


def test_hash_stays_near_when_saved_again_or_scaled_and_not_for_another_face(grey_faces: np.ndarray) -> None:
    for row in (0, 5, 9):
        face = grey_faces[row]
        assert distance(face, face) == 0
        assert distance(face, saved_again(face)) <= 4
        larger = cv2.resize(face, (100, 100), interpolation=cv2.INTER_CUBIC)
        one, other = perceptual_hashes(face[None]), perceptual_hashes(larger[None])
        assert int(np.bitwise_count(one[0] ^ other[0])) <= 4
        assert distance(face, face[::-1]) > 16
    in_colour = np.repeat(grey_faces[:3, :, :, None], 3, axis=3)
    assert perceptual_hashes(in_colour).tolist() == perceptual_hashes(grey_faces[:3]).tolist()


def test_near_pairs_are_all_pairs_within_the_distance() -> None:
    hashes = np.array([0b0000, 0b0011, 0b1111, 1 << 63, (1 << 63) | 1], np.uint64)
    # Bits that differ: 01: 2, 02: 4, 03: 1, 04: 2, 12: 2, 13: 3, 14: 2, 23: 5, 24: 4, 34: 1.
    assert near_pairs(hashes, 2).tolist() == [[0, 1, 2], [0, 3, 1], [0, 4, 2], [1, 2, 2], [1, 4, 2], [3, 4, 1]]
    assert near_pairs(hashes, 1).tolist() == [[0, 3, 1], [3, 4, 1]]
    assert near_pairs(hashes, 0).tolist() == []
    assert len(near_pairs(hashes, 5)) == 10


def test_near_pairs_across_blocks_are_those_of_a_plain_count() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 12, 600, dtype=np.uint64)
    wanted = [
        [i, j, (int(hashes[i]) ^ int(hashes[j])).bit_count()]
        for i in range(600)
        for j in range(i + 1, 600)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= 1
    ]
    assert sorted(near_pairs(hashes, 1).tolist()) == wanted


def test_blank_means_that_every_pixel_is_alike() -> None:
    images = np.zeros((3, 4, 4, 3), np.uint8)
    images[1] = 200
    images[2, 3, 3, 2] = 1
    assert blanks(images).tolist() == [True, True, False]


def test_audit_counts_what_was_put_in(leaky: Dataset) -> None:
    result = audit(leaky)
    assert result.repeats == 3  # test 12, train 4 and the blank of test
    assert result.shared == {
        "train": {"train": 1, "validation": 0, "test": 2},
        "validation": {"train": 0, "validation": 0, "test": 0},
        "test": {"train": 2, "validation": 0, "test": 0},
    }
    assert result.near_shared == {
        "train": {"train": 1, "validation": 1, "test": 3},
        "validation": {"train": 1, "validation": 0, "test": 1},
        "test": {"train": 3, "validation": 1, "test": 0},
    }
    assert result.conflicts == ((("train", 0, "disgust"), ("test", 0, "fear")),)
    assert [pair[:4] for pair in result.pairs] == [
        ("train", 1, "test", 1),
        ("train", 2, "validation", 0),
        ("validation", 1, "test", 2),
    ]
    assert result.near_pairs == 3
    assert result.near_conflicts == 0
    assert result.blank == {"train": (5, 6), "validation": (), "test": (3,)}
    assert result.counts["test"]["neutral"] == 1


def test_near_pairs_without_a_label_in_common_are_conflicts(leaky: Dataset) -> None:
    train = leaky.parts["train"]
    labels = train.labels.copy()
    labels[1] = 5
    changed = dataclasses.replace(leaky, parts={**leaky.parts, "train": Part(train.images, labels)})
    assert audit(changed).near_conflicts == 1


def test_leaks_are_dropped_and_the_test_part_is_not_touched(leaky: Dataset) -> None:
    masks = leaks(leaky)
    assert np.flatnonzero(masks["train"]).tolist() == [0, 1, 2, 6]
    assert np.flatnonzero(masks["validation"]).tolist() == [1]
    result = drop_leaks(leaky)
    assert dict(result.removed) == {"train": 4, "validation": 1}
    assert result.part("train").labels.tolist() == [2, 2, 3, 5]
    assert np.array_equal(result.part("test").images, leaky.part("test").images)
    clean = audit(result)
    assert clean.near_shared["train"] == {"train": 1, "validation": 0, "test": 0}
    assert clean.near_shared["validation"]["test"] == 0


def test_dropped_leaks_are_in_the_protocols_name_which_repeats_them(leaky: Dataset) -> None:
    result = drop_leaks(apply_protocol(leaky, "official-dedup"), 2)
    assert result.protocol == "official-dedup+near2"
    again = apply_protocol(leaky, result.protocol)
    assert again.protocol == result.protocol
    assert np.array_equal(again.part("train").images, result.part("train").images)
    assert again.removed == result.removed


def test_distance_out_of_range_is_refused(leaky: Dataset) -> None:
    for bits in (-1, 17):
        with pytest.raises(ValueError, match="distance of 0-16 bits"):
            audit(leaky, bits)
        with pytest.raises(ValueError, match="distance of 0-16 bits"):
            drop_leaks(leaky, bits)


def test_contact_sheet_shows_both_pictures_of_a_pair(leaky: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "pairs.png"
    assert contact_sheet(leaky, audit(leaky), file) == 3
    sheet = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None and sheet.shape == (132, 1320)
    assert abs(int(sheet[1:65, 1:65].mean()) + 12 - int(sheet[67:131, 1:65].mean())) < 30
    with pytest.raises(DataError, match=r"name to end in .png"):
        contact_sheet(leaky, audit(leaky), tmp_path / "pairs.pdf")
    with pytest.raises(DataError, match="there are none"):
        contact_sheet(leaky, dataclasses.replace(audit(leaky), pairs=()), file)


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, arguments)])


def test_audit_of_the_real_fer2013_prints_its_figures(real_fer2013: Path, tmp_path: Path) -> None:
    out, sheet = tmp_path / "audit.json", tmp_path / "pairs.png"
    result = _run("--dataset", "fer2013", "--data", real_fer2013, "--json", out, "--sheet", sheet, "--quiet")
    assert result.exit_code == 0, result.output
    for line in (
        "1,853 pictures repeat an earlier one exactly",
        "288 PrivateTest pictures are also in Training",
        "280 PublicTest pictures are also in Training",
        "44 PrivateTest pictures are also in PublicTest",
        "57 pictures carry conflicting labels",
        "1,349 pairs of different pictures are within 4 bits",
        "12 pictures are blank",
    ):
        assert line in result.output
    kept = json.loads(out.read_text())
    assert kept["repeats"] == 1853
    assert kept["shared"]["PrivateTest"]["Training"] == 288
    assert len(kept["conflicts"]) == 57
    assert len(kept["pairs"]) == kept["near_pairs"] == 1349
    dataset = load("fer2013", real_fer2013, progress=False)
    part, row, other, other_row, bits = kept["pairs"][0]
    one, two = dataset.parts[part].images[row], dataset.parts[other].images[other_row]
    assert distance(one, two) == bits
    assert cv2.imread(str(sheet)) is not None


def test_leaks_of_the_real_fer2013_are_the_exact_ones_and_more(real_fer2013: Path) -> None:
    dataset = apply_protocol(load("fer2013", real_fer2013, progress=False), "official-dedup")
    result = drop_leaks(dataset)
    assert dict(dataset.removed) == {"Training": 703, "PublicTest": 46}
    assert dict(result.removed) == {"Training": 1195, "PublicTest": 84}
    assert len(result.part("test")) == 3589


def test_audit_command_says_the_data_sets_notes_and_stops_in_one_line(real_fer2013: Path, tmp_path: Path) -> None:
    rows = (real_fer2013 / "fer2013new.csv").read_text().splitlines(True)
    (tmp_path / "fer2013new.csv").write_text("".join(rows[:10]))
    bad = _run("--dataset", "ferplus", "--data", tmp_path)
    assert (bad.exit_code, bad.output.count("\n")) == (1, 1)
    assert "expected fer2013.csv" in bad.output
    good = _run("--dataset", "ferplus", "--data", real_fer2013, "--quiet")
    assert good.exit_code == 0, good.output
    assert "148 of contempt, which is none of the seven emotions" in good.output
