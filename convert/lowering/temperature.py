"""The fitted temperature folded into the last layer, so that every consumer of the file gets calibrated probabilities.

Fitted on the validation part after the lowering (``train.evaluation.calibration``), folded in before any quantization.
"""

from __future__ import annotations

from convert.lowering.graph import Graph


def fold_temperature(graph: Graph, temperature: float) -> Graph:
    """The graph whose logits are divided by the temperature, in the kernel and bias of its last layer.

    A mean over the picture may stand behind that layer: it passes a factor on.

    Raises:
        ValueError: The last layer has no kernel, or an activation behind it.
    """
    last = graph[graph.output]
    if last.kind == "global_average_pool" and graph[last.inputs[0]].kind == "conv2d":
        last = graph[last.inputs[0]]
    if last.kind not in ("dense", "conv2d") or last.attributes.get("activation"):
        raise ValueError(
            f"expected a Dense without activation as the last layer; came {last.kind} at {last.path!r}; "
            "give a model that ends with its logits"
        )
    return graph.put(
        last.with_weights(kernel=last.weights["kernel"] / temperature, bias=last.weights["bias"] / temperature)
    )
