"""Tiny data sets, models and a small csv for the training tests."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

from train.datasets import Dataset
from train.datasets.synthetic import load_synthetic


@pytest.fixture(scope="session")
def faces() -> Dataset:
    """Drawn faces: 8 training, 4 validation and 4 test pictures a class."""
    return load_synthetic(progress=False, counts={"train": 8, "validation": 4, "test": 4})


def tiny_model(side: int = 32, classes: int = 7) -> keras.Model:
    """A network of a few hundred weights with the layers that every backbone of the registry has."""
    pictures = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 128, offset=-1.0)(pictures)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = keras.layers.BatchNormalization(name="stem_bn", momentum=0.9)(x)
    x = keras.layers.ReLU(6.0)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(pictures, keras.layers.Dense(classes, name="logits")(x), name="tiny")


def write_csv(path: Path, rows: Sequence[tuple[object, object, object]], header: str = "emotion,pixels,Usage") -> Path:
    """Write a FER2013 csv with the given rows."""
    with open(path, "w", newline="") as stream:
        stream.write(header + "\n")
        csv.writer(stream, lineterminator="\n").writerows(rows)
    return path


def pixels(value: int = 7, count: int = 48 * 48) -> str:
    """A row's pixel text: ``count`` times the same grey."""
    return " ".join([str(value)] * count)


@pytest.fixture
def small_csv(tmp_path: Path) -> Path:
    """Ten rows in all three parts; rows 0 and 8 hold the same picture, so do rows 1 and 9."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (10, 48 * 48))
    pictures[8], pictures[9] = pictures[0], pictures[1]
    usage = ["Training"] * 6 + ["PublicTest"] * 2 + ["PrivateTest", "PublicTest"]
    rows = [(i % 7, " ".join(map(str, pictures[i])), usage[i]) for i in range(10)]
    return write_csv(tmp_path / "fer2013.csv", rows)


@pytest.fixture(scope="session")
def real_fer2013(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the real ``fer2013new.csv`` and ``fer2013.csv``; the latter as its parsed cache beside a stub."""
    folder = tmp_path_factory.mktemp("fer2013")
    unpack = [sys.executable, str(shared_data / "fer2013" / "unpack.py")]
    unpack += ["--npz", str(folder / "all.npz"), "--ferplus", str(folder / "fer2013new.csv")]
    subprocess.run(unpack, check=True)
    stub = write_csv(folder / "fer2013.csv", [])
    stat = stub.stat()
    with np.load(folder / "all.npz") as kept:
        arrays = {name: kept[name] for name in ("images", "labels", "usage")}
    np.savez(folder / "fer2013.csv.npz", **arrays, stamp=np.array(f"{stat.st_size}:{stat.st_mtime_ns}"))
    (folder / "all.npz").unlink()
    return folder


@pytest.fixture
def flat_fer2013(tmp_path: Path) -> Path:
    """A FER2013 file of flat pictures; some PrivateTest faces are also in Training."""
    rows = [(0 if level < 128 else 3, level, "Training") for level in range(30, 250, 4)]
    rows += [(0 if level < 128 else 3, level, "PublicTest") for level in range(31, 250, 20)]
    rows += [(0 if level < 128 else 3, level, "PrivateTest") for level in range(30, 250, 15)]
    return write_csv(
        tmp_path / "fer2013.csv", [(label, " ".join([str(level)] * 2304), usage) for label, level, usage in rows]
    )
