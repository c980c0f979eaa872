from __future__ import annotations

import numpy as np
import pytest

from convert.lowering.graph import Graph
from convert.verification.integers import IntegerNetwork
from convert.verification.own_steps import own_steps
from tests.convert.networks import exported, pictures, small_network


def test_no_picture_and_a_foreign_network_are_refused() -> None:
    flatbuffer, network = exported(small_network())
    with pytest.raises(ValueError, match="expected pictures to compare the layers on; came none"):
        own_steps(flatbuffer, network, np.zeros((0, 16, 16, 3), np.uint8))
    only_input = Graph({"input": network.graph["input"]}, "input", 1 / 128, 128)
    with pytest.raises(ValueError, match="expected int8 layers to compare; came none"):
        own_steps(flatbuffer, IntegerNetwork(flatbuffer, only_input, network.reference), pictures(1))
