"""ONNX Runtime as a peer: the float file is exact, the int8 file is int8, and a missing package is no failure."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.peers import exports, onnxfiles
from benchmarks.peers.exports import ONNX_FLOAT, ONNX_INT8, Making, PeerError, PeerNotRunError, make
from benchmarks.peers.measure import Candidate, Truth, measure
from benchmarks.peers.onnxfiles import InexactExportError, require_same_logits, saturates
from benchmarks.peers.runner import OnnxRunner
from convert.reporting.progress import Progress
from edge.errors import ModelFileError
from tests.conftest import require

SIDE = 12


@pytest.fixture(scope="module", autouse=True)
def frameworks() -> None:
    """TensorFlow and Keras, quietly; needs the packages of ONNX."""
    require(*onnxfiles.PACKAGES)
    from convert.__main__ import settle_frameworks

    settle_frameworks()


def network() -> Any:
    """A small network with Keras' exact GELU, which tf2onnx alone cannot convert; its logits are far apart."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    picture = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 128, offset=-1)(picture)
    x = layers.Activation("gelu")(layers.Conv2D(8, 3, strides=2, padding="same")(x))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    return keras.Model(picture, layers.Dense(7)(layers.Flatten()(x)))


@pytest.fixture(scope="module")
def given() -> Making:
    """What the peers are made from, with the float file made once."""
    pictures = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), dtype=np.uint8)
    making = Making(network(), pictures, {}, "no-such-python")
    making.files[ONNX_FLOAT] = make(ONNX_FLOAT, making)
    return making


def logits(making: Making, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.asarray(making.model(pictures.astype(np.float32)))


def test_the_float_file_gives_the_keras_models_logits(given: Making) -> None:
    runner = OnnxRunner(given.files[ONNX_FLOAT], "net.onnx")
    assert (runner.shape, runner.classes_given, str(runner.dtype)) == ((SIDE, SIDE, 3), 7, "float32")
    expected = logits(given, given.calibration)
    assert np.ptp(expected) > 0.1
    came = np.concatenate([runner.infer(runner.prepared(one[np.newaxis])) for one in given.calibration])
    np.testing.assert_allclose(came, expected, atol=float(1e-4 * np.ptp(expected)))
    assert runner.classes(given.calibration)[0].tolist() == expected.argmax(axis=1).tolist()


def test_a_float_file_of_other_weights_is_refused(given: Making) -> None:
    assert require_same_logits(given.files[ONNX_FLOAT], given.model, given.calibration) < 1e-5
    other = network()
    other.layers[-1].bias.assign(np.full(7, 1e-2))
    with pytest.raises(InexactExportError, match=r"expected the Keras model's logits within 0\.0001 of their"):
        require_same_logits(given.files[ONNX_FLOAT], other, given.calibration)


def test_the_int8_file_computes_its_convolutions_in_int8_and_keeps_most_classes(given: Making) -> None:
    runner = OnnxRunner(make(ONNX_INT8, given), "net.onnx")
    assert runner.operators["QLinearConv"] >= 1
    assert "QLinearConv" not in OnnxRunner(given.files[ONNX_FLOAT], "net.onnx").operators
    expected = logits(given, given.calibration).argmax(axis=1)
    assert (runner.classes(given.calibration)[0] == expected).mean() >= 0.75


def test_each_channel_of_a_kernel_has_a_scale_of_its_own(given: Making) -> None:
    import onnx

    graph = onnx.load_from_string(make(ONNX_INT8, given)).graph
    scales = {array.name: array.dims[0] for array in graph.initializer if array.name.endswith("_scale") and array.dims}
    assert 8 in scales.values()


def test_the_int8_file_needs_the_float_one() -> None:
    with pytest.raises(PeerError, match="expected onnxruntime-float32 to quantize; got none"):
        make(ONNX_INT8, Making(None, np.zeros((1, 1, 1, 3), np.uint8), {}, ""))


def test_a_file_that_onnx_runtime_refuses_is_one_line_with_its_name() -> None:
    with pytest.raises(ModelFileError, match=r"^broken\.onnx: expected a file that onnxruntime runs; got: ") as refused:
        OnnxRunner(b"no network", "broken.onnx")
    assert "\n" not in str(refused.value)


def test_a_missing_package_is_named_and_the_peer_recorded_as_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == "onnxruntime":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    making = Making(None, np.zeros((1, 2, 2, 3), np.uint8), {}, "")
    with pytest.raises(PeerNotRunError, match=r"got no onnxruntime; run `pip install '\.\[peers\]'`") as error:
        make(ONNX_FLOAT, making)
    with pytest.raises(PeerNotRunError):
        exports.onnx_versions()
    truth = Truth(making.calibration, np.array([0]), np.array([0]), ("a", "b"))
    candidate = Candidate(ONNX_FLOAT, False, "net.onnx", error.value, as_bytes=False)
    (found,) = measure([candidate], truth, rounds=1, warmup=0, threads=1, seed=0, progress=Progress())
    assert found.block() == {"name": ONNX_FLOAT, "ours": False, "status": "not run", "error": str(error.value)}


def test_an_x86_processor_without_vnni_saturates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    for text, machine, expected in (
        ("flags : avx2 avx512_vnni\n", "x86_64", False),
        ("flags : avx2 avx512f\n", "x86_64", True),
        ("Features : asimd\n", "aarch64", False),
    ):
        cpuinfo.write_text(text, encoding="utf-8")
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        assert saturates(cpuinfo) is expected
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert saturates(tmp_path / "none") is True


def test_onnx_files_stand_in_the_table_without_partitions_of_xnnpack(given: Making) -> None:
    labels = logits(given, given.calibration).argmax(axis=1)
    truth = Truth(given.calibration, labels, labels, tuple("abcdefg"))
    candidate = Candidate(ONNX_FLOAT, False, "net.onnx", given.files[ONNX_FLOAT], as_bytes=False)
    (found,) = measure([candidate], truth, rounds=2, warmup=0, threads=1, seed=0, progress=Progress())
    block = found.block()
    assert (block["accuracy"], block["agreement"], len(block["samples_ms"])) == (1.0, 1.0, 2)
    assert (block["partitions"], block["outside"], block["float_operators"]) == (None, None, None)
    assert block["runtime"] == {"name": "onnxruntime", "version": importlib.metadata.version("onnxruntime")}
