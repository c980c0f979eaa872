"""The commands that README.md and CONTRIBUTING.md show: the lines of their console blocks."""

from __future__ import annotations

import re
from pathlib import Path

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
