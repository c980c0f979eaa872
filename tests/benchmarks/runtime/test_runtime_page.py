from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.runtime.page import BEGIN, END, TARGETS, Runtime, markdown, read_runtime
from benchmarks.table import MISSING
from edge.errors import DataError
from tests.benchmarks import runtime_records as by_hand


def written(folder: Path, *records: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, record in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


OVERHEAD = "pipeline beside detection and inference, share of the frame at 640×480; "


def cells(found: Runtime, start: str) -> tuple[str, ...]:
    """What was measured and whether it is met, of the target that begins so, or so after the overhead's first words."""
    (target,) = (target for target in TARGETS if target.text.removeprefix(OVERHEAD).startswith(start))
    return target.cells(found)[2:]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    kinds = (by_hand.pipeline, by_hand.startup, by_hand.soak, by_hand.footprint, by_hand.faces, by_hand.fuzz)
    return written(tmp_path / "records", *(kind() for kind in kinds))


def test_each_target_takes_its_figure_from_the_records(records: Path) -> None:
    found = read_runtime([records])
    assert cells(found, "faces followed") == ("5.00 %", "yes")
    assert cells(found, "detection in every") == ("–", "–")
    assert cells(found, "memory over") == ("0.00 MB", "yes")
    assert cells(found, "frames that wait") == ("1.00", "yes")
    assert cells(found, "`fer-edge image`") == ("0.80 s", "yes")
    assert cells(found, "`fer-edge --help`") == ("0.10 s", "yes")
    assert cells(found, "the wheel") == ("3.40 MB", "yes")
    assert cells(found, "packages asked") == ("0.00", "yes")
    assert cells(found, "speed per face, base install") == ("2.00×", "yes")
    assert cells(found, "speed per face against deepface") == ("not runnable offline", "recorded")
    assert cells(found, "installed size of fer") == ("11.00×", "yes")
    assert cells(found, "installed size of deepface") == ("1.20×", "yes")
    assert cells(found, "10,000 damaged") == ("0.00", "yes")
    assert cells(found, "speed per face, with YuNet") == ("–", "–")


@pytest.mark.parametrize(
    ("record", "start", "came"),
    [
        (by_hand.pipeline(0.12), "faces followed", "12.00 %"),
        (by_hand.pipeline(0.12, every=1), "detection in every", "12.00 %"),
        (by_hand.live(0.11), "a live camera", "11.00 %"),
        (by_hand.live(with_capture=0.15), "the same with the capture", "15.00 %"),
        (by_hand.soak(growth_mb=8), "memory over", "8.00 MB"),
        (by_hand.soak(waiting=2), "frames that wait", "2.00"),
        (by_hand.startup(image_s=1.6), "`fer-edge image`", "1.60 s"),
        (by_hand.startup(help_s=0.31), "`fer-edge --help`", "0.31 s"),
        (by_hand.footprint(6_100_000), "the wheel", "6.10 MB"),
        (by_hand.footprint() | {"asks_for": ["numpy", "scipy"]}, "packages asked", "1.00"),
        (by_hand.faces(0.7), "speed per face, base install", "0.70×"),
        (by_hand.fuzz(wrong=1), "10,000 damaged", "1.00"),
    ],
)
def test_a_target_that_is_missed_is_called_so(record: dict[str, Any], start: str, came: str, tmp_path: Path) -> None:
    assert cells(read_runtime([written(tmp_path, record)]), start) == (came, "**no**")


@pytest.mark.parametrize(
    ("record", "start"),
    [
        (by_hand.soak(frames=1_000), "memory over"),
        (by_hand.fuzz(pictures=9_999), "10,000 damaged"),
        (by_hand.pipeline(width=320, height=240), "faces followed"),
        (by_hand.live(width=320), "a live camera"),
        (by_hand.live(width=320), "the same with the capture"),
    ],
)
def test_what_is_too_short_or_of_another_size_answers_no_target(
    record: dict[str, Any], start: str, tmp_path: Path
) -> None:
    assert cells(read_runtime([written(tmp_path, record)]), start) == ("–", "–")


def test_of_several_records_the_worst_counts(tmp_path: Path) -> None:
    folder = written(tmp_path, by_hand.pipeline(0.02, every=2), by_hand.pipeline(0.09, every=3))
    assert cells(read_runtime([folder]), "faces followed") == ("9.00 %", "yes")


def test_each_way_to_run_frames_answers_a_target_of_its_own(tmp_path: Path) -> None:
    live = (by_hand.live(0.04, 0.17), by_hand.live(0.03, fps=60))
    found = read_runtime([written(tmp_path, by_hand.pipeline(0.09, every=1), by_hand.pipeline(0.2), *live)])
    assert cells(found, "detection in every") == ("9.00 %", "yes")
    assert cells(found, "faces followed") == ("20.00 %", "**no**")
    assert cells(found, "a live camera") == ("4.00 %", "yes")
    assert cells(found, "the same with the capture") == ("17.00 %", "**no**")


def test_a_disturbed_measurement_is_marked_and_answers_no_target(tmp_path: Path) -> None:
    noisy = {"stability": {"verdict": "noisy", "reasons": ["load"]}}
    records = (by_hand.pipeline(0.05) | noisy, by_hand.startup() | noisy)
    found = read_runtime([written(tmp_path, *records)])
    assert cells(found, "faces followed") == (MISSING, MISSING)
    assert {cells(found, command) for command in ("`fer-edge image`", "`fer-edge --help`")} == {(MISSING, MISSING)}
    text = markdown(found)
    assert text.count("22.00 (noisy) | 5.0 % (4.0 to 6.0) (noisy) |") == 1
    assert text.count(" (noisy) |") == 2 + len(records[1]["commands"])
    calm = markdown(read_runtime([written(tmp_path / "calm", *(by_hand.pipeline(0.05), by_hand.startup()))]))
    assert "(noisy) |" not in calm


def test_a_record_without_what_the_page_shows_is_one_line(tmp_path: Path) -> None:
    record = by_hand.footprint()
    record["packages"] = {"numpy": {}}
    with pytest.raises(DataError, match=r"0\.json: expected a sound record; got KeyError: 'size_bytes'; measure again"):
        read_runtime([written(tmp_path, record)])


def test_a_live_camera_stands_beside_frames_decoded_in_turn(tmp_path: Path) -> None:
    text = markdown(read_runtime([written(tmp_path, by_hand.live(), by_hand.pipeline())]))
    # 240 ms of CPU for 320 frames: 0.75 each.
    came = "| live, 30 a second, 20 dropped | haar, 3 | (0.50) | 0.12 | 20.00 | 0.50 | 1.00 | 0.25 | 22.00 |"
    assert f"{came} 5.0 % (4.0 to 6.0) | 0.75 ms, with it 8.0 % |" in text


def test_the_page_shows_every_kind_of_record(records: Path) -> None:
    text = markdown(read_runtime([records]))
    for figure in (
        "| 640×480 | in turn | haar, 3 | 4.00 | – | 20.00 | 0.50 | 1.00 | 0.25 | 22.00 | 5.0 % (4.0 to 6.0) | – |",
        "| `fer-edge image` | 0.80 | 0.88 | 20 |",
        "| slow reader | 100,000 | 160×120 | 500 | 1 | 80.0 | 0.00 | +0.00 (+0.00 to +0.00) | 6 | 3 | flat |",
        "| x86_64, Linux | 3.11.7 | 3.40 MB | 300 MB | numpy 57.0 MB | 0.14 | 0.18 | of 10 processes |",
        "| fer-edge 1.0 | 10.0 / 11.0 | 300 MB | 2 | drawn: happy | by hand |",
        "not runnable offline: ValueError: no / weights",
        "| fer-edge | fer | 2.00× (2.00 to 2.00) |",
        "| pictures | 10,000 | 10 | 9,990 | 0 | 0 |",
    ):
        assert figure in text


def test_the_page_is_rewritten_between_its_markers_and_checked(records: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    words = ["runtime", str(records), "--page", str(page)]
    failed = CliRunner().invoke(main, [*words, "--check"])
    assert failed.exit_code == 1 and "expected the figures of the records" in failed.stderr
    assert CliRunner().invoke(main, words).exit_code == 0
    assert "## Targets" in page.read_text(encoding="utf-8")
    assert CliRunner().invoke(main, [*words, "--check"]).exit_code == 0
    assert CliRunner().invoke(main, ["runtime", str(records), "--check"]).exit_code == 2


def test_a_second_record_of_the_same_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one record of startup Test CPU; got a second"):
        read_runtime([written(tmp_path, by_hand.startup(), by_hand.startup(0.5))])
    with pytest.raises(DataError, match="haar 3 None live 30; got a second"):
        read_runtime([written(tmp_path, by_hand.live(), by_hand.live(0.04))])


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"schema": 1, "kind": "latency"}, "expected a record of schema 1 and kind pipeline or startup"),
        ([], "got none"),
        (by_hand.pipeline() | {"overhead": {}}, "expected the field overhead.share; got a record without it"),
        (by_hand.pipeline() | {"frames": "many"}, "expected another value in frames; got 'many'"),
        (by_hand.live() | {"live": {"fps": 30.0}}, "expected the field live.captured; got a record without it"),
        (by_hand.soak() | {"legs": []}, "expected entries in legs"),
        (by_hand.footprint() | {"wheel_bytes": True}, "expected another value in wheel_bytes; got True"),
    ],
)
def test_a_record_that_says_too_little_is_refused(record: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=text):
        read_runtime([written(tmp_path, record)])


def test_the_fuzzers_record_is_read(tmp_path: Path) -> None:
    from tests.edge import fuzz

    found = {kind: fuzz.Findings({"taken": 1, "refused": 1}) for kind in ("pictures", "models")}
    read_runtime([written(tmp_path, fuzz.document_of(3, 0, found))])
