"""Evaluations in the lab book: every view, what was seen before, figures that their confusion matrix refutes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.evaluations import markdown, read_rows
from benchmarks.training_log import markdown as log_markdown
from benchmarks.training_log import read_log
from edge.errors import DataError
from tests.benchmarks.test_training_log import record as run_record
from tests.benchmarks.test_training_log import written
from train.evaluation.metrics import summarize

NAMES = ("angry", "happy")


def figures(right: int, wrong: int) -> dict[str, Any]:
    """Figures of faces half angry, half happy, of which `wrong` angry ones are taken for happy."""
    half = (right + wrong) // 2
    labels = np.repeat([0, 1], [half, right + wrong - half])
    predicted = labels.copy()
    predicted[:wrong] = 1
    return summarize(labels, np.eye(2)[predicted] * 0.8 + 0.1, NAMES)


def evaluation(**changes: Any) -> dict[str, Any]:
    """An evaluation of `first` under the seed protocol: a quarter of the faces were trained on."""
    return {
        "schema": 1,
        "kind": "evaluation",
        "run": "first",
        "dataset": "fer2013",
        "part": "test",
        "protocol": "seed",
        "supervision": "labels with 30% of FER+ votes",
        "seen": {"samples": 1_000, "trained": 250, "selected": 50},
        "seen_before": [],
        "tta": "flip",
        "single_view": figures(700, 300),
        "with_tta": figures(720, 280),
        "unseen": {"single_view": figures(500, 250), "with_tta": figures(510, 240)},
    } | changes


def cells(path: Path, values: dict[str, Any]) -> list[list[str]]:
    text = markdown(read_rows(path, values)).splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text]


def test_all_views_of_all_and_of_unseen_pictures_have_a_row() -> None:
    rows = cells(Path("e.json"), evaluation())
    assert [(row[3], row[4], row[5].split(" (")[0]) for row in rows] == [
        ("single", "1,000, of them 250 trained on and 50 selected on", "70.00 %"),
        ("TTA flip", "1,000, of them 250 trained on and 50 selected on", "72.00 %"),
        ("single", "750 not seen before", "66.67 %"),
        ("TTA flip", "750 not seen before", "68.00 %"),
    ]
    assert {tuple(row[:3]) for row in rows} == {("first", "fer2013 test (seed)", "labels with 30% of FER+ votes")}
    low, high = figures(700, 300)["macro_f1_ci95"]
    assert rows[0][6] == f"{figures(700, 300)['macro_f1']:.4f} ({low:.3f} to {high:.3f})"


def test_what_is_not_known_is_said_and_what_is_not_there_left_out() -> None:
    bare = {key: value for key, value in evaluation(seen=None).items() if key not in ("with_tta", "unseen")}
    (row,) = cells(Path("e.json"), bare)
    assert row[3:5] == ["single", "1,000; how many were trained on is not known"]
    (clean,) = cells(Path("e.json"), bare | {"seen": {"samples": 1_000, "trained": 0, "selected": 0}})
    assert clean[4] == "1,000"


def test_what_the_run_comes_from_has_seen_is_told() -> None:
    before = [
        {"network": "a teacher, big", "seen": {"samples": 1_000, "trained": 1_200, "selected": 0}},
        {"network": "its first weights, old", "seen": None},
        {"network": "a teacher, clean", "seen": {"samples": 1_000, "trained": 0, "selected": 0}},
    ]
    told = cells(Path("e.json"), evaluation(seen_before=before))[0][4]
    assert told.endswith(
        "selected on; 1,200 trained on by a teacher, big; how many its first weights, old was trained on is not known"
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda e: e["with_tta"].update(confusion=[[0, 0], [0, 0]]), "expected a confusion matrix of at least one"),
        (lambda e: e.pop("seen_before"), "expected a sound record; got KeyError: 'seen_before'"),
        (
            lambda e: e["with_tta"].update(accuracy=0.75),
            "expected accuracy 0.72, which its confusion matrix gives; got",
        ),
        (lambda e: e["single_view"].update(macro_f1=0.9), "expected macro_f1 0.6"),
        (lambda e: e["unseen"]["with_tta"].update(samples=751), "expected samples 750, which .* got 751"),
        (lambda e: e["single_view"].pop("confusion"), "expected a sound record; got KeyError: 'confusion'"),
        (lambda e: e["single_view"].pop("macro_f1_ci95"), "expected a sound record; got KeyError: 'macro_f1_ci95'"),
        (lambda e: e.update(schema=9), "expected schema 1; got 9"),
        (lambda e: e.update(seen={}), "expected a sound record; got KeyError"),
    ],
)
def test_an_evaluation_that_is_not_sound_is_refused(change: Callable[[dict[str, Any]], Any], text: str) -> None:
    values = evaluation()
    change(values)
    with pytest.raises(DataError, match=rf"e\.json: {text}.*; keep the file that `python -m train evaluate` wrote"):
        read_rows(Path("e.json"), values)


def test_runs_of_another_protocol_stand_apart_with_their_evaluations(tmp_path: Path) -> None:
    data = {"name": "fer2013", "protocol": "seed", "roles": {"train": "train", "validation": "validation"}}
    best = run_record()["metrics"]["PublicTest"] | {"accuracy": 0.9}
    other = run_record("other", data=data, metrics={"validation": best})
    folder = written(tmp_path / "runs", run_record(), other, evaluation(run="other"))
    text = log_markdown(read_log([folder]))
    above, _, below = text.partition("Under the protocol `seed`, on other pictures, so not to be compared")
    assert "| first |" in above and "| other |" not in above
    tables, _, measured = below.partition("Measured on test parts with `python -m train evaluate`:")
    assert "| other |" in tables and "90.00 %" in tables and "runs/other of mine" in tables
    assert measured.count("| other | fer2013 test (seed) |") == 4


def test_an_evaluation_of_no_run_here_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "runs", run_record(), evaluation(run="gone"))
    with pytest.raises(DataError, match="expected the record of the run gone, which an evaluation is of; got none"):
        read_log([folder])


def test_without_evaluations_nothing_is_said_of_them(tmp_path: Path) -> None:
    folder = written(tmp_path / "runs", run_record())
    assert "evaluate" not in log_markdown(read_log([folder]))
