from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.budget import choose, fewest
from convert.lowering.emission import emit
from convert.lowering.graph import Graph, Node
from convert.lowering.parity import normalize
from convert.tflite.export import export_int8, probabilities
from convert.tflite.islands import keep_in_float, with_islands
from convert.verification.checks import CheckError, as_uint8_output, divergence
from convert.verification.sensitivity import Probe, Rounding, float_layers, sensitivity
from tests.convert.networks import lowered_network, pictures
from tests.convert.quantization.test_quantization import calibrated, rows_of, small_convnext


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return pictures(64)


@pytest.fixture(scope="module")
def network(images: np.ndarray) -> tuple[Graph, Any, bytes]:
    """The lowered small network, its calibrated fake-quant model and its all-integer file."""
    from convert.quantization.fakequant import for_export

    _, graph = lowered_network()
    model = calibrated(graph, images)
    return graph, model, export_int8(graph, for_export(graph, model))


def logits_of(model: Any, graph: Graph, images: np.ndarray) -> np.ndarray:
    return np.asarray(model(normalize(images, graph), training=False))


def largest_difference(content: bytes, model: Any, graph: Graph, images: np.ndarray) -> float:
    """Between a file's uint8 probabilities and a network's, rounded like them."""
    expected = as_uint8_output(probabilities(logits_of(model, graph, images)))
    return float(np.abs(rows_of(content, images) - expected).max())


def chain(*names: str) -> Graph:
    """Layers of one channel in a row, the last one dense."""
    nodes = {"input": Node("input", "input", (), (2, 2, 1))}
    before = "input"
    for name in names:
        kind = {"pool": "max_pool", "norm": "layer_norm", "sum": "add"}.get(name, "conv2d")
        nodes[name] = Node(name, kind, (before,), (2, 2, 1), path=f"model/{name}")
        before = name
    return Graph(nodes, before)


def rounding(layer: str, what: Any, cost: float = 1.0) -> Rounding:
    return Rounding(layer, f"model/{layer}", what, cost)


def test_with_every_layer_in_float_the_file_is_the_float_network(network: Any, images: np.ndarray) -> None:
    graph, model, base = network
    everything = [node.name for node in graph if node.name != "input"]
    content, _ = with_islands(graph, model, base, everything)
    # The input's step of 1/128 is exact; only the logits are rounded for SOFTMAX.
    exact = logits_of(emit(graph), graph, images)
    step = float(exact.max() - exact.min()) / 255
    assert np.abs(rows_of(content, images) - probabilities(exact)).max() <= step + 1 / 256
    reference = with_islands(graph, model, base, everything)[1]
    assert np.array_equal(rows_of(content, images), as_uint8_output(probabilities(logits_of(reference, graph, images))))


@pytest.mark.parametrize("kept", [("stem",), ("depthwise", "project"), ("stem", "stem_swish", "depthwise", "squeeze")])
def test_file_and_network_agree_with_some_layers_in_float(
    kept: tuple[str, ...], network: Any, images: np.ndarray
) -> None:
    from convert.tflite.inspection import inspect

    graph, model, base = network
    names = [node.name for node in graph if any(node.name.startswith(name) for name in kept)]
    content, reference = with_islands(graph, model, base, names)
    assert largest_difference(content, reference, graph, images) <= 1 / 256
    found = inspect(content)
    assert set(found.float_layers) == set(names)
    assert found.partitions == 1


def test_a_kept_kernel_keeps_what_int8_rounds_away(network: Any, images: np.ndarray) -> None:
    """The partner: the islands' own network differs from the integer one by far more than file and network do."""
    from convert.quantization.fakequant import for_export

    graph, model, base = network
    integer = for_export(graph, model)
    content, _ = with_islands(graph, model, base, ["depthwise", "project"])
    assert largest_difference(base, integer, graph, images) <= 1 / 256
    assert np.abs(rows_of(content, images) - rows_of(base, images)).max() >= 2 / 256


def test_a_layer_without_an_operator_is_refused(network: Any) -> None:
    with pytest.raises(ValueError, match=r"expected layers with an operator in the file; came nowhere$"):
        keep_in_float(network[2], {}, {"nowhere"}, set())


def test_normalizations_compute_their_mean_in_float() -> None:
    """TFLiteConverter makes each one's first MEAN int8, which its network does not know."""
    from convert.lowering.parity import patchwork
    from convert.lowering.reading import read
    from convert.lowering.rules import lower
    from convert.quantization.fakequant import for_export
    from convert.tflite.inspection import inspect

    graph, _ = lower(read(small_convnext()), approximate=True)
    images = patchwork(64, (64, 64, 3), np.random.default_rng(0))
    model = calibrated(graph, images)
    base = export_int8(graph, for_export(graph, model))
    content, reference = with_islands(graph, model, base, ())
    norms = {node.name for node in graph if node.kind == "layer_norm"}
    found, before = inspect(content), inspect(base)
    assert set(found.float_layers) == norms
    assert found.operators["DEQUANTIZE"] == len(norms) == before.operators["DEQUANTIZE"] / 2
    assert found.operators["QUANTIZE"] == before.operators["QUANTIZE"]
    assert found.partitions == 1
    expected = as_uint8_output(probabilities(logits_of(reference, graph, images)))
    after_error = np.abs(rows_of(content, images) - expected).mean()
    assert after_error < 0.3 * np.abs(rows_of(base, images) - expected).mean()
    assert after_error < 1 / 256


