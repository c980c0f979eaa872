"""The report's sections on records whose figures can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.measures import Bins
from benchmarks.report import Report, markdown_page
from benchmarks.sections import front
from benchmarks.sections.parts import Section
from benchmarks.sections.reliability import intervals
from benchmarks.sections.stages import parts_ms
from benchmarks.table import HEADINGS, MISSING, signed
from edge.benchmarking.accuracy import figures
from edge.benchmarking.agreement import Reference, comparison
from edge.benchmarking.benchmark import encode_classes
from tests.benchmarks import boards, handmade
from tests.benchmarks.conftest import Write, report_of


def _section(report: Report, key: str) -> Section:
    (found,) = (section for section in report.sections if section.key == key)
    return found


def _column(section: Section, heading: str, grid: int = 0) -> list[str]:
    table = section.grids[grid]
    return [line.cells[table.headings.index(heading)] for line in table.lines]


def _model(name: str, recipe: str = "float32") -> dict[str, object]:
    return handmade.model(recipe, name=name, sha256=name * 64)


def test_the_front_is_what_no_other_beats_in_both(write: Write) -> None:
    """Of (ms, right of ten) a (1, 5), b (2, 7), c (3, 6), d (4, 9), e (2, 7): c is beaten by b; b and e are equal."""
    records = []
    for name, time, right in (("a", 1.0, 5), ("b", 2.0, 7), ("c", 3.0, 6), ("d", 4.0, 9), ("e", 2.0, 7)):
        correct = "1" * right + "0" * (10 - right)
        records += [
            handmade.accuracy("float32", correct, model=_model(name)),
            handmade.latency("float32", time, model=_model(name)),
        ]
    report = report_of(write(*records))
    assert [row.model.name for row in front.front(report.table.rows)] == ["a", "b", "e", "d"]
    section = _section(report, "accuracy-latency")
    assert dict(zip(_column(section, "Model"), _column(section, "On the front"), strict=True)) == {
        "a": "yes", "b": "yes", "c": "no", "d": "yes", "e": "yes",
    }  # fmt: skip
    assert "fastest a float32 (1.00 ms, 50.00 %, 13.50 MB)" in section.text[0].replace("and smallest ", "")
    assert "most accurate d float32 (4.00 ms, 90.00 %" in section.text[0]
    assert "in points (95 %): +40.00 (" in section.text[0]


def test_rows_that_cannot_be_drawn_are_counted(write: Write) -> None:
    block = _model("a")
    both = [handmade.accuracy("float32", "1110", model=block), handmade.latency("float32", 6.0, model=block)]
    folder = write(*both)
    assert "not drawn" not in _section(report_of(folder), "accuracy-latency").note
    write(handmade.latency("float32", 6.0, model=_model("b")))
    assert "1 of the rows in Results lacks an" in _section(report_of(folder), "accuracy-latency").note


def test_two_models_that_lie_together_have_a_name_each_in_the_legend(write: Write) -> None:
    records = []
    for name in "abcd":
        records += [handmade.accuracy("float32", "1110", model=_model(name))]
        records += [handmade.latency("float32", 6.0, model=_model(name))]
    (plot,) = _section(report_of(write(*records)), "accuracy-latency").plots
    for name in "abcd":
        assert f">{name} float32<" in plot.svg


def test_colours_stand_for_models_and_markers_for_recipes_where_there_are_many(write: Write) -> None:
    records = []
    for place in range(13):
        block = handmade.model("float32", name=f"network-{place}", sha256=f"{place:x}" * 64)
        records += [handmade.accuracy("float32", "1110", model=block), handmade.latency("float32", 6.0, model=block)]
    (plot,) = _section(report_of(write(*records)), "accuracy-latency").plots
    assert plot.svg.count(">network-") == 13
    assert ">float32<" in plot.svg and ">network-3 float32<" not in plot.svg


def test_figures_of_two_boards_stand_side_by_side_and_in_no_ratio(report: Report) -> None:
    for section in report.sections:
        for grid in section.grids:
            machines = [line.machine for line in grid.lines]
            if section.key in ("size", "conversions"):
                assert set(machines) == {""}
            else:
                assert all(machines), section.key
            if "Machine" in grid.headings and section.key != "machines":
                assert [line.cells[grid.headings.index("Machine")] for line in grid.lines] == machines
        if section.key != "size":
            assert all(plot.machine for plot in section.plots), section.key
    pairs = _section(report, "interleaved-pairs")
    assert [cell.split("×")[0] for cell in _column(pairs, "Speed-up (95 %)")] == ["3.00", "0.75"] * 2


def test_a_figure_of_a_doubtful_run_is_marked_and_the_reason_told(report: Report) -> None:
    cells = [dict(zip(HEADINGS, row.cells(), strict=True)) for row in report.table.rows]
    assert [cell["p50 / p90 / p99 ms"].partition(" (")[2] for cell in cells] == ["throttled)"] * 3 + ["noisy)"] * 3
    assert "3.00× (2.94 to 3.06) (noisy)" in [cell["Speed-up (95 %)"] for cell in cells]
    assert len(report.doubts) == 2
    assert "was noisy: load 3.10 in the minute before." in report.doubts[0]
    assert "was throttled: the clock fell from 2400 to 1500 MHz" in report.doubts[1]
    assert "**Doubtful:** 2-latency.json" in markdown_page(report)


def test_a_doubtful_run_that_a_newer_one_replaced_is_not_named(write: Write) -> None:
    old = boards.turns(boards.PI, boards.NOISY, 1.0)
    assert len(report_of(write(old)).doubts) == 1
    report = report_of(write(boards.turns(boards.PI, boards.FINE, 1.0) | {"created": "2027-01-01T00:00:00+00:00"}))
    assert report.doubts == ()
    assert [path.name for path in report.table.replaced] == ["0-latency.json"]


def test_a_fine_run_is_not_marked(write: Write) -> None:
    report = report_of(write(boards.turns(boards.PI, boards.FINE, 1.0)))
    assert report.doubts == ()
    assert "(fine)" not in markdown_page(report)
    assert _column(_section(report, "latency"), "Verdict") == ["fine"] * 3


def test_a_speed_up_is_read_from_a_record_about_the_float_file_too(write: Write) -> None:
    """Float32 takes 4 times as long: as the record's own model it is 0.25 times as fast."""
    full, quantized = handmade.model("float32"), handmade.model("qat-int8")
    other = {**quantized, "threads": 1, "own_threads": 1, **boards.timing(2.0), **boards.ratio(0.25)}
    record = handmade.common("latency", "float32") | {"model": full, **boards.timing(8.0), "warmup": 1, "runs": 21}
    rows = report_of(write(record | {"others": [other]})).table.rows
    (speedup,) = (row.speedup for row in rows if row.model.recipe == "qat-int8")
    assert speedup is not None
    assert (speedup.median, speedup.low, speedup.high) == pytest.approx((4.0, 4 / 1.02, 4 / 0.98))


