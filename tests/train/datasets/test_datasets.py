"""Reading data sets: FER2013's csv and folders, class-per-folder, drawn faces, and the protocol's rows."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import DataError
from edge.labels import EMOTIONS
from tests.train.conftest import pixels, write_csv
from train.datasets import Dataset, apply_protocol, fingerprint, load
from train.datasets.pixelcsv import parse_csv
from train.datasets.splits import stratified_share
from train.datasets.synthetic import draw_face


def test_csv_rows_become_parts_by_usage_with_their_labels(small_csv: Path) -> None:
    dataset = load("fer2013", small_csv, progress=False)
    assert {name: len(part) for name, part in dataset.parts.items()} == {
        "Training": 6,
        "PublicTest": 3,
        "PrivateTest": 1,
    }
    assert dataset.part("PublicTest").labels.tolist() == [6, 0, 2]
    assert dataset.part("train").images.shape == (6, 48, 48)
    assert dataset.labels == EMOTIONS


def test_csv_is_parsed_once_and_again_only_after_it_changed(small_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("fer2013", small_csv, progress=False)
    assert (small_csv.parent / "fer2013.csv.npz").is_file()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("train.datasets.pixelcsv.parse_csv", refuse)
    assert load("fer2013", small_csv, progress=False).fingerprint == first.fingerprint
    os.utime(small_csv, ns=(1, 1))
    with pytest.raises(AssertionError, match="parsed again"):
        load("fer2013", small_csv, progress=False)


def test_broken_cache_is_replaced_and_not_believed(small_csv: Path) -> None:
    first = load("fer2013", small_csv, progress=False)
    cache = small_csv.parent / "fer2013.csv.npz"
    cache.write_bytes(cache.read_bytes()[:1000])
    assert load("fer2013", small_csv, progress=False).fingerprint == first.fingerprint


def test_a_compressed_cache_with_a_changed_byte_is_replaced_and_not_believed(small_csv: Path) -> None:
    first = load("fer2013", small_csv, progress=False)
    cache = small_csv.parent / "fer2013.csv.npz"
    with np.load(cache) as kept:
        np.savez_compressed(cache, **{name: kept[name] for name in kept.files})
    content = bytearray(cache.read_bytes())
    start = content.index(b"images.npy") + len(b"images.npy") + 40  # behind the local header: within the deflate stream
    content[start : start + 40] = b"\xff" * 40
    cache.write_bytes(content)
    with pytest.raises(zlib.error), np.load(cache) as kept:
        kept["images"]
    assert load("fer2013", small_csv, progress=False).fingerprint == first.fingerprint


def test_header_with_blanks_in_another_order_is_understood(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "icml.csv", [("Training", 3, pixels(9))], header="Usage, emotion, pixels")
    images, labels, usage = parse_csv(file, progress=False)
    assert images.shape == (1, 48, 48)
    assert int(images[0, 5, 5]) == 9
    assert (labels.tolist(), usage.tolist()) == ([3], [0])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0, pixels(count=2303), "Training"), "2304 pixels in row 3 of .*got 2303"),
        ((0, pixels(256), "Training"), "pixels 0-255 in row 3 of .*got 256"),
        ((0, pixels() + " x", "Training"), "whole numbers as pixels in row 3"),
        ((7, pixels(), "Training"), "emotion 0-6 in row 3 of .*got '7'"),
        (("", pixels(), "Training"), "emotion 0-6 in row 3"),
        (("²", pixels(), "Training"), "emotion 0-6 in row 3"),
        ((0, pixels(), "Test"), "Usage Training, PublicTest, PrivateTest in row 3 of .*got 'Test'"),
    ],
)
def test_bad_row_is_named_by_its_number(tmp_path: Path, row: tuple[object, object, object], message: str) -> None:
    file = write_csv(tmp_path / "bad.csv", [(0, pixels(), "Training"), row])
    with pytest.raises(DataError, match=message):
        parse_csv(file, progress=False)
    assert not list(tmp_path.glob("*.npz"))


def test_cut_off_row_is_named_by_its_number(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "cut.csv", [(0, pixels(), "Training")])
    file.write_text(file.read_text() + "3,1 2 3")
    with pytest.raises(DataError, match=r"3 columns in row 3 of .*got 2"):
        parse_csv(file, progress=False)


@pytest.mark.parametrize(
    ("header", "message"), [("emotion,pixels", "no Usage"), ("a,b,c", "got a, b, c"), ("", "got nothing")]
)
def test_missing_columns_are_named(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_csv(write_csv(tmp_path / "x.csv", [], header=header), progress=False)


def test_empty_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected rows under the header"):
        parse_csv(write_csv(tmp_path / "x.csv", []), progress=False)
    (tmp_path / "y.csv").write_bytes(b"\x89PNG\xff\x00" * 50)
    with pytest.raises(DataError, match="expected"):
        parse_csv(tmp_path / "y.csv", progress=False)


def test_unknown_data_set_and_missing_path_are_refused() -> None:
    with pytest.raises(DataError, match="unknown data set 'fer2014'; known: fer2013"):
        load("fer2014")
    with pytest.raises(DataError, match="needs a path"):
        load("fer2013")
    with pytest.raises(DataError, match="nothing is there"):
        load("fer2013", "no/such.csv")


def test_protocol_removes_training_and_validation_rows_that_recur(small_csv: Path) -> None:
    dataset = apply_protocol(load("fer2013", small_csv, progress=False), "official-dedup")
    # Row 0 of Training recurs in PrivateTest, row 1 in PublicTest.
    assert dict(dataset.removed) == {"Training": 2, "PublicTest": 0}
    assert dataset.part("train").labels.tolist() == [2, 3, 4, 5]
    untouched = apply_protocol(load("fer2013", small_csv, progress=False), "official")
    assert len(untouched.part("train")) == 6


@pytest.mark.parametrize("role", ["train", "validation"])
def test_protocol_that_leaves_a_part_empty_is_refused(faces: Dataset, role: str) -> None:
    copied = dataclasses.replace(faces, parts={**faces.parts, role: faces.parts["test"]})
    for protocol in ("official-dedup", "official+near4"):
        with pytest.raises(
            DataError,
            match=rf"expected pictures in {role} of synthetic .*all 28 do; give other pictures, or --protocol",
        ):
            apply_protocol(copied, protocol)
    assert len(apply_protocol(copied, "official").part(role)) == 28


def test_protocol_of_the_real_data_removes_what_the_data_set_repeats(real_fer2013: Path) -> None:
    whole = load("fer2013", real_fer2013, progress=False)
    assert [len(part) for part in whole.parts.values()] == [28709, 3589, 3589]
    assert whole.notes == ()
    dataset = apply_protocol(whole, "official-dedup")
    assert dict(dataset.removed) == {"Training": 703, "PublicTest": 46}
    assert len(dataset.part("test")) == 3589
    assert np.bincount(dataset.part("test").labels).tolist() == [491, 55, 528, 879, 594, 416, 626]


def test_seed_protocol_has_the_published_supports_and_selects_on_no_test_row(real_fer2013: Path) -> None:
    whole = load("fer2013", real_fer2013, progress=False)
    dataset = apply_protocol(whole, "seed")
    assert np.bincount(dataset.part("test").labels).tolist() == [991, 109, 1024, 1798, 1216, 800, 1240]
    assert dict(dataset.roles) == {"train": "train", "validation": "validation", "test": "test"}
    assert sum(len(part) for part in dataset.parts.values()) == 35887
    assert len(dataset.part("validation")) == 2871
    assert any("repeat leak into the test part" in note for note in dataset.notes)
    again = apply_protocol(whole, "seed")
    assert np.array_equal(again.part("test").images, dataset.part("test").images)


def test_shares_of_small_classes_go_by_the_largest_remainder() -> None:
    labels = np.repeat([0, 1, 2], [11, 6, 4])  # a fifth of 21, rounded up, is 5: 2.62, 1.43 and 0.95
    mask = stratified_share(labels, 0.2)
    assert np.bincount(labels[mask]).tolist() == [3, 1, 1]
    assert not np.array_equal(mask, stratified_share(labels, 0.2, seed=1))


def test_unknown_protocol_is_refused_with_the_list(faces: Dataset) -> None:
    for name in ("pooled", "official+near", "official+far4", "official+near400"):
        with pytest.raises(DataError, match="known: official, official-dedup, seed"):
            apply_protocol(faces, name)


def test_folders_of_the_kaggle_edition_are_read_by_class_name(shared_data: Path, tmp_path: Path) -> None:
    unpack = shared_data / "fer2013" / "unpack.py"
    subprocess.run([sys.executable, unpack, "--folders", tmp_path / "fer", "--rows", "60"], check=True)
    dataset = load("fer2013", tmp_path / "fer", progress=False)
    assert dataset.labels == EMOTIONS
    assert dataset.colour == "grey"
    assert len(dataset.part("test")) == 120
    assert len(dataset.part("train")) + len(dataset.part("validation")) == 60
    happy = sorted((tmp_path / "fer" / "test" / "happy").glob("*.png"))
    picture = cv2.imread(str(happy[0]), cv2.IMREAD_GRAYSCALE)
    rows = np.flatnonzero(dataset.part("test").labels == EMOTIONS.index("happy"))
    assert picture is not None
    assert np.array_equal(dataset.part("test").images[rows[0]], picture)


def _folders(root: Path, classes: tuple[str, ...] = ("a", "b"), side: int = 8) -> Path:
    for part in ("train", "test"):
        for place, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(3):
                picture = np.full((side, side, 3), (10 * place, 50, number), np.uint8)
                cv2.imwrite(str(folder / f"{number}.png"), picture)
    return root


def test_class_folders_give_their_own_labels(tmp_path: Path) -> None:
    dataset = load("folder", _folders(tmp_path), progress=False)
    assert dataset.labels == ("a", "b")
    assert dataset.colour == "rgb"
    assert len(dataset.part("validation")) == 2


def test_folders_with_unknown_classes_other_sizes_or_broken_files_are_refused(tmp_path: Path) -> None:
    _folders(tmp_path)
    with pytest.raises(DataError, match="expected the class folders angry"):
        load("fer2013", tmp_path, progress=False)
    cv2.imwrite(str(tmp_path / "train" / "a" / "9.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match=r"one size.*9.png is 9x9"):
        load("folder", tmp_path, progress=False)
    (tmp_path / "train" / "a" / "9.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"9.png"):
        load("folder", tmp_path, progress=False)
    with pytest.raises(DataError, match="expected the folders train/ and test/"):
        load("folder", tmp_path / "train", progress=False)
    with pytest.raises(DataError, match=r"expected a folder with train/ and test/ at .*it is a file"):
        load("folder", tmp_path / "train" / "a" / "9.png", progress=False)


def test_drawn_faces_are_a_function_of_their_seed(faces: Dataset) -> None:
    again = draw_face("happy", np.random.default_rng(3))
    assert again.shape == (48, 48, 3)
    assert np.array_equal(again, draw_face("happy", np.random.default_rng(3)))
    assert not np.array_equal(again, draw_face("happy", np.random.default_rng(4)))
    assert not np.array_equal(again, draw_face("sad", np.random.default_rng(3)))
    assert faces.counts()["validation"] == dict.fromkeys(EMOTIONS, 4)


def test_fingerprint_changes_with_one_pixel_or_label(faces: Dataset) -> None:
    part = faces.parts["test"]
    images, labels = part.images.copy(), part.labels.copy()
    images[0, 0, 0, 0] ^= 1
    assert fingerprint({"test": type(part)(images, part.labels)}) != fingerprint({"test": part})
    labels[0] = (labels[0] + 1) % 7
    assert fingerprint({"test": type(part)(part.images, labels)}) != fingerprint({"test": part})
    assert fingerprint({"test": type(part)(part.images.copy(), part.labels)}) == fingerprint({"test": part})


def test_unknown_part_is_refused_with_the_list(faces: Dataset) -> None:
    with pytest.raises(DataError, match="no part 'PublicTest'; it has train, validation, test"):
        faces.part("PublicTest")
