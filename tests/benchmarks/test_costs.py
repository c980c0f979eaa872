from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.costs import BEGIN, END, TARGETS, Costs, markdown, ratio, read_costs
from benchmarks.targets import Target
from edge.errors import DataError
from tests.benchmarks.handmade import MACHINE, conversion, paired_latency
from tests.benchmarks.peers_records import peers_record

DIGITS = {"float32": "1", "qat-int8": "2"}
SIZES = {"float32": 1000, "qat-int8": 280}


def report(recipe: str, drop: float = 0.3, sha256: str = "", name: str = "lite0") -> dict[str, Any]:
    part = {
        "float": {"accuracy": 0.65},
        "file": {"accuracy": 0.65 - drop / 100},
        "drop_points": drop,
        "drop_ci95": [drop - 0.2, drop + 0.2],
        "agreement_with_network": 0.995,
    }
    found = conversion(recipe, sha256=sha256 or DIGITS[recipe] * 64, size_bytes=SIZES[recipe])
    found["source"] = {"name": name, "backbone": "efficientnet-lite0", "input": [56, 56, 3]}
    return found | {
        "calibration": {"part": "PublicTest"},
        "data": {"name": "fer2013", "protocol": "official-dedup"},
        "parts": {"PublicTest": part},
        "peak_memory_mb": 1536.0,
        "seconds": {"prepare": 30.0, "finetune": 60.0},
    }


def counts() -> dict[str, Any]:
    """12 million instructions for float32 and 4 for int8 on a Pi 5's core."""

    def counted(digit: str, recipe: str, million: float) -> dict[str, Any]:
        return {
            "name": "lite0",
            "recipe": recipe,
            "file": f"lite0-{recipe}.tflite",
            "sha256": digit * 64,
            "size_bytes": SIZES[recipe],
            "instructions_million": million,
            "spread": 0,
            "sdot": 0,
        }

    models = [counted("1", "float32", 12.0), counted("2", "qat-int8", 4.0)]
    return {
        "schema": 1,
        "kind": "instructions",
        "created": "2026-01-02T03:04:05+00:00",
        "command": ["python -m benchmarks", "instructions"],
        "fer_edge": "0.1.0",
        "machine": dict(MACHINE),
        "suite": "bookworm",
        "runtime": {"name": "ai-edge-litert", "version": "2.3.0"},
        "qemu": "7.2.22",
        "threads": 1,
        "meaning": "counts",
        "boards": [{"board": "pi5", "title": "Raspberry Pi 5", "core": "Cortex-A76", "models": models}],
    }


def peers() -> dict[str, Any]:
    """The record by hand, its files of ours being those of the conversion reports."""
    record = peers_record()
    for file in record["files"]:
        if file["name"].removeprefix("ours-") in DIGITS:
            file["sha256"] = DIGITS[file["name"].removeprefix("ours-")] * 64
    return record


def timed(digit: str = "2") -> dict[str, Any]:
    """qat-int8 2.5 times as fast as its float32, in pairs."""
    record = paired_latency("qat-int8", "float32", 2.0, 5.0)
    record["model"]["sha256"], record["against"]["sha256"] = digit * 64, "1" * 64
    return record


def written(folder: Path, *records: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, record in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(record))
    return folder


def cells(costs: Costs, start: str) -> tuple[str, ...]:
    """What was measured and whether it is met, of the target that begins so."""
    (target,) = (target for target in TARGETS if target.text.startswith(start))
    return target.cells(costs)[2:]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    return written(tmp_path / "records", report("float32"), report("qat-int8"), peers(), counts(), timed())


def test_each_target_takes_its_figure_from_the_records(records: Path) -> None:
    costs = read_costs([records])
    assert cells(costs, "efficientnet-lite0 qat-int8 against its own float32") == ("2.50×", "yes")  # asked: 2.2
    assert cells(costs, "efficientnet-lite0 qat-int8, times fewer instructions") == ("3.00×", "yes")
    assert cells(costs, "efficientnet-lite0 qat-int8, accuracy drop") == ("0.30 points", "yes")
    assert cells(costs, "efficientnet-lite0 qat-int8, XNNPACK partitions") == ("1.00", "yes")
    assert cells(costs, "efficientnet-lite0 qat-int8, agreement with its network") == ("99.50 %", "yes")
    assert cells(costs, "efficientnet-lite0 qat-int8, size") == ("0.28", "yes")
    assert cells(costs, "efficientnet-b0 qat-int8, size") == ("–", "–")


