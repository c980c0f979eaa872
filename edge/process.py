"""A Python process of its own that has this very package, installed or not, on its path."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import edge
from edge.errors import EdgeError

_LONGEST_S = 300.0
# How a child ends that posix_spawn made and exec then refused (Python 3.13 under user-mode emulation); no Python does.
_NOT_STARTED = 127


def run_python(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Return how a Python with this very package on its path ended.

    Raises:
        EdgeError: it failed, or did not end.
        OSError: it could not be started.
    """
    root = str(Path(edge.__file__).resolve().parents[1])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    try:
        ran = subprocess.run(
            [sys.executable, "-P", *arguments],  # without -P, a folder `edge` where it is called would win
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EdgeError(f"expected the command to end within {_LONGEST_S:g} s; got no end; run it by hand") from error
    if ran.returncode == _NOT_STARTED and not ran.stderr:
        raise OSError(errno.ENOEXEC, "no process could be started", sys.executable)
    if ran.returncode != 0:
        said = (ran.stderr.strip() or "nothing").splitlines()[-1]
        raise EdgeError(f"expected the command to succeed; got exit code {ran.returncode}: {said}; run it by hand")
    return ran
