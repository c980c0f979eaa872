"""`make test` runs every test once: side by side, or alone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARKS: dict[str, list[str]] = {"plain": [], "slow": ["slow"], "alone": ["alone"], "both": ["slow", "alone"]}
# What pytest is told in `make test` besides -m: nothing that could leave a test out.
DISTRIBUTION = re.compile(r"( -n \d+| --dist loadfile| --no-loadscope-reorder)*")


def recipe() -> str:
    """The shell text that `make test` would run."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "--dry-run", "--no-print-directory", "test"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def selections() -> list[list[str]]:
    """What each pytest of `make test` is told."""
    return [shlex.split(found) for found in re.findall(r"-m pytest ([^;&|\n]*)", recipe())]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test of each kind, under this project's settings."""
    folder = tmp_path_factory.mktemp("tree")
    (folder / "setup.cfg").write_bytes((ROOT / "setup.cfg").read_bytes())
    lines = ["import pytest"]
    for name, marks in MARKS.items():
        lines += [*(f"@pytest.mark.{mark}" for mark in marks), f"def test_{name}():", "    pass"]
    (folder / "tests").mkdir()
    (folder / "tests" / "test_kinds.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def collected(tree: Path, told: list[list[str]]) -> Counter[str]:
    """How often the selections together would run each kind of test."""
    found: Counter[str] = Counter()
    for words in told:
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *words]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        found.update(re.findall(r"::test_(\w+)$", done.stdout, re.MULTILINE))
    return found


def test_make_test_runs_every_kind_of_test_once(tree: Path) -> None:
    told = selections()
    assert len(told) == 2
    assert collected(tree, told) == Counter(list(MARKS))


@pytest.mark.parametrize(
    ("told", "count"),
    [
        ([["-m", "not slow"], ["-m", "alone"]], {"plain": 1, "alone": 2, "both": 1}),
        ([["-m", "not alone"], ["-m", "slow"]], {"plain": 1, "slow": 2, "both": 1}),
    ],
)
def test_a_selection_that_loses_or_repeats_a_test_is_seen(
    tree: Path, told: list[list[str]], count: dict[str, int]
) -> None:
    assert collected(tree, told) == Counter(count) != Counter(list(MARKS))


def test_nothing_else_in_make_test_leaves_a_test_out() -> None:
    for found in re.findall(r"-m pytest ([^;&|\n]*)", recipe()):
        assert DISTRIBUTION.fullmatch(re.sub(r'-m (?:"[^"]*"|\w+)', "", found).rstrip())


@pytest.mark.parametrize(("side", "alone"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_make_test_fails_when_either_part_fails_and_runs_both(side: int, alone: int, tmp_path: Path) -> None:
    (line,) = re.findall(r"^\S+ -m pytest.*(?:\n.*pytest.*)*", recipe(), re.MULTILINE)
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\necho "$4" >> {tmp_path}/ran\ncase "$4" in alone) exit {alone};; *) exit {side};; esac\n'
    )
    program.chmod(0o755)
    done = subprocess.run(["sh", "-c", re.sub(r"\S+(?= -m pytest)", str(program), line)], check=False)
    assert (done.returncode != 0) is bool(side or alone)
    assert (tmp_path / "ran").read_text().splitlines() == ["not alone", "alone"]
