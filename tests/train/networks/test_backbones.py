"""Backbones: shapes, names, published sizes, ImageNet weights folded into the stem, freezing, users' own networks."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edge.errors import DataError
from tests.train.conftest import tiny_model
from tests.train.drawn import draw_weights
from train.layerscale import LayerScale
from train.networks import applications
from train.networks.backbones import BACKBONES
from train.networks.building import build, set_trainable
from train.networks.layers import leaves
from train.networks.weights import load_npz_weights, load_weights_file


@functools.cache
def built(name: str) -> keras.Model:
    """One model a name for all tests that only look at it or overwrite all of its weights."""
    return build(name, height=32, width=32, classes=7)


def _numpy(value: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value))


def _pictures(count: int = 2, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.float32)


def _size(weights: list[Any]) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_backbone_maps_raw_pictures_to_logits(name: str) -> None:
    model = built(name)
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 7)
    assert np.isfinite(_numpy(model(_pictures(), training=False))).all()
    assert "logits" in [layer.name for layer in model.layers][-2:]  # the mean of class maps may come after
    rescaling = [layer for layer in leaves(model) if isinstance(layer, keras.layers.Rescaling)]
    assert [(layer.scale, layer.offset) for layer in rescaling] == [(1 / 128, -1.0)]
    assert not [layer for layer in leaves(model) if isinstance(layer, keras.layers.Normalization)]
    names = [layer.name for layer in leaves(model) if layer.weights]
    assert len(names) == len(set(names)), "a weights file goes by layer name"


@pytest.mark.parametrize(
    ("name", "with_1000_classes", "features"),
    [
        ("efficientnet-lite0", 4_652_008, 1280),
        ("efficientnet-b0", 5_288_548, 1280),
        ("efficientnetv2-b0", 7_139_704, 1280),
        ("convnext-tiny", 28_589_128, 768),
        # By hand, C filters: stem 49·40 + 80 = 2,040; a block 8C² + 58C: (15,120; 55,840; 214,080; 837,760) times
        # (2, 2, 6, 2) = 3,101,920; steps 2C + 8C² + 2C: 12,960 + 51,520 + 205,440; norm 640; top 321,000.
        ("convnext-atto", 3_695_520, 320),
        ("resnet50", 25_583_592, 2048),
    ],
)
def test_backbone_has_the_published_number_of_trainable_weights(
    name: str, with_1000_classes: int, features: int
) -> None:
    assert _size(built(name).trainable_weights) == with_1000_classes - (features + 1) * 1000 + (features + 1) * 7


def test_lite0_s_first_part_has_the_weights_counted_by_hand() -> None:
    # Convolution and batch norm (2 a filter): stem 27·32 + 64; a block cin→cout, k×k, of 6·cin = e inner channels:
    # cin·e + k²·e + e·cout + 4·e + 2·cout; the first has no expansion: 9·32 + 32·16 + 64 + 32.
    stages = [(16, 24, 9), (24, 24, 9), (24, 40, 25), (40, 40, 25), (40, 80, 9), *[(80, 80, 9)] * 2]
    stages += [(80, 112, 25), *[(112, 112, 25)] * 2]
    blocks = sum(6 * i * (i + k + o + 4) + 2 * o for i, o, k in stages)
    head = 112 * 512 + 2 * 512
    expected = (27 * 32 + 64) + (9 * 32 + 32 * 16 + 64 + 32) + blocks + head + 512 * 7 + 7
    assert _size(built("efficientnet-lite0-os16").trainable_weights) == expected


def test_vgg16_has_the_thirteen_published_convolutions() -> None:
    convolutions = [layer for layer in leaves(built("vgg16")) if isinstance(layer, keras.layers.Conv2D)]
    assert len(convolutions) == 13
    assert _size(built("vgg16").weights) == 14_714_688 + 512 * 7 + 7


def test_mini_xception_has_the_published_number_of_weights_and_the_taps_of_two_more_channels() -> None:
    # Grey: 58,423 as its authors' code prints, 1,472 of them statistics. Two more channels: 2 · 3 · 3 · 8 = 144.
    model = built("mini-xception")
    assert _size(model.weights) == 58_423 + 144
    assert _size(model.weights) - _size(model.trainable_weights) == 1_472


def test_mini_xception_s_logits_are_the_means_of_its_class_maps() -> None:
    model = built("mini-xception")
    maps = keras.Model(model.input, model.get_layer("logits").output)
    expected = _numpy(maps(_pictures(), training=False)).mean(axis=(1, 2))
    assert maps.output_shape[1:] == (2, 2, 7)
    np.testing.assert_allclose(_numpy(model(_pictures(), training=False)), expected, rtol=1e-5, atol=1e-6)


def test_mini_xception_s_head_is_its_last_convolution() -> None:
    model = build("mini-xception", height=32, width=32, classes=7)
    set_trainable(model, "head")
    assert [tuple(weight.shape) for weight in model.trainable_weights] == [(3, 3, 128, 7), (7,)]
    with pytest.raises(DataError, match="expected no stochastic depth for mini-xception"):
        build("mini-xception", height=32, width=32, classes=7, stochastic_depth=0.1)


@pytest.mark.parametrize(
    ("name", "at_48", "at_64"),
    [
        ("efficientnet-lite0", 2, 2),
        ("efficientnet-lite0-os16", 3, 4),
        ("efficientnet-lite0-fine", 3, 4),
        ("convnext-atto", 1, 2),
        ("resnet50", 2, 2),
        ("vgg16", 1, 2),
        ("mini-xception", 3, 4),
    ],
)
def test_feature_map_has_the_stated_size(name: str, at_48: int, at_64: int) -> None:
    for side, expected in ((48, at_48), (64, at_64)):
        assert BACKBONES[name].features(keras.Input((side, side, 3)), 0.0).shape[1:3] == (expected, expected)


def test_atto_has_timm_s_blocks_and_starts_as_the_identity() -> None:
    model = built("convnext-atto")
    scales = [layer for layer in leaves(model) if isinstance(layer, LayerScale)]
    assert [layer.gamma.shape[0] for layer in scales] == [40] * 2 + [80] * 2 + [160] * 6 + [320] * 2
    assert all(np.allclose(_numpy(layer.gamma), 1e-6) for layer in scales)
    assert LayerScale.from_config(scales[0].get_config()).init_values == 1e-6
    gelu = next(layer for layer in leaves(model) if layer.name.endswith("_gelu"))
    # x · Φ(x): 0.8413447 at 1; the tanh approximation gives 0.8411920.
    assert _numpy(gelu(np.ones((1, 1), np.float32)))[0, 0] == pytest.approx(0.8413447, abs=1e-6)


def test_layer_scale_multiplies_each_channel() -> None:
    layer = LayerScale()
    layer.build((None, 2, 2, 3))
    layer.gamma.assign([1.0, 2.0, -3.0])
    assert _numpy(layer(np.ones((1, 2, 2, 3), np.float32)))[0, 1, 1].tolist() == [1.0, 2.0, -3.0]


# ImageNet weights: everything but the download is real.


@pytest.fixture
def downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: "downloaded.h5")
    monkeypatch.setattr(keras.Model, "load_weights", lambda model, _: draw_weights(model))


def _application(name: str) -> tuple[Any, keras.Model]:
    pretrained = BACKBONES[name].pretrained
    assert pretrained is not None
    application = getattr(keras.applications, pretrained.application)
    return pretrained, application(include_top=False, weights="imagenet", input_shape=(32, 32, 3))


def _agree(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference relative to the spread of what is expected."""
    return float(np.abs(ours - theirs).max() / np.ptp(theirs))


