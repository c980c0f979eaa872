from __future__ import annotations

import numpy as np
import pytest

from convert.lowering.emission import emit
from convert.lowering.graph import Graph, Node
from convert.lowering.parity import normalize
from convert.lowering.temperature import fold_temperature
from tests.convert.networks import lowered_network, pictures


def test_the_folded_temperature_divides_the_logits() -> None:
    _, graph = lowered_network()
    rows = normalize(pictures(4), graph)
    np.testing.assert_allclose(
        emit(fold_temperature(graph, 2.5)).predict(rows, verbose=0),
        emit(graph).predict(rows, verbose=0) / 2.5,
        rtol=1e-4,
    )


def test_the_temperature_passes_through_a_mean_over_the_picture_behind_the_last_layer() -> None:
    from convert.lowering.reading import read
    from convert.lowering.rules import lower
    from train.networks.building import build

    graph, _ = lower(read(build("mini-xception", height=32, width=32, classes=7)))
    rows = normalize(pictures(4, side=32), graph)
    cooled = emit(fold_temperature(graph, 2.5)).predict(rows, verbose=0)
    plain = emit(graph).predict(rows, verbose=0)
    assert np.ptp(plain) > 1e-3
    np.testing.assert_allclose(cooled, plain / 2.5, rtol=1e-4, atol=1e-6)


def test_a_network_that_does_not_end_in_a_dense_layer_is_refused() -> None:
    picture = Node("input", "input", (), (4, 4, 3))
    pool = Node("pool", "global_average_pool", ("input",), (3,), {"keepdims": False}, path="pool")
    with pytest.raises(ValueError, match="expected a Dense without activation as the last layer; came global"):
        fold_temperature(Graph({"input": picture, "pool": pool}, "pool"), 2.0)