def test_a_model_with_other_threads_is_no_speed_up_against_float(write: Write) -> None:
    rows = report_of(write(boards.turns(boards.PI, boards.FINE, 1.0))).table.rows
    found = {(row.model.recipe, row.threads): row.speedup and row.speedup.median for row in rows}
    assert found == {("float32", 1): None, ("qat-int8", 1): 3.0, ("qat-int8", 2): None}


def test_the_change_by_class_is_that_of_recall_and_f1(report: Report) -> None:
    """Of 4 angry pictures float32 has 3 right and INT8 2; both have all 16 happy ones."""
    section = _section(report, "classes")
    assert _column(section, "Class", grid=1) == ["angry", "happy"]
    assert _column(section, "Pictures", grid=1) == ["4", "16"]
    assert _column(section, "Recall, float32", grid=1) == ["75.00 %", "100.00 %"]
    assert _column(section, "Recall", grid=1) == ["50.00 %", "100.00 %"]
    angry, happy = _column(section, "Recall change, points (95 %)", grid=1)
    assert angry == "−25.00 (−69.94 to +36.24)" and happy == "+0.00 (−19.36 to +19.36)"
    assert _column(section, "F1 change, points", grid=1) == ["−19.05", "−2.85"]  # 2·3/7 to 2·2/6; 32/33 to 32/34
    assert all(number in section.plots[0].svg for number in ("−25.00", "+0.00"))


def test_without_the_true_classes_a_recall_has_no_interval(write: Write) -> None:
    records = [boards.accuracy("float32", boards.PI, (0,)), boards.accuracy("qat-int8", boards.PI, (0, 1))]
    for record in records:
        del record["truth"]
    section = _section(report_of(write(*records)), "classes")
    assert _column(section, "Recall change, points (95 %)") == ["−25.00", "+0.00"]


def test_the_interval_of_a_class_is_the_one_that_a_record_with_a_reference_has(write: Write) -> None:
    generator = np.random.default_rng(3)
    truth = generator.integers(0, 2, 300)
    before, after = (np.where(generator.random(300) < share, truth, 1 - truth) for share in (0.8, 0.7))
    records = [
        handmade.accuracy(recipe, encode_classes((answers == truth).astype(int)), labels=boards.LABELS)
        | {"truth": encode_classes(truth), "predictions": encode_classes(answers)}
        | {key: figures(truth, answers, boards.LABELS)[key] for key in ("macro_f1", "weighted_f1", "per_class")}
        for recipe, answers in (("float32", before), ("qat-int8", after))
    ]
    said = comparison(Reference({}, before), after, truth, boards.LABELS)["per_class"]
    found = _column(_section(report_of(write(*records)), "classes"), "Recall change, points (95 %)")
    for label, cell in zip(boards.LABELS, found, strict=True):
        low, high = said[label]["recall_change_ci95"]
        assert cell == f"{signed(said[label]['recall_change_points'])} ({signed(low)} to {signed(high)})"