def test_convnext_with_folded_preprocessing_is_the_application_up_to_the_border(downloaded: None) -> None:
    _, theirs = _application("convnext-tiny")
    ours = build("convnext-tiny", height=32, width=32, classes=7, weights="imagenet")
    before_dropout = keras.Model(ours.input, ours.get_layer("head_layernorm").output)
    # The map is 1×1 at 32 pixels, so that the application's norm before pooling is the paper's norm after it.
    expected = _numpy(theirs(_pictures(), training=False))[:, 0, 0]
    assert np.ptp(expected) > 1
    assert _agree(_numpy(before_dropout(_pictures(), training=False)), expected) < 1e-4
    assert _agree(_numpy(before_dropout(_pictures()[..., ::-1], training=False)), expected) > 1e-2


def _stem(model: keras.Model, last: str, x: Any) -> Any:
    """Apply a network's first layers, one after the other, up to the one called ``last``."""
    for layer in leaves(model):
        if not isinstance(layer, keras.layers.InputLayer):
            x = layer(x, training=False)
        if layer.name == last:
            return _numpy(x)
    raise AssertionError(last)


@pytest.mark.parametrize(
    ("name", "last", "stride"),
    [
        ("efficientnet-b0", "stem_bn", 2),
        ("efficientnetv2-b0", "stem_bn", 2),
        ("resnet50", "conv1_bn", 2),
        ("vgg16", "block1_conv1", 1),
    ],
)
def test_padded_stem_sees_the_application_s_picture_framed_in_mid_grey(
    downloaded: None, name: str, last: str, stride: int
) -> None:
    pretrained, theirs = _application(name)
    ours = build(name, height=32, width=32, classes=7, weights="imagenet")
    raw = _pictures()
    framed = np.pad(raw, ((0, 0), (32, 32), (32, 32), (0, 0)), constant_values=128.0)
    if pretrained.caffe:
        raw_theirs, framed = (keras.applications.vgg16.preprocess_input(array.copy()) for array in (raw, framed))
    else:
        raw_theirs = raw
    came = _stem(ours, last, raw)
    inside = slice(32 // stride, 64 // stride)
    assert _agree(came, _stem(theirs, last, framed)[:, inside, inside]) < 1e-4
    plain = _stem(theirs, last, raw_theirs)
    assert _agree(came[:, 3:-3, 3:-3], plain[:, 3:-3, 3:-3]) < 1e-4
    assert 1e-3 < _agree(came, plain) < 0.3  # the border, where zero meant another colour
    rest = {layer.name: layer for layer in leaves(theirs)}
    copied = [layer for layer in leaves(ours) if layer.weights and layer.name not in ("logits", pretrained.stem, last)]
    assert len(copied) > 10
    for layer in copied:
        assert all(map(np.array_equal, layer.get_weights(), rest[layer.name].get_weights()))


def test_preprocessing_that_is_left_out_would_be_seen(downloaded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _, theirs = _application("vgg16")
    monkeypatch.setattr(applications, "fold", lambda *_, **__: None)
    ours = build("vgg16", height=32, width=32, classes=7, weights="imagenet")
    expected = _stem(theirs, "block1_conv1", keras.applications.vgg16.preprocess_input(_pictures()))
    assert _agree(_stem(ours, "block1_conv1", _pictures()), expected) > 0.05


def test_fold_is_the_formula_worked_out_by_hand() -> None:
    # z = 2·pixel + 10 for red alone, W = 3, bias 1: pixel 138 gives 3·286 + 1 = 859. Ours sees u = 10/128:
    # W' = 128·2·3 = 768, bias' = 1 + 3·(128·2 + 10) = 799, and 768·10/128 + 799 = 859.
    stem = keras.layers.Conv2D(1, 1)
    stem.build((None, 4, 4, 3))
    stem.set_weights([np.array([3.0, 0, 0], np.float32).reshape(1, 1, 3, 1), np.ones(1, np.float32)])
    applications.fold(stem, None, np.array([2.0, 1, 1]), np.array([10.0, 0, 0]))
    assert _numpy(stem.kernel)[0, 0, 0, 0] == 768
    assert _numpy(stem.bias)[0] == 799
    with pytest.raises(DataError, match="expected a bias in"):
        bare = keras.layers.Conv2D(1, 1, use_bias=False)
        bare.build((None, 4, 4, 3))
        applications.fold(bare, keras.layers.ReLU(), np.ones(3), np.zeros(3))


@pytest.mark.parametrize("name", ["resnet50", "vgg16"])
def test_failed_download_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(_: str, origin: str, **__: object) -> None:
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] Name or service not known")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", offline)
    with pytest.raises(
        DataError, match=r"expected to download the ImageNet weights.*_notop.h5.*give --weights FILE"
    ) as e:
        build(name, height=32, width=32, classes=7, weights="imagenet")
    assert "\n" not in str(e.value)


