"""edge <- train <- convert <- benchmarks: a folder imports only from those to its left, a room from those below it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge.inference.interpreter import RUNTIMES
from tests.project.imports import INTERPRETERS, LINE, ROOMS, circle, imports_of, upward, violations

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = "edge/inference/interpreter.py"
IMAGES, CAMERA = "edge/pictures/images.py", "edge/commands/camera.py"


def _sources(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if "third_party" not in path.parts]


@pytest.mark.parametrize("folder", LINE)
def test_a_folder_imports_only_from_its_left(folder: str) -> None:
    sources = _sources(folder)
    assert sources
    found = [line for path in sources for line in violations(path.relative_to(ROOT), path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize("folder", LINE)
def test_a_room_imports_only_from_those_below_it(folder: str) -> None:
    rooms = {path.parent.name for path in (ROOT / folder).glob("*/__init__.py")}
    assert rooms - {"third_party"} == set(ROOMS[folder])
    found = [line for path in _sources(folder) for line in upward(path.relative_to(ROOT), path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize("folder", LINE)
def test_rooms_and_single_modules_import_each_other_in_no_circle(folder: str) -> None:
    sources = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in _sources(folder)}
    assert circle(folder, sources) == []


def test_a_circle_through_a_single_module_is_found() -> None:
    room, single = Path("train/evaluation/metrics.py"), Path("train/runs.py")
    assert circle("train", {room: "from train.runs import Run", single: "import edge"}) == []
    found = circle("train", {room: "from train import runs", single: "def f():\n    import train.evaluation.plots"})
    assert set(found) == {"evaluation", "runs"}


@pytest.mark.parametrize(
    ("path", "source", "message"),
    [
        ("train/datasets/core.py", "def f():\n    from train.fitting import fit", "datasets imports train.fitting,"),
        ("train/datasets/core.py", "from train import fitting, runs", "datasets imports train.fitting,"),
        ("edge/sources/live.py", "import edge.streams.stream", "imports edge.streams.stream, which lies above it"),
        ("convert/tflite/export.py", "import convert.verification.checks", "tflite imports convert.verification"),
    ],
)
def test_an_import_from_above_is_found(path: str, source: str, message: str) -> None:
    assert message in upward(Path(path), source)[0]
    assert upward(Path(path), "from edge.errors import DataError\nfrom train.runs import load\nimport numpy") == []


@pytest.mark.parametrize(
    ("path", "source", "message"),
    [
        (IMAGES, "import train", "edge imports train, which lies to its right"),
        (IMAGES, "def f():\n    from convert.lowering.rules import f", "edge imports convert.lowering.rules"),
        (IMAGES, "import matplotlib.pyplot as plt", "edge imports matplotlib.pyplot, which no device has"),
        (IMAGES, "import PIL.Image", "edge imports PIL.Image"),
        (IMAGES, "def f():\n    import ai_edge_litert", "edge imports ai_edge_litert"),
        (INTERPRETER, "import ai_edge_litert.interpreter", "edge imports ai_edge_litert.interpreter"),
        (INTERPRETER, "def f():\n    import tensorflow as tf", "edge imports tensorflow,"),
        (INTERPRETER, "def f():\n    import tensorflow.python", "edge imports tensorflow.python"),
        (CAMERA, "import importlib\nx = importlib.import_module('sklearn')", "edge imports sklearn"),
        (CAMERA, "x = __import__('keras')", "edge imports keras"),
        (CAMERA, "import importlib\nx = importlib.import_module(name)", "a name that no reader can see"),
        (CAMERA, "import typing\nif typing.TYPE_CHECKING:\n    import keras", "edge imports keras"),
        (CAMERA, "def f():\n    import picamera2", "edge imports picamera2"),
        ("edge/commands/serve.py", "def f():\n    import aiohttp", "edge imports aiohttp"),
        ("edge/sources/devices.py", "import picamera2", "edge imports picamera2"),
        ("train/fitting/fit.py", "def f():\n    import tensorflow as tf", "train imports tensorflow;"),
        ("train/fitting/fit.py", "from tf_keras.layers import Dense", "train imports tf_keras.layers"),
        ("train/fitting/fit.py", "import tensorflow_model_optimization", "train imports tensorflow_model_optimization"),
        ("train/fitting/fit.py", "from benchmarks import table", "train imports benchmarks.table, which lies to its"),
        ("convert/a.py", "class A:\n    def f(self):\n        import benchmarks.table", "convert imports benchmarks"),
        ("benchmarks/plot.py", "from tests.benchmarks import handmade", "benchmarks imports the tests"),
    ],
)
def test_the_check_catches(path: str, source: str, message: str) -> None:
    (line,) = violations(Path(path), source)
    assert message in line
    assert line.startswith(f"{path}:")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (IMAGES, "import os\nimport numpy as np\nimport cv2, click\nfrom edge.errors import ImageError"),
        (IMAGES, "from .. import errors\nfrom ..errors import ImageError"),
        (INTERPRETER, "def f():\n    from tensorflow import lite\n    import tflite_runtime.interpreter"),
        ("edge/sources/devices.py", "def f():\n    from picamera2 import Picamera2"),
        ("edge/web/app.py", "def f():\n    from aiohttp import web"),
        ("train/fitting/fit.py", "import keras\nimport sklearn\nfrom edge.pictures import images"),
        ("convert/tflite/export.py", "import tensorflow as tf\nimport train.runs\nimport edge"),
        ("benchmarks/demo.py", "import convert, train, edge, matplotlib"),
    ],
)
def test_the_check_lets_pass(path: str, source: str) -> None:
    assert imports_of(source) or source.startswith("from .")
    assert violations(Path(path), source) == []


def test_the_table_of_interpreters_names_the_three_and_tensorflow_last() -> None:
    modules = [module for module, _ in RUNTIMES]
    assert [module.partition(".")[0] for module in modules] == ["ai_edge_litert", "tflite_runtime", "tensorflow"]
    assert all(any(module == name or module.startswith(f"{name}.") for name in INTERPRETERS) for module in modules)


@pytest.mark.parametrize("folder", LINE)
def test_help_answers_without_loading_what_is_heavy(folder: str) -> None:
    heavy = {"tensorflow", "jax", "torch", "keras", "tf_keras", "sklearn", "matplotlib", "ai_edge_litert"}
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{folder!r}, '--help']\n"
        f"try:\n    runpy.run_module({folder!r}, run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code in (0, None), end.code\n"
        f"print('LOADED', sorted({heavy!r} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Usage:" in result.stdout
    assert result.stdout.splitlines()[-1] == "LOADED []"
