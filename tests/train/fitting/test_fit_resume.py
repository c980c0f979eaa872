"""A run that is killed between two epochs ends bit for bit like one that was not."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from edge.errors import DataError
from tests.conftest import require
from tests.train.models import dropping_model
from train.fitting.state import load_progress, random_state, restore, save_state

SCRIPT = "tests.train.resume_script"


def _script(folder: Path, what: str, backend: str, precision: str, root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", SCRIPT, str(folder), what, precision]
    environment = os.environ | {"KERAS_BACKEND": backend}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def _losses(run: Path) -> list[str]:
    with open(run / "history.csv", newline="") as stream:
        return [row["loss"] for row in csv.DictReader(stream)]


@pytest.mark.parametrize(
    ("backend", "precision"), [("tensorflow", "float32"), ("jax", "float32"), ("tensorflow", "float16")]
)
def test_killed_process_resumes_to_the_very_weights_of_an_unbroken_run(
    backend: str, precision: str, tmp_path: Path, root: Path
) -> None:
    require(backend)
    killed = _script(tmp_path, "start", backend, precision, root)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    progress = load_progress(tmp_path / "broken")
    assert progress is not None
    assert (progress.phase, progress.epoch, progress.finished) == (1, 2, False)
    resumed = _script(tmp_path, "resume", backend, precision, root)
    assert resumed.returncode == 0, resumed.stderr
    assert _losses(tmp_path / "whole") == _losses(tmp_path / "broken")
    with np.load(tmp_path / "whole" / "weights.npz") as whole, np.load(tmp_path / "broken" / "weights.npz") as broken:
        assert whole.files == broken.files
        assert all(np.array_equal(whole[name], broken[name]) for name in whole.files)


def test_random_state_is_dropout_s_and_comes_back(tmp_path: Path) -> None:
    from train.fitting.state import Progress

    model = dropping_model()
    states = random_state(model)
    assert len(states) == 2
    optimizer = keras.optimizers.AdamW(1e-3, use_ema=True)
    optimizer.build(model.trainable_variables)
    states[0].assign(np.array([7, 3]))
    save_state(tmp_path, Progress(), model, optimizer)
    states[0].assign(np.array([1, 1]))
    restore(tmp_path, model, optimizer)
    assert keras.ops.convert_to_numpy(states[0]).tolist() == [7, 3]


def test_state_of_another_network_or_optimizer_is_refused(tmp_path: Path) -> None:
    from train.fitting.state import Progress

    model, other = dropping_model(), dropping_model(classes=5)
    optimizer, its = keras.optimizers.AdamW(1e-3), keras.optimizers.AdamW(1e-3)
    optimizer.build(model.trainable_variables)
    its.build(other.trainable_variables)
    save_state(tmp_path, Progress(), model, optimizer)
    with pytest.raises(DataError, match="expected 7 weight arrays of this network"):
        restore(tmp_path, other, its)
    averaging = keras.optimizers.AdamW(1e-3, use_ema=True)
    averaging.build(model.trainable_variables)
    with pytest.raises(DataError, match="optimizer arrays of this network"):
        restore(tmp_path, model, averaging)
    (tmp_path / "state.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="expected the state of a run"):
        load_progress(tmp_path)


def test_state_that_is_damaged_anywhere_is_refused_and_the_best_model_is_named(tmp_path: Path) -> None:
    from train.fitting.state import Progress

    model = dropping_model()
    optimizer = keras.optimizers.AdamW(1e-3)
    optimizer.build(model.trainable_variables)
    file = tmp_path / "state.npz"
    line = r"expected the state of a run in .*state\.npz; .+; start a new .*; model\.keras still holds the best model"
    save_state(tmp_path, Progress(), model, optimizer)
    whole = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        kernel = archive.getinfo("weight/0.npy")
    place = kernel.header_offset + 30 + len(kernel.filename) + kernel.file_size // 2
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    for read in (lambda: load_progress(tmp_path), lambda: restore(tmp_path, model, optimizer)):
        with pytest.raises(DataError, match=line):
            read()
    for progress in (None, "[", "[1]", '{"phase": 0, "moon": 1}'):
        with open(file, "wb") as stream:
            np.savez(stream, allow_pickle=False, **({} if progress is None else {"progress": np.array(progress)}))
        with pytest.raises(DataError, match=line):
            load_progress(tmp_path)
    with np.load(io.BytesIO(whole)) as state:
        arrays = {name: state[name] for name in state.files if name != "weight/1"}
    with open(file, "wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    with pytest.raises(
        DataError, match=r"expected 7 weight arrays .* got 5, .*model\.keras still holds the best model"
    ):
        restore(tmp_path, model, optimizer)
