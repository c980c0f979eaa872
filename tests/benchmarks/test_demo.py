"""The demo: its commands parse, it spares foreign folders, and it stops at the first step that fails."""

from __future__ import annotations

import shlex
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner

from benchmarks import demo
from benchmarks.__main__ import main
from tests.project.readme import parse, program_and_arguments


def test_every_step_is_a_command_that_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "demo"
    for folder in ("drawn-faces", "exports", "records"):
        (out / folder).mkdir(parents=True)
    for file in ("astronaut.png", "synthetic-test.npz", "exports/drawn-faces-qat-int8.tflite"):
        (out / file).touch()
    (out / "exports" / "drawn-faces-float32.tflite").touch()
    steps = demo.steps(out)
    assert {words[0] for _, words in steps} == {"python", "fer-edge"}
    for _, words in steps:
        parse(*program_and_arguments(shlex.join(words)), monkeypatch)


def test_the_demo_measures_at_least_a_hundred_pairs_with_one_thread(tmp_path: Path) -> None:
    (words,) = (words for _, words in demo.steps(tmp_path) if "latency" in words)
    assert int(words[words.index("--pairs") + 1]) >= 100
    assert words[words.index("--threads") + 1] == "1"


def test_a_folder_that_the_demo_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "expected a new or empty folder; got one with files in it" in result.output
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"


def test_a_second_demo_empties_the_folder_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "steps", lambda out: [])
    demo.run(tmp_path / "demo")
    (tmp_path / "demo" / "old.txt").touch()
    demo.run(tmp_path / "demo")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [demo.MARK, "astronaut.png"]
    photograph = cv2.imread(str(tmp_path / "demo" / "astronaut.png"))
    assert photograph is not None
    assert photograph.shape == (512, 512, 3)


def test_the_demo_stops_at_the_step_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = tmp_path / "ran"
    steps = [
        ("Works", ["python", "-c", "pass"]),
        ("Fails", ["python", "-c", "raise SystemExit(3)"]),
        ("Never", ["python", "-c", f"open({str(last)!r}, 'w')"]),
    ]
    monkeypatch.setattr(demo, "steps", lambda out: steps)
    result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "demo")])
    assert result.exit_code == 1
    assert "error: demo: expected step 2 to succeed; got exit code 3; its message stands above" in result.output
    assert "3. Never" not in result.output
    assert not last.exists()