def test_speeds_beside_peers_are_those_of_the_record(records: Path) -> None:
    costs = read_costs([records])
    assert ratio(costs, "efficientnet-lite0", "ours-float32", "plain-float32") == 2.0
    assert ratio(costs, "efficientnet-lite0", "ours-float32", "plain-int8") is None


@pytest.mark.parametrize(
    ("record", "name"),
    [(counts(), "lite0 qat-int8"), (peers(), "ours-qat-int8"), (timed(), "qat-int8")],
    ids=["instructions", "peers", "latency"],
)
def test_a_record_of_another_build_than_the_reports_is_refused(
    record: dict[str, Any], name: str, tmp_path: Path
) -> None:
    read_costs([written(tmp_path / "same", report("float32"), report("qat-int8"), record)])
    other = report("qat-int8", sha256="3" * 64)
    with pytest.raises(DataError, match=rf"2.json: expected files that the .* reports .*{name} \(222222222222\)"):
        read_costs([written(tmp_path / "other", report("float32"), other, record)])


def test_counts_of_a_peers_file_need_no_report(tmp_path: Path) -> None:
    record = counts()
    record["boards"][0]["models"].append(record["boards"][0]["models"][1] | {"recipe": None, "sha256": "9" * 64})
    assert read_costs([written(tmp_path, report("float32"), report("qat-int8"), record)]).instructions


def test_two_networks_of_one_backbone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one network of efficientnet-lite0; got a second"):
        read_costs([written(tmp_path, report("float32"), report("qat-int8", name="other"))])


@pytest.mark.parametrize(("came", "met"), [(0.5, "yes"), (0.51, "**no**"), (-0.2, "yes")])
def test_a_target_is_met_up_to_its_border(came: float, met: str) -> None:
    target: Target[Costs] = Target("drop", 0.5, False, " points", lambda costs: came)
    assert target.cells(Costs({}, {}, ()))[3] == met


def test_the_page_shows_every_kind_of_record(records: Path) -> None:
    text = markdown(read_costs([records]))
    row = next(line for line in text.splitlines() if line.startswith("| lite0 |") and "qat-int8" in line)
    assert row.startswith("| lite0 | efficientnet-lite0, 56×56 | qat-int8 |")
    for figure in ("(0.28)", "65.00 %", "64.70 %", "+0.30 (+0.10 to +0.50)", "99.50 %", "1.5 GiB", "1.5 min"):
        assert figure in row
    assert "3.00× (2.00 to 4.00)" in text
    assert "| lite0 | qat-int8 |" in text
    assert "4.00" in text


def test_the_page_is_rewritten_between_its_markers_and_checked(records: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    words = ["costs", str(records), "--page", str(page)]
    failed = CliRunner().invoke(main, [*words, "--check"])
    assert failed.exit_code == 1
    assert "expected the figures of the records between its markers" in failed.stderr
    assert "old" in page.read_text()
    assert CliRunner().invoke(main, words).exit_code == 0
    assert "## Targets" in page.read_text()
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")
    assert CliRunner().invoke(main, [*words, "--check"]).exit_code == 0


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"kind": "soak"}, "expected a conversion report, peers, instructions or latency record; got kind 'soak'"),
        ({"schema": 1, "kind": "conversion", "source": {"backbone": "b"}}, "expected a whole conversion report"),
        (report("float32") | {"size_bytes": "much"}, "expected numbers and names in the conversion report"),
    ],
)
def test_a_record_that_says_too_little_is_refused(record: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=text):
        read_costs([written(tmp_path, record)])


def test_two_reports_of_one_recipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one record of qat-int8; got a second"):
        read_costs([written(tmp_path, report("qat-int8"), report("qat-int8"))])


def test_the_time_of_a_fine_tuning_that_was_taken_up_says_from_which_step() -> None:
    from benchmarks.costs import _minutes

    whole = report("qat-int8") | {"qat": {"resumed_step": 0}}
    assert _minutes(whole) == "1.5 min"
    assert _minutes(whole | {"qat": {"resumed_step": 874}}) == "1.5 min, from step 874 on"
    assert _minutes(report("float32")) == "1.5 min"


def test_agreement_says_what_the_network_in_float32_would_have_said() -> None:
    from benchmarks.costs import _agreement

    assert _agreement({"agreement_with_network": 0.995}) == "99.50 %"
    both = {"agreement_with_network": 1.0, "agreement_with_network_in_float32": 0.978}
    assert _agreement(both) == "100.00 % (97.80 % in float32)"
