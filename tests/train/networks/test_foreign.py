"""A user's own .keras network as a backbone: what is kept, what is replaced, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from edge.errors import DataError
from train.networks.building import build, dropout_rate
from train.networks.layers import leaves
from train.runs import load_model


def _save(
    path: Path, *, classes: int = 7, name: str = "logits", activation: str | None = None, side: int | None = 32,
    normalize: bool = True, top: bool = True, softmax: bool = False, channels: int = 3,
) -> keras.Model:  # fmt: skip
    pictures = keras.Input((side, side, channels))
    x = layers.Rescaling(1 / 255)(pictures) if normalize else pictures
    x = layers.Conv2D(4, 3, name="conv")(x)
    if top:
        x = layers.Dense(classes, activation=activation, name=name)(layers.GlobalAveragePooling2D()(x))
    if softmax:
        x = layers.Softmax()(x)
    model = keras.Model(pictures, x, name="mine")
    model.save(path)
    return model


def _build(path: Path, **settings: Any) -> tuple[keras.Model, list[str]]:
    lines: list[str] = []
    model = build(str(path), **({"height": 32, "width": 32, "classes": 7} | settings), report=lines.append)
    return model, lines


def _answer(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(pictures, training=False)))


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3)).astype(np.float32)


def test_network_with_fitting_logits_is_taken_as_it_is(tmp_path: Path, pictures: np.ndarray) -> None:
    mine = _save(tmp_path / "mine.keras")
    model, lines = _build(tmp_path / "mine.keras")
    assert lines == []
    assert np.array_equal(_answer(model, pictures), _answer(mine, pictures))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"classes": 5}, "its last layer 'logits' gives 5 values (linear); a fresh 'logits' of 7 classes"),
        ({"name": "predictions"}, "its last layer 'predictions' gives 7 values (linear); a fresh"),
        ({"activation": "softmax"}, "its last layer 'logits' gives 7 values (softmax); a fresh"),
        ({"name": "top", "softmax": True}, "its last layer 'top' gives 7 values (linear); a fresh"),
        ({"top": False}, "ends in no Dense layer; a fresh"),
    ],
)
def test_other_tops_are_replaced_and_that_is_said(tmp_path: Path, settings: dict[str, Any], line: str) -> None:
    mine = _save(tmp_path / "mine.keras", **settings)
    model, lines = _build(tmp_path / "mine.keras")
    assert len(lines) == 1
    assert lines[0].startswith(f"mine.keras: {line}")
    assert model.output_shape == (None, 7)
    assert model.get_layer("logits").activation is keras.activations.linear
    kept = model.get_layer("backbone").get_layer("conv").get_weights()
    assert all(map(np.array_equal, kept, mine.get_layer("conv").get_weights()))
    assert not [layer for layer in model.layers if isinstance(layer, layers.Softmax)]
    model.save(tmp_path / "again.keras")
    assert load_model(tmp_path / "again.keras").output_shape == (None, 7)


def test_dropout_before_the_logits_is_told_also_where_it_is_a_nested_network_s(tmp_path: Path) -> None:
    path = tmp_path / "mine.keras"
    for normalize in (True, False):
        pictures = keras.Input((32, 32, 3))
        x = layers.Rescaling(1 / 255)(pictures) if normalize else pictures
        x = layers.Dropout(0.4)(layers.GlobalAveragePooling2D()(layers.Dropout(0.1)(x)))
        keras.Model(pictures, layers.Dense(7, name="logits")(x)).save(path)
        assert dropout_rate(_build(path, dropout=0.6)[0]) == 0.4
        assert dropout_rate(_build(path, dropout=0.6, classes=5)[0]) == 0.6
    _save(path)
    assert dropout_rate(_build(path, dropout=0.6)[0]) == 0.0
    for name in ("mini-xception", "efficientnet-lite0-os16"):
        assert dropout_rate(build(name, height=32, width=32, classes=7, dropout=0.6)) == 0.6


def test_softmax_behind_fitting_logits_is_taken_off(tmp_path: Path, pictures: np.ndarray) -> None:
    mine = _save(tmp_path / "mine.keras", softmax=True)
    model, lines = _build(tmp_path / "mine.keras")
    assert lines == []
    logits = _answer(model, pictures)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(shares, _answer(mine, pictures), atol=1e-5)


def test_network_of_any_size_gets_the_size_asked_for_and_keeps_its_weights(
    tmp_path: Path, pictures: np.ndarray
) -> None:
    mine = _save(tmp_path / "mine.keras", side=None)
    model, lines = _build(tmp_path / "mine.keras")
    assert lines == []
    assert model.input_shape == (None, 32, 32, 3)
    assert model.get_layer("backbone").input_shape == (None, 32, 32, 3)
    assert np.allclose(_answer(model, pictures), _answer(mine, pictures), atol=1e-5)


def test_network_on_normalized_pictures_gets_ours_in_front(tmp_path: Path, pictures: np.ndarray) -> None:
    mine = _save(tmp_path / "mine.keras", normalize=False)
    model, lines = _build(tmp_path / "mine.keras")
    assert lines == [
        "mine.keras: begins with no Rescaling or Normalization; (x - 128) / 128 is put in front",
    ]
    assert np.allclose(_answer(model, pictures), _answer(mine, (pictures - 128) / 128), atol=1e-5)


@pytest.mark.parametrize(
    "first",
    [
        lambda: [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)],
        lambda: [layers.GaussianNoise(0.1), layers.Dropout(0.1), layers.ActivityRegularization(l2=0.1)],
        lambda: [layers.ZeroPadding2D(1)],
    ],
)
def test_network_that_normalizes_behind_augmentation_or_padding_is_not_normalized_twice(
    tmp_path: Path, pictures: np.ndarray, first: Callable[[], list[layers.Layer]]
) -> None:
    normalize = layers.Rescaling(1 / 128, offset=-1.0)
    for own, lines in (([normalize], []), ([], ["begins with no Rescaling or Normalization; (x - 128) / 128 is put"])):
        steps = [keras.Input((32, 32, 3)), *first(), *own, layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()]
        mine = keras.Sequential([*steps, layers.Dense(7, name="logits")])
        mine.save(tmp_path / "mine.keras")
        model, came = _build(tmp_path / "mine.keras")
        assert [line in told for line, told in zip(lines, came, strict=True)] == [True] * len(lines)
        seen = pictures if own else (pictures - 128) / 128
        assert np.allclose(_answer(model, pictures), _answer(mine, seen), atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_network_built_under_16_bits_computes_in_float32(tmp_path: Path, pictures: np.ndarray, policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        body = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()])
        face = keras.Input((32, 32, 3))
        x = layers.Add()([layers.ReLU()(y := body(layers.Rescaling(1 / 128, offset=-1.0)(face))), y])
        x = layers.Dense(7, name="logits", dtype="float32")(layers.GlobalAveragePooling2D()(x))
        mine = keras.Model(face, x)
    finally:
        keras.config.set_dtype_policy("float32")
    mine.save(tmp_path / "mine.keras")
    model, lines = _build(tmp_path / "mine.keras")
    assert lines == [
        "mine.keras: built to compute in 16 bits; computes in float32 here, or as --mixed-precision says",
    ]
    assert {layer.compute_dtype for layer in leaves(model)} == {"float32"}
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    assert np.allclose(_answer(model, pictures), _answer(mine, pictures), atol=0.02)
    model.save(tmp_path / "again.keras")
    assert {layer.compute_dtype for layer in leaves(load_model(tmp_path / "again.keras"))} == {"float32"}


def test_sequential_network_is_taken_too(tmp_path: Path) -> None:
    steps = [
        keras.Input((32, 32, 3)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(2, 3),
        layers.Flatten(),
        layers.Dense(3),
    ]
    keras.Sequential(steps).save(tmp_path / "mine.keras")
    model, lines = _build(tmp_path / "mine.keras")
    assert model.output_shape == (None, 7)
    assert len(lines) == 1


def test_what_cannot_be_a_backbone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.keras"
    with pytest.raises(DataError, match="nothing is there"):
        _build(path)
    _save(path)
    with pytest.raises(DataError, match=r"expected an input of 64x64 pixels; .* takes 32x32; give --size 32"):
        _build(path, height=64, width=64)
    with pytest.raises(DataError, match=r"expected no stochastic depth for .*mine\.keras"):
        _build(path, stochastic_depth=0.1)
    _save(path, channels=1)
    with pytest.raises(DataError, match=r"expected pictures \[None, height, width, 3\].*got \[None, 32, 32, 1\]"):
        _build(path)
    one, two = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
    keras.Model([one, two], layers.Add()([one, two])).save(path)
    with pytest.raises(DataError, match=r"one input and one output .* got Functional with 2 and 1"):
        _build(path)
    keras.Model(one, layers.Reshape((32, 96))(one)).save(path)
    with pytest.raises(DataError, match="expected a feature map or features before the logits"):
        _build(path)
