from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.lowering.emission import emit
from convert.lowering.parity import compare, patchwork, randomize
from convert.lowering.reading import UnsupportedLayerError, read
from convert.lowering.rules import fold_grey, lower
from convert.verification.checks import CheckError, require_parity
from tests.convert.networks import SIDE, pictures, small_network
from train.networks.identities import IDENTITIES


def built(name: str, side: int = 32) -> Any:
    from train.networks.building import build

    return build(name, height=side, width=side, classes=7)


SMALL_BACKBONES = (
    "efficientnet-lite0", "efficientnet-lite0-os16", "efficientnet-lite0-fine", "efficientnet-b0", "convnext-atto",
    "mini-xception",
)  # fmt: skip
LARGE_BACKBONES = ("efficientnetv2-b0", "convnext-tiny", "resnet50", "vgg16")
KINDS = {
    "input", "conv2d", "depthwise", "dense", "add", "multiply", "activation", "global_average_pool", "layer_norm",
    "max_pool", "zero_pad", "average_pool", "concatenate",
}  # fmt: skip


def assert_same_logits(model: Any, side: int) -> Any:
    """Randomizes, lowers and compares; returns the lowered graph.

    At 64 pixels: on the 1x1 maps of 32, batch norms of random networks see too few values to hold squeeze-and-excite
    back, and rounding alone grows to a thousandth of the logits' range (tried with EfficientNetV2-B0).
    """
    randomize(model, seed=1)
    graph, _ = lower(read(model))
    parity = compare(model, graph, emit(graph), patchwork(8, (side, side, 3), np.random.default_rng(0)))
    assert parity.range > 0.1
    assert parity.relative <= 1e-4
    assert (graph.input_scale, graph.input_zero_point) == (1 / 128, 128)
    assert {node.kind for node in graph} <= KINDS
    return graph


@pytest.mark.parametrize("backbone", SMALL_BACKBONES)
def test_backbones_keep_their_logits_on_randomized_weights(backbone: str) -> None:
    assert_same_logits(built(backbone, 64), 64)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", LARGE_BACKBONES)
def test_large_backbones_keep_their_logits_on_randomized_weights(backbone: str) -> None:
    assert_same_logits(built(backbone, 64), 64)


def test_no_backbone_of_the_registry_is_left_out() -> None:
    from train.networks.backbones import BACKBONES

    assert {*SMALL_BACKBONES, *LARGE_BACKBONES} == set(BACKBONES)


def application(name: str, side: int, **settings: Any) -> Any:
    """A network of keras.applications behind our normalization (or its own, inside), with seven logits."""
    import keras

    picture = keras.Input((side, side, 3))
    own = settings.get("include_preprocessing", False)
    x = picture if own else keras.layers.Rescaling(1 / 128, offset=-1)(picture)
    body = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(side, side, 3), **settings)
    return keras.Model(picture, keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(body(x))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("MobileNetV2", {}),
        ("ResNet50V2", {}),
        ("DenseNet121", {}),
        ("ConvNeXtSmall", {"include_preprocessing": True}),  # its normalization by channel goes into the bare stem
    ],
)
def test_further_families_keep_their_logits(name: str, settings: dict[str, Any]) -> None:
    graph = assert_same_logits(application(name, 64, **settings), 64)
    assert all(np.prod(node.weights["kernel"].shape[:2]) <= 25 for node in graph if node.kind == "depthwise")


def test_gelu_is_kept_unless_approximate_rules_are_asked_for() -> None:
    model = built("convnext-atto")
    randomize(model)
    exact, used = lower(read(model))
    near, used_near = lower(read(model), approximate=True)
    assert "scaled-silu" not in used
    assert "scaled-silu" in used_near
    pictures = patchwork(8, (32, 32, 3), np.random.default_rng(0))
    assert compare(model, exact, emit(exact), pictures).relative <= 1e-4
    apart = compare(model, near, emit(near), pictures).relative
    assert 1e-4 < apart < 0.1


def test_a_rule_left_out_changes_the_graph_but_not_the_logits() -> None:
    model = built("convnext-atto")
    randomize(model)
    graph, used = lower(read(model), without=("split-depthwise",))
    assert "split-depthwise" not in used
    assert any(node.weights["kernel"].shape[:2] == (7, 7) for node in graph if node.kind == "depthwise")
    pictures = patchwork(4, (32, 32, 3), np.random.default_rng(0))
    assert compare(model, graph, emit(graph), pictures).relative <= 1e-4
    with pytest.raises(ValueError, match=r"expected rules out of drop-identity, .* came gelu-away"):
        lower(read(model), without=("gelu-away",))


