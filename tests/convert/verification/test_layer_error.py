from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from convert.lowering.emission import emit
from convert.lowering.graph import Graph, Node
from convert.verification.layer_error import LayerError, layer_errors, layer_tensors
from tests.convert.networks import lowered_network, pictures

PLAIN = {"strides": (1, 1), "padding": "valid", "dilation": (1, 1)}


def identity(name: str, source: str, side: int) -> Node:
    """A 1x1 convolution that gives its input; in int8 its kernel 127 * 1/127 is exact."""
    weights = {"kernel": np.eye(3, dtype=np.float32)[None, None], "bias": np.zeros(3, np.float32)}
    return Node(name, "conv2d", (source,), (side, side, 3), PLAIN, weights, f"net/{name}")


def identities(*names: str, side: int = 1) -> Graph:
    """Picture -> one identity after another -> [side * side * 3]; pixel p is (p - 128) / 128."""
    nodes = {"input": Node("input", "input", (), (side, side, 3))}
    last = "input"
    for name in names:
        nodes[name], last = identity(name, last, side), name
    nodes["flat"] = Node("flat", "reshape", (last,), (side * side * 3,))
    return Graph(nodes, "flat", 1 / 128, 128)


def exported(graph: Graph, images: np.ndarray, ranges: Mapping[str, tuple[float, float]]) -> bytes:
    """The int8 file, its ranges calibrated and then those given set."""
    from convert.lowering.parity import normalize
    from convert.quantization.fakequant import PREFIX, calibrate, fake_quantize, for_export
    from convert.tflite.export import export_int8

    model = fake_quantize(graph)
    calibrate(model, graph, [normalize(images, graph)])
    for name, (low, high) in ranges.items():
        variables = model.get_layer(f"{PREFIX}{name}")._output_quantizer_vars
        variables["minimum"].assign(low)
        variables["maximum"].assign(high)
    return export_int8(graph, for_export(graph, model))


def errors_of(graph: Graph, content: bytes, images: np.ndarray) -> dict[str, LayerError]:
    return {error.layer: error for error in layer_errors(content, graph, emit(graph), images)}


def flat(*values: int) -> np.ndarray:
    """Pictures uint8 [n, 1, 1, 3] of one grey value each."""
    return np.repeat(np.array(values, np.uint8), 3).reshape(-1, 1, 1, 3)


STEP_OF_A_32ND = (-4.0, 127 / 32)
STEP_OF_A_256TH = (-0.5, 127 / 256)


def test_one_layer_has_the_ratio_worked_out_by_hand() -> None:
    """133 is 5/128; in steps of 4/128 that is 4/128, an error of -1/128: 25 to 1 in power, a quarter of a step."""
    graph = identities("one")
    error = errors_of(graph, exported(graph, flat(133), {"one": STEP_OF_A_32ND}), flat(133, 133))["one"]
    assert error.sqnr_db == pytest.approx(10 * math.log10(25), abs=1e-4)
    assert error.own_sqnr_db == pytest.approx(10 * math.log10(25), abs=1e-4)
    assert error.own_channel_db == pytest.approx(10 * math.log10(25), abs=1e-4)
    assert error.bias_steps == pytest.approx(-0.25, abs=1e-5)
    assert error.scale == pytest.approx(1 / 32)
    assert (error.path, error.kind, error.shape, error.saturated_share) == ("net/one", "conv2d", (1, 1, 3), 0)


def test_powers_are_summed_over_pictures_before_the_ratio_is_taken() -> None:
    """5/128 errs by -1/128, 9/128 by +-1/128 (to 8/128): (25 + 81) to 2, not the mean of 14.0 and 19.1 dB."""
    graph = identities("one")
    images = flat(133, 137)
    error = errors_of(graph, exported(graph, images, {"one": STEP_OF_A_32ND}), images)["one"]
    assert error.sqnr_db == pytest.approx(10 * math.log10(106 / 2), abs=1e-4)


def test_a_second_layer_without_loss_carries_the_first_ones_error_and_has_none_of_its_own() -> None:
    graph = identities("one", "two")
    ranges = {"one": STEP_OF_A_32ND, "two": STEP_OF_A_32ND}
    found = errors_of(graph, exported(graph, flat(133), ranges), flat(133))
    assert found["two"].sqnr_db == pytest.approx(10 * math.log10(25), abs=1e-4)
    assert found["two"].own_sqnr_db is None  # nothing differs
    assert found["one"].own_sqnr_db == pytest.approx(10 * math.log10(25), abs=1e-4)


