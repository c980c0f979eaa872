"""Whether an int8 file computes what its network says, each layer on the file's own inputs.

Classes may differ although every layer is right. Where a float sum lies on the border of two steps, float arithmetic
and XNNPACK's integers round it apart, one value in a hundred thousand; in a deep network with swish and
squeeze-and-excite that one moves others, until many values and some classes differ. ``convert.checks`` decides by this
which it is.

It runs XNNPACK itself: the kernels without it round MEAN otherwise (up to six values in ten a step away).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert import flatfile
from convert.graph import INPUT, Graph
from convert.layer_error import dequantized, keeping_interpreter, layer_tensors
from convert.parity import normalize
from convert.quantization import PREFIX, SAME_SCALE


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


def own_steps(flatbuffer: bytes, graph: Graph, reference: Any, pictures: np.ndarray) -> OwnSteps:
    """Compares each layer of an int8 file, run by XNNPACK, with its network's layer on the file's own inputs.

    Args:
        flatbuffer: Of ``convert.export.export_int8``.
        graph: Of the network as it was exported (``convert.layout.lay_out``); its weights are not looked at.
        reference: Of ``convert.quantization.for_export``.
        pictures: uint8 [n, height, width, 3], raw; a few dozen do.

    Raises:
        ValueError: No picture, or no layer has an int8 tensor and known inputs.
    """
    if len(pictures) == 0:
        raise ValueError("expected pictures to compare the layers on; came none; give some of the validation part")
    tensors = layer_tensors(keeping_interpreter(flatbuffer), graph)
    rows = _run(flatbuffer, tensors, pictures)
    values = {name: dequantized(found, tensors[name]) for name, found in rows.items()}
    values[INPUT] = normalize(pictures, graph)
    shares: dict[str, float] = {}
    same = count = 0
    for name, details in tensors.items():
        feeds = [_feed(graph, feed, values) for feed in graph[name].inputs]
        if details["dtype"] != np.int8 or graph[name].kind in SAME_SCALE or any(feed is None for feed in feeds):
            continue
        came = np.asarray(_layer(reference, name)(feeds[0] if len(feeds) == 1 else feeds, training=False))
        scale, zero_point = details["quantization"]
        equal = np.round(came / scale) + zero_point == rows[name]
        shares[name] = float(equal.mean())
        same, count = same + int(equal.sum()), count + equal.size
    if not shares:
        raise ValueError("expected int8 layers to compare; came none; give an all-integer file of this network")
    worst = min(shares, key=lambda name: shares[name])
    return OwnSteps(same / count, count, len(shares), shares[worst], worst)


def _run(flatbuffer: bytes, tensors: Mapping[str, Any], pictures: np.ndarray) -> dict[str, np.ndarray]:
    """The layers' tensors over the pictures, raw, from a copy of the file that gives them all as outputs."""
    from ai_edge_litert.interpreter import Interpreter

    from convert.export import quiet

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


def _feed(graph: Graph, name: str, values: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """What a layer reads; None where the file has no tensor of it."""
    if name in values:
        return values[name]
    node = graph[name]
    below = _feed(graph, node.inputs[0], values) if node.kind == "reshape" else None
    return None if below is None else below.reshape(-1, *node.shape)


def _layer(reference: Any, name: str) -> Any:
    names = {layer.name for layer in reference.layers}
    return reference.get_layer(PREFIX + name if PREFIX + name in names else name)
