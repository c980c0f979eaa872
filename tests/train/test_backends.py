"""Every backbone through fit, evaluate and reload under each Keras backend, and from one backend to the other.

Each backend gets a process of its own that goes through all backbones (``each_backbone.py``), so that frameworks are
started once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require
from train.networks.backbones import BACKBONES

pytestmark = pytest.mark.slow
BACKENDS = ("tensorflow", "jax")
TOLERANCE = 1e-4  # of the logits' range
# Keras imports TensorFlow where it is installed, whatever its backend; other backends find none here.
START = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            raise ModuleNotFoundError("No module named 'tensorflow'", name=name)
if sys.argv[1] != "tensorflow":
    sys.meta_path.insert(0, Absent())
from tests.train.each_backbone import main
main(*sys.argv[2:])
"""
Rows = list[dict[str, Any]]


def _process(root: Path, backend: str, *folders: Path) -> Rows:
    command = [sys.executable, "-c", START, backend, *map(str, folders)]
    # Two steps do not repay an optimizing compiler; without one each backend takes 2.5 to 3 minutes of CPU time.
    environment = os.environ | {"KERAS_BACKEND": backend, "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    # TensorFlow 2.21's oneDNN kernels crash in mini-xception's training steps, on some processors at least.
    environment["TF_ENABLE_ONEDNN_OPTS"] = "0"
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def under_tensorflow(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rows]:
    require("tensorflow")
    runs = tmp_path_factory.mktemp("tensorflow")
    return runs, _process(root, "tensorflow", runs)


@pytest.fixture(scope="module")
def under_jax(root: Path, tmp_path_factory: pytest.TempPathFactory, under_tensorflow: tuple[Path, Rows]) -> Rows:
    require("jax")
    return _process(root, "jax", tmp_path_factory.mktemp("jax"), under_tensorflow[0])


@pytest.fixture
def rows(request: pytest.FixtureRequest, backend: str) -> Rows:
    found: Any = request.getfixturevalue(f"under_{backend}")
    return found if backend == "jax" else found[1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_backbone_is_fitted_evaluated_and_reloaded(name: str, backend: str, rows: Rows) -> None:
    [row] = [row for row in rows if row.get("backbone") == name]
    assert row["backend"] == backend
    assert row["steps"] == 2
    assert 0 < row["loss"] < 20
    assert row["moved"] == row["weights"] > 10  # every weight takes part, batch-norm statistics too
    assert row["same_weights"] is True
    assert row["val_loss_reloaded"] == pytest.approx(row["val_loss_in_training"], rel=1e-4)
    assert row["samples"] == 14
    assert row["accuracy"] == pytest.approx(row["right"])


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_model_of_tensorflow_gives_the_same_logits_under_jax(name: str, under_jax: Rows) -> None:
    [row] = [row for row in under_jax if row.get("parity") == name]
    assert row["between_pictures"] > 100 * TOLERANCE  # else a network that ignores its input would pass
    assert row["difference"] < TOLERANCE


def test_jax_does_all_that_without_tensorflow(under_jax: Rows, under_tensorflow: tuple[Path, Rows]) -> None:
    assert under_jax[-1] == {"tensorflow": False}
    assert under_tensorflow[1][-1] == {"tensorflow": True}
