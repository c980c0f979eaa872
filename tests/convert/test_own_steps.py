from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.graph import Graph
from convert.layout import lay_out
from convert.own_steps import own_steps
from tests.convert.networks import lowered_network, pictures


@pytest.fixture(scope="module")
def exported() -> tuple[Any, Any, bytes]:
    """A lowered network with squeeze and excite, its snapped fake-quant network and its int8 file."""
    from convert.export import export_int8
    from convert.parity import normalize
    from convert.quantization import calibrate, fake_quantize, for_export

    _, graph = lowered_network()
    model = fake_quantize(graph)
    calibrate(model, graph, [normalize(pictures(32), graph)])
    snapped = for_export(graph, model)
    return graph, snapped, export_int8(graph, snapped)


def test_each_layer_gives_its_networks_integers_from_the_same_inputs(exported: tuple[Any, Any, bytes]) -> None:
    graph, snapped, flatbuffer = exported
    found = own_steps(flatbuffer, lay_out(graph), snapped, pictures(16, seed=1))
    assert found.layers >= 12  # every convolution, product, sum, mean and sigmoid
    assert found.values > 16 * 8 * 8 * 8
    assert found.share >= 0.999
    assert 0.98 <= found.least <= 1


def test_a_layer_that_computes_something_else_is_found(exported: tuple[Any, Any, bytes]) -> None:
    from convert.quantization import PREFIX

    graph, snapped, flatbuffer = exported
    layer = snapped.get_layer(f"{PREFIX}project")
    before = layer.get_weights()
    try:
        layer.set_weights([value * 1.05 if value.ndim == 4 else value for value in before])
        found = own_steps(flatbuffer, lay_out(graph), snapped, pictures(16, seed=1))
    finally:
        layer.set_weights(before)
    assert found.layer == "project"
    assert found.least < 0.9


def test_no_picture_and_a_foreign_network_are_refused(exported: tuple[Any, Any, bytes]) -> None:
    graph, snapped, flatbuffer = exported
    with pytest.raises(ValueError, match="expected pictures to compare the layers on; came none"):
        own_steps(flatbuffer, lay_out(graph), snapped, np.zeros((0, 16, 16, 3), np.uint8))
    only_input = Graph({"input": graph["input"]}, "input", 1 / 128, 128)
    with pytest.raises(ValueError, match="expected int8 layers to compare; came none"):
        own_steps(flatbuffer, only_input, snapped, pictures(1))
