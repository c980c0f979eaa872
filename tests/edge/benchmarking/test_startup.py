"""What a command loads before it works: on a Raspberry Pi, NumPy and OpenCV alone take longer than all of --help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge.__main__ import cli

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {"numpy", "cv2", "ai_edge_litert", "tflite_runtime", "tensorflow", "sqlite3", "asyncio", "multiprocessing"}


def loaded(*words: str) -> set[str]:
    """Return which heavy modules `fer-edge WORDS` has loaded when it ends."""
    code = (
        "import sys\n"
        "from edge.__main__ import cli\n"
        f"try:\n    cli({list(words)!r}, prog_name='fer-edge')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('LOADED', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    name, *modules = result.stdout.splitlines()[-1].split()
    assert name == "LOADED"
    return set(modules)


@pytest.mark.parametrize("command", [None, *sorted(cli.commands)])
def test_help_loads_nothing_heavy(command: str | None) -> None:
    assert loaded(*([] if command is None else [command]), "--help") == set()


@pytest.mark.parametrize("words", [("about",), ("info",), ("info", "--json"), ("--version",)])
def test_what_needs_no_pixels_loads_no_numpy(words: tuple[str, ...]) -> None:
    assert loaded(*words) == set()


def test_the_check_sees_what_the_doctor_loads() -> None:
    assert {"numpy", "cv2", "ai_edge_litert"} <= loaded("doctor")
