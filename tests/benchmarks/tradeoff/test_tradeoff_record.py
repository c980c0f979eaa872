"""A study's outcome: the Pareto front worked out by hand, the page, the plot's data, and records that are refused."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.tradeoff.front import pareto_front
from benchmarks.tradeoff.page import BEGIN, END, fronts, markdown
from benchmarks.tradeoff.plot import Tradeoff, write_plots
from benchmarks.tradeoff.record import _setting, parameters, read, write
from edge.errors import DataError
from tests.benchmarks import handmade


def cell(backbone: str, p50: float | None, accuracy: float | None, **changes: Any) -> dict[str, Any]:
    values = {
        "name": f"{backbone}-48px-float32",
        "backbone": backbone,
        "size": 48,
        "recipe": "float32",
        "threads": 1,
        "parameters": 3_400_000,
        "epochs": 2,
        "train_pictures": 10_000,
        "weights": "none",
        "size_bytes": 13_500_000,
        "sha256": "a" * 64,
        "partitions": 1,
        "accuracy": accuracy,
        "accuracy_ci95": None if accuracy is None else [accuracy - 0.02, accuracy + 0.015],
        "macro_f1": None if accuracy is None else 0.5,
        "latency_ms": None if p50 is None else {"p50": p50, "p90": 2 * p50, "p99": 3 * p50},
        "ratio": None if p50 is None else {"median": 2 / p50, "ci95": [1.9 / p50, 2.1 / p50], "pairs": 100},
        "stability": None,
    }
    return values | changes


def outcome(*cells: dict[str, Any], **changes: Any) -> dict[str, Any]:
    setting = {
        "machine": copy.deepcopy(handmade.MACHINE),
        "runtime": {"name": "ai-edge-litert", "version": "2.3.0"},
        "baseline": {"name": "a-48px", "recipe": "float32", "sha256": "a" * 64},
    }
    return {
        "schema": 1,
        "kind": "tradeoff",
        "created": "2026-01-02T03:04:05+00:00",
        "study": {
            "name": "by-hand", "schedule": "short", "protocol": "official-dedup", "dataset": "fer2013",
            "part": "PublicTest", "samples": 3_543, "fingerprint": "f" * 64,
        },
        "latency": setting,
        "cells": list(cells),
        "commands": [],
        "failures": [],
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1.0, 0.5)], [0]),
        # slower and better stays; slower and worse goes
        ([(1.0, 0.5), (2.0, 0.6), (3.0, 0.55)], [0, 1]),
        # as fast and worse, or as good and slower, is dominated
        ([(1.0, 0.5), (1.0, 0.4)], [0]),
        ([(2.0, 0.5), (1.0, 0.5)], [1]),
        # equal in both: neither dominates the other
        ([(1.0, 0.5), (1.0, 0.5), (2.0, 0.5)], [0, 1]),
        # one that beats all
        ([(2.0, 0.6), (1.0, 0.9), (3.0, 0.8)], [1]),
        # all on the front, told fastest first
        ([(3.0, 0.9), (1.0, 0.1), (2.0, 0.5)], [1, 2, 0]),
    ],
)
def test_the_front_is_what_nothing_beats_in_both(points: list[tuple[float, float]], front: list[int]) -> None:
    assert pareto_front(points) == front


def test_no_point_of_the_front_is_dominated_and_every_other_is() -> None:
    points = [((7 * k) % 11 + 1.0, ((5 * k) % 13) / 13) for k in range(40)]
    front = pareto_front(points)

    def dominated(index: int) -> bool:
        cost, gain = points[index]
        return any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points)

    assert sorted(front) == [index for index in range(len(points)) if not dominated(index)]


def test_fronts_are_told_apart_by_threads_and_want_both_figures() -> None:
    cells = [
        cell("slow", 4.0, 0.5),
        cell("slow", 2.0, 0.5, threads=2),
        cell("fast", 1.0, 0.4),
        cell("no-accuracy", 0.1, None),
        cell("no-latency", None, 0.9),
    ]
    found = fronts(outcome(*cells))
    assert {threads: [each["backbone"] for each in group] for threads, group in found.items()} == {
        1: ["fast", "slow"],
        2: ["slow"],
    }


def test_the_page_says_schedule_figures_and_front() -> None:
    text = markdown(outcome(cell("a", 2.0, 0.5), cell("b", 4.0, 0.4, ratio=None)), {1: "plot.svg"})
    assert "Schedule: **short**, on 10,000 training pictures." in text
    assert "Accuracy on fer2013 PublicTest (3,543 pictures), protocol official-dedup." in text
    assert "Latency on Test CPU, 2 cores, x86_64, ai-edge-litert 2.3.0. Baseline: a-48px float32." in text
    assert "![Accuracy against latency, 1 thread](plot.svg)" in text
    row = "| 48 px | float32 | 1 | 3.40 M | 13.50 MB | 50.00 % (48.0 to 51.5) | 0.5000 | 2.000 | 1.00× (0.95 to 1.05) |"
    assert f"| a {row} 1 | 2 | yes |" in text
    assert "| 4.000 | – | 1 | 2 |  |" in text


def test_the_page_names_cells_whose_latency_was_disturbed() -> None:
    calm = outcome(cell("a", 2.0, 0.5, stability="fine"), cell("b", 2.0, 0.5))
    assert "Not measured in peace" not in markdown(calm, {})
    text = markdown(outcome(cell("a", 2.0, 0.5, stability="noisy"), cell("b", 2.0, 0.5, stability="fine")), {})
    assert "Not measured in peace (a-48px-float32: noisy)." in text


def test_the_page_of_a_study_under_way_says_what_is_missing_and_what_failed() -> None:
    bare = cell("a", None, None, parameters=None, epochs=None, train_pictures=None, size_bytes=None, partitions=None)
    text = markdown(outcome(bare, latency=None, failures=[{"step": "train a", "reason": "no <room> | left"}]), {})
    assert "Latency is not measured yet." in text
    assert "| a | 48 px | float32 | 1 | – | – | – | – | – | – | – | – |  |" in text
    assert "* train a: no &lt;room> | left" in text


def test_a_name_in_the_record_stays_in_its_cell() -> None:
    assert "| a / &lt;b> | 48 px |" in markdown(outcome(cell("a | <b>", 2.0, 0.5)), {})


def test_latencies_that_lie_close_have_ticks_about_them() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    Tradeoff.from_record(outcome(cell("a", 2.2, 0.5), cell("b", 2.3, 0.6)), 1).plot(axes)
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == pytest.approx([1.5, 2.0, 3.0])


def test_the_plots_data_are_percent_and_milliseconds() -> None:
    data = Tradeoff.from_record(outcome(cell("a", 2.0, 0.5), cell("b", 4.0, 0.4)), 1)
    assert [(point.backbone, point.p50_ms, point.accuracy) for point in data.points] == [("a", 2, 50), ("b", 4, 40)]
    assert [point.backbone for point in data.front] == ["a"]
    assert (data.points[0].low, data.points[0].high) == pytest.approx((48, 51.5))
    with pytest.raises(ValueError, match="cells of 4 threads"):
        Tradeoff.from_record(outcome(cell("a", 2.0, 0.5)), 4)


def test_the_plot_names_backbones_recipes_sizes_and_the_front(tmp_path: Path) -> None:
    cells = [cell("net-a", 2.0, 0.5), cell("net-b", 9.0, 0.6, size=64, recipe="ptq-int8")]
    names = write_plots(outcome(*cells), tmp_path)
    assert names == {1: "tradeoff-by-hand-1.svg"}
    svg = (tmp_path / names[1]).read_text(encoding="utf-8")
    names_shown = ("net-a", "net-b", "float32", "ptq-int8", ">48<", ">64<", "hollow: 48 px")
    for text in (*names_shown, "Pareto front", "short schedule"):
        assert text in svg, text
    assert len(svg) < 200_000


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record = outcome(cell("a", 2.0, 0.5))
    write(tmp_path / "r.json", record)
    assert read(tmp_path / "r.json") == record


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        ({"kind": "latency"}, "kind tradeoff"),
        ({"study": {}}, "expected the field name"),
        ({"cells": [{}]}, "expected the field name"),
    ],
)
def test_a_damaged_record_is_refused(damage: dict[str, Any], text: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(outcome(cell("a", 2.0, 0.5)) | damage), encoding="utf-8")
    with pytest.raises(DataError, match=text):
        read(path)


def test_latencies_of_two_machines_make_no_record() -> None:
    here = handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0)
    assert _setting([here, here]) is not None
    assert _setting([]) is None
    with pytest.raises(DataError, match="one machine and interpreter; got Test CPU"):
        _setting([here, here | {"machine": handmade.OTHER_MACHINE}])


def test_a_machine_whose_temperature_moved_is_still_one_machine() -> None:
    here = handmade.paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0)
    warmer = here | {"machine": handmade.MACHINE | {"temperature_c": 61.0}}
    setting = _setting([here, warmer])
    assert setting is not None and setting["machine"] == handmade.MACHINE


def test_parameters_are_those_that_keras_counts(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    model.save(tmp_path / "m.keras")
    assert parameters(tmp_path / "m.keras") == model.count_params() == 4 * 3 + 3 + 4 * 3


def test_a_file_that_is_no_keras_model_has_no_parameters(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(DataError, match="expected a Keras model"):
        parameters(tmp_path / "m.keras")


def test_the_page_is_rewritten_between_its_markers_and_checked(tmp_path: Path) -> None:
    page, record = tmp_path / "page.md", tmp_path / "r.json"
    page.write_text(f"# Mine\n\n{BEGIN}\n{END}\n", encoding="utf-8")
    write(record, outcome(cell("a", 2.0, 0.5)))
    words = ["pareto", str(record), "--page", str(page)]
    failed = CliRunner().invoke(main, [*words, "--check"])
    assert (failed.exit_code, failed.stderr.count("\n")) == (1, 1)
    assert not list(tmp_path.glob("*.svg"))
    assert CliRunner().invoke(main, words).exit_code == 0
    assert "| a | 48 px |" in page.read_text(encoding="utf-8")
    assert (tmp_path / "tradeoff-by-hand-1.svg").is_file()
    assert CliRunner().invoke(main, [*words, "--check"]).exit_code == 0
    printed = CliRunner().invoke(main, words[:2])
    assert "| a | 48 px |" in printed.stdout
    picture = tmp_path / "tradeoff-by-hand-1.svg"
    drawn = picture.read_text(encoding="utf-8")
    for damage, came in ((None, "got none"), (drawn.replace("short schedule", "long schedule"), "got another")):
        picture.unlink() if damage is None else picture.write_text(damage, encoding="utf-8")
        failed = CliRunner().invoke(main, [*words, "--check"])
        assert (failed.exit_code, failed.stderr.count("\n")) == (1, 1)
        assert f"expected the picture that its record draws; {came}; run" in failed.stderr


def test_check_wants_a_page(tmp_path: Path) -> None:
    write(tmp_path / "r.json", outcome(cell("a", 2.0, 0.5)))
    assert CliRunner().invoke(main, ["pareto", str(tmp_path / "r.json"), "--check"]).exit_code == 2
