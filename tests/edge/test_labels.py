from __future__ import annotations

import pytest

from edge.labels import DATASET_LABELS, EMOTIONS


def test_the_order_is_fer2013s() -> None:
    assert [DATASET_LABELS["fer2013"][str(code)] for code in range(7)] == list(EMOTIONS)
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def test_rafdbs_first_code_is_surprise_not_anger() -> None:
    names = [DATASET_LABELS["rafdb"][str(code)] for code in range(1, 8)]
    assert names == ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]


@pytest.mark.parametrize("dataset", DATASET_LABELS)
def test_every_data_set_reaches_the_emotions_and_nothing_else(dataset: str) -> None:
    names = {name for name in DATASET_LABELS[dataset].values() if name is not None}
    missing = {"neutral"} if dataset == "ckplus-folders" else set()  # its folders hold apex frames only
    assert names == set(EMOTIONS) - missing


def test_contempt_has_no_class() -> None:
    assert DATASET_LABELS["ckplus"]["2"] is None
    assert DATASET_LABELS["ferplus"]["contempt"] is None
