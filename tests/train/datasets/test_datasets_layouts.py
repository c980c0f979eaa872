"""RAF-DB, CK+ and class folders: drawn faces written in exactly their layouts, and what wrong files get."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.errors import DataError
from edge.labels import EMOTIONS
from edge.pictures.packs import read_pack
from tests.train.conftest import write_csv
from train.__main__ import main
from train.datasets import Dataset, load
from train.datasets.ckplus import haar_crop
from train.datasets.splits import grouped

RAFDB_CODES = {"surprise": 1, "fear": 2, "disgust": 3, "happy": 4, "sad": 5, "angry": 6, "neutral": 7}
# Supports of the published test part (the table of the RAF-DB recipe) and of train, by RAF-DB's codes 1-7.
RAFDB_TEST = (329, 74, 160, 1185, 478, 162, 680)
RAFDB_TRAIN = (1290, 281, 717, 4772, 1982, 705, 2524)


def rows_of(faces: Dataset, part: str) -> list[tuple[np.ndarray, str]]:
    source = faces.parts[part]
    return [(image, faces.labels[label]) for image, label in zip(source.images, source.labels, strict=True)]


def write_picture(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def write_rafdb(root: Path, faces: Dataset, layout: str) -> Path:
    """RAF-DB as its authors give it (``official``: list in EmoLabel, ``flat``: list at the root) or as on Kaggle."""
    lines = []
    for part in ("test", "train"):
        digits = 5 if part == "train" else 4
        for number, (image, emotion) in enumerate(rows_of(faces, part), start=1):
            name, code = f"{part}_{number:0{digits}d}", RAFDB_CODES[emotion]
            big = cv2.resize(image, (100, 100))
            if layout == "kaggle":
                write_picture(root / "DATASET" / part / str(code) / f"{name}_aligned.jpg", big)
            else:
                write_picture(root / "Image" / "aligned" / f"{name}_aligned.jpg", big)
                lines.append(f"{name}.jpg {code}\n")
    if lines:
        place = root / "EmoLabel" if layout == "official" else root
        place.mkdir(exist_ok=True)
        (place / "list_patition_label.txt").write_text("".join(lines))
    return root


def write_list(root: Path, counts: Mapping[str, tuple[int, ...]]) -> Path:
    """RAF-DB's official layout with so many pictures a code, all of them one file in 8 x 8 pixels."""
    first = root / "Image" / "aligned" / "one.jpg"
    write_picture(first, np.full((8, 8, 3), 90, np.uint8))
    lines = []
    for part, by_code in counts.items():
        codes = np.repeat(np.arange(1, 8), by_code)
        for number, code in enumerate(codes.tolist(), start=1):
            os.link(first, first.with_name(f"{part}_{number:05d}_aligned.jpg"))
            lines.append(f"{part}_{number:05d}.jpg {code}\n")
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("".join(lines))
    return root


def test_rafdbs_editions_give_the_same_rows_by_name(faces: Dataset, tmp_path: Path) -> None:
    sets = [
        load("rafdb", write_rafdb(tmp_path / layout, faces, layout), progress=False)
        for layout in ("official", "flat", "kaggle")
    ]
    first = sets[0]
    assert {dataset.fingerprint for dataset in sets} == {first.fingerprint}
    assert first.labels == EMOTIONS
    assert first.colour == "rgb"
    assert first.part("test").images.shape == (28, 100, 100, 3)
    assert [EMOTIONS[label] for label in first.part("test").labels] == [name for _, name in rows_of(faces, "test")]
    # The pictures went with their labels: JPEG leaves a drawn face within a few grey levels of what was written.
    written = cv2.resize(rows_of(faces, "test")[3][0], (100, 100)).astype(int)
    assert np.abs(first.part("test").images[3] - written).mean() < 8
    assert (len(first.part("train")), len(first.part("validation"))) == (49, 7)
    assert first.notes == (
        "RAF-DB train: 56 of the 12,271 published pictures: figures on it compare with no others",
        "RAF-DB test: 28 of the 3,068 published pictures: figures on it compare with no others",
    )


def test_rafdbs_codes_are_held_to_the_published_supports(tmp_path: Path) -> None:
    dataset = load("rafdb", write_list(tmp_path, {"train": RAFDB_TRAIN, "test": RAFDB_TEST}), progress=False)
    assert dataset.counts()["test"] == {
        "angry": 162,
        "disgust": 160,
        "fear": 74,
        "happy": 1185,
        "sad": 478,
        "surprise": 329,
        "neutral": 680,
    }
    assert len(dataset.part("train")) + len(dataset.part("validation")) == 12271
    assert dataset.counts()["validation"] == {
        "angry": 70,
        "disgust": 72,
        "fear": 28,
        "happy": 477,
        "sad": 198,
        "surprise": 129,
        "neutral": 252,
    }
    assert dataset.notes == ()


