from __future__ import annotations

import pytest

from edge.labels import DATASET_LABELS, EMOTIONS, canonical_name, label_index


def test_the_order_is_fer2013s() -> None:
    assert [canonical_name("fer2013", code) for code in range(7)] == list(EMOTIONS)
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def test_rafdbs_first_code_is_surprise_not_anger() -> None:
    names = [canonical_name("rafdb", code) for code in range(1, 8)]
    assert names == ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]


@pytest.mark.parametrize("dataset", DATASET_LABELS)
def test_every_data_set_reaches_the_emotions_and_nothing_else(dataset: str) -> None:
    names = {name for name in DATASET_LABELS[dataset].values() if name is not None}
    missing = {"neutral"} if dataset == "ckplus-folders" else set()  # its folders hold apex frames only
    assert names == set(EMOTIONS) - missing


def test_contempt_has_no_class() -> None:
    assert canonical_name("ckplus", 2) is None
    assert canonical_name("ferplus", "contempt") is None


def test_an_unknown_code_or_data_set_is_refused_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"rafdb's codes 1, 2, 3, 4, 5, 6, 7; got '0'"):
        canonical_name("rafdb", 0)
    with pytest.raises(ValueError, match=r"one of the data sets fer2013, .*; got 'affectnet'"):
        canonical_name("affectnet", 0)


def test_a_label_is_found_by_its_exact_name_only() -> None:
    assert label_index("happy") == 3
    assert label_index("b", ("a", "b")) == 1
    with pytest.raises(ValueError, match=r"one of the labels angry, .*, neutral; got 'Happy'"):
        label_index("Happy")
