"""Which layer of an int8 file computes something else than its network, each layer on the file's own inputs.

Asked by ``convert.verification.checks`` where a file does not give its network's classes. It runs XNNPACK itself,
because the kernels without it round MEAN otherwise (up to six values in ten a step away).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.lowering.graph import INPUT, Graph
from convert.lowering.parity import normalize
from convert.quantization.fakequant import SAME_SCALE
from convert.tflite import flatfile
from convert.verification.integers import IntegerNetwork


@dataclass(frozen=True)
class OwnSteps:
    """How far a file's layers give their network's integers from the same inputs.

    Attributes:
        share: Of all values, 0..1, that are the same integer.
        values: Number of values compared.
        layers: Number of layers compared.
        least: Share of the layer that agrees least, 0..1.
        layer: Its name in the lowered graph.
    """

    share: float
    values: int
    layers: int
    least: float
    layer: str


def own_steps(flatbuffer: bytes, network: IntegerNetwork, pictures: np.ndarray) -> OwnSteps:
    """Compares each layer of an int8 file, run by XNNPACK, with its network's layer on the file's own inputs.

    Layers to which the file gives another scale than the network are left out. Beside a concatenation a sound layer may
    be called different, as the file holds its result at two scales.

    Args:
        flatbuffer: The file that ``network`` is of.
        network: Of ``convert.verification.integers``.
        pictures: uint8 [n, height, width, 3], raw; a few dozen do.

    Raises:
        ValueError: No picture, or no layer has an int8 tensor and known inputs.
    """
    import tensorflow as tf

    if len(pictures) == 0:
        raise ValueError("expected pictures to compare the layers on; came none; give some of the validation part")
    rows = _run(flatbuffer, network.tensors, pictures)
    values = {INPUT: network.steps[INPUT].rounded(tf.constant(normalize(pictures, network.graph)))}
    values |= {name: tf.constant(found, tf.float32) for name, found in rows.items()}
    shares: dict[str, float] = {}
    same = count = 0
    for name, found in rows.items():
        feeds = [_feed(network.graph, feed, values) for feed in network.graph[name].inputs]
        is_own = np.float32(network.tensors[name]["quantization"][0]) == network.steps[name].scale
        if network.graph[name].kind in SAME_SCALE or not is_own or any(feed is None for feed in feeds):
            continue
        equal = network.layer(name, feeds).numpy() == found
        shares[name] = float(equal.mean())
        same, count = same + int(equal.sum()), count + equal.size
    if not shares:
        raise ValueError("expected int8 layers to compare; came none; give an all-integer file of this network")
    worst = min(shares, key=lambda name: shares[name])
    return OwnSteps(same / count, count, len(shares), shares[worst], worst)


def _run(flatbuffer: bytes, tensors: Mapping[str, Any], pictures: np.ndarray) -> dict[str, np.ndarray]:
    """The layers' tensors over the pictures, raw, from a copy of the file that gives them all as outputs."""
    from ai_edge_litert.interpreter import Interpreter

    from convert.tflite.export import quiet

    model = flatfile.unpack(flatbuffer)
    (subgraph,), wanted = model.subgraphs, {int(details["index"]) for details in tensors.values()}
    subgraph.outputs = [*map(int, subgraph.outputs), *sorted(wanted - set(map(int, subgraph.outputs)))]
    model.signatureDefs = []
    with quiet():
        interpreter = Interpreter(model_content=flatfile.pack(model), num_threads=1)
        interpreter.allocate_tensors()
    places = {details["name"]: details["index"] for details in interpreter.get_output_details()}
    source = interpreter.get_input_details()[0]["index"]
    rows: dict[str, list[np.ndarray]] = {name: [] for name in tensors}
    for picture in pictures:
        interpreter.set_tensor(source, picture[np.newaxis])
        interpreter.invoke()
        for name, found in rows.items():
            found.append(interpreter.get_tensor(places[tensors[name]["name"]]))
    return {name: np.concatenate(found) for name, found in rows.items()}


def _feed(graph: Graph, name: str, values: Mapping[str, Any]) -> Any:
    """What a layer reads; None where the file has no tensor of it."""
    if name in values:
        return values[name]
    import tensorflow as tf

    node = graph[name]
    below = _feed(graph, node.inputs[0], values) if node.kind == "reshape" else None
    return None if below is None else tf.reshape(below, (-1, *node.shape))
