"""Counting instructions: the record and its table, the missing tools, and the counts themselves under emulation."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.arm import count as counting
from benchmarks.arm import home as homes
from benchmarks.arm import references
from benchmarks.arm.boards import BOARDS, SUITES
from benchmarks.arm.count import Count
from benchmarks.arm.emulator import Emulator, Interval, Ran
from benchmarks.arm.estimate import POINTS, Point, described, fit
from benchmarks.arm.functions import Function, by_function
from benchmarks.arm.home import Home, MissingError, default_folder
from benchmarks.arm.record import (
    MEANING,
    MISSES,
    markdown,
    of_fields,
    read_instructions,
    record,
    table,
    write_instructions,
)
from benchmarks.commands.instructions import instructions
from edge.errors import DataError, EdgeError, ModelFileError
from edge.inference.modelfile import default_model_path
from tests.aarch64 import machines

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A file that does not describe itself, as a peer's."""
    path = tmp_path / "peer.tflite"
    path.write_bytes(b"0123TFL3")
    return path


def counts(path: Path, **changes: Any) -> Count:
    plain = Count(path, "2.3.0", instructions=10_114_127, spread=1289, sdot=0, l2_misses=None)
    return dataclasses.replace(plain, **changes)


def fields(*paths: Path, cache: bool = False) -> dict[str, Any]:
    misses = 30_000 if cache else None
    return record(
        {
            "pi4": [counts(path, l2_misses=misses) for path in paths],
            "pi5": [counts(path, instructions=4_436_570, sdot=1_714_304, l2_misses=misses) for path in paths],
        },
        suite="bookworm",
        qemu="7.2.22",
        command=["instructions", *(path.name for path in paths)],
    )


def test_a_record_comes_back_as_it_was_written(tmp_path: Path, foreign: Path) -> None:
    written = fields(default_model_path(), foreign)
    write_instructions(tmp_path / "r.json", written)
    came = read_instructions(tmp_path / "r.json")
    assert came.fields == written
    assert [(entry.board, entry.core, entry.instructions_million, entry.sdot) for entry in came.counted[::2]] == [
        ("pi4", "cortex-a72", 10.114127, 0),
        ("pi5", "cortex-a76", 4.43657, 1_714_304),
    ]
    assert (came.fields["qemu"], came.fields["runtime"]) == ("7.2.22", {"name": "ai-edge-litert", "version": "2.3.0"})


def test_our_file_is_named_by_its_contract_and_a_peers_by_its_file(foreign: Path) -> None:
    ours, peer, *_ = of_fields(fields(default_model_path(), foreign)).counted
    assert (ours.name, ours.recipe, ours.file) == ("fer2013-lite0", "qat-int8", "default.tflite")
    assert (peer.name, peer.recipe, peer.size_bytes) == ("peer", None, 8)
    assert peer.sha256 != ours.sha256


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "latency"}, "expected a record of schema 1 and kind instructions; got schema 1, kind latency"),
        ({"schema": 2}, "got schema 2, kind instructions"),
        ({"qemu": None}, "expected the field qemu; got None"),
        ({"boards": []}, "expected at least one model; got none"),
        ({"boards": [{"board": "pi4", "title": "t", "core": "c", "models": [{}]}]}, "expected the field pi4.name"),
        ({"threads": True}, "expected the field threads; got True"),
    ],
)
def test_a_record_that_is_none_is_refused(tmp_path: Path, foreign: Path, change: dict[str, Any], says: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(fields(foreign) | change), encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(says)):
        read_instructions(path)
    with pytest.raises(DataError, match=re.escape(says)):
        write_instructions(tmp_path / "other.json", fields(foreign) | change)
    assert not (tmp_path / "other.json").exists()


def test_a_count_below_zero_and_a_missing_file_are_refused(tmp_path: Path, foreign: Path) -> None:
    broken = fields(foreign)
    broken["boards"][0]["models"][0]["instructions_million"] = -1.0
    with pytest.raises(DataError, match=r"instructions_million finite and not negative; got -1\.0"):
        of_fields(broken)
    with pytest.raises(DataError, match="expected a record; got No such file"):
        read_instructions(tmp_path / "none.json")


def test_the_table_has_a_row_a_model_and_the_boards_side_by_side(foreign: Path) -> None:
    lines = table([of_fields(fields(default_model_path(), foreign))]).splitlines()
    assert lines[0].split("  ")[0] == "Model"
    assert re.split(r"\s{2,}", lines[1])[3:] == ["10.11", "0.00", "4.44", "1.71"]
    assert re.split(r"\s{2,}", lines[2])[:2] == ["peer", "–"]
    assert MEANING in lines
    assert "Pi 4: cortex-a72, Pi 5: cortex-a76; ai-edge-litert 2.3.0 under QEMU 7.2.22." in lines