def test_values_beyond_the_range_are_counted_and_those_at_its_border_are_not() -> None:
    """From -64/128 to 63.5/128: 255 is beyond, 64 (-64/128) and 128 are not; the clipped one errs by -63.5/128."""
    graph = identities("one")
    images = flat(255, 64, 128, 128)
    error = errors_of(graph, exported(graph, images, {"one": STEP_OF_A_256TH}), images)["one"]
    assert error.saturated_share == pytest.approx(1 / 4)
    assert error.bias_steps == pytest.approx(-63.5 / 128 * 256 / 4, rel=1e-4)


def test_an_output_of_zeros_has_no_ratio() -> None:
    graph = identities("one")
    error = errors_of(graph, exported(graph, flat(255), {}), flat(128, 128))["one"]
    assert (error.sqnr_db, error.own_sqnr_db, error.own_channel_db) == (None, None, None)
    assert error.bias_steps == 0


@pytest.fixture(scope="module")
def small() -> tuple[Graph, bytes, list[LayerError]]:
    """The small network, its int8 file and the file's errors."""
    _, graph = lowered_network()
    content = exported(graph, pictures(16), {})
    return graph, content, layer_errors(content, graph, emit(graph), pictures(8, seed=1))


def test_every_layer_of_the_small_network_is_found_and_good(small: tuple[Graph, bytes, list[LayerError]]) -> None:
    graph, _, errors = small
    assert [error.layer for error in errors] == [node.name for node in graph if node.name != "input"]
    assert min(error.own_sqnr_db or 0 for error in errors) > 25
    assert "Relu6" in next(error.tensor for error in errors if error.layer == "depthwise")


def worst(errors: Mapping[str, LayerError]) -> str:
    """The layer whose median channel loses most by itself."""
    return min((error.own_channel_db, name) for name, error in errors.items() if error.own_channel_db is not None)[1]


def test_a_range_30_times_too_large_is_the_worst_layer() -> None:
    """Rounding to a step errs by its square over 12 in power, values even over -1..1 have a third: 46.0 dB at 1/100."""
    graph = identities("one", "two", "three", side=8)
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3)).astype(np.uint8)
    good = {"one": (-1.28, 1.27), "two": (-1.29, 1.28), "three": (-1.3, 1.29)}
    before = errors_of(graph, exported(graph, images, good), images)
    after = errors_of(graph, exported(graph, images, good | {"two": (-128 * 0.3, 127 * 0.3)}), images)
    assert worst(before) != "two"
    assert worst(after) == "two"
    assert before["one"].own_sqnr_db == pytest.approx(10 * math.log10(1 / 3 / (0.01**2 / 12)), abs=1)
    assert after["two"].own_sqnr_db == pytest.approx(10 * math.log10(1 / 3 / (0.3**2 / 12)), abs=1)
    assert after["one"].own_sqnr_db == before["one"].own_sqnr_db
    assert after["three"].sqnr_db == pytest.approx(after["two"].sqnr_db, abs=0.5)


def test_a_kernel_quantized_as_one_tensor_with_a_channel_500_times_larger_is_the_worst_layer(
    small: tuple[Graph, bytes, list[LayerError]],
) -> None:
    """The loud channel keeps the whole tensor's ratio up; the median channel shows the other seven lost."""
    graph, _, _ = small
    kernel, bias = graph["depthwise"].weights["kernel"].copy(), graph["depthwise"].weights["bias"] * 0
    kernel[:, :, 0] *= 500 * np.abs(kernel).max() / np.abs(kernel[:, :, 0]).max()
    node = graph["depthwise"].with_weights(kernel=kernel, bias=bias).with_attributes(activation="linear")
    step = np.abs(kernel).max() / 127
    coarse = node.with_weights(kernel=np.round(kernel / step) * step)
    assert np.abs(coarse.weights["kernel"][:, :, 1:]).max() == 0
    content = exported(graph.put(coarse), pictures(16), {})
    errors = errors_of(graph.put(node), content, pictures(8, seed=1))
    assert worst(errors) == "depthwise"
    assert errors["depthwise"].own_channel_db == pytest.approx(0, abs=0.5)
    assert errors["depthwise"].own_sqnr_db is not None
    assert errors["depthwise"].own_sqnr_db > 20
    same = errors_of(graph.put(coarse), content, pictures(8, seed=1))["depthwise"]
    assert same.own_sqnr_db is not None
    assert same.own_sqnr_db > 30