def test_the_probe_without_roundings_is_float_and_with_all_is_the_fake_quant_network(
    network: Any, images: np.ndarray
) -> None:
    graph, model, _ = network
    probe, batch = Probe(graph, model), images
    np.testing.assert_allclose(probe.alone("", "", batch), logits_of(emit(graph), graph, images), atol=1e-5)
    spread = float(np.ptp(logits_of(model, graph, images)))
    np.testing.assert_allclose(probe.with_float((), batch), logits_of(model, graph, images), atol=0.01 * spread)
    names = [node.name for node in graph]
    rest = probe.with_float(names, batch) - probe.alone("", "", batch)  # the logits' own rounding stays
    assert 0 < np.abs(rest).max() <= spread / 255


def test_a_kernel_spoilt_by_one_huge_weight_is_the_costliest_rounding(images: np.ndarray) -> None:
    _, graph = lowered_network()
    kernel = np.array(graph["project"].weights["kernel"])
    kernel[:, :, 0] *= 1e-6
    kernel[:, :, 0, 0] = 300 * np.abs(kernel).max()  # in step with no input: its channel is switched off below
    before = graph["depthwise"]
    weights, bias = np.array(before.weights["kernel"]), np.array(before.weights["bias"])
    weights[:, :, 0], bias[0] = 0, 0
    spoilt = graph.put(graph["project"].with_weights(kernel=kernel)).put(before.with_weights(kernel=weights, bias=bias))
    costs = []
    for candidate in (graph, spoilt):
        probe = Probe(candidate, calibrated(candidate, images))
        found = sensitivity(probe, images)
        assert {(entry.layer, entry.what) for entry in found} == set(probe.roundings)
        assert [entry.divergence for entry in found] == sorted((entry.divergence for entry in found), reverse=True)
        costs.append(next(e.divergence for e in found if (e.layer, e.what) == ("project", "kernel")))
    assert costs[1] > 10 * costs[0]
    assert (found[0].layer, found[0].what) == ("project", "kernel")
    assert found[0].path == graph[found[0].layer].path


def test_divergence_by_hand() -> None:
    # 0.5 ln(0.5/0.25) + 0.5 ln(0.5/0.75) = 0.5 (0.693147 - 0.405465)
    assert divergence(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])) == pytest.approx(0.143841, abs=1e-5)
    assert divergence(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]])) == 0


def test_a_kernel_needs_its_layer_and_an_output_its_readers_too() -> None:
    graph = chain("a", "b", "pool", "c", "norm", "d")
    assert float_layers(graph, [rounding("a", "kernel")]) == {"a"}
    assert float_layers(graph, [rounding("a", "output")]) == {"a", "b"}
    assert float_layers(graph, [rounding("b", "output")]) == {"b", "pool", "c"}
    assert float_layers(graph, [rounding("c", "output")]) == {"c"}  # the normalization is in float anyway
    assert float_layers(graph, [rounding("a", "kernel"), rounding("c", "output")]) == {"a", "c"}


def test_the_fewest_that_fit_are_found_with_few_questions() -> None:
    for least in (1, 2, 3, 7, 8, 9, 99, 100):
        asked: list[int] = []

        def fits(count: int, least: int = least, asked: list[int] = asked) -> bool:
            asked.append(count)
            return count >= least

        assert fewest(100, fits) == least
        assert len(asked) <= 14
    assert fewest(5, lambda n: False) == 5


def test_the_budget_leaves_out_as_few_roundings_as_it_needs() -> None:
    graph = chain(*"abcdefgh")
    roundings = [rounding(name, "kernel") for name in "hgfedcba"]

    def drop(kept: frozenset[str]) -> float:
        return 2.0 - 0.5 * len(kept)

    choice = choose(graph, roundings, drop, drop, 0.5)
    assert (choice.kept, choice.left_out, choice.drop_points) == (("f", "g", "h"), 3, 0.5)
    assert [row["left_out"] for row in choice.tried] == [0, 3]
    assert choose(graph, roundings, drop, drop, 2.0).kept == ()


def test_the_file_decides_where_the_network_promised_too_much() -> None:
    graph = chain(*"abcdefgh")
    roundings = [rounding(name, "kernel") for name in "abcdefgh"]
    choice = choose(graph, roundings, lambda kept: 0.0, lambda kept: 2.0 - 0.5 * len(kept), 0.5)
    assert choice.kept == ("a", "b", "c")
    assert [row["left_out"] for row in choice.tried] == [0, 1, 2, 3]


