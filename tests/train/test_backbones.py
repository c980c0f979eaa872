"""Backbones: shapes, names, weights from files, refusals."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from edge.errors import DataError
from tests.train.conftest import tiny_model
from train.backbones import BACKBONES, build, load_weights_file
from train.weights import load_npz_weights


@pytest.fixture(scope="module")
def lite0() -> keras.Model:
    return build("efficientnet-lite0", height=32, width=32, classes=7)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_backbone_maps_raw_pictures_to_logits(name: str) -> None:
    model = build(name, height=32, width=32, classes=5)
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 5)
    logits = np.asarray(model(np.zeros((2, 32, 32, 3), np.float32), training=False))
    assert np.isfinite(logits).all()
    assert [layer.name for layer in model.layers][-1] == "logits"
    rescaling = [layer for layer in _flat(model) if isinstance(layer, keras.layers.Rescaling)]
    assert [(layer.scale, layer.offset) for layer in rescaling] == [(1 / 128, -1.0)]
    assert not [layer for layer in _flat(model) if isinstance(layer, keras.layers.Normalization)]


def _flat(model: keras.Model) -> list[keras.layers.Layer]:
    return [inner for layer in model.layers for inner in (_flat(layer) if isinstance(layer, keras.Model) else [layer])]


def test_lite0_has_the_published_number_of_weights(lite0: keras.Model) -> None:
    # 4,652,008 parameters with 1,000 classes (1,281,000 of them in the top); ours has 7 classes.
    trainable = sum(int(np.prod(weight.shape)) for weight in lite0.trainable_weights)
    assert trainable == 4_652_008 - 1_281_000 + 1280 * 7 + 7


def test_imagenet_file_fills_every_layer_but_the_logits(shared_data: Path, lite0: keras.Model) -> None:
    file = shared_data / "weights" / "efficientnet_lite0_imagenet.npz"
    loaded = load_npz_weights(lite0, file)
    with_weights = {layer.name for layer in lite0.layers if layer.weights}
    assert with_weights - set(loaded) == {"logits"}
    with np.load(file) as raw:
        kernel = raw["stem_conv/kernel:int8"] * raw["stem_conv/kernel:scale"]
    assert np.allclose(lite0.get_layer("stem_conv").get_weights()[0], kernel)


def _npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, allow_pickle=False, **{name.replace("__", "/"): value for name, value in arrays.items()})
    return path


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = tiny_model()
    with pytest.raises(DataError, match="names the layer 'other'"):
        load_npz_weights(model, _npz(tmp_path / "a.npz", other__kernel=np.zeros(3)))
    with pytest.raises(DataError, match=r"expected \(3, 3, 3, 8\) for stem_conv/kernel.*got \(3,\)"):
        load_npz_weights(model, _npz(tmp_path / "b.npz", stem_conv__kernel=np.zeros(3)))
    with pytest.raises(DataError, match="moving_mean, moving_variance missing"):
        load_npz_weights(model, _npz(tmp_path / "c.npz", stem_bn__gamma=np.ones(8), stem_bn__beta=np.ones(8)))
    with pytest.raises(DataError, match="expected an npz of weights"):
        (tmp_path / "d.npz").write_bytes(b"PK")
        load_npz_weights(model, tmp_path / "d.npz")
    with pytest.raises(DataError, match="nothing is at"):
        load_weights_file(model, tmp_path / "none.npz")
    with pytest.raises(DataError, match=r"as \.npz, \.weights\.h5 or \.keras"):
        (tmp_path / "e.pth").write_bytes(b"")
        load_weights_file(model, tmp_path / "e.pth")


def test_weights_of_a_keras_file_are_taken_over(tmp_path: Path) -> None:
    trained, fresh = tiny_model(), tiny_model()
    trained.save_weights(tmp_path / "t.weights.h5")
    assert not np.array_equal(trained.get_weights()[0], fresh.get_weights()[0])
    load_weights_file(fresh, tmp_path / "t.weights.h5")
    assert np.array_equal(trained.get_weights()[0], fresh.get_weights()[0])


def test_unknown_backbone_small_input_and_missing_download_are_refused() -> None:
    with pytest.raises(DataError, match="unknown backbone 'resnet'; known: efficientnet-lite0"):
        build("resnet", height=64, width=64, classes=7)
    with pytest.raises(DataError, match="at least 32 pixels a side; got 16x64"):
        build("efficientnet-lite0", height=16, width=64, classes=7)
    with pytest.raises(DataError, match="no download of ImageNet weights is known"):
        build("efficientnet-lite0", height=64, width=64, classes=7, weights="imagenet")


def test_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure on https://example.invalid")

    monkeypatch.setattr(keras.applications, "EfficientNetB0", offline)
    with pytest.raises(DataError, match=r"expected to download the ImageNet weights.*give --weights FILE"):
        build("efficientnet-b0", height=64, width=64, classes=7, weights="imagenet")
