"""Two runs on the same pictures, and protocols side by side, against counts worked out by hand."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from edge.errors import DataError
from tests.train.handmade import flat_pictures, write_run
from train.datasets import Dataset, Part, apply_protocol
from train.evaluation.comparison import (
    change_table,
    compare_runs,
    counts_table,
    macro_f1_interval,
    protocols_table,
    side_by_side,
)
from train.evaluation.leakage import Ancestor, own_dataset
from train.evaluation.plots import plot_comparison

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, faces: Dataset) -> Make:
    """Write a run folder into the test's own folder, trained, it says, on the drawn faces unless another is given."""

    def write(name: str, threshold: float, dataset: Dataset = faces, **options: Any) -> Path:
        return write_run(tmp_path, dataset, name, threshold, **options)

    return write


def _flat(faces: Dataset, rows: list[tuple[int, int]], part: str = "test") -> Dataset:
    """Return a data set of two classes whose part holds one flat picture for each (grey level, label)."""
    return dataclasses.replace(
        faces, labels=("angry", "happy"), parts={**faces.parts, part: Part(*flat_pictures(rows))}
    )


# Dark, middle and bright pictures; "strict" has its threshold above the middle ones, "lenient" below.
ROWS = [(40, 0)] * 3 + [(120, 0)] * 2 + [(120, 1)] * 5 + [(220, 1)] * 4


def test_second_run_is_counted_where_it_alone_is_right(faces: Dataset, make: Make) -> None:
    runs = (make("strict", 170), make("lenient", 80))
    dataset = _flat(faces, ROWS)
    result = compare_runs(runs, dataset, "test")
    # "strict" calls the middle ones angry: right on 3 + 2 + 4; "lenient" calls them happy: right on 3 + 5 + 4.
    assert result["counts"] == {"both_right": 7, "only_first_right": 2, "only_second_right": 5, "both_wrong": 0}
    assert result["difference_points"] == pytest.approx(100 * 3 / 14)
    assert result["p_value"] == pytest.approx(2 * (1 + 7 + 21) / 2**7)
    assert result["agreement"] == pytest.approx(0.5)
    assert result["discordant"] == {"angry": [2, 0], "happy": [0, 5]}
    # happy: strict precision 1, recall 4/9; lenient precision 9/11, recall 1
    assert result["f1_change_points"]["happy"] == pytest.approx(100 * (18 / 20 - 8 / 13))
    assert result["macro_f1_difference_ci95"][0] < result["macro_f1_difference_points"]
    assert "| strict right | 7 | 2 |" in counts_table(result)
    assert "| strict wrong | 5 | 0 |" in counts_table(result)
    assert "| 1 happy | 0.615 | 0.900 | +28.5 | 0 | 5 | 9 |" in change_table(result)
    json.dumps(result)


def test_turning_the_two_runs_round_turns_the_sign(faces: Dataset, make: Make) -> None:
    runs = (make("strict", 170), make("lenient", 80))
    dataset = _flat(faces, ROWS)
    there, back = compare_runs(runs, dataset, "test"), compare_runs((runs[1], runs[0]), dataset, "test")
    assert back["difference_points"] == pytest.approx(-there["difference_points"])
    assert back["p_value"] == there["p_value"]