def test_every_weight_is_drawn() -> None:
    model = small_network()
    before = [np.array(value) for value in model.get_weights()]
    randomize(model, 1)
    assert all((old != new).all() for old, new in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("forgotten", ["kernel", "bias"])
def test_a_forgotten_weight_fails_the_parity_check(forgotten: str) -> None:
    model = small_network()
    randomize(model)
    graph, used = lower(read(model))
    assert "same-padding" in used
    require_parity(compare(model, graph, emit(graph), pictures(8)))
    depthwise = graph["depthwise"]
    array = depthwise.weights[forgotten] * (1.01 if forgotten == "kernel" else 0)
    broken = graph.put(depthwise.with_weights(**{forgotten: array}))
    with pytest.raises(CheckError, match="expected the lowered network within 1e-4"):
        require_parity(compare(model, broken, emit(broken), pictures(8)))


def test_nested_models_are_flattened_and_give_the_same() -> None:
    import keras

    inner = small_network()
    picture = keras.Input((SIDE, SIDE, 3))
    outer = keras.Model(picture, keras.layers.Dense(3, name="top")(keras.layers.ReLU()(inner(picture))))
    randomize(outer, 2)
    graph, _ = lower(read(outer))
    assert "small.stem" in graph.nodes
    assert graph["small.stem"].path == "small/stem"
    assert compare(outer, graph, emit(graph), pictures(8)).relative <= 1e-4


def test_a_sequential_model_and_a_final_softmax_are_read() -> None:
    import keras

    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    randomize(model)
    graph, used = lower(read(model))
    assert "drop-final-softmax" in used
    assert compare(model, graph, emit(graph), pictures(8)).relative <= 1e-4


def _stem(layers: Any) -> Any:
    """An input, our normalization and a convolution."""
    import keras

    picture = keras.Input((SIDE, SIDE, 3))
    return picture, layers.Conv2D(4, 3)(layers.Rescaling(1 / 128, offset=-1)(picture))


@pytest.mark.parametrize(
    ("tail", "kinds"),
    [
        (lambda layers: [layers.Dropout(0.2), layers.Flatten()], ["conv2d", "reshape", "dense"]),
        (
            lambda layers: [layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Flatten()],
            ["conv2d", "global_average_pool", "dense"],
        ),
        (
            lambda layers: [layers.BatchNormalization(), layers.BatchNormalization(), layers.Flatten()],
            ["conv2d", "reshape", "dense"],
        ),
        (
            lambda layers: [layers.Rescaling(0.5), layers.BatchNormalization(), layers.Flatten()],
            ["conv2d", "reshape", "dense"],
        ),
        (lambda layers: [layers.ReLU(), layers.ReLU(), layers.Flatten()], ["conv2d", "activation", "reshape", "dense"]),
    ],
)
def test_two_layers_in_a_row_that_one_rule_takes_up_keep_their_logits(tail: Any, kinds: list[str]) -> None:
    import keras

    picture, x = _stem(keras.layers)
    for layer in tail(keras.layers):
        x = layer(x)
    model = keras.Model(picture, keras.layers.Dense(3)(x))
    randomize(model)
    graph, _ = lower(read(model))
    assert [node.kind for node in graph] == ["input", *kinds]
    assert compare(model, graph, emit(graph), pictures(8)).relative <= 1e-4


def test_the_grey_fold_is_exact_on_grey_pictures_and_sees_luminance_on_coloured_ones() -> None:
    import cv2

    model = small_network()
    randomize(model)
    plain, _ = lower(read(model))
    folded = fold_grey(plain)
    coloured = pictures(8)
    grey = np.stack([cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for p in coloured])
    assert compare(model, folded, emit(folded), grey).relative <= 1e-4
    seen = compare(model, folded, emit(folded), coloured).relative
    assert seen > 0.05
    from convert.lowering.parity import logits_of_keras, normalize

    as_grey = emit(folded).predict(normalize(coloured, folded), verbose=0)
    np.testing.assert_allclose(as_grey, logits_of_keras(model, grey), atol=0.05 * np.ptp(as_grey))


def test_an_unsupported_layer_is_refused_by_class_and_path_with_the_supported_list() -> None:
    import keras

    inner = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.UpSampling2D(name="grow")], name="inner")
    picture = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inner(picture))
    model = keras.Model(picture, keras.layers.Dense(2)(pooled))
    with pytest.raises(UnsupportedLayerError, match=r"came UpSampling2D at 'inner/grow'; supported: .*Conv2D, Dense"):
        read(model)


