"""Backend, several devices and the process's heap."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
from click.testing import CliRunner

from edge.errors import DataError
from tests.conftest import require
from tests.train.conftest import tiny_model
from train.__main__ import main
from train.devices import choose_backend, distribute, keep_heap, kinds

FIT = ["--size", "32", "--head-epochs", "0", "--epochs", "1", "--limit", "64", "--batch", "16", "--quiet"]


def _process(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "train", *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_backend_that_is_running_may_be_named_and_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    running = keras.backend.backend()
    other = "jax" if running == "tensorflow" else "tensorflow"
    monkeypatch.setattr("train.devices.find_spec", lambda name: object())
    monkeypatch.setenv("KERAS_BACKEND", running)
    choose_backend(running)
    choose_backend(None)
    assert os.environ["KERAS_BACKEND"] == running
    with pytest.raises(DataError, match=f"it runs on {running}, asked for was {other}; start a new process"):
        choose_backend(other)
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(DataError, match="expected a backend of tensorflow, jax, torch; got 'theano'"):
        choose_backend(None)


def test_backend_that_is_not_installed_names_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.devices.find_spec", lambda name: object() if name == "jax" else None)
    with pytest.raises(DataError, match=r"backend torch to be installed; it is not \(here: jax\); pip install torch"):
        choose_backend("torch")


def test_every_command_takes_a_backend() -> None:
    for name in main.commands:
        result = CliRunner().invoke(main, [name, "--help"])
        assert "--backend [tensorflow|jax|torch]" in result.output, name


def test_devices_are_counted_and_only_jax_takes_several(monkeypatch: pytest.MonkeyPatch) -> None:
    assert distribute("1", 7) == 1
    assert kinds() <= {"cpu", "gpu", "tpu"}
    for nonsense in ("0", "-1", "two"):
        with pytest.raises(DataError, match=f"expected a number of devices, or all; got '{nonsense}'"):
            distribute(nonsense, 8)
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    assert distribute("all", 7) == 1
    with pytest.raises(DataError, match="works under jax alone; the backend is tensorflow; give --backend jax"):
        distribute("2", 8)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"])
    with pytest.raises(DataError, match=r"expected at most 2 devices \(gpu:0, gpu:1\); got 3"):
        distribute("3", 9)
    with pytest.raises(DataError, match="a batch that 2 devices can share evenly; got 7; give --batch 6"):
        distribute("all", 7)


def test_two_devices_train_what_one_trains(tmp_path: Path) -> None:
    require("jax")
    network = tmp_path / "tiny.keras"
    keras.utils.set_random_seed(1)
    tiny_model().save(network)
    flags: list[str | Path] = [
        "fit",
        "synthetic",
        *FIT,
        "--backbone",
        network,
        "--backend",
        "jax",
        "--augment-on",
        "cpu",
    ]
    flags += ["--dropout", "0"]
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    losses = []
    for name, count in (("one", "1"), ("two", "all")):
        done = _process(*flags, "--out", tmp_path / name, "--devices", count, **two)
        assert done.returncode == 0, done.stderr
        config = json.loads((tmp_path / name / "run.json").read_text())
        assert config["backend"] == "jax"
        assert config["devices"] == {"kind": "cpu", "count": 1 if name == "one" else 2}
        history = (tmp_path / name / "history.csv").read_text().splitlines()
        losses.append(float(dict(zip(history[0].split(","), history[1].split(","), strict=True))["loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_heap_is_told_to_keep_what_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[int, int] = {}

    def mallopt(parameter: int, value: int) -> int:
        told[parameter] = value
        return 1

    monkeypatch.setattr("train.devices.ctypes.CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    assert keep_heap() is True
    assert told == {-3: 1 << 30, -1: (1 << 31) - 1, -2: 1 << 28}


def test_user_s_own_heap_settings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    assert keep_heap() is False
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_heap() is False
