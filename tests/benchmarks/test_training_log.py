"""The lab book's table: a run by hand, what differs from its recipe, what it learned from; records that are none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.training_log import BEGIN, END, markdown, read_log
from edge.errors import DataError
from train.recipes import Phase, Recipe, recipe

PLAIN = recipe("fer2013-two-phase")


def record(name: str = "first", told: Recipe = PLAIN, **changes: Any) -> dict[str, Any]:
    """A finished run on FER2013: 64 %, an hour and a half."""
    figures = {"samples": 100, "accuracy": 0.64, "ci95": [0.61, 0.67], "macro_f1": 0.6, "ece": 0.03}
    return {
        "schema": 1,
        "name": name,
        "backbone": "efficientnet-lite0",
        "input": {"height": 64, "width": 64, "colour": "grey"},
        "labels": ["angry"],
        "crop": {},
        "recipe": told.to_json(),
        "data": {
            "name": "fer2013",
            "roles": {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"},
            "protocol": "official-dedup",
        },
        "supervision": "labels",
        "teachers": [],
        "command": ["python -m train", "fit", "fer2013", "--out", f"runs/{name} of mine"],
        "backend": "jax",
        "devices": {"kind": "cpu", "count": 1},
        "metrics": {"PublicTest": figures},
        "seconds": 5400,
    } | changes


def written(folder: Path, *records: dict[str, Any]) -> Path:
    folder.mkdir()
    for number, values in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def rows(folder: Path) -> list[list[str]]:
    """The cells of the table's rows."""
    lines = markdown(read_log([folder])).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2 : lines.index("")]]


def test_a_row_tells_a_run_in_full(tmp_path: Path) -> None:
    (row,) = rows(written(tmp_path / "runs", record()))
    assert row == [
        "first", "efficientnet-lite0, 64 px, grey", "fer2013-two-phase", "labels", "64.00 % (61.0 to 67.0)", "0.6000",
        "0.0300", "1.5", "jax, cpu",
    ]  # fmt: skip


def test_what_differs_from_the_recipe_is_named_and_nothing_else(tmp_path: Path) -> None:
    head, whole = PLAIN.phases
    erased = dataclasses.replace(whole.augment, erasing=0.25)
    phases = (dataclasses.replace(head, epochs=0), dataclasses.replace(whole, learning_rate=0.001, augment=erased))
    told = dataclasses.replace(PLAIN, phases=phases, class_weights="none", size=80, backbone="convnext-atto")
    (row,) = rows(written(tmp_path / "runs", record(told=told)))
    assert row[2] == (
        "fer2013-two-phase: head: epochs 0, whole: learning rate 0.001, whole: erasing 0.25, class weights none"
    )


def test_a_recipe_of_another_name_or_other_phases_is_told_as_it_is(tmp_path: Path) -> None:
    one = dataclasses.replace(PLAIN, phases=(Phase("all at once", 3, 1e-3, "all"),))
    mine = dataclasses.replace(PLAIN, name="mine")
    first, second = rows(written(tmp_path / "runs", record("a", told=one), record("b", told=mine)))
    assert first[2] == "fer2013-two-phase: phases all at once"
    assert second[2] == "mine"


def test_votes_and_teachers_stand_beside_the_figure(tmp_path: Path) -> None:
    voted = record(supervision="labels with 30% of FER+ votes", teachers=[{"name": "big"}, {"name": "bigger"}])
    (row,) = rows(written(tmp_path / "runs", voted))
    assert row[3] == "labels with 30% of FER+ votes (teachers: big, bigger)"


def test_runs_stand_by_accuracy_and_their_commands_in_the_same_order(tmp_path: Path) -> None:
    better = record("better")
    better["metrics"] = {"PublicTest": record()["metrics"]["PublicTest"] | {"accuracy": 0.7}}
    better["command"] = [*better["command"], "--resume"]  # no part of what repeats it from its beginning
    text = markdown(read_log([written(tmp_path / "runs", record(), better)]))
    assert text.index("| better |") < text.index("| first |")
    commands = text.split("```")[1].split("\n")[1:-1]
    assert commands == [f"python -m train fit fer2013 --out 'runs/{name} of mine'" for name in ("better", "first")]


def test_the_part_that_is_reported_for_shipped_models_alone_is_not_shown(tmp_path: Path) -> None:
    both = record()
    both["metrics"]["PrivateTest"] = both["metrics"]["PublicTest"] | {"accuracy": 0.99}
    assert "99" not in markdown(read_log([written(tmp_path / "runs", both)]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {}}, "expected a finished run, with figures on PublicTest"),
        ({"schema": 9}, "expected schema 1"),
    ],
)
def test_a_record_that_is_no_finished_run_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_log([written(tmp_path / "runs", record(**changes))])


@pytest.mark.parametrize("key", ["metrics", "supervision", "teachers", "command", "backend", "devices"])
def test_a_record_without_a_field_of_the_table_is_refused_in_one_line(tmp_path: Path, key: str) -> None:
    short = {name: value for name, value in record().items() if name != key}
    with pytest.raises(DataError, match=f"; no {key}; keep the run.json"):
        read_log([written(tmp_path / "runs", short)])


def test_a_record_with_a_nested_field_missing_is_refused_in_one_line(tmp_path: Path) -> None:
    damaged = record(input={"width": 48, "colour": "grey"})
    with pytest.raises(DataError, match=r"expected a sound record; got KeyError: 'height'; keep the run\.json of"):
        read_log([written(tmp_path / "runs", damaged)])


def test_another_kind_of_record_and_two_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no name, backbone"):
        read_log([written(tmp_path / "a", {"schema": 1, "kind": "latency"})])
    with pytest.raises(DataError, match="expected one record of the run first; got another"):
        read_log([written(tmp_path / "b", record(), record())])


def test_an_earlier_run_of_a_name_is_kept_under_the_file_s(tmp_path: Path) -> None:
    folder = written(tmp_path / "runs", record(), record())
    (folder / "1.json").rename(folder / "first-of-all.json")
    assert sorted(run.name for run in read_log([folder]).runs) == ["first", "first-of-all"]


def test_first_weights_of_a_trained_file_are_told(tmp_path: Path) -> None:
    start = {"name": "big", "recipe": "qat-int8"}
    (row,) = rows(written(tmp_path / "runs", record(start=start, teachers=[{"name": "bigger"}])))
    assert row[3] == "labels (teachers: bigger; first weights: big qat-int8)"


def test_the_page_is_written_between_its_marks_and_checked(tmp_path: Path) -> None:
    folder, page = written(tmp_path / "runs", record()), tmp_path / "log.md"
    page.write_text(f"# Mine\n\n{BEGIN}\n{END}\n\nKept.\n", encoding="utf-8")
    words = ["runs", str(folder), "--page", str(page)]
    stale = CliRunner().invoke(main, [*words, "--check"])
    assert stale.exit_code == 1 and "expected the figures of the records" in stale.output
    assert CliRunner().invoke(main, words).exit_code == 0
    assert "| first |" in page.read_text(encoding="utf-8") and "Kept." in page.read_text(encoding="utf-8")
    assert CliRunner().invoke(main, [*words, "--check"]).exit_code == 0