def test_kept_predictions_spare_the_second_run(faces: Dataset, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = (make("strict", 170), make("lenient", 80))
    dataset = _flat(faces, ROWS)
    first = compare_runs(runs, dataset, "test")

    def never(*_: Any) -> None:
        raise AssertionError("predicted again")

    monkeypatch.setattr("train.evaluation.predict.predict_views", never)
    assert compare_runs(runs, dataset, "test") == first
    with pytest.raises(AssertionError, match="predicted again"):  # other pictures: nothing kept counts
        compare_runs(runs, _flat(faces, ROWS[1:]), "test")


def test_runs_with_other_classes_are_compared_by_class_name(faces: Dataset, make: Make) -> None:
    two = make("two", 80)
    three = make("three", 170, labels=("happy", "angry", "contempt"))
    result = compare_runs((two, three), _flat(faces, ROWS), "test")
    assert list(result["f1_change_points"]) == ["angry", "happy", "contempt"]
    assert result["counts"]["only_first_right"] == 5
    assert result["runs"][1]["figures"]["per_class"]["contempt"]["support"] == 0


def test_a_model_is_not_compared_with_itself(faces: Dataset, make: Make) -> None:
    run = make("strict", 170)
    with pytest.raises(DataError, match="expected two runs with different models"):
        compare_runs((run, run), _flat(faces, ROWS), "test")


def test_run_that_was_trained_on_the_pictures_is_refused(faces: Dataset, make: Make) -> None:
    dataset = _flat(_flat(faces, ROWS), ROWS[:3], "train")
    seen = dataclasses.replace(dataset, protocol="official")
    runs = (make("clean", 170), make("leaky", 80, protocol="official"))
    reported = dataclasses.replace(seen, protocol="seed")
    with pytest.raises(DataError, match=r"run leaky .* not trained on; 3 of the 14 pictures"):
        compare_runs(runs, reported, "test", own=(None, seen))
    first = Ancestor("first", "its first weights", seen.name, seen.protocol, seen)
    with pytest.raises(DataError, match=r"nothing before run clean was trained on; 3 of the 14 pictures"):
        compare_runs(runs, reported, "test", ancestors=([first], []))
    told = compare_runs(runs, reported, "test", own=(None, seen), ancestors=([first], []), allow_leaks=True)
    assert [[each["network"] for each in run["seen_before"]] for run in told["runs"]] == [
        ["its first weights, first (synthetic, official)"],
        [],
    ]
    assert told["runs"][1]["seen"] == {"samples": 14, "trained": 3, "selected": 0}
    assert told["runs"][0]["seen"] is None


def test_paired_interval_of_macro_f1_is_that_of_resampled_pictures() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 300)
    first = np.where(generator.random(300) < 0.6, labels, generator.integers(0, 3, 300))
    second = np.where(generator.random(300) < 0.8, labels, first)
    low, high = macro_f1_interval(labels, first, second, 3)
    differences = []
    for _ in range(400):
        rows = generator.integers(0, 300, 300)
        scores = [f1_score(labels[rows], answers[rows], average="macro") for answers in (first, second)]
        differences.append(100 * (scores[1] - scores[0]))
    slow = np.percentile(differences, [2.5, 97.5])
    assert (low, high) == pytest.approx(slow, abs=1.5)
    assert macro_f1_interval(labels, first, first, 3) == (0, 0)


def _protocol_runs(faces: Dataset, make: Make) -> tuple[list[Path], list[Dataset]]:
    runs, owns = [], []
    for protocol, threshold in (("seed", 120), ("official", 130)):
        own = apply_protocol(faces, protocol)
        runs.append(make(protocol, threshold, own, labels=faces.labels))
        owns.append(own_dataset(json.loads((runs[-1] / "run.json").read_text()), faces))
    return runs, owns


def test_protocols_stand_side_by_side_each_with_its_own_run(faces: Dataset, make: Make) -> None:
    runs, owns = _protocol_runs(faces, make)
    table = side_by_side(runs, owns, "test")
    assert [row["protocol"] for row in table["rows"]] == ["official", "seed"]
    assert [row["figures"]["samples"] for row in table["rows"]] == [28, len(owns[0].part("test"))]
    assert table["missing"] == ["official-dedup"]
    assert table["differing"] == []
    text = protocols_table(table)
    assert "| official | official | test | 28 | 0 |" in text
    assert "| official-dedup | – |" in text
    assert "tta_gain" in side_by_side(runs, owns, "test", "flip")["rows"][0]


def test_two_runs_of_one_protocol_or_of_other_data_do_not_stand_side_by_side(faces: Dataset, make: Make) -> None:
    runs, owns = _protocol_runs(faces, make)
    with pytest.raises(DataError, match="seed and seed were both trained under seed"):
        side_by_side([runs[0], runs[0]], [owns[0], owns[0]], "test")
    other = dataclasses.replace(owns[1], fingerprint="0" * 64)
    with pytest.raises(DataError, match="expected runs on the same data"):
        side_by_side(runs, [owns[0], other], "test")


def test_runs_that_differ_in_more_than_the_protocol_are_named(faces: Dataset, make: Make) -> None:
    runs, owns = _protocol_runs(faces, make)
    config = json.loads((runs[0] / "run.json").read_text())
    (runs[0] / "run.json").write_text(json.dumps(config | {"backbone": "another"}))
    assert side_by_side(runs, owns, "test")["differing"] == ["backbone"]


def test_comparison_is_drawn(faces: Dataset, make: Make, tmp_path: Path) -> None:
    result = compare_runs((make("a", 170), make("b", 80)), _flat(faces, ROWS), "test")
    plot_comparison(result, tmp_path / "f1.png")
    assert (tmp_path / "f1.png").read_bytes().startswith(b"\x89PNG")