def test_rafdb_with_the_labels_of_another_order_is_refused(tmp_path: Path) -> None:
    swapped = (162, 74, 160, 1185, 478, 329, 680)  # anger and surprise exchanged
    write_list(tmp_path, {"train": (3,) * 7, "test": swapped})
    with pytest.raises(DataError, match=r"at most 162 angry pictures in RAF-DB test; got 329; its labels are in anoth"):
        load("rafdb", tmp_path, progress=False)


def test_rafdb_with_files_or_labels_that_do_not_fit_is_refused(faces: Dataset, tmp_path: Path) -> None:
    write_rafdb(tmp_path, faces, "official")
    listing = tmp_path / "EmoLabel" / "list_patition_label.txt"
    whole = listing.read_text()
    for text, message in (
        (whole.replace("test_0001.jpg 6", "test_0001.jpg 0"), r"a label 1-7 in line 1 of .*got 'test_0001.jpg 0'"),
        (whole.replace("test_0001.jpg 6", "val_0001.jpg 6"), r"'train_….jpg' or .*got 'val_0001.jpg 6'"),
        (whole.replace("test_0001.jpg 6", "test_0001.jpg"), r"a label 1-7 in line 1"),
        ("".join(line for line in whole.splitlines(True) if "test" in line), "expected train pictures in .*lists none"),
        ("", "expected train pictures"),
    ):
        assert text != whole
        listing.write_text(text)
        with pytest.raises(DataError, match=message):
            load("rafdb", tmp_path, progress=False)
    listing.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="expected a readable list"):
        load("rafdb", tmp_path, progress=False)
    listing.write_text(whole)
    picture = tmp_path / "Image" / "aligned" / "test_0002_aligned.jpg"
    content = picture.read_bytes()
    picture.write_bytes(content[:200])
    with pytest.raises(DataError, match=r"test_0002_aligned.jpg"):
        load("rafdb", tmp_path, progress=False)
    write_picture(picture, np.zeros((90, 100, 3), np.uint8))
    with pytest.raises(DataError, match=r"pictures of one size .*test_0002_aligned.jpg is 100x90"):
        load("rafdb", tmp_path, progress=False)
    picture.unlink()
    with pytest.raises(DataError, match=r"1 are not there, test_0002_aligned.jpg first; unpack Image/aligned.zip"):
        load("rafdb", tmp_path, progress=False)
    listing.unlink()
    with pytest.raises(DataError, match=r"expected EmoLabel/list_patition_label.txt .*found neither"):
        load("rafdb", tmp_path, progress=False)


def test_rafdbs_kaggle_folders_with_names_for_numbers_are_refused(faces: Dataset, tmp_path: Path) -> None:
    write_rafdb(tmp_path, faces, "kaggle")
    (tmp_path / "DATASET" / "test" / "7").rename(tmp_path / "DATASET" / "test" / "neutral")
    with pytest.raises(DataError, match=r"class folders 1, 2, 3, 4, 5, 6, 7 in .*got .*neutral"):
        load("rafdb", tmp_path, progress=False)


def ck_csv(path: Path, codes: list[int]) -> Path:
    usage = ["Training", "PublicTest", "PrivateTest"]
    rows = [(code, " ".join([str(10 * code + 5)] * 2304), usage[i % 3]) for i, code in enumerate(codes)]
    return write_csv(path, rows)