def test_application_of_another_make_is_refused() -> None:
    picture = keras.Input((32, 32, 3))
    other = keras.Model(picture, keras.layers.Conv2D(3, 3, name="block1_conv1")(picture), name="other")
    with pytest.raises(DataError, match="expected the layer block1_conv1 of other to fit block1_conv1"):
        applications.take_pretrained(built("vgg16"), other, stem="block1_conv1", caffe=True)
    x = keras.layers.Conv2D(3, 1, name="stem")(keras.layers.ReLU()(picture))
    with pytest.raises(DataError, match="expected Rescaling, Normalization and padding before stem"):
        applications.preprocessing(keras.Model(picture, x), "stem")


def test_imagenet_file_fills_every_layer_but_the_logits(shared_data: Path) -> None:
    file = shared_data / "weights" / "efficientnet_lite0_imagenet.npz"
    lite0 = build("efficientnet-lite0", height=32, width=32, classes=7)
    loaded = load_npz_weights(lite0, file)
    with_weights = {layer.name for layer in lite0.layers if layer.weights}
    assert with_weights - set(loaded) == {"logits"}
    with np.load(file) as raw:
        kernel = raw["stem_conv/kernel:int8"] * raw["stem_conv/kernel:scale"]
    assert np.allclose(lite0.get_layer("stem_conv").get_weights()[0], kernel)