def test_augmentation_in_the_network_is_left_out_but_not_a_crop_to_another_size() -> None:
    import keras

    layers = keras.layers
    picture = keras.Input((SIDE, SIDE, 3))
    augmented = layers.RandomZoom(0.2)(layers.RandomContrast(0.2)(layers.RandomFlip("horizontal")(picture)))
    x = layers.Conv2D(4, 3, name="stem")(layers.Rescaling(1 / 128, offset=-1)(augmented))
    model = keras.Model(picture, layers.Dense(7)(layers.GlobalAveragePooling2D()(x)))
    graph, _ = lower(read(model))
    assert compare(model, graph, emit(graph), pictures(4)).holds
    cropped = layers.GlobalAveragePooling2D()(layers.RandomCrop(8, 8, name="crop")(picture))
    with pytest.raises(UnsupportedLayerError, match="came RandomCrop at 'crop'"):
        read(keras.Model(picture, layers.Dense(7)(cropped)))


def test_every_layer_that_is_left_out_hands_its_input_on() -> None:
    import inspect

    import keras

    drawn = pictures(2).astype(np.float32)
    rates = {"factor": 0.3, "rate": 0.3, "stddev": 0.3, "height_factor": 0.3, "width_factor": 0.3}
    for name in sorted(set(IDENTITIES) - {"StochasticDepth"}):  # which is of our own backbones and keras.applications
        layer = getattr(keras.layers, name)
        known = inspect.signature(layer).parameters
        needed = {key: value for key, value in rates.items() if key in known and known[key].default is known[key].empty}
        needed |= {"factor": 4} if name == "RandomPosterization" else {}  # bits
        picture = keras.Input((SIDE, SIDE, 3))
        model = keras.Model(picture, layer(**needed)(picture))
        assert np.array_equal(np.asarray(model(drawn, training=False)), drawn), name


def test_an_operation_outside_layers_is_refused() -> None:
    import keras

    picture = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.ops.exp(picture))
    with pytest.raises(UnsupportedLayerError, match="came Exp at"):
        read(keras.Model(picture, keras.layers.Dense(2)(pooled)))


@pytest.mark.parametrize(
    ("join", "text"),
    [
        (lambda x: x * 0.5, "expected Multiply at 'multiply.*' to join two layers or more; came 1 and a constant"),
        (lambda x: 1.0 + x, "expected Add at 'add"),
    ],
)
def test_an_operation_with_a_constant_is_not_taken_for_a_layer(join: Any, text: str) -> None:
    import keras

    picture = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(join(picture))
    with pytest.raises(UnsupportedLayerError, match=text):
        read(keras.Model(picture, keras.layers.Dense(2)(pooled)))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda layers: layers.Conv2D(6, 3, groups=3, name="c"), "expected one group, or one a channel at 'c'; came 3"),
        (lambda layers: layers.Conv2D(6, 3, activation="elu", name="c"), "expected an activation out of .* came elu"),
        (lambda layers: layers.ReLU(negative_slope=0.1, name="c"), "expected ReLU without slope"),
        (lambda layers: layers.ReLU(max_value=4, name="c"), "expected max_value None or 6 at 'c'; came 4"),
    ],
)
def test_a_setting_without_an_exact_rule_is_refused(make: Any, text: str) -> None:
    import keras

    picture = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(make(keras.layers)(picture))
    with pytest.raises(UnsupportedLayerError, match=text):
        read(keras.Model(picture, keras.layers.Dense(2)(pooled)))


@pytest.mark.parametrize("shape", [(None, None, 3), (SIDE, SIDE, 1)])
def test_a_picture_of_unknown_size_or_one_channel_is_refused(shape: tuple[int | None, ...]) -> None:
    import keras

    picture = keras.Input(shape)
    pooled = keras.layers.GlobalAveragePooling2D()(picture)
    with pytest.raises(UnsupportedLayerError, match=r"expected an input \[None, height, width, 3\]"):
        read(keras.Model(picture, keras.layers.Dense(2)(pooled)))


def test_a_batch_norm_between_pooling_and_logits_keeps_the_logits() -> None:
    import keras

    layers = keras.layers
    picture = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="stem")(layers.Rescaling(1 / 128, offset=-1)(picture))
    x = layers.Dropout(0.2)(layers.BatchNormalization()(layers.GlobalAveragePooling2D()(x)))
    model = keras.Model(picture, layers.Dense(7)(x))
    randomize(model, seed=1)
    graph, used = lower(read(model))
    assert "fold-norm" in used
    assert compare(model, graph, emit(graph), pictures(8)).relative <= 1e-4


def test_an_affine_layer_on_rows_that_nothing_takes_up_is_refused_at_emission() -> None:
    import keras

    picture = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(picture))
    normalized = keras.layers.ReLU()(keras.layers.BatchNormalization(name="lone")(pooled))
    model = keras.Model(picture, keras.layers.Dense(2)(normalized))
    graph, _ = lower(read(model))
    with pytest.raises(UnsupportedLayerError, match="came affine at 'lone', which nothing took up"):
        emit(graph)
