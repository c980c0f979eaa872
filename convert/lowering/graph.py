"""The converter's own network: a flat list of layers with their weights as arrays.

Between the Keras 3 model (``convert.lowering.reading``) and the tf_keras model that is quantized and exported
(``convert.lowering.emission``). The rules of ``convert.lowering.rules`` rewrite it; it knows no framework, so that each
rule can be worked out by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

INPUT = "input"
FLOAT_KINDS = ("layer_norm",)
"""Kinds that compute in float in every int8 file (``convert.lowering.normalization``)."""


@dataclass(frozen=True, eq=False)
class Node:
    """One layer.

    Attributes:
        name: Unique in the graph, without slashes.
        kind: What it computes; a key of ``convert.lowering.emission.EMITTERS`` once the rules are through.
        inputs: Names of the layers that feed it, in order.
        shape: Of its output, without the batch axis.
        attributes: Settings such as strides; plain Python values. ``constant_range``, (minimum, maximum) of the output,
            marks a layer that fine-tuning and calibration leave alone, its kernel on the int8 grid already.
        weights: Arrays by name, float32.
        path: Where the layer stands in the Keras model, e.g. ``outer/inner/conv``, for messages.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    path: str = ""

    def with_attributes(self, **changes: Any) -> Node:
        """This layer with some settings changed."""
        return replace(self, attributes={**self.attributes, **changes})

    def with_weights(self, **changes: np.ndarray) -> Node:
        """This layer with some arrays changed (kept as float32)."""
        arrays = {name: np.asarray(value, np.float32) for name, value in changes.items()}
        return replace(self, weights={**self.weights, **arrays})


@dataclass(frozen=True, eq=False)
class Graph:
    """A whole network in topological order, from one picture to one row of logits.

    Attributes:
        nodes: The layers by name; the first is the input, named ``input``.
        output: Name of the layer that gives the result.
        input_scale: One step of the raw uint8 pixel in the unit that the first layer sees.
        input_zero_point: The raw pixel value, 0 to 255, that the first layer sees as 0.
    """

    nodes: Mapping[str, Node]
    output: str
    input_scale: float = 1.0
    input_zero_point: int = 0

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(height, width, channels) of the picture."""
        return self.nodes[INPUT].shape

    @property
    def input_range(self) -> tuple[float, float]:
        """What the first layer sees of the raw pixel values 0 and 255."""
        return -self.input_zero_point * self.input_scale, (255 - self.input_zero_point) * self.input_scale

    def consumers(self, name: str) -> list[Node]:
        """The layers that read the output of the layer ``name``, in order."""
        return [node for node in self if name in node.inputs]

    def is_private(self, name: str) -> bool:
        """Whether exactly one layer reads ``name`` and the network does not return it: the two may be merged."""
        return len(self.consumers(name)) == 1 and name != self.output

    def put(self, node: Node) -> Graph:
        """The graph with the layer of that name replaced, at the same place."""
        if node.name not in self.nodes:
            raise ValueError(f"expected a layer of the graph to replace; came {node.name!r}")
        return replace(self, nodes={name: node if name == node.name else old for name, old in self.nodes.items()})

    def without(self, name: str) -> Graph:
        """The graph less one layer with one input, whose readers now read that input."""
        node = self.nodes[name]
        if len(node.inputs) != 1:
            raise ValueError(f"expected a layer with one input to remove; came {name!r} with {len(node.inputs)}")
        source = node.inputs[0]
        nodes = {
            old.name: replace(old, inputs=tuple(source if feed == name else feed for feed in old.inputs))
            for old in self
            if old.name != name
        }
        return replace(self, nodes=nodes, output=source if self.output == name else self.output)

    def insert_before(self, node: Node, before: str) -> Graph:
        """The graph with a new layer placed just before the layer ``before`` (its readers are not changed)."""
        if node.name in self.nodes:
            raise ValueError(f"expected a new layer name; came {node.name!r}, which is there already")
        nodes: dict[str, Node] = {}
        for old in self:
            if old.name == before:
                nodes[node.name] = node
            nodes[old.name] = old
        return replace(self, nodes=nodes)
