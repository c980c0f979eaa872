"""The commands that README.md and CONTRIBUTING.md show, and a parser for ours that runs nothing."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import click
import pytest

# Program -> where its click command is.
PROGRAMS = {
    "fer-edge": ("edge", "cli"),
    "train": ("train", "main"),
    "convert": ("convert", "main"),
    "benchmarks": ("benchmarks", "main"),
}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, *languages: str) -> list[str]:
    """Return the contents of the fenced blocks of a Markdown text in one of the languages."""
    return [content for language, content in _BLOCK.findall(text) if language in languages]


def commands(path: Path) -> list[str]:
    """Return the commands in a document's console, sh and bash blocks, continued lines joined, comments left out."""
    lines = [
        line.strip()
        for block in blocks(path.read_text(encoding="utf-8"), "console", "sh", "bash")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line.removeprefix("$ ") for line in lines if line and not line.startswith("#")]


def program_and_arguments(command: str) -> tuple[str, list[str]]:
    """Return the program (a key of PROGRAMS) and the arguments of a command of ours."""
    words = shlex.split(command)
    return (words[0], words[1:]) if words[0] == "fer-edge" else (words[2], words[3:])


def parse(program: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse a command line with the program's own parser, without running it; click's error if it does not parse."""
    folder, name = PROGRAMS[program]
    main = getattr(importlib.import_module(f"{folder}.__main__"), name)
    with monkeypatch.context() as patch:
        patch.setattr(click.Command, "invoke", lambda self, ctx: None)
        try:
            main(arguments, standalone_mode=False)
        except click.exceptions.Exit as end:  # --help
            assert end.exit_code == 0
