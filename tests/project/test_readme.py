"""What the documents show is there: commands parse and are run by tests, the snippet runs, figures have records."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.project.readme import PROGRAMS, blocks, commands, parse, program_and_arguments
from tests.project.test_chain import ELSEWHERE, own_commands

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = (README, ROOT / "CONTRIBUTING.md")
# Installation and the shell: run by the Makefile, by the wheel's tests or by the reader.
SHELL = (
    "make demo",
    "make test",
    "make lint",
    "python3 -m venv .venv",
    ". .venv/bin/activate",
    "python3 -m venv ~/fer-edge",
    ". ~/fer-edge/bin/activate",
    ".venv/bin/python -m pytest -m \"not slow\"",
)  # fmt: skip
COMMANDS = [command for document in DOCUMENTS for command in commands(document)]
OWN = [command for command in COMMANDS if command.startswith(("fer-edge ", "python -m "))]


def test_the_documents_show_commands_of_all_four_folders() -> None:
    assert {program_and_arguments(command)[0] for command in OWN} == set(PROGRAMS)


@pytest.mark.parametrize("command", OWN)
def test_a_command_of_the_documents_parses(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program, arguments = program_and_arguments(command)
    monkeypatch.chdir(tmp_path)
    for word in arguments:
        if "." in word or "/" in word:
            _placeholder(Path(word))
    parse(program, arguments, monkeypatch)


def _placeholder(path: Path) -> None:
    """Make an empty file, or a folder for a name without a suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix:
        path.touch()
    else:
        path.mkdir(exist_ok=True)


@pytest.mark.parametrize(
    "command",
    [
        "fer-edge image --jsonn photo.jpg",
        "fer-edge imagine photo.jpg",
        "python -m train fit fer2014 --out run",
        "python -m convert runs/lite0 --recipe int7 --dataset synthetic --out exports",
        "python -m benchmarks report",
    ],
)
def test_a_wrong_command_does_notparse(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(click.UsageError):
        parse(*program_and_arguments(command), monkeypatch)


def test_every_command_of_the_documents_is_run_by_a_test() -> None:
    run = {command for command in own_commands() if command not in ELSEWHERE}
    assert set(OWN) - run == set(ELSEWHERE)


def test_every_other_command_is_one_of_the_shell() -> None:
    others = [command for command in COMMANDS if command not in OWN and command not in SHELL]
    assert all(command.startswith("pip install ") for command in others), others


def test_the_makefile_has_the_targets_that_the_documents_name() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in SHELL:
        if command.startswith("make "):
            assert re.search(rf"^{command.removeprefix('make ')}:", makefile, re.MULTILINE), command


def test_ci_runs_the_readmes_test_command() -> None:
    assert "make test" in COMMANDS
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^exec make .*\btest$", script, re.MULTILINE)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_extras_that_the_documents_name_exist() -> None:
    import configparser

    configuration = configparser.RawConfigParser()
    configuration.read(ROOT / "setup.cfg", encoding="utf-8")
    known = set(configuration["options.extras_require"])
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    named = set(re.findall(r"\[([a-z-]+)\](?!\()", text))
    assert {"train", "convert", "workstation", "tflite-runtime"} <= named
    assert named <= known


@pytest.mark.parametrize("number", [0, 1])
def test_the_snippets_of_the_readme_find_the_astronauts_face(number: int, tmp_path: Path) -> None:
    import cv2
    from skimage import data

    snippets = blocks(README.read_text(encoding="utf-8"), "python")
    assert len(snippets) == 2
    snippet = snippets[number]
    cv2.imwrite(str(tmp_path / "photo.jpg"), data.astronaut()[..., ::-1])
    video = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (256, 256))
    for _ in range(3):
        video.write(cv2.resize(data.astronaut()[..., ::-1], (256, 256)))
    video.release()
    result = subprocess.run(
        [sys.executable, "-c", snippet],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"\b(angry|disgust|fear|happy|sad|surprise|neutral)\b", result.stdout)


def test_links_of_the_documents_lead_to_files_of_the_tree() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?://|#)([^)]+)\)", document.read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{document.name}: {target}"


def test_the_figures_of_the_readme_are_those_of_the_records() -> None:
    words = ["report", str(ROOT / "benchmarks" / "results"), "--readme", str(README), "--check"]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
