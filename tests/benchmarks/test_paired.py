"""Two models on the same samples."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.evidence import Accuracy, read_evidence
from benchmarks.paired import compare
from edge.errors import DataError
from tests.benchmarks import handmade
from tests.benchmarks.conftest import Write


def _two(write: Write, first: str, second: str) -> tuple[Accuracy, Accuracy]:
    folder = write(handmade.accuracy("float32", first), handmade.accuracy("qat-int8", second))
    by_recipe = {found.model.recipe: found for found in read_evidence([folder]).accuracies}
    return by_recipe["float32"], by_recipe["qat-int8"]


def test_drop_counts_the_samples_that_one_model_alone_has_right(write: Write) -> None:
    reference, model = _two(write, "1111111100", "1111110010")
    drop = compare(reference, model)
    assert drop.points == pytest.approx(10.0)  # 8 of 10 against 7 of 10
    assert (drop.lost, drop.gained) == (2, 1)
    assert drop.p_value == pytest.approx(1.0)
    assert drop.agreement == pytest.approx(0.7)  # three predictions differ
    assert drop.low < 10.0 < drop.high


def test_a_gain_is_a_negative_drop(write: Write) -> None:
    reference, model = _two(write, "1100000000", "1111111111")
    drop = compare(reference, model)
    assert drop.points == pytest.approx(-80.0)
    assert drop.p_value == pytest.approx(2 / 2**8)
    assert drop.high < 0


def test_pairing_sees_a_steady_difference_that_two_separate_intervals_hide(write: Write) -> None:
    reference, model = _two(write, "1" * 700 + "0" * 300, "1" * 680 + "0" * 320)
    drop = compare(reference, model)
    assert drop.low > 0  # 2 points lost and nothing gained, although each accuracy is known to 2.8 points only
    assert drop.high < 3.1


def test_models_scored_against_other_classes_under_one_fingerprint_are_refused(write: Write) -> None:
    reference, model = _two(write, "1110", "1100")
    same = dataclasses.replace(reference, truth="0123"), dataclasses.replace(model, truth="0123")
    assert compare(*same).lost == 1
    with pytest.raises(DataError, match=r"expected the true classes of .*; got others under the same fingerprint"):
        compare(same[0], dataclasses.replace(model, truth="3210"))


def test_models_scored_on_other_faces_under_one_fingerprint_are_refused(write: Write) -> None:
    records = [handmade.accuracy("float32", "1110"), handmade.accuracy("qat-int8", "1100")]
    for record, content in zip(records, "01", strict=True):
        record["data"]["content_sha256"] = content * 64
    reference, model = sorted(read_evidence([write(*records)]).accuracies, key=lambda found: found.model.recipe)
    with pytest.raises(DataError, match=r"expected the very faces of .*; got others .*content 1{12}, not 0{12}"):
        compare(reference, model)
    assert compare(reference, dataclasses.replace(model, content_sha256="")).lost == 1  # an older record
    assert compare(reference, dataclasses.replace(model, content_sha256="0" * 64)).lost == 1


def test_models_scored_on_different_data_are_refused(write: Write, tmp_path: Path) -> None:
    reference, _ = _two(write, "1110", "1100")
    other = handmade.accuracy("qat-int8", "1100")
    other["data"]["fingerprint"] = "e" * 64
    model = read_evidence([write(other)]).accuracies[-1]
    with pytest.raises(DataError, match=r"expected the data of .* got fer2013 PrivateTest, 4 samples.*same pack"):
        compare(reference, model)