def test_ckplus_csv_maps_its_own_codes_and_drops_contempt(tmp_path: Path) -> None:
    ck_csv(tmp_path / "ckextended.csv", [0, 1, 2, 3, 4, 5, 6, 7, 7])
    for place in (tmp_path, tmp_path / "ckextended.csv"):
        dataset = load("ckplus", place, progress=False)
        shown = {
            EMOTIONS[label]: int(image[0, 0])
            for part in dataset.parts.values()
            for image, label in zip(part.images, part.labels, strict=True)
        }
        # Codes of this edition: 0 anger, 1 disgust, 2 fear, 3 happiness, 4 sadness, 5 surprise, 6 neutral, 7 contempt.
        assert shown == {"angry": 5, "disgust": 15, "fear": 25, "happy": 35, "sad": 45, "surprise": 55, "neutral": 65}
        assert dict(dataset.removed) == {"Training": 0, "PublicTest": 1, "PrivateTest": 1}
        assert dict(dataset.roles) == {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
        assert any("dropped 2 pictures of contempt" in note for note in dataset.notes)
        assert any("7 of the 902 published pictures" in note for note in dataset.notes)
        assert any("no figure on its own test part is honest" in note for note in dataset.notes)


def test_ckplus_csv_that_is_something_else_is_refused(tmp_path: Path) -> None:
    file = ck_csv(tmp_path / "ckextended.csv", [2] * 26)
    with pytest.raises(DataError, match=r"at most 25 fear pictures in CK. \(ckextended.csv\); got 26"):
        load("ckplus", file, progress=False)
    ck_csv(file, [0, 1, 8])
    with pytest.raises(DataError, match=r"an emotion 0-7 in row 4 of .*got '8'"):
        load("ckplus", file, progress=False)
    ck_csv(file, [0, 1, 7])
    with pytest.raises(DataError, match=r"an emotion 0-6 in row 4 of .*got '7'"):
        load("fer2013", file, progress=False)
    assert len(load("ckplus", ck_csv(file, [0, 1, 2, 7]), progress=False).part("Training")) == 1
    with pytest.raises(DataError, match=r"an emotion 0-6 in row 5 of .*got '7'"):  # the cache is not another reader's
        load("fer2013", file, progress=False)


CK_FOLDERS = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "sadness": "sad",
    "surprise": "surprise",
}


def write_ck_folders(root: Path, faces: Dataset, people: int = 10, names: bool = True) -> Path:
    """Three frames of one sequence of every person in every class; contempt of persons 0 and 1 alone."""
    grey = {
        name: [cv2.cvtColor(i, cv2.COLOR_RGB2GRAY) for i, n in rows_of(faces, "train") if n == name]
        for name in EMOTIONS
    }
    for sequence, folder in enumerate([*CK_FOLDERS, "contempt"], start=1):
        for person in range(people if folder != "contempt" else 2):
            for frame in range(3):
                face = np.roll(grey[CK_FOLDERS.get(folder, "neutral")][person % 8], person * 3 + frame, axis=1)
                name = f"S{person + 5:03d}_{sequence:03d}_{frame + 10:08d}" if names else f"{person}-{frame}"
                write_picture(root / folder / f"{name}.png", face)
    return root


def test_ckplus_folders_are_split_by_person(faces: Dataset, tmp_path: Path) -> None:
    dataset = load("ckplus", write_ck_folders(tmp_path, faces), progress=False)
    assert dataset.colour == "grey"
    assert dataset.counts()["test"] == dict.fromkeys(EMOTIONS, 6) | {"neutral": 0}  # a fifth of ten people
    assert [len(part) for part in dataset.parts.values()] == [126, 18, 36]
    assert sum(dataset.removed.values()) == 6
    where: dict[bytes, set[str]] = {}
    for file in tmp_path.glob("*/*.png"):
        picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        for name, part in dataset.parts.items():
            if (part.images == picture).all(axis=(1, 2)).any():
                where.setdefault(file.name[:4].encode(), set()).add(name)
    assert len(where) == 10
    assert all(len(parts) == 1 for parts in where.values())
    assert any("dropped 6 pictures of contempt" in note for note in dataset.notes)
    assert any("people: train 7, validation 1, test 2" in note for note in dataset.notes)
    assert any("no neutral faces" in note for note in dataset.notes)
    assert load("ckplus", tmp_path, progress=False).fingerprint == dataset.fingerprint


def test_ckplus_folders_without_names_are_split_by_picture_and_say_so(faces: Dataset, tmp_path: Path) -> None:
    dataset = load("ckplus", write_ck_folders(tmp_path, faces, names=False), progress=False)
    assert any("186 files name no person" in note for note in dataset.notes)
    assert dataset.counts()["test"] == dict.fromkeys(EMOTIONS, 6) | {"neutral": 0}