def test_float_files_have_ratios_but_no_steps(small: tuple[Graph, bytes, list[LayerError]]) -> None:
    from convert.tflite.export import export_float

    graph, _, int8 = small
    model = emit(graph)
    for recipe, least in (("float32", 100.0), ("float16", 50.0)):
        errors = layer_errors(export_float(graph, model, recipe), graph, model, pictures(8, seed=1))
        assert {error.layer for error in errors} == {error.layer for error in int8}
        assert all((e.scale, e.bias_steps, e.saturated_share) == (None, None, None) for e in errors)
        told = [error.sqnr_db for error in errors if error.sqnr_db is not None]
        assert len(told) >= len(errors) - 1 or recipe == "float32"  # an exact layer has no noise to tell of
        assert all(ratio > least for ratio in told)


def test_no_pictures_and_another_networks_graph_are_refused(small: tuple[Graph, bytes, list[LayerError]]) -> None:
    graph, content, _ = small
    with pytest.raises(ValueError, match=r"expected pictures .* came none"):
        layer_errors(content, graph, emit(graph), pictures(1)[:0])
    other = identities("elsewhere", side=16)
    with pytest.raises(ValueError, match="tensors named after none of its layers"):
        layer_errors(content, other, emit(other), pictures(1))


def test_the_pictures_done_are_told(small: tuple[Graph, bytes, list[LayerError]]) -> None:
    graph, content, _ = small
    told: list[int] = []
    layer_errors(content, graph, emit(graph), pictures(11), told.append)
    assert told == [8, 11]


def test_layers_kept_in_float_are_found_and_lose_nothing_by_themselves() -> None:
    """``two`` is read by a float layer alone and stays unrounded; ``three`` is read by an int8 one and is rounded."""
    from convert.lowering.parity import normalize
    from convert.quantization.fakequant import calibrate, fake_quantize, for_export
    from convert.tflite.export import export_int8
    from convert.tflite.islands import with_islands

    graph = identities("one", "two", "three", "four", side=8)
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3)).astype(np.uint8)
    model = fake_quantize(graph)
    calibrate(model, graph, [normalize(images, graph)])
    content, _ = with_islands(graph, model, export_int8(graph, for_export(graph, model)), ("two", "three"))
    found = errors_of(graph, content, images)
    assert list(found) == ["one", "two", "three", "four", "flat"]
    assert found["two"].scale is None
    assert found["two"].own_sqnr_db is None or found["two"].own_sqnr_db > 100
    assert [found[name].scale is None for name in ("one", "three", "four")] == [False, False, False]


def wiring(interpreter: Any, tensors: Mapping[str, Any]) -> dict[str, set[str]]:
    """For each layer with a tensor, the nearest such layers that the file computes it from."""
    layer_of = {int(details["index"]): name for name, details in tensors.items()}
    makers = {int(out): entry for entry in interpreter._get_ops_details() for out in entry["outputs"]}

    def above(tensor: int) -> set[str]:
        found: set[str] = set()
        for feed in makers[tensor]["inputs"] if tensor in makers else ():
            if int(feed) in layer_of:
                found.add(layer_of[int(feed)])
            elif int(feed) in makers:
                found |= above(int(feed))
        return found

    return {name: above(index) for index, name in layer_of.items()}


def backbone(name: str) -> Any:
    """A network of the registry, or a ConvNeXt of four stages with one block of 8 filters each, at 64 pixels."""
    import keras

    from train.networks.building import build
    from train.networks.convnext import Size, convnext

    if name != "small-convnext":
        return build(name, height=64, width=64, classes=7)
    picture = keras.Input((64, 64, 3))
    x = convnext(keras.layers.Rescaling(1 / 128, offset=-1)(picture), Size((1, 1, 1, 1), (8, 8, 8, 8)), 0.0)
    return keras.Model(picture, keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize(
    "name",
    [
        "small-convnext",
        pytest.param("efficientnet-b0", marks=pytest.mark.slow),
    ],
)
def test_every_layer_of_a_backbone_is_mapped_to_the_tensor_with_its_wiring(name: str) -> None:
    """The file's own wiring between the mapped tensors is that of the graph: no two are mixed up.

    At 64 pixels: a mean over the 1x1 maps of 32 is folded away. Names do not depend on ranges, so none are calibrated.
    """
    from convert.lowering.reading import read
    from convert.lowering.rules import lower
    from convert.quantization.fakequant import fake_quantize
    from convert.tflite.export import export_int8
    from convert.verification.layer_error import keeping_interpreter

    graph, _ = lower(read(backbone(name)), approximate=True)
    interpreter = keeping_interpreter(export_int8(graph, fake_quantize(graph, kernels=False)))
    tensors = layer_tensors(interpreter, graph)
    assert set(tensors) == {node.name for node in graph if node.name != "input"}
    assert {node.kind for node in graph} >= {"conv2d", "depthwise", "dense", "add"}
    expected = {node.name: set(node.inputs) - {"input"} for node in graph if node.name != "input"}
    assert wiring(interpreter, tensors) == expected
