"""Folding batch norms away: the same answers, and nothing folded that must stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from train.fitting.distill import with_teacher
from train.fitting.modes import InMode
from train.networks.building import build
from train.networks.folding import folded
from train.networks.layers import leaves

SIDE = 32


def norms(model: keras.Model) -> int:
    return sum(isinstance(layer, layers.BatchNormalization) for layer in leaves(model))


def unsettled(model: keras.Model) -> keras.Model:
    """The model with batch norms that change something: each weight of theirs is drawn."""
    rng = np.random.default_rng(7)
    for layer in leaves(model):
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([value + rng.uniform(0.1, 0.9, value.shape) for value in layer.get_weights()])
    return model


def answers(model: keras.Model) -> np.ndarray:
    pictures = np.random.default_rng(1).uniform(0, 255, (3, SIDE, SIDE, 3)).astype(np.float32)
    return np.asarray(keras.ops.convert_to_numpy(model(pictures, training=False)))


def same(model: keras.Model) -> keras.Model:
    """The folded copy, after its answers were compared with the model's, which stays as it was."""
    before, weights = answers(model), model.get_weights()
    copy = folded(model)
    assert np.ptp(before) > 0.01
    assert np.allclose(answers(copy), before, atol=1e-5 * np.abs(before).max())
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
    return copy


@pytest.mark.parametrize("name", ["efficientnet-lite0-os16", "efficientnet-b0", "mini-xception"])
def test_no_batch_norm_of_a_backbone_is_left_and_its_answers_stay(name: str) -> None:
    model = unsettled(build(name, height=SIDE, width=SIDE, classes=7, weights="none"))
    assert norms(model) > 10
    assert norms(same(model)) == 0


def ended(x: keras.KerasTensor, picture: keras.KerasTensor) -> keras.Model:
    return unsettled(keras.Model(picture, layers.Dense(7)(layers.GlobalAveragePooling2D()(x))))


def made(body: Callable[[keras.KerasTensor], keras.KerasTensor]) -> keras.Model:
    picture = keras.Input((SIDE, SIDE, 3))
    return ended(body(layers.Rescaling(1 / 128, offset=-1)(picture)), picture)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: layers.BatchNormalization()(layers.Conv2D(4, 3)(x)),
        lambda x: layers.BatchNormalization(scale=False)(layers.Conv2D(4, 3, use_bias=False)(x)),
        lambda x: layers.BatchNormalization(center=False)(layers.DepthwiseConv2D(3, depth_multiplier=2)(x)),
        lambda x: layers.BatchNormalization(axis=3)(layers.Dense(5)(x)),
        lambda x: layers.BatchNormalization()(layers.Conv2D(6, 3, groups=3)(x)),
        lambda x: keras.Sequential([layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()])(x),
    ],
    ids=["bias", "no bias nor scale", "depth multiplier", "dense", "groups", "nested"],
)
def test_kernels_of_every_kind_take_a_batch_norm_up(body: Callable[[keras.KerasTensor], keras.KerasTensor]) -> None:
    model = made(body)
    assert (norms(model), norms(same(model))) == (1, 0)


def _read_twice(x: keras.KerasTensor) -> keras.KerasTensor:
    kernel = layers.Conv2D(4, 3)(x)
    return layers.Add()([kernel, layers.BatchNormalization()(kernel)])


def _norm_called_twice(x: keras.KerasTensor) -> keras.KerasTensor:
    norm = layers.BatchNormalization()
    return norm(layers.Conv2D(3, 3)(norm(layers.Conv2D(3, 3)(x))))


def _kernel_called_twice(x: keras.KerasTensor) -> keras.KerasTensor:
    kernel = layers.Conv2D(3, 3, padding="same")
    first = kernel(x)
    second = kernel(layers.ReLU()(x))  # the output of this call alone is normalized
    return layers.Add()([first, layers.BatchNormalization()(second)])


def _shown_too(x: keras.KerasTensor) -> keras.KerasTensor:
    picture = keras.Input((SIDE, SIDE, 3))
    kernel = layers.Conv2D(4, 3)(picture)
    return layers.Add()(keras.Model(picture, [layers.BatchNormalization()(kernel), kernel])(x))


class _Standardized(layers.Conv2D):
    """A convolution of its own, as weight standardization makes them."""

    def call(self, inputs: Any) -> Any:
        return 2 * super().call(inputs) + 1


class _Shifted(layers.BatchNormalization):
    """A batch norm of its own."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return super().call(inputs, training=training, mask=mask) + 1


def _behind_a_mask(x: keras.KerasTensor) -> keras.KerasTensor:
    rows = layers.Masking()(layers.Reshape((SIDE * SIDE, 3))(x))
    return layers.Reshape((SIDE, SIDE, 4))(layers.BatchNormalization()(layers.Dense(4)(rows)))


def _adapted(x: keras.KerasTensor) -> keras.KerasTensor:
    dense = layers.Dense(4)
    y = dense(x)
    dense.enable_lora(2)
    return layers.BatchNormalization()(y)


@pytest.mark.parametrize(
    "body",
    [
        lambda x: layers.BatchNormalization()(x),
        lambda x: layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x)),
        lambda x: layers.BatchNormalization(axis=1)(layers.Conv2D(4, 3)(x)),
        lambda x: layers.BatchNormalization()(_Standardized(4, 3)(x)),
        lambda x: _Shifted()(layers.Conv2D(4, 3)(x)),
        _read_twice,
        _norm_called_twice,
        _kernel_called_twice,
        _shown_too,
        _behind_a_mask,
        _adapted,
    ],
    ids=[
        "no kernel",
        "activation",
        "another axis",
        "own kernel",
        "own norm",
        "read twice",
        "norm called twice",
        "kernel called twice",
        "shown too",
        "mask",
        "lora",
    ],
)
def test_a_batch_norm_that_no_kernel_can_take_up_stays(body: Callable[[keras.KerasTensor], keras.KerasTensor]) -> None:
    model = made(body)
    assert (norms(model), norms(same(model))) == (1, 1)


def test_precision_is_that_of_the_batch_norm_and_not_of_the_session() -> None:
    model = made(lambda x: layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        copy = folded(model)
    finally:
        keras.config.set_dtype_policy(before)
    halved = {type(layer).__name__ for layer in leaves(copy) if layer.compute_dtype == "float16"}
    assert halved <= {"InputLayer"}  # which computes nothing


def test_a_teacher_answers_without_batch_norms_and_keeps_its_own() -> None:
    student, teacher = (
        unsettled(build("mini-xception", height=SIDE, width=SIDE, classes=7, weights="none")) for _ in range(2)
    )
    both = with_teacher(student, [teacher])
    (answering,) = (layer.network for layer in both.layers if isinstance(layer, InMode))
    assert (norms(answering), norms(teacher)) == (0, norms(student))
    assert np.allclose(answers(both)[:, 7:], answers(teacher), atol=1e-5)