def test_ckplus_folders_that_are_wrong_are_refused(faces: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected ckextended.csv or the folders anger, contempt, .*found neither"):
        load("ckplus", tmp_path, progress=False)
    write_ck_folders(tmp_path / "few", faces, people=2)
    with pytest.raises(DataError, match=r"expected people enough .* got none for"):
        load("ckplus", tmp_path / "few", progress=False)
    (tmp_path / "few" / "boredom").mkdir()
    with pytest.raises(DataError, match=r"expected the class folders anger, .*got anger, boredom"):
        load("ckplus", tmp_path / "few", progress=False)


def test_ckplus_crop_is_haars_square_seen_from_the_reference_box() -> None:
    # Haar's square to the box: width 0.816, height 1.071, centre (0.498, 0.513) of the square's side.
    crop = haar_crop()
    assert crop.side_scale == pytest.approx(1 / 1.071)
    assert crop.offset_x == pytest.approx(0.002)
    assert crop.offset_y == pytest.approx(-0.013)
    assert crop.resolution_px == 48


def test_groups_stay_whole_and_shares_are_kept_by_class() -> None:
    groups = [f"p{i // 4}" for i in range(80)]
    labels = np.array([0, 0, 1, 1] * 10 + [0, 2, 2, 2] * 10)
    masks = grouped(labels, groups, {"train": 0.7, "validation": 0.1, "test": 0.2})
    assert np.array_equal(sum(mask.astype(int) for mask in masks.values()), np.ones(80))
    for name in set(groups):
        rows = np.array([group == name for group in groups])
        assert sum(bool((mask & rows).any()) for mask in masks.values()) == 1
    # 30, 20 and 30 rows of the classes in all; a fifth is 6, 4 and 6.
    assert np.bincount(labels[masks["test"]]).tolist() == [6, 4, 6]
    other = grouped(labels, groups, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=1)
    assert not np.array_equal(other["test"], masks["test"])


def test_folder_classes_that_are_emotions_stand_in_the_canonical_order(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("neutral", "zest", "Angry", "sad", "boredom"):
            for number in range(2):
                write_picture(
                    tmp_path / part / name / f"{number}.png", np.full((8, 8, 3), len(name) + number, np.uint8)
                )
    dataset = load("folder", tmp_path, progress=False)
    assert dataset.labels == ("angry", "sad", "neutral", "boredom", "zest")
    assert dataset.part("test").labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert dataset.part("test").images[:, 0, 0].tolist() == [5, 6, 3, 4, 7, 8, 7, 8, 4, 5]


def test_fer2013_with_more_pictures_than_were_published_is_refused(tmp_path: Path) -> None:
    text = " ".join(["1"] * 2304)
    rows = [(1, text, "PrivateTest")] * 56 + [(0, text, "Training"), (0, text, "PublicTest")]
    with pytest.raises(DataError, match="at most 55 disgust pictures in FER2013 PrivateTest; got 56"):
        load("fer2013", write_csv(tmp_path / "fer2013.csv", rows), progress=False)
    rows = rows[1:]
    dataset = load("fer2013", write_csv(tmp_path / "fer2013.csv", rows), progress=False)
    assert dataset.notes[-1].startswith("FER2013 PrivateTest: 55 of the 3,589 published pictures")


def test_folder_names_that_no_model_file_can_carry_are_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("sad", "very awake"):
            for number in range(2):
                write_picture(tmp_path / part / name / f"{number}.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match=r"letters a-z, digits, _ and -.*got 'very awake'; rename them"):
        load("folder", tmp_path, progress=False)
    for part in ("train", "test"):
        (tmp_path / part / "very awake").rename(tmp_path / part / "very-awake")
    assert load("folder", tmp_path, progress=False).labels == ("sad", "very-awake")
    (tmp_path / "train" / "sad" / "1.png").unlink()
    (tmp_path / "train" / "very-awake" / "1.png").unlink()
    with pytest.raises(DataError, match="all are held out; add more a class"):
        load("folder", tmp_path, progress=False)
    write_picture(tmp_path / "train" / "Sad" / "0.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match=r"one folder a class in .*got Sad and sad; put their pictures together"):
        load("folder", tmp_path, progress=False)


def test_pack_holds_parts_of_rafdb_and_ckplus_and_says_what_to_know(faces: Dataset, tmp_path: Path) -> None:
    write_rafdb(tmp_path / "raf", faces, "kaggle")
    write_ck_folders(tmp_path / "ck", faces)
    out = tmp_path / "pack.npz"
    for name, data, shape, note in (
        ("rafdb", tmp_path / "raf", (28, 100, 100, 3), "28 of the 3,068 published"),
        ("ckplus", tmp_path / "ck", (36, 48, 48), "dropped 6 pictures of contempt"),
    ):
        result = CliRunner().invoke(main, ["pack", "--dataset", name, "--data", str(data), "--out", str(out)])
        assert result.exit_code == 0, result.output
        assert note in result.output
        pack = read_pack(out)
        assert pack.images.shape == shape
        assert pack.classes == EMOTIONS
        assert pack.meta["dataset"] == name
