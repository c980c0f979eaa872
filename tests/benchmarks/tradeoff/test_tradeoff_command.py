"""`python -m benchmarks tradeoff`, run for real: a small network on a small fer2013.csv, every stage, twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.commands.tradeoff import tradeoff
from benchmarks.evidence import read_evidence
from benchmarks.tradeoff.record import read
from tests.benchmarks.networks import plain_network

ROOT = Path(__file__).resolve().parents[3]
STUDY = """
name = "small"
schedule = "trial"
dataset = "fer2013"
sizes = [32]
recipes = ["float32", "dynamic-int8"]

[train]
head-epochs = 0
epochs = 1
limit = 56

[convert]
limit = 28
calibration = 14

[latency]
pairs = 3
warmup = 1

[backbones.small]
model = "small.keras"

[backbones.lost]
model = "lost.keras"
"""

WORDS = ("study.toml", "--data", "fer2013.csv", "--out", "out")

pytestmark = pytest.mark.slow


def _study(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "tradeoff", *WORDS],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def _write_fer2013(path: Path) -> None:
    """Write noise in FER2013's format: 8, 4 and 4 pictures a class."""
    generator = np.random.default_rng(0)
    lines = ["emotion,pixels,Usage"]
    for usage, count in (("Training", 8), ("PublicTest", 4), ("PrivateTest", 4)):
        for label in range(7 * count):
            lines.append(f"{label % 7},{' '.join(map(str, generator.integers(0, 256, 48 * 48)))},{usage}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder with the study, and its first run."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    plain_network().save(folder / "small.keras")
    _write_fer2013(folder / "fer2013.csv")
    return folder, _study(folder)


def test_a_network_that_is_lost_fails_and_the_other_goes_on(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, first = done
    assert first.returncode == 1
    assert "expected lost.keras; it is not there" in first.stderr
    assert first.stderr.count("\n") == 1
    record = read(folder / "out" / "tradeoff.json")
    whole = [cell for cell in record["cells"] if cell["backbone"] == "small"]
    assert [(cell["recipe"], cell["epochs"], cell["train_pictures"]) for cell in whole] == [
        ("float32", 1, 56),
        ("dynamic-int8", 1, 56),
    ]
    assert all(cell["accuracy"] is not None and cell["latency_ms"]["p50"] > 0 for cell in whole)
    assert whole[0]["ratio"] is None and whole[1]["ratio"]["pairs"] == 3
    assert all(cell["accuracy"] is None for cell in record["cells"] if cell["backbone"] == "lost")
    assert {failure["step"].split()[1].split("-")[0] for failure in record["failures"]} == {"lost"}


def test_its_records_are_the_usual_ones_and_name_commands_to_repeat(
    done: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    records = done[0] / "out" / "records"
    evidence = read_evidence([records])
    assert len(evidence.accuracies) == 2 and len(evidence.ratios) == 1
    latency = json.loads((records / "small-32px-dynamic-int8-latency-1.json").read_text(encoding="utf-8"))
    model = "out/exports/small-32px-dynamic-int8.tflite"
    assert latency["command"][1:5] == ["benchmark", "latency", "--model", model]


def test_a_second_run_does_nothing_anew(
    done: tuple[Path, subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(done[0])
    before = {path: path.stat().st_mtime_ns for path in Path("out/exports").iterdir()}
    again = CliRunner().invoke(tradeoff, [*WORDS, "--stage", "train", "--stage", "convert", "--record", "kept.json"])
    assert again.exit_code == 1  # of the network that is lost
    assert "3 of 6 steps were done already" in again.stdout
    assert before == {path: path.stat().st_mtime_ns for path in Path("out/exports").iterdir()}
    assert read("kept.json")["cells"][0]["accuracy"] is not None


def test_the_outcome_is_shown(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    text = (done[0] / "out" / "tradeoff.md").read_text(encoding="utf-8")
    assert "Schedule: **trial**" in text
    assert "| small | 32 px | dynamic-int8 | 1 |" in text
    assert (done[0] / "out" / "tradeoff-small-1.svg").is_file()


def test_a_recipe_that_is_added_leaves_the_others_done(
    done: tuple[Path, subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(done[0])
    more = STUDY.replace('"dynamic-int8"]', '"dynamic-int8", "float16"]').partition("[backbones.lost]")[0]
    Path("more.toml").write_text(more, encoding="utf-8")
    words = ["more.toml", *WORDS[1:], "--stage", "convert"]
    report = Path("out/exports/small-32px-float32.json")
    before = report.read_bytes()
    added = CliRunner().invoke(tradeoff, words)
    assert added.exit_code == 0, added.output
    assert "convert small-32px float16\n" in added.stdout and "2 of 3 steps were done already" in added.stdout
    assert report.read_bytes() != before  # timed again, beside the new one
    assert "3 of 3 steps were done already" in CliRunner().invoke(tradeoff, words).stdout
