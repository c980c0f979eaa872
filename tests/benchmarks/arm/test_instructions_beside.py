"""One runtime beside another: what is counted, recorded, said and shown."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.arm import beside
from benchmarks.arm import count as counting
from benchmarks.arm.count import Count
from benchmarks.arm.emulator import Emulator, Interval, Ran
from benchmarks.arm.home import Home
from benchmarks.arm.record import of_fields, read_instructions, record, write_instructions
from benchmarks.arm.runtimes import RUNTIMES, requirements
from benchmarks.commands.instructions import instructions
from benchmarks.costs import Costs, markdown
from edge.errors import DataError
from edge.inference.delegation import Delegation
from edge.inference.modelfile import default_model_path
from tests.aarch64 import machines

OLD = "tflite-runtime"


def fields() -> dict[str, Any]:
    """10 and 4 million instructions with the first runtime, 19 and 18 with the other: 1.90 and 4.50 times."""
    path = default_model_path()
    inside, none = Delegation(63, 1, {"QUANTIZE": 2, "SOFTMAX": 1}), Delegation(63, 0, {"CONV_2D": 63})
    ours = Count(path, "2.3.0", 10_000_000, 0, 0, None, xnnpack=inside)
    theirs = Count(path, "2.14.0", 19_000_000, 0, 0, None, xnnpack=none)
    return record(
        {"pi4": [ours], "pi5": [dataclasses.replace(ours, instructions=4_000_000)]},
        suite="bookworm", qemu="7.2.22", command=["instructions"],
        others={OLD: {"pi4": [theirs], "pi5": [dataclasses.replace(theirs, instructions=18_000_000)]}},
    )  # fmt: skip


def test_the_record_of_two_runtimes_comes_back_with_their_ratio(tmp_path: Path) -> None:
    write_instructions(tmp_path / "r.json", fields())
    came = read_instructions(tmp_path / "r.json")
    assert [(entry.runtime, entry.board, entry.times) for entry in came.counted] == [
        ("ai-edge-litert 2.3.0", "pi4", 1.0), ("ai-edge-litert 2.3.0", "pi5", 1.0),
    ]  # fmt: skip
    assert [(entry.runtime, entry.board, entry.times) for entry in came.others] == [
        ("tflite-runtime 2.14.0", "pi4", 1.9), ("tflite-runtime 2.14.0", "pi5", 4.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"times": None}, "expected the field pi4.times; got None"),
        ({"times": -1.0}, r"expected pi4\.times finite and not negative; got -1\.0"),
        ({"xnnpack": {"partitions": 1}}, "expected the field pi4.xnnpack.operators; got none"),
    ],
)
def test_a_block_of_another_runtime_that_is_none_is_refused(change: dict[str, Any], says: str) -> None:
    broken = fields()
    broken["others"][0]["boards"][0]["models"][0] |= change
    with pytest.raises(DataError, match=says):
        of_fields(broken)


def test_a_block_without_its_runtime_is_refused() -> None:
    with pytest.raises(DataError, match=r"expected the field others\.runtime; got none"):
        of_fields(fields() | {"others": [{"boards": []}]})


def test_the_command_says_how_many_times_as_many_instructions() -> None:
    pi4, _ = beside.said(of_fields(fields()))
    assert pi4 == (
        "default.tflite on a Raspberry Pi 4 Model B Rev 1.4's core: tflite-runtime 2.14.0 19.00 M, 1.90 times "
        "the 10.00 M of ai-edge-litert 2.3.0; outside XNNPACK: 63 of 63; 3 of 63"
    )
    assert beside.said(of_fields({key: value for key, value in fields().items() if key != "others"})) == []


def test_the_table_has_a_row_for_each_runtime_and_the_page_shows_it_once() -> None:
    both = of_fields(fields())
    assert beside.markdown([both]).splitlines()[2:4] == [
        "| fer2013-lite0 | qat-int8 | ai-edge-litert 2.3.0 | 3 of 63 | 10.00 | 1.00 | 4.00 | 1.00 |",
        "| fer2013-lite0 | qat-int8 | tflite-runtime 2.14.0 | 63 of 63 | 19.00 | 1.90 | 18.00 | 4.50 |",
    ]
    alone = of_fields({key: value for key, value in fields().items() if key != "others"})
    page = markdown(Costs({}, {}, (both, alone)))
    assert page.count("| tflite-runtime 2.14.0 |") == 1 and page.count("| ai-edge-litert 2.3.0 |") == 1
    assert page.partition("another interpreter")[0].count("| fer2013-lite0 | qat-int8 |") == 1  # of the other record
    assert "another interpreter" not in markdown(Costs({}, {}, (alone,)))
    assert "| – | 10.00 |" in beside.markdown([without_operators()])


def without_operators() -> Any:
    """The record with nothing told of XNNPACK."""
    bare = fields()
    for board in (*bare["boards"], *bare["others"][0]["boards"]):
        del board["models"][0]["xnnpack"]
    return of_fields(bare)


class Old(Emulator):
    """An emulator whose guest took one of three operators over."""

    def run(self, words: Any, **options: Any) -> Ran:
        assert words[1] == OLD
        operators = [
            {"op_name": "CONV_2D", "inputs": [0], "outputs": [1]},
            {"op_name": "ADD", "inputs": [1], "outputs": [2]},
            {"op_name": "SOFTMAX", "inputs": [2], "outputs": [3]},
            {"op_name": "DELEGATE", "inputs": [0], "outputs": [1]},
        ]
        line = json.dumps({"model": str(words[3]), "runtime": "2.14.0", "operators": operators})
        return Ran(f"{line}\n{{}}", "", tuple(Interval(1000, 0, 0) for _ in range(6)))


def test_what_xnnpack_took_over_is_worked_out_from_the_guests_list(tmp_path: Path) -> None:
    (found,) = counting.count(Old(Home(tmp_path), "bookworm", "pi4", tmp_path), [default_model_path()], OLD)
    assert found.xnnpack == Delegation(3, 1, {"ADD": 1, "SOFTMAX": 1})


def test_the_older_runtime_is_asked_for_in_its_last_version_with_its_numpy() -> None:
    assert requirements(OLD) == ("tflite-runtime==2.14.0", "numpy<2")
    name, _, version = requirements("ai-edge-litert")[0].partition("==")
    assert (name, requirements("ai-edge-litert")[1]) == ("ai-edge-litert", "numpy") and version


def test_a_suite_without_a_wheel_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    words = [str(default_model_path()), "--suite", "trixie", "--runtime", OLD, "--home", str(tmp_path / "home")]
    result = CliRunner().invoke(instructions, words)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert re.search(r"expected --suite bookworm with --runtime tflite-runtime; got trixie; .* Python 3\.13", said)
    assert not (tmp_path / "home").exists() and RUNTIMES[OLD].suites == ("bookworm",)


@pytest.mark.slow
def test_the_older_runtime_runs_the_shipped_int8_file_outside_xnnpack(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    path = tmp_path / "both.json"
    words = [str(default_model_path()), "--board", "pi5", "--home", str(machines.home(pytestconfig).folder)]
    words += ["--runtime", "ai-edge-litert", "--runtime", OLD, "--record", str(path)]
    result = CliRunner().invoke(instructions, words)
    assert result.exit_code == 0, result.stderr
    came = read_instructions(path)
    (ours,), (theirs,) = came.counted, came.others
    assert ours.xnnpack is not None and ours.xnnpack["partitions"] == 1
    assert theirs.xnnpack is not None and theirs.xnnpack["partitions"] == 0
    assert theirs.xnnpack["operators"] == ours.xnnpack["operators"] == sum(theirs.xnnpack["outside"].values())
    assert theirs.times == pytest.approx(theirs.instructions_million / ours.instructions_million) and theirs.times > 1
    assert theirs.sdot == 0 < ours.sdot
