"""The wheel holds edge alone, and runs in an environment that has its base dependencies and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from benchmarks.runtime.environment import build_wheel

ROOT = Path(__file__).resolve().parents[2]
BASE = ("numpy", "opencv-python-headless", "ai-edge-litert", "click")
FOREIGN = ("tensorflow", "keras", "sklearn", "matplotlib", "PIL", "aiohttp", "train", "convert", "benchmarks")

pytestmark = pytest.mark.slow


def _run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [str(word) for word in words]
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `python -m benchmarks footprint` builds it."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def device(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and what it asks for; its folder of programs."""
    folder = tmp_path_factory.mktemp("device")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    _run(
        programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--constraint", ROOT / "constraints.txt", wheel, cwd=folder,
    )  # fmt: skip
    return programs


def test_the_wheel_holds_edge_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {PurePosixPath(name).parts[0] for name in names}
    (info,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {"edge", info}
    assert not [name for name in names if "test" in name]


def test_the_wheel_holds_every_module_and_data_file_of_edge(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.json", "*.tflite", "NOTICE", "py.typed", "*.html", "*.css", "*.js")
        for path in (ROOT / "edge").rglob(pattern)
        if "__pycache__" not in path.parts
    }
    assert {"edge/models/default.tflite", "edge/models/small.tflite"} <= expected
    assert "edge/schemas/fer-edge.schema.json" in expected
    assert expected <= names


def test_the_wheel_carries_licence_and_notice(wheel: Path) -> None:
    names = [PurePosixPath(name).name for name in zipfile.ZipFile(wheel).namelist()]
    assert "LICENSE" in names
    assert "NOTICE" in names


def test_the_base_environment_has_nothing_of_a_workstation(device: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {FOREIGN!r} if u.find_spec(n)])"
    assert _run(device / "python", "-c", code, cwd=device).stdout.strip() == "[]"


def test_the_wheel_asks_for_the_devices_packages_only(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    wanted = [
        line.removeprefix("Requires-Dist: ")
        for line in archive.read(metadata).decode("utf-8").splitlines()
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    ]
    assert sorted(_name(line) for line in wanted) == sorted(BASE)


def test_every_module_of_edge_imports_with_base_dependencies_only(device: Path) -> None:
    code = (
        "import importlib, pkgutil, edge\n"
        "for found in pkgutil.walk_packages(edge.__path__, 'edge.'):\n"
        "    if not found.name.endswith('__main__'):\n"
        "        importlib.import_module(found.name)\n"
        "print(edge.__version__)"
    )
    assert _run(device / "python", "-c", code, cwd=device).stdout.strip()


def test_fer_edge_answers_in_the_base_environment(device: Path) -> None:
    assert "Usage: fer-edge" in _run(device / "fer-edge", "--help", cwd=device).stdout
    assert "Usage: fer-edge" in _run(device / "python", "-m", "edge", "--help", cwd=device).stdout


@pytest.mark.parametrize("name", ["default", "small"])
def test_a_shipped_model_describes_itself_and_runs_in_the_base_environment(name: str, device: Path) -> None:
    info = json.loads(_run(device / "fer-edge", "info", "--json", "--model", name, cwd=device).stdout)
    assert info["labels"] == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert Path(info["path"]).name == f"{name}.tflite"
    code = (
        "import numpy as np, edge\n"
        f"reading = edge.load({name!r})(np.full((120, 160, 3), 128, np.uint8))\n"
        "print(reading.faces)"
    )
    assert _run(device / "python", "-c", code, cwd=device).stdout.strip() == "()"


def _name(requirement: str) -> str:
    for stop in (";", "<", ">", "=", "!", "~", "[", " "):
        requirement = requirement.partition(stop)[0]
    return requirement