def test_markdown_joins_records_of_one_board_each(foreign: Path) -> None:
    both = fields(foreign)
    halves = [of_fields(both | {"boards": [board]}) for board in both["boards"]]
    text = markdown(halves)
    assert text.splitlines()[:3] == [
        "| Model | Recipe | Size, kB | Pi 4, M | Pi 4 SDOT, M | Pi 5, M | Pi 5 SDOT, M |",
        "|---|---|--:|--:|--:|--:|--:|",
        "| peer | – | 0 | 10.11 | 0.00 | 4.44 | 1.71 |",
    ]
    assert "| peer | – | 0 | – | – |" not in text
    assert "| peer | – | 0 | 10.11 | 0.00 |" in markdown(halves[:1])


def test_milliseconds_are_an_estimate_and_only_where_misses_were_counted(foreign: Path) -> None:
    with_misses, without = of_fields(fields(foreign, cache=True)), of_fields(fields(foreign))
    expected = fit().per_million * 10.114127 + fit().per_thousand * 30
    assert [entry.estimate_ms for entry in with_misses.counted] == [pytest.approx(expected), None]
    shown = table([with_misses])
    assert described(fit()) in shown and "estimate, ms" in shown
    assert f"{MISSES} Pi 4: 32 KiB and 1024 KiB, Pi 5: 64 KiB and 512 KiB." in shown
    assert "estimate" not in table([without]).lower()
    assert MISSES not in table([without])
    assert all(entry.estimate_ms is None for entry in without.counted)


def test_a_record_from_before_the_caches_were_told_is_still_read_and_keeps_its_own_words(foreign: Path) -> None:
    old = fields(foreign, cache=True)
    for board in old["boards"]:
        del board["cache"]
    old["boards"][0]["models"][0]["estimate"] = {"ms": 2.0, "says": "Estimate of old."}
    shown = table([of_fields(old)])
    assert "Estimate of old." in shown and described(fit()) not in shown
    assert MISSES in shown.splitlines()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"l2_misses": "many"}, "expected the field pi4.l2_misses; got 'many'"),
        ({"l2_misses": -1}, "expected pi4.l2_misses finite and not negative; got -1"),
        ({"estimate": {"ms": 2.0}}, "expected the field pi4.estimate.says; got none"),
        ({"estimate": 2.0}, "expected the field pi4.estimate.ms; got none"),
    ],
)
def test_misses_and_estimates_that_are_none_are_refused(foreign: Path, change: dict[str, Any], says: str) -> None:
    broken = fields(foreign, cache=True)
    broken["boards"][0]["models"][0] |= change
    with pytest.raises(DataError, match=re.escape(says)):
        of_fields(broken)


def test_a_fit_finds_the_coefficients_of_times_that_follow_them_and_leaves_no_error() -> None:
    # 0.1 ms a million instructions, 0.05 ms a thousand misses: 10 + 5, 20 + 5, 10 + 50.
    points = [Point("a", 100, 100_000, 15), Point("b", 200, 100_000, 25), Point("c", 100, 1_000_000, 60)]
    found = fit(points)
    assert [found.per_million, found.per_thousand] == pytest.approx([0.1, 0.05])
    assert found.ms(300e6, 200e3) == pytest.approx(40.0)
    assert [*found.residuals, *found.left_out] == pytest.approx([0.0] * 6, abs=1e-9)


def test_the_error_of_a_point_is_that_of_the_fit_to_the_others() -> None:
    # b took 50 ms: the others still say 0.1 and 0.05, and so 25 ms, half of it. In the fit to all, it pulls.
    points = [Point("a", 100, 100_000, 15), Point("b", 200, 100_000, 50), Point("c", 100, 1_000_000, 60)]
    found = fit(points)
    assert found.left_out[1] == pytest.approx(-0.5)
    assert found.worst_left_out >= 0.5
    assert -0.5 < found.residuals[1] < -0.01


def test_two_points_are_refused_and_a_few_are_called_too_few() -> None:
    with pytest.raises(ValueError, match="expected 3 or more points, so that one can be left out; got 2"):
        fit(POINTS[:2])
    assert "4 points are too few to trust it" in described(fit())
    many = POINTS * 3
    assert "too few" not in described(fit(many), many)


