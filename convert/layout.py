"""The stem of an int8 network on pixels side by side: the same sums from fewer, wider taps.

Applied by ``convert.quantization.for_export`` to the network as it is exported; fine-tuning sees the plain stem.
XNNPACK pads the 3 channels of each tap to 8 (4 with dot products); [h, w, 3] in memory is [h, w / n, 3 n] too, so that
a tap of n pixels wastes less. Float networks gain nothing (a 3x3 stem is slower so) and keep theirs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convert.graph import INPUT, Graph, Node

NAME = "pixels_side_by_side"


def lay_out(graph: Graph) -> Graph:
    """The graph with its stem on pixels side by side, where its kernel allows; else the graph as it is.

    Patches (4x4 at stride 4) become rows of one tap each; 3x3 at stride 2 with SAME padding on an even width becomes
    3x2 taps of two pixels, the last of them unused.
    """
    stems = graph.consumers(INPUT)
    if len(stems) != 1 or stems[0].kind != "conv2d" or stems[0].attributes["dilation"] != (1, 1):
        return graph
    stem, (height, width, channels) = stems[0], graph.input_shape
    kernel, strides, padding = stem.weights["kernel"], stem.attributes["strides"], stem.attributes["padding"]
    rows, columns, _, filters = kernel.shape
    if padding == "valid" and strides == (rows, columns) != (1, 1) and width % columns == 0:
        together = columns
        wide = kernel.reshape(rows, 1, columns * channels, filters)
    elif (rows, columns, strides, padding) == (3, 3, (2, 2), "same") and width % 2 == 0:
        together = 2
        wide = np.concatenate([kernel, np.zeros_like(kernel[:, :1])], axis=1).reshape(3, 2, 2 * channels, filters)
    else:
        return graph
    view = Node(NAME, "reshape", (INPUT,), (height, width // together, together * channels), path=stem.path)
    changed = replace(stem, inputs=(NAME,)).with_weights(kernel=wide)
    changed = changed.with_attributes(strides=(strides[0], strides[1] // together))
    return graph.insert_before(view, stem.name).put(changed)