def test_a_budget_that_nothing_keeps_is_refused() -> None:
    graph = chain("a", "b")
    with pytest.raises(CheckError, match=r"at most 0\.5 points; came 3\.00 even with every layer in float; raise"):
        choose(graph, [rounding("a", "kernel")], lambda kept: 3.0, lambda kept: 3.0, 0.5)


@pytest.fixture(scope="module")
def normalized() -> tuple[Graph, Any, np.ndarray]:
    """A small ConvNeXt, lowered, its calibrated fake-quant model, and pictures."""
    from convert.lowering.parity import patchwork
    from convert.lowering.reading import read
    from convert.lowering.rules import lower

    graph, _ = lower(read(small_convnext()), approximate=True)
    images = patchwork(64, (64, 64, 3), np.random.default_rng(0))
    return graph, calibrated(graph, images), images


def test_the_probe_leaves_the_results_of_normalizations_unrounded_for_readers_in_float(normalized: Any) -> None:
    graph, model, images = normalized
    probe = Probe(graph, model)
    names = [node.name for node in graph if node.kind not in ("layer_norm", "input")]
    exact = probe.alone("", "", images)
    step = float(np.ptp(exact)) / 255
    assert 0 < np.abs(probe.with_float(names, images) - exact).max() <= step
    assert np.abs(probe.with_float((), images) - exact).max() > 2 * step


def test_a_reader_of_a_normalization_takes_its_result_as_it_is(normalized: Any) -> None:
    from convert.quantization.fakequant import for_export
    from convert.tflite.inspection import inspect

    graph, model, images = normalized
    norm = next(node.name for node in graph if node.kind == "layer_norm" and len(graph.consumers(node.name)) == 1)
    reader = graph.consumers(norm)[0].name
    base = export_int8(graph, for_export(graph, model))
    content, reference = with_islands(graph, model, base, [reader])
    plain, kept = inspect(with_islands(graph, model, base, ())[0]), inspect(content)
    assert set(kept.float_layers) - set(plain.float_layers) == {reader}
    # Between the two nothing is rounded: the norm's QUANTIZE is gone, the reader has one of its own.
    assert kept.operators["QUANTIZE"] == plain.operators["QUANTIZE"]
    assert kept.operators["DEQUANTIZE"] == plain.operators["DEQUANTIZE"]
    expected = as_uint8_output(probabilities(logits_of(reference, graph, images)))
    assert np.abs(rows_of(content, images) - expected).mean() < 1 / 256
    assert with_islands(graph, model, base, [reader])[0] == content


def branched(keepdims: bool) -> Any:
    """Two branches of different ranges side by side, pooled; with ``keepdims`` flattened behind the pooling."""
    import keras
    from keras import layers

    from convert.lowering.parity import randomize
    from tests.convert.networks import SIDE

    picture = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 128, offset=-1)(picture)
    a = layers.Conv2D(4, 3, strides=2, activation="relu", name="a")(x)
    b = layers.Conv2D(4, 3, strides=2, name="b")(x)
    x = layers.Conv2D(8, 1, activation="relu", name="after")(layers.Concatenate(name="both")([a, b]))
    x = layers.GlobalAveragePooling2D(keepdims=keepdims, name="pool")(x)
    x = layers.Flatten(name="flat")(x) if keepdims else x
    model = keras.Model(picture, layers.Dense(7, name="logits")(x))
    randomize(model)
    a_kernel, a_bias = model.get_layer("a").get_weights()
    model.get_layer("a").set_weights([a_kernel * 7, a_bias * 7])
    return model


@pytest.mark.parametrize("kept", [("a", "both"), ("both", "after"), ("a", "b", "both", "after")])
def test_branches_of_other_scales_may_be_kept(kept: tuple[str, ...], images: np.ndarray) -> None:
    from convert.lowering.reading import read
    from convert.lowering.rules import lower
    from convert.quantization.fakequant import for_export
    from convert.tflite.inspection import inspect

    graph, _ = lower(read(branched(keepdims=False)))
    model = calibrated(graph, images)
    base = export_int8(graph, for_export(graph, model))
    content, reference = with_islands(graph, model, base, kept)
    # TFLiteConverter lets int8 branches write in the scale of their concatenation, which no network here models.
    unmodelled = largest_difference(base, for_export(graph, model), graph, images) if "b" not in kept else 0.0
    assert largest_difference(content, reference, graph, images) <= unmodelled + 2 / 256
    assert set(inspect(content).float_layers) == set(kept)


def test_a_kept_reshape_that_the_converter_folded_away_is_no_fault(images: np.ndarray) -> None:
    from convert.lowering.reading import read
    from convert.lowering.rules import lower
    from convert.quantization.fakequant import for_export

    graph, _ = lower(read(branched(keepdims=True)))
    model = calibrated(graph, images)
    base = export_int8(graph, for_export(graph, model))
    content, reference = with_islands(graph, model, base, [node.name for node in graph if node.name != "input"])
    assert largest_difference(content, reference, graph, images) <= 1 / 256