def test_the_points_of_the_fit_are_the_published_counts() -> None:
    record = read_instructions(RESULTS / "arm" / "references-pi4.json")
    counted = {entry.name: [entry.instructions_million, entry.l2_misses] for entry in record.counted}
    assert counted.keys() == {point.name for point in POINTS}
    for point in POINTS:  # a longer path shifts the stack, and a few misses in a million with it
        assert counted[point.name] == pytest.approx([point.instructions_million, point.l2_misses], rel=1e-4)


def test_the_command_writes_the_networks_that_the_estimate_is_fitted_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(peer: str, making: Any) -> bytes:
        assert making.calibration.shape == (references.CALIBRATION, 224, 224, 3)
        return f"{making.model} {peer}".encode()

    monkeypatch.setattr("convert.__main__.settle_frameworks", lambda: None)
    monkeypatch.setattr(references, "_network", lambda application: application)
    monkeypatch.setattr("benchmarks.peers.exports.make", make)
    result = CliRunner().invoke(main, ["references", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {path.stem: path.read_text() for path in tmp_path.iterdir()} == {
        "mobilenet-v1-float32": "MobileNet plain-float32-batch1",
        "mobilenet-v1-int8": "MobileNet plain-int8-batch1",
        "mobilenet-v2-float32": "MobileNetV2 plain-float32-batch1",
        "mobilenet-v2-int8": "MobileNetV2 plain-int8-batch1",
    }
    assert {path.stem for path in tmp_path.iterdir()} == {point.name for point in POINTS}
    assert all(f"{tmp_path / point.name}.tflite (" in result.output for point in POINTS)
    assert CliRunner().invoke(main, ["references"]).exit_code == 2


def test_instructions_go_to_the_function_that_holds_their_address() -> None:
    libraries = {"/nowhere/libfirst.so": 0x1000, "/nowhere/libsecond.so": 0x8000}
    found = by_function({0x10: 1, 0x1000: 2, 0x7FFF: 30, 0x8000: 400}, libraries)
    assert found == [Function("(libsecond.so)", 400), Function("(libfirst.so)", 32), Function("(elsewhere)", 1)]


class Told(Emulator):
    """An emulator that tells a fixed story."""

    def run(self, words: Any, **options: Any) -> Ran:
        runtime, repeats, *models = words[1:]
        assert runtime == "ai-edge-litert"
        lines = [json.dumps({"model": str(path), "runtime": "2.3.0"}) for path in models]
        costs = [9_000, *[100, 130, 110, 120, 125, 9_000] * len(models)]
        assert int(repeats) == 5
        intervals = tuple(Interval(cost * 1000, cost, cost // 10) for cost in costs)
        return Ran("\n".join([*lines, json.dumps({"libraries": {}})]), "", intervals)


def test_a_count_is_the_median_of_the_repeats_without_what_comes_between_models(tmp_path: Path, foreign: Path) -> None:
    machine = Told(Home(tmp_path), "bookworm", "pi5", tmp_path)
    plain = counting.count(machine, [foreign, foreign])
    assert [(entry.instructions, entry.spread, entry.sdot) for entry in plain] == [(120_000, 30_000, 120)] * 2
    assert {entry.l2_misses for entry in plain} == {None}
    assert [entry.l2_misses for entry in counting.count(machine, [foreign], cache=True)] == [12]


def test_a_model_that_is_not_there_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none\.tflite: expected a model file; got no such file"):
        counting.count(Told(Home(tmp_path / "home"), "bookworm", "pi5", tmp_path), [tmp_path / "none.tflite"])
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("program", "remedy"),
    [("qemu-aarch64", "qemu-user"), ("gcc", "gcc libc6-dev"), ("nm", "binutils"), ("apt-get", "run on Debian")],
)
def test_a_missing_tool_is_one_line_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, program: str, remedy: str
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        MissingError, match=f"expected the program {program}; got none on the PATH; .*{remedy}"
    ) as caught:
        homes.need(program)
    assert "\n" not in str(caught.value)


def outcome(error: Exception) -> type[BaseException]:
    """Return what a test meets whose emulated machine errs so."""
    try:
        with machines.or_skip():
            raise error
    except BaseException as came:  # pytest's skip is no Exception
        return type(came)


def test_a_test_without_its_machine_is_skipped_only_where_something_is_missing() -> None:
    assert outcome(MissingError("expected the program gcc; got none on the PATH")) is pytest.skip.Exception
    assert outcome(EdgeError("expected to unpack python3.deb; got: no reason given; try again")) is EdgeError
    assert outcome(EdgeError("expected gcc to succeed; got exit code 1: no reason given")) is EdgeError


@pytest.mark.parametrize(("failing", "is_missing"), [("update", True), ("install", False)])
def test_a_mirror_out_of_reach_is_missing_and_a_package_that_does_not_come_is_an_error(
    failing: str, is_missing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("apt-get", "apt-config", "dpkg-deb", "tar"):
        (programs / name).write_text(f'#!/bin/sh\ncase "$*" in *{failing}*) exit 100;; esac\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(homes, "KEYRING", programs / "tar")
    with pytest.raises(EdgeError, match="expected apt-get to succeed; got exit code 100") as caught:
        homes._fill_root(tmp_path / "root", "bookworm", "http://127.0.0.1/debian")
    assert isinstance(caught.value, MissingError) is is_missing
    assert ("expected Debian's packages at http://127.0.0.1/debian" in str(caught.value)) is is_missing


def test_the_command_without_tools_exits_with_1_and_leaves_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, foreign: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(homes, "_need_pip", lambda: homes.need("apt-get"))
    result = CliRunner().invoke(instructions, [str(foreign), "--home", str(tmp_path / "home")])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: expected the program apt-get; got none on the PATH")
    assert list(tmp_path.glob("home/*")) == list(tmp_path.glob("home/.*")) == []


def test_a_folder_that_fails_half_way_is_not_left(tmp_path: Path) -> None:
    target = tmp_path / "root"
    with pytest.raises(RuntimeError), homes._folder(target) as temporary:
        (temporary / "half").touch()
        raise RuntimeError("killed")
    assert list(tmp_path.iterdir()) == []
    with homes._folder(target) as temporary:
        (temporary / "whole").touch()
    assert [path.name for path in target.iterdir()] == ["whole"]
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


@pytest.mark.parametrize(("version", "api"), [("7.2.22", 1), ("8.2.1", 1), ("9.0.0", 2), ("9.1.0", 3), ("10.0.2", 3)])
def test_the_plugin_is_compiled_for_the_emulators_interface(version: str, api: int) -> None:
    assert homes._plugin_api(version) == api


def test_the_boards_tell_the_runtime_apart_and_wheels_are_no_newer_than_the_suite() -> None:
    assert ["asimddp" in BOARDS[board].cpuinfo() for board in ("pi4", "pi5")] == [False, True]
    assert BOARDS["pi4"].cpuinfo().count("CPU part\t: 0xd08\n") == 4
    assert SUITES["bookworm"].platforms()[0] == "manylinux_2_36_aarch64"
    assert SUITES["bookworm"].platforms()[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]


def test_machines_lie_in_the_cache_folder(own_cache: Path) -> None:
    assert default_folder() == own_cache / "arm"


@pytest.mark.slow
def test_the_shipped_model_is_counted_with_dot_products_on_the_pi_5_alone(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    folder = machines.home(pytestconfig).folder
    path = tmp_path / "counts.json"
    words = [str(default_model_path()), "--home", str(folder), "--record", str(path), "--functions"]
    result = CliRunner().invoke(instructions, words)
    assert result.exit_code == 0, result.stderr
    pi4, pi5 = read_instructions(path).counted
    assert (pi4.sdot, pi4.board, pi5.board) == (0, "pi4", "pi5")
    assert 1e6 < pi5.sdot < 1e6 * pi5.instructions_million < 1e6 * pi4.instructions_million
    assert max(pi4.spread, pi5.spread) < 0.001 * 1e6 * pi5.instructions_million
    assert "neondot" in result.stdout  # XNNPACK's name of the kernel
    entry = json.loads(path.read_text(encoding="utf-8"))["boards"][1]["models"][0]
    assert sum(entry["functions_million"].values()) == pytest.approx(entry["instructions_million"], rel=0.02)


@pytest.mark.slow
def test_the_cache_is_simulated_and_misses_grow_with_the_weights(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """The shipped weights, 3.6 MB, exceed the second level of a Pi 4, 1 MB: each line of them is fetched again."""
    folder = machines.home(pytestconfig).folder
    path = tmp_path / "counts.json"
    words = [str(default_model_path()), "--board", "pi4", "--cache", "--home", str(folder), "--record", str(path)]
    result = CliRunner().invoke(instructions, words)
    assert result.exit_code == 0, result.stderr
    (found,) = read_instructions(path).counted
    lines = found.size_bytes / 64
    assert found.l2_misses is not None and 0.7 * lines < found.l2_misses < 2 * lines
    assert "Estimate, not a measurement" in result.stdout