def test_b0_takes_lite0_s_convolutions_and_begins_its_gates_anew(shared_data: Path) -> None:
    file = shared_data / "weights" / "efficientnet_lite0_imagenet.npz"
    b0 = build("efficientnet-b0", height=32, width=32, classes=7)
    # 16 blocks with squeeze-and-excite, each of two convolutions.
    assert load_weights_file(b0, file) == [f"weights of {file.name}: 98 layers; 32 others begin anew"]
    layers_of = {layer.name: layer for layer in leaves(b0)}
    with np.load(file) as raw:
        # Stage 4 begins with block 1 + 2 + 2 = 5, stage 6 with 5 + 3 + 3 = 11.
        for theirs, ours in (("block6_dw_conv", "block4b_dwconv"), ("block14_project_conv", "block6d_project_conv")):
            kernel = raw[f"{theirs}/kernel:int8"] * raw[f"{theirs}/kernel:scale"]
            assert np.allclose(layers_of[ours].get_weights()[0], kernel), ours
        assert np.allclose(layers_of["top_bn"].get_weights()[0], raw["head_bn/gamma"])
    with pytest.raises(DataError, match="choose the backbone that the file belongs to"):
        load_weights_file(built("convnext-atto"), file)


def test_lite0_s_first_part_takes_its_layers_and_begins_its_head_anew(shared_data: Path) -> None:
    file = shared_data / "weights" / "efficientnet_lite0_imagenet.npz"
    first = build("efficientnet-lite0-os16", height=32, width=32, classes=7)
    # Stem 2, block 0 without expansion 4, ten blocks of 6.
    assert load_weights_file(first, file) == [f"weights of {file.name}: 66 layers; 2 others begin anew"]
    with np.load(file) as raw:
        kernel = raw["block10_dw_conv/kernel:int8"] * raw["block10_dw_conv/kernel:scale"]
    assert np.allclose(first.get_layer("block10_dw_conv").get_weights()[0], kernel)


