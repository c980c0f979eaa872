"""The commands as users run them: fit, evaluate and pack on drawn faces, and what bad input gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.pictures.packs import read_pack
from tests.train.conftest import pixels, write_csv
from train.__main__ import main

FIT = ["--size", "32", "--head-epochs", "0", "--epochs", "1", "--batch", "35", "--limit", "70", "--quiet"]


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "drawn"
    result = _run("fit", "synthetic", "--out", path, *FIT)
    assert result.exit_code == 0, result.output
    assert "whole 1/1: loss" in result.output
    return path


def test_fit_leaves_everything_that_a_run_folder_holds(run: Path) -> None:
    config = json.loads((run / "run.json").read_text())
    assert config["backbone"] == "efficientnet-lite0"
    assert config["input"] == {"height": 32, "width": 32, "colour": "rgb"}
    assert config["recipe"]["batch"] == 35
    assert config["data"]["counts"]["train"]["happy"] == 10
    assert 0 <= config["metrics"]["validation"]["accuracy"] <= 1
    for name in ("model.keras", "history.csv", "curves.png", "evaluations/synthetic-validation.png"):
        assert (run / name).stat().st_size > 100
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_fit_does_not_write_over_a_run_and_resumes_only_the_same(run: Path) -> None:
    before = (run / "run.json").read_bytes()
    again = _run("fit", "synthetic", "--out", run, *FIT)
    assert again.exit_code == 1
    assert "holds a run; add --resume" in again.output
    other = _run("fit", "synthetic", "--out", run, *FIT, "--resume", "--batch", "20")
    assert other.exit_code == 1
    assert "expected the recipe of the run" in other.output
    assert "(batch=35); got another (batch=20)" in other.output
    longer = _run("fit", "synthetic", "--out", run, *FIT, "--resume", "--epochs", "2")
    assert "(phases=epochs=1); got another (phases=epochs=2)" in longer.output
    nothing = _run("fit", "synthetic", "--out", run.parent / "none", *FIT, "--resume")
    assert nothing.exit_code == 1
    assert "leave --resume out" in nothing.output
    assert (run / "run.json").read_bytes() == before


def test_evaluate_prints_the_table_and_both_views(run: Path) -> None:
    result = _run("evaluate", run, "--dataset", "synthetic", "--part", "test", "--tta")
    assert result.exit_code == 0, result.output
    assert "| Class | Precision | Recall | F1-score | Support |" in result.output
    assert "| 3 happy |" in result.output
    assert "synthetic test (official-dedup), single view: accuracy" in result.output
    assert "TTA flip: accuracy" in result.output
    kept = json.loads((run / "evaluations" / "synthetic-test-flip.json").read_text())
    assert kept["single_view"]["samples"] == kept["with_tta"]["samples"] == 420


def test_evaluate_refuses_what_is_no_run_or_no_part(run: Path, tmp_path: Path) -> None:
    missing = _run("evaluate", tmp_path, "--dataset", "synthetic")
    assert (missing.exit_code, "expected a run folder" in missing.output) == (1, True)
    part = _run("evaluate", run, "--dataset", "synthetic", "--part", "PrivateTest")
    assert (part.exit_code, "has no part 'PrivateTest'" in part.output) == (1, True)


def test_pack_holds_the_pictures_of_one_part(tmp_path: Path, small_csv: Path) -> None:
    out = tmp_path / "pack.npz"
    result = _run("pack", "--dataset", "fer2013", "--data", small_csv, "--part", "PublicTest", "--out", out)
    assert result.exit_code == 0, result.output
    pack = read_pack(out)
    assert pack.images.shape == (3, 48, 48)
    assert pack.labels.tolist() == [6, 0, 2]
    assert pack.classes[6] == "neutral"
    assert (pack.meta["dataset"], pack.meta["part"]) == ("fer2013", "PublicTest")
    assert pack.meta["role"] == "validation"
    limited = _run("pack", "--dataset", "synthetic", "--part", "test", "--limit", "5", "--out", out)
    assert limited.exit_code == 0, limited.output
    assert len(read_pack(out).images) == 5
    note = "the first 5 pictures of test hold none of surprise, neutral; raise --limit for all classes"
    assert note in limited.stderr.splitlines()
    whole = _run("pack", "--dataset", "synthetic", "--part", "test", "--limit", "7", "--out", out)
    assert (whole.exit_code, whole.stderr) == (0, "")


def _process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "train", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_bad_csv_gives_one_line_with_the_row_and_leaves_nothing(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "fer2013.csv", [(0, pixels(), "Training"), (1, pixels(count=9), "Training")])
    done = _process("fit", "fer2013", "--data", file, "--out", tmp_path / "run")
    assert done.returncode == 1
    assert done.stderr.startswith("error: expected 2304 pixels in row 3 of")
    assert done.stderr.count("\n") == 1
    assert sorted(child.name for child in tmp_path.iterdir()) == ["fer2013.csv"]


def test_error_after_the_framework_started_is_one_line_too(tmp_path: Path) -> None:
    done = _process("fit", "synthetic", "--out", tmp_path / "run", "--backbone", "resnet9000")
    assert done.returncode == 1
    assert done.stderr.startswith("error: unknown backbone 'resnet9000'; known: ")
    assert done.stderr.count("\n") == 1


def test_unknown_backbone_and_missing_weights_leave_no_run_folder(tmp_path: Path) -> None:
    for flags, message in (
        (("--backbone", "resnet9000"), "unknown backbone 'resnet9000'"),
        (("--weights", "none.npz"), "nothing is at none.npz"),
    ):
        result = _run("fit", "synthetic", "--out", tmp_path / "run", *FIT, *flags)
        assert result.exit_code == 1
        assert message in result.output
        assert not (tmp_path / "run").exists()


def test_help_answers_without_any_framework() -> None:
    code = "import sys; sys.argv=['train','fit','--help']; import runpy\n"
    code += "try: runpy.run_module('train', run_name='__main__')\nexcept SystemExit: pass\n"
    code += "print([m for m in ('keras', 'tensorflow', 'sklearn', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--backbone" in done.stdout
    assert done.stdout.strip().endswith("[]")