def test_the_stages_add_up_to_the_mean_frame(report: Report) -> None:
    """Detection takes 18 ms on 10 of 30 frames: 6 of a mean frame's 10; 0.1 ms is in no stage."""
    pi, workstation = report.table.pipelines
    assert parts_ms(workstation) == pytest.approx(
        {"decode": 1.0, "detect": 6.0, "crop": 2.0, "infer": 0.9, "the rest": 0.1}
    )
    assert sum(parts_ms(pi).values()) == pytest.approx(100.0)
    section = _section(report, "stages")
    assert _column(section, "Share")[:6] == ["10.0 %", "60.0 %", "20.0 %", "9.0 %", "1.0 %", "100.0 %"]
    assert _column(section, "Ran on frames")[1] == "10 of 30"
    assert len(section.plots) == 2


def test_a_live_camera_s_frames_stand_beside_those_decoded_in_turn(write: Write) -> None:
    in_turn = boards.pipeline(boards.PI, boards.FINE, 1.0)
    report = report_of(write(in_turn, in_turn | {"live": {"fps": 30.0}}, in_turn | {"live": {"fps": 60.0}}))
    assert [pipeline.live_fps for pipeline in report.table.pipelines] == [None, 30.0, 60.0]
    told = dict.fromkeys(_column(_section(report, "stages"), "Detector"))
    size = "haar, 1 frame in 3, 640 × 480"
    assert list(told) == [size, f"{size}, live at 30 a second", f"{size}, live at 60 a second"]


def test_the_distribution_is_drawn_for_each_network_machine_and_thread_count(report: Report) -> None:
    section = _section(report, "latency")
    assert len(section.plots) == 4
    assert _column(section, "min ms")[-3:] == ["5.400", "1.800", "1.350"]
    assert _column(section, "max ms")[-3:] == ["9.000", "3.000", "2.250"]
    assert _column(section, "MAD ms")[-3:] == ["0.300", "0.100", "0.075"]
    assert _column(section, "Peak memory")[-1] == "60.0 MB"


def test_a_record_without_samples_is_in_the_table_and_in_no_distribution(float_and_int8: Path) -> None:
    section = _section(report_of(float_and_int8), "latency")
    assert section.plots == ()
    assert _column(section, "p50 ms") == ["6.000", "2.000"]
    assert _column(section, "MAD ms") == [MISSING, MISSING]


def test_reliability_has_its_bins_and_their_intervals(report: Report) -> None:
    section = _section(report, "reliability")
    assert len(section.plots) == 4
    assert _column(section, "ECE (95 %)") == ["7.00 % (1.0 to 20.0)"] * 4
    assert _column(section, "NLL, nats (95 %)") == ["0.4321 (0.300 to 0.600)"] * 4
    assert _column(section, "Right", grid=1)[:3] == [MISSING, "25.00 %", "87.50 %"]
    (empty, few, _) = intervals(Bins((0, 4, 16), (0.0, 0.5, 0.9), (0.0, 0.25, 0.875)))
    assert empty == (0.0, 1.0)
    assert few == pytest.approx((0.0456, 0.6994), abs=1e-4)  # Wilson: (p + z²/2n ± z√(p(1−p)/n + z²/4n²)) / (1 + z²/n)


def test_older_records_have_no_reliability(float_and_int8: Path) -> None:
    assert "reliability" not in [section.key for section in report_of(float_and_int8).sections]


def test_the_machines_stand_side_by_side(report: Report) -> None:
    section = _section(report, "machines")
    assert _column(section, "Board") == ["Raspberry Pi 5", MISSING]
    assert _column(section, "Instruction sets") == ["NEON, dotprod", "AVX2"]
    assert _column(section, "Before °C") == ["55.5", MISSING]
    assert _column(section, "Throttled") == ["soft temperature limit, under-voltage (since the last start)", MISSING]
    assert _column(section, "Verdicts") == ["1 fine, 1 throttled", "1 fine, 1 noisy"]
    assert _column(section, "Records") == ["4", "4"]
    assert "load 3.10 in the minute before" in _column(section, "Why", grid=1)


def test_sizes_are_held_against_the_own_float_file(report: Report) -> None:
    assert _column(_section(report, "size"), "Of its float32 file") == [MISSING, "27 %"] * 2