def test_lite0_without_its_last_stride_takes_all_its_layers(shared_data: Path) -> None:
    file = shared_data / "weights" / "efficientnet_lite0_imagenet.npz"
    fine, whole = (
        build(name, height=32, width=32, classes=7, weights=str(file))
        for name in ("efficientnet-lite0-fine", "efficientnet-lite0")
    )
    strides = {layer.name: layer.strides for layer in leaves(fine) if isinstance(layer, keras.layers.DepthwiseConv2D)}
    changed = {layer.name for layer in leaves(whole) if layer.name in strides and layer.strides != strides[layer.name]}
    assert changed == {"block11_dw_conv"}
    assert load_weights_file(fine, file) == load_weights_file(whole, file)
    for layer, same in zip(leaves(fine), leaves(whole), strict=True):
        assert layer.name == same.name
        if not layer.name.startswith("logits"):
            assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), same.get_weights(), strict=True))


def test_a_strange_layer_in_lite0_s_file_for_its_first_part_is_refused(tmp_path: Path) -> None:
    kernels = {"block15_dw_conv__kernel": np.zeros((3, 3, 1152, 1)), "block99_other__kernel": np.zeros(3)}
    with pytest.raises(DataError, match=r"names the layer 'block99_other'; choose the backbone"):
        load_npz_weights(built("efficientnet-lite0-os16"), _npz(tmp_path / "a.npz", **kernels))


def test_a_strange_layer_in_lite0_s_file_for_b0_is_refused(tmp_path: Path) -> None:
    kernels = {"block0_dw_conv__kernel": np.zeros((3, 3, 32, 1)), "block99_other__kernel": np.zeros(3)}
    with pytest.raises(DataError, match=r"names the layer 'block99_other'; choose the backbone"):
        load_npz_weights(built("efficientnet-b0"), _npz(tmp_path / "a.npz", **kernels))


# Weights from files.


