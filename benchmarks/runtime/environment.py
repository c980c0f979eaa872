"""The project's wheel, and environments for what is measured beside it: made once, re-used by every run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.errors import EdgeError
from edge.files import sha256_of, write_atomically

ROOT = Path(__file__).resolve().parents[2]
_DONE = ".installed"  # written last: a folder without it was left by a killed run
_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def build_wheel(folder: Path, root: Path = ROOT) -> Path:
    """Return the wheel built into a folder, from a copy of the tracked files (a build leaves folders behind).

    Raises:
        EdgeError: git or the build fails; the text ends with its last line.
    """
    tree = folder / "tree"
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in _run(words, root).split("\0"):
        if name and (root / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, tree / name)
    _run([sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(tree)], folder)
    (found,) = folder.glob("*.whl")
    return found


def environment(
    home: Path,
    name: str,
    requirements: Sequence[str],
    constraints: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Return the Python of an environment that holds the requirements and what they ask for, and nothing else.

    Args:
        home: folder of the environments.
        name: what it is called there, before a digest of what it is made of.
        requirements: as pip takes them; the path of a wheel counts with its content.
        constraints: a pip constraints file.
        say: gets a line before the installation.

    Raises:
        EdgeError: pip fails; the text ends with its last line.
    """
    made_of = [sha256_of(word) if word.endswith(".whl") else word for word in requirements]
    made_of += [sys.version, constraints.read_text(encoding="utf-8") if constraints else ""]
    target = home / f"{name}-{hashlib.sha256(chr(0).join(made_of).encode()).hexdigest()[:10]}"
    python = target / "bin" / "python"
    if not (target / _DONE).is_file():
        say(f"installing {name} into {target} (once)")
        shutil.rmtree(target, ignore_errors=True)
        venv.create(target, with_pip=True)
        extra = ["--constraint", str(constraints)] if constraints else []
        _run([str(python), *_PIP, "install", *extra, *requirements], home)
        write_atomically(target / _DONE, "\n".join(requirements) + "\n")
    return python


def site_packages(python: Path) -> Path:
    """Return the folder that an environment's packages lie in.

    Raises:
        EdgeError: it is no Python.
    """
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(_run([str(python), "-c", code], Path.cwd()).strip())


def plain_environment() -> dict[str, str]:
    """Return the variables of this process without those that would lead a child into this one's packages."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}


def _run(words: Sequence[str], folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            list(words), cwd=folder, env=plain_environment(), capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise EdgeError(f"expected to run {words[0]}; got: {error.strerror}; check the path") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        last = lines[-1][:300] if lines else "no reason given"
        raise EdgeError(f"expected {' '.join(words[:4])} to succeed; got exit code {done.returncode}: {last}")
    return done.stdout
