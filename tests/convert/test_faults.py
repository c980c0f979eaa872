"""What a conversion does when its input is unfit or the machine fails under it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.convert.networks import SIDE, small_network
from tests.convert.test_command import report, run

WORDS = ("--dataset", "synthetic", "--colour", "grey", "--quiet")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("model") / "drawn.keras"
    small_network().save(path)
    return path


def refused(model: Path, out: Path, *words: str | Path) -> str:
    """The one line of a conversion that must fail and write nothing."""
    result = run(model, "--out", out, *(words or ("--recipe", "float32", *WORDS)))
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not out.exists() or not list(out.iterdir())
    return result.stderr


def test_a_lambda_layer_is_refused_without_running_it(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda x: x / 255)(picture))
    keras.Model(picture, keras.layers.Dense(7)(pooled)).save(tmp_path / "lambda.keras")
    assert "Lambda" in refused(tmp_path / "lambda.keras", tmp_path / "out")


def test_a_nested_model_is_flattened_and_converted(tmp_path: Path) -> None:
    import keras

    inner = small_network()
    picture = keras.Input((SIDE, SIDE, 3))
    keras.Model(picture, inner(picture)).save(tmp_path / "nested.keras")
    out = tmp_path / "out"
    result = run(tmp_path / "nested.keras", "--recipe", "float32", *WORDS, "--limit", "64", "--out", out)
    assert result.exit_code == 0, result.output
    assert (out / "nested-float32.tflite").exists()


def test_a_limit_that_leaves_a_class_out_is_told(model: Path, tmp_path: Path) -> None:
    for limit, told in (("6", ["train", "validation"]), ("7", [])):
        words = ("--recipe", "float32", "--dataset", "synthetic", "--limit", limit, "--out", tmp_path / limit)
        result = run(model, *words)
        assert result.exit_code == 0, result.output
        notes = [line for line in result.stderr.splitlines() if "hold none of" in line]
        text = "the first 6 pictures of {} hold none of neutral; raise --limit for all classes"
        assert notes == [text.format(part) for part in told]


def test_a_model_built_under_16_bits_is_converted_in_float32(tmp_path: Path) -> None:
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small_network()
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "mixed.keras")
    result = run(tmp_path / "mixed.keras", "--recipe", "float32", *WORDS, "--limit", "64", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output


def test_a_picture_of_any_size_is_refused(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(picture))
    keras.Model(picture, keras.layers.Dense(7)(pooled)).save(tmp_path / "any.keras")
    line = refused(tmp_path / "any.keras", tmp_path / "out")
    assert "came one that takes (None, None, None, 3); build it with a fixed input size" in line


def test_a_model_without_a_graph_is_refused(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    keras.Sequential([layers.Flatten(), layers.Dense(7)]).save(tmp_path / "unbuilt.keras")
    line = refused(tmp_path / "unbuilt.keras", tmp_path / "out")
    assert "expected a functional or built sequential Keras model in" in line
    assert "came Sequential 'sequential" in line


def test_a_model_that_keeps_its_map_to_the_end_is_refused(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(keras.layers.Conv2D(4, 3)(picture))
    keras.Model(picture, keras.layers.Conv2D(7, 1)(pooled)).save(tmp_path / "map.keras")
    line = refused(tmp_path / "map.keras", tmp_path / "out")
    assert "expected an output [None, classes]; came [None, 1, 1, 7]" in line


def test_a_data_set_without_training_pictures_is_refused(model: Path, tmp_path: Path) -> None:
    import cv2

    for part in ("validation", "test"):
        folder = tmp_path / "faces" / part / "happy"
        folder.mkdir(parents=True)
        for number in range(3):
            picture = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            cv2.imwrite(str(folder / f"{number}.png"), picture)
    words = ("--recipe", "ptq-int8", "--dataset", "folder", "--data", tmp_path / "faces", "--quiet")
    assert "train" in refused(model, tmp_path / "out", *words)


@pytest.mark.parametrize("recipe", ["float32", "qat-int8"])
def test_a_full_disk_leaves_the_old_file(
    recipe: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    old = tmp_path / f"drawn-{recipe}.tflite"
    old.write_bytes(b"the old one")
    monkeypatch.setattr("edge.files.os.fsync", no_space)
    result = run(model, "--recipe", recipe, *WORDS, "--steps", "0", "--limit", "64", "--out", tmp_path)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert result.stderr.count("\n") == 1
    assert old.read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.iterdir()] == [old.name]


def test_a_disk_that_fills_up_in_fine_tuning_leaves_the_old_file(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(stream: Any, **arrays: Any) -> None:
        stream.write(b"half a state")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    old = tmp_path / "drawn-qat-int8.tflite"
    old.write_bytes(b"the old one")
    monkeypatch.setattr("convert.quantization.finetune.np.savez", no_space)
    result = run(model, "--recipe", "qat-int8", *WORDS, "--steps", "2", "--limit", "64", "--out", tmp_path)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert result.stderr.count("\n") == 1
    assert old.read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.iterdir()] == [old.name]


@pytest.mark.slow
def test_a_killed_fine_tuning_goes_on_and_ends_in_the_same_bytes(model: Path, tmp_path: Path) -> None:
    name = "drawn-qat-int8.tflite"

    def command(out: Path) -> list[str]:
        words: list[Any] = [model, "--recipe", "qat-int8", *WORDS, "--steps", "600", "--limit", "256", "--out", out]
        return [sys.executable, "-m", "convert", *(str(word) for word in words)]

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    (killed / name).write_bytes(b"the old one")
    process = subprocess.Popen(command(killed), stderr=subprocess.DEVNULL)
    state = killed / ".drawn-qat-int8.state.npz"
    deadline = time.monotonic() + 240
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert state.exists()
    assert (killed / name).read_bytes() == b"the old one"
    subprocess.run(command(killed), check=True)
    subprocess.run(command(whole), check=True)
    assert 100 <= report(killed, "qat-int8")["qat"]["resumed_step"] < 600
    assert report(whole, "qat-int8")["qat"]["resumed_step"] == 0
    assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert not state.exists()