def test_weights_archive_that_is_damaged_in_an_array_is_refused(tmp_path: Path) -> None:
    model, file = tiny_model(), tmp_path / "a.npz"
    arrays = {"stem_conv/kernel": np.random.default_rng(0).random((3, 3, 3, 8), np.float32)}
    np.savez_compressed(file, allow_pickle=False, **arrays)
    whole = file.read_bytes()
    half = len(whole) // 2
    file.write_bytes(whole[:half] + bytes([whole[half] ^ 0xFF, whole[half + 1] ^ 0x5A]) + whole[half + 2 :])
    with pytest.raises(DataError, match=r"expected an npz of weights in .*a\.npz; .+; check --weights"):
        load_npz_weights(model, file)
    with open(file, "wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(DataError, match="expected an npz of weights"):
        load_npz_weights(model, file)


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
    built("convnext-atto").save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(DataError, match="expected weights of tiny in"):
        load_weights_file(model, tmp_path / "other.weights.h5")


@pytest.mark.parametrize("name", ["e.pth", "e.h5", "e.pkl", "saved_model"])
def test_weights_in_files_that_may_carry_code_are_not_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if name == "saved_model" else (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(DataError, match=r"as \.npz, \.weights\.h5, \.keras or \.tflite; got .* may carry code"):
        load_weights_file(tiny_model(), tmp_path / name)


def test_weights_of_a_weights_file_are_taken_over(tmp_path: Path) -> None:
    trained, fresh = tiny_model(), tiny_model()
    trained.save_weights(tmp_path / "t.weights.h5")
    assert not np.array_equal(trained.get_weights()[0], fresh.get_weights()[0])
    assert load_weights_file(fresh, tmp_path / "t.weights.h5") == ["weights of t.weights.h5: all layers"]
    assert np.array_equal(trained.get_weights()[0], fresh.get_weights()[0])


def test_another_run_s_model_gives_its_layers_and_its_logits_only_where_they_fit(tmp_path: Path) -> None:
    trained = tiny_model(classes=7)
    trained.save(tmp_path / "model.keras")
    same, eight = tiny_model(classes=7), tiny_model(classes=8)
    # Convolution, batch norm and logits; the eight-class network keeps its own logits.
    assert load_weights_file(same, tmp_path / "model.keras") == ["weights of model.keras: 3 layers"]
    assert all(map(np.array_equal, trained.get_weights(), same.get_weights()))
    [line] = load_weights_file(eight, tmp_path / "model.keras")
    assert line.startswith("weights of model.keras: 2 layers; the logits begin anew")
    assert all(map(np.array_equal, trained.get_weights()[:-2], eight.get_weights()[:-2]))
    with pytest.raises(DataError, match="the two differ at the layer"):
        load_weights_file(built("convnext-atto"), tmp_path / "model.keras")


# Settings.


def test_unknown_backbone_small_input_and_missing_download_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown backbone 'resnet'; known: efficientnet-lite0.*vgg16") as caught:
        build("resnet", height=64, width=64, classes=7)
    assert all(name in str(caught.value) for name in BACKBONES)
    with pytest.raises(DataError, match="at least 32 pixels a side; got 16x64"):
        build("efficientnet-lite0", height=16, width=64, classes=7)
    for name in ("efficientnet-lite0", "convnext-atto", str(tmp_path / "mine.keras")):
        with pytest.raises(DataError, match="no download of ImageNet weights is known"):
            build(name, height=64, width=64, classes=7, weights="imagenet")
    with pytest.raises(DataError, match="expected the colour rgb or grey; got 'gray'"):
        build("vgg16", height=32, width=32, classes=7, colour="gray")
    with pytest.raises(DataError, match="expected no stochastic depth for vgg16"):
        build("vgg16", height=32, width=32, classes=7, stochastic_depth=0.1)
    with pytest.raises(DataError, match=r"expected stochastic depth in 0-1 \(1 excluded\); got 1"):
        build("resnet50", height=32, width=32, classes=7, stochastic_depth=1.0)


def _shapes(layer: keras.layers.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def _rates(model: keras.Model) -> dict[str, float]:
    dropouts = [layer for layer in leaves(model) if isinstance(layer, keras.layers.Dropout)]
    return {layer.name: round(layer.rate, 6) for layer in dropouts if layer.name != "dropout"}


@pytest.mark.parametrize(
    ("name", "some"),
    [
        # Rate of block b of 16 is 0.16 · b/16; blocks that change the size have no shortcut.
        ("efficientnet-lite0", {"block2_drop": 0.02, "block14_drop": 0.14}),
        ("efficientnet-b0", {"block2b_drop": 0.02, "block6d_drop": 0.14}),
        ("efficientnetv2-b0", {"block6h_drop": round(0.16 * 20 / 21, 6)}),
        # Twelve blocks, 0 to the rate: the second gets 0.16/11; the first none.
        ("convnext-atto", {"stage_0_block_1_drop": round(0.16 / 11, 6), "stage_3_block_1_drop": 0.16}),
        ("resnet50", {"conv2_block1_drop": 0.01, "conv5_block3_drop": 0.16}),
    ],
)
def test_stochastic_depth_grows_with_depth_and_adds_no_weights(name: str, some: dict[str, float]) -> None:
    deep = build(name, height=32, width=32, classes=7, stochastic_depth=0.16)
    rates = _rates(deep)
    assert {key: rates[key] for key in some} == some
    assert max(rates.values()) <= 0.16
    assert _rates(built(name)) == {}
    shapes, plain = ({layer.name: _shapes(layer) for layer in leaves(m) if layer.weights} for m in (deep, built(name)))
    assert shapes == plain


def test_branch_is_left_out_for_whole_pictures_and_only_in_training() -> None:
    from train.networks.residual import drop_branch

    branch = keras.Input((2, 2, 3))
    model = keras.Model(branch, drop_branch(branch, 0.5, "drop"))
    ones = np.ones((200, 2, 2, 3), np.float32)
    dropped = _numpy(model(ones, training=True)).reshape(200, 12)
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert (np.ptp(dropped, axis=1) == 0).all()
    assert 60 < (dropped[:, 0] == 0).sum() < 140  # 100 expected, standard deviation 7
    assert np.array_equal(_numpy(model(ones, training=False)), ones)


def test_grey_network_sees_luminance_and_keeps_its_answer_on_grey_pictures() -> None:
    def one(colour: str) -> keras.Model:
        keras.utils.set_random_seed(3)
        return build("convnext-atto", height=32, width=32, classes=7, colour=colour)

    coloured = _pictures()
    grey = np.repeat((coloured @ np.array([0.299, 0.587, 0.114], np.float32))[..., None], 3, axis=-1)
    grey_model, rgb_model = one("grey"), one("rgb")
    for model in (grey_model, rgb_model):
        _draw_scales(model)
    on_grey = _numpy(rgb_model(grey, training=False))
    assert np.ptp(on_grey) > 1e-3
    assert _agree(_numpy(grey_model(grey, training=False)), on_grey) < 1e-3
    assert _agree(_numpy(grey_model(coloured, training=False)), on_grey) < 1e-3
    assert _agree(_numpy(rgb_model(coloured, training=False)), on_grey) > 1e-2


def _draw_scales(model: keras.Model) -> None:
    for layer in leaves(model):
        if isinstance(layer, LayerScale):
            layer.gamma.assign(np.ones(layer.gamma.shape, np.float32))


def _two_convolutions() -> keras.Model:
    pictures = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="a")(pictures)
    x = keras.layers.BatchNormalization(name="a_bn", momentum=0.5)(x)
    inner = keras.Input(x.shape[1:])
    y = keras.layers.BatchNormalization(name="b_bn", momentum=0.5)(keras.layers.Conv2D(4, 3, name="b")(inner))
    x = keras.Model(inner, y, name="nested")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(pictures, keras.layers.Dense(2, name="logits")(x))


@pytest.mark.parametrize(
    ("trainable", "freeze", "expected"),
    [
        ("all", 0.0, ["a", "a_bn", "b", "b_bn", "logits"]),
        ("all", 0.5, ["b", "b_bn", "logits"]),
        ("all", 0.75, ["b_bn", "logits"]),
        ("all", 1.0, ["logits"]),
        ("head", 0.0, ["logits"]),
    ],
)
def test_first_share_of_the_layers_is_frozen_with_its_statistics(
    trainable: str, freeze: float, expected: list[str]
) -> None:
    model = _two_convolutions()
    set_trainable(model, "head")  # what an earlier phase left
    set_trainable(model, trainable, freeze)
    names = {id(weight): layer.name for layer in leaves(model) for weight in layer.weights}
    assert sorted({names[id(weight)] for weight in model.trainable_weights}) == sorted(expected)
    before = {layer.name: layer.get_weights() for layer in leaves(model) if layer.weights}
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(_pictures(4, 8), np.ones((4, 2), np.float32))
    moved = [
        layer.name
        for layer in leaves(model)
        if layer.weights and not all(map(np.array_equal, before[layer.name], layer.get_weights()))
    ]
    assert moved == expected


def test_unknown_legs_and_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="expected trainable as head or all; got 'top'"):
        set_trainable(tiny_model(), "top")
    with pytest.raises(ValueError, match=r"expected a share of frozen layers in 0-1; got 1\.5"):
        set_trainable(tiny_model(), "all", 1.5)
