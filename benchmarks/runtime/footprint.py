"""What a base install takes: its packages and their sizes, and how long it needs to import and to answer once."""

from __future__ import annotations

import hashlib
import json
import re
import statistics
import subprocess
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from benchmarks.runtime.environment import plain_environment
from benchmarks.runtime.record import common_fields
from edge.errors import EdgeError

KIND = "footprint"
BASE = ("ai-edge-litert", "click", "numpy", "opencv-python-headless")
FIRST_ANSWER = Path(__file__).with_name("first_answer.py")
_INSTALLERS = frozenset({"pip", "setuptools", "wheel"})  # of the environment itself


def footprint(folders: Sequence[Path]) -> dict[str, Any]:
    """Return size_bytes of all files and, by package, its version and size_bytes, the largest package first.

    Byte code is not counted: pip compiles it on the device.

    Args:
        folders: of ``pip install --target``.
    """
    versions, sizes = {}, {}
    for found in distributions(path=[str(folder) for folder in folders]):
        files = [Path(str(found.locate_file(file))) for file in found.files or ()]
        name = found.metadata["Name"]
        versions[name] = found.version
        sizes[name] = sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")
    largest_first = sorted(sizes, key=lambda name: -sizes[name])
    packages = {name: {"version": versions[name], "size_bytes": sizes[name]} for name in largest_first}
    return {"size_bytes": sum(sizes.values()), "packages": packages}


def without_installers(found: dict[str, Any]) -> dict[str, Any]:
    """Return a footprint without pip, setuptools and wheel, which come with a virtual environment."""
    packages = {name: entry for name, entry in found["packages"].items() if name.lower() not in _INSTALLERS}
    return {"size_bytes": sum(entry["size_bytes"] for entry in packages.values()), "packages": packages}


def asks_for(folders: Sequence[Path]) -> list[str]:
    """Return the packages that an installed fer-edge itself asks for, extras left out, in lower case.

    Raises:
        EdgeError: fer-edge is not among them.
    """
    for found in distributions(path=[str(folder) for folder in folders]):
        if found.metadata["Name"].replace("_", "-") == "fer-edge":
            lines = [line for line in found.requires or () if "extra ==" not in line]
            return sorted({re.split(r"[^A-Za-z0-9_.-]", line)[0].lower().replace("_", "-") for line in lines})
    raise EdgeError(f"expected fer-edge in {folders[0]}; got other packages; install the wheel there")


def first_answers(python: Path, picture: Path, repeats: int) -> list[dict[str, Any]]:
    """Return what `first_answer.py` says in each of some fresh processes, one before them left out.

    Raises:
        EdgeError: one failed.
    """
    words = [str(python), str(FIRST_ANSWER), str(picture)]
    said = []
    for number in range(repeats + 1):
        done = subprocess.run(words, env=plain_environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise EdgeError(f"expected a first answer of {python}; got exit code {done.returncode}: {last[:300]}")
        said += [json.loads(done.stdout)] if number else []
    return said


def models_in(wheel: Path) -> dict[str, str]:
    """Return the sha256 of each model file in fer-edge's wheel, by its name without suffix."""
    with ZipFile(wheel) as content:
        names = [name for name in content.namelist() if name.startswith("edge/models/") and name.endswith(".tflite")]
        return {Path(name).stem: hashlib.sha256(content.read(name)).hexdigest() for name in sorted(names)}


def footprint_record(
    folders: Sequence[Path],
    wheel: Path,
    answers: Sequence[dict[str, Any]],
    command: Sequence[str],
    system: str,
    emulated: bool = False,
) -> dict[str, Any]:
    """Return the record of a base install.

    Args:
        folders: that its packages lie in.
        wheel: fer-edge's.
        answers: of `first_answer.py`, one a process, at least one.
        command: words of the command.
        system: what it was installed on, as shown.
        emulated: whether the times are an emulator's.
    """
    return {
        **common_fields(KIND, command),
        "system": system,
        "python": answers[0]["python"],
        "emulated": emulated,
        "wheel": wheel.name,
        "wheel_bytes": wheel.stat().st_size,
        "models": models_in(wheel),
        **without_installers(footprint(folders)),
        "asks_for": asks_for(folders),
        "import_s": statistics.median(answer["import_s"] for answer in answers),
        "first_answer_s": statistics.median(answer["first_answer_s"] for answer in answers),
        "answer": answers[0]["answer"],
        "repeats": len(answers),
        "samples_s": [[answer["import_s"], answer["first_answer_s"]] for answer in answers],
    }
