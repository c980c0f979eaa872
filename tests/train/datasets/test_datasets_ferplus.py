"""FER+: the majority rule and soft targets by hand, the join to fer2013.csv, the published numbers on the real file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.errors import DataError
from edge.labels import EMOTIONS
from tests.train.conftest import pixels, write_csv
from train.datasets import apply_protocol, concatenate, fingerprint, load
from train.datasets.core import Part
from train.datasets.votes import OPTIONS, majority, soft_targets

# neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF
ANGRY = (1, 0, 0, 2, 6, 0, 1, 0, 0, 0)
SAD_OR_NEUTRAL = (5, 0, 0, 5, 0, 0, 0, 0, 0, 0)
CONTEMPT = (2, 0, 0, 0, 1, 0, 0, 7, 0, 0)
NO_FACE = (0, 1, 0, 0, 0, 0, 0, 0, 1, 8)
UNKNOWN = (2, 0, 0, 0, 0, 0, 0, 0, 8, 0)
SCATTERED = (1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
HAPPY = (0, 10, 0, 0, 0, 0, 0, 0, 0, 0)


def write_votes(path: Path, rows: Sequence[tuple[str, tuple[object, ...]]], header: tuple[str, ...] = OPTIONS) -> Path:
    with open(path, "w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("Usage", "Image name", *header))
        for number, (usage, votes) in enumerate(rows):
            table.writerow((usage, f"fer{number:07d}.png", *votes))
    return path


@pytest.fixture
def both(tmp_path: Path) -> Path:
    votes = [ANGRY, HAPPY, CONTEMPT, NO_FACE, UNKNOWN, SAD_OR_NEUTRAL, HAPPY, ANGRY]
    usage = ["Training"] * 6 + ["PublicTest", "PrivateTest"]
    write_csv(tmp_path / "fer2013.csv", [(i % 7, pixels(i), u) for i, u in enumerate(usage)])
    write_votes(tmp_path / "fer2013new.csv", list(zip(usage, votes, strict=True)))
    return tmp_path


def test_majority_needs_more_than_half_of_what_single_votes_leave() -> None:
    # Single votes away: 6 of 8 are anger; 5 of 10 are not more than half; of ten single votes nothing is left.
    rows = np.array([ANGRY, SAD_OR_NEUTRAL, CONTEMPT, NO_FACE, UNKNOWN, SCATTERED])
    chosen = [OPTIONS[option] for option in majority(rows)]
    assert chosen == ["anger", "unknown", "contempt", "NF", "unknown", "unknown"]
    # 3 of 7 with the four single votes counted, 3 of 3 without them.
    assert OPTIONS[majority(np.array([(0, 0, 3, 1, 1, 1, 1, 0, 0, 0)]))[0]] == "surprise"


def test_soft_targets_share_out_what_the_seven_emotions_got() -> None:
    rows = np.array([ANGRY, SAD_OR_NEUTRAL, CONTEMPT, NO_FACE, SCATTERED, (0, 4, 3, 0, 0, 0, 0, 2, 0, 0)])
    targets = soft_targets(rows)
    named = [{EMOTIONS[i]: float(v) for i, v in enumerate(row) if v} for row in targets]
    assert targets.dtype == np.float32
    assert named[0] == {"angry": 0.75, "sad": 0.25}
    assert named[1] == {"sad": 0.5, "neutral": 0.5}
    assert named[2:5] == [{}, {}, {}]
    assert named[5] == pytest.approx({"happy": 4 / 7, "surprise": 3 / 7})


def test_only_rows_with_a_majority_emotion_stay_and_the_rest_is_counted(both: Path) -> None:
    dataset = load("ferplus", both, progress=False)
    assert dataset.part("Training").labels.tolist() == [EMOTIONS.index("angry"), EMOTIONS.index("happy")]
    assert dataset.part("Training").images[:, 0, 0].tolist() == [0, 1]
    assert dict(dataset.removed) == {"Training": 4, "PublicTest": 0, "PrivateTest": 0}
    assert dataset.notes[0] == (
        "FER+: dropped pictures: 1 of contempt, which is none of the seven emotions, 2 on which no emotion has a "
        "majority, 1 that are not a face"
    )
    assert "extra supervision" in dataset.notes[1]
    votes = dataset.part("Training").votes
    assert votes is not None
    assert votes.sum(axis=1).tolist() == [1, 1]


def test_votes_beside_fer2013_leave_its_labels_and_follow_the_rows(both: Path) -> None:
    plain = load("fer2013", both, progress=False)
    dataset = load("fer2013", both, votes=both / "fer2013new.csv", progress=False)
    part = dataset.part("Training")
    assert part.labels.tolist() == plain.part("Training").labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert plain.part("Training").votes is None
    assert part.votes is not None
    assert part.votes.sum(axis=1).tolist() == [1, 1, 0, 0, 0, 1]
    taken = part.take(np.array([5, 0]))
    assert taken.votes is not None
    assert taken.votes[1].tolist() == [0.75, 0, 0, 0, 0.25, 0, 0]
    assert dataset.fingerprint != plain.fingerprint
    assert "extra supervision" in dataset.notes[-1]
    seed = apply_protocol(dataset, "seed")
    assert all(part.votes is not None and len(part.votes) == len(part) for part in seed.parts.values())


def test_votes_are_part_of_the_fingerprint_only_where_there_are_any() -> None:
    images, labels = np.zeros((2, 4, 4), np.uint8), np.array([0, 1])
    votes = np.array([[1, 0], [0, 1]], np.float32)
    plain, voted = Part(images, labels), Part(images, labels, votes)
    # The sha256 of the bytes `a:(2, 4, 4)`, 32 zeros and the labels 0 and 1 as little-endian int64.
    assert fingerprint({"a": plain}) == "2a414b27091e79f6f92ab1c1cb0625b1e1213748bbdfdbd209119274725f8ed7"
    assert fingerprint({"a": voted}) != fingerprint({"a": plain})
    assert fingerprint({"a": voted}) != fingerprint({"a": Part(images, labels, votes[::-1])})
    assert concatenate([voted, plain]).votes is None
    joined = concatenate([voted, voted]).votes
    assert joined is not None and joined.shape == (4, 2)
    with pytest.raises(ValueError, match="expected float32 votes"):
        Part(images, labels, votes[:1])


def test_real_votes_give_the_published_numbers(real_fer2013: Path) -> None:
    dataset = load("ferplus", real_fer2013, progress=False)
    # 25,060 / 3,199 / 3,153 with contempt, of which 119 / 13 / 16.
    assert [len(part) for part in dataset.parts.values()] == [25060 - 119, 3199 - 13, 3153 - 16]
    assert dict(dataset.removed) == {
        "Training": 28709 - 24941,
        "PublicTest": 3589 - 3186,
        "PrivateTest": 3589 - 3137,
    }
    for part in dataset.parts.values():
        assert part.votes is not None
        assert np.array_equal(part.votes.argmax(axis=1), part.labels)
        assert np.allclose(part.votes.sum(axis=1), 1)


def test_votes_of_another_file_or_order_are_refused(both: Path) -> None:
    file = both / "fer2013new.csv"
    rows = [("Training", HAPPY)] * 6 + [("PublicTest", HAPPY), ("PrivateTest", HAPPY)]
    for bad, message in (
        (rows[:-1], r"expected 8 rows in .*fer2013new.csv, one for each of fer2013.csv; got 7"),
        ([*rows, rows[-1]], r"expected 8 rows in .*; got 9"),
        (rows[::-1], r"expected Usage Training in row 2 of .*; got 'PrivateTest'"),
        ([("Training", (*HAPPY[:-1], "x")), *rows[1:]], r"expected 0-10 votes for NF in row 2 of .*; got 'x'"),
        ([("Training", (*HAPPY[:-1], 11)), *rows[1:]], r"expected 0-10 votes for NF in row 2 of .*; got '11'"),
        ([("Training", HAPPY[:-1]), *rows[1:]], r"expected 0-10 votes for NF in row 2 of .*; got nothing"),
    ):
        write_votes(file, list(bad))
        with pytest.raises(DataError, match=message):
            load("ferplus", both, progress=False)
    write_votes(file, rows, header=OPTIONS[:-1])
    with pytest.raises(DataError, match=r"the columns Usage, .* no NF"):
        load("ferplus", both, progress=False)
    file.write_bytes(b"\x89PNG\xff\x00" * 9)
    with pytest.raises(DataError, match="expected a readable csv of votes"):
        load("ferplus", both, progress=False)


def test_missing_votes_and_votes_for_another_data_set_are_refused(both: Path) -> None:
    (both / "fer2013new.csv").rename(both / "elsewhere.csv")
    with pytest.raises(DataError, match=r"expected fer2013new.csv .*nothing is there; put both files in one folder"):
        load("ferplus", both, progress=False)
    assert len(load("ferplus", both, votes=both / "elsewhere.csv", progress=False).part("Training")) == 2
    with pytest.raises(DataError, match=r"expected fer2013 or ferplus with FER. votes; got synthetic"):
        load("synthetic", votes=both / "elsewhere.csv")
