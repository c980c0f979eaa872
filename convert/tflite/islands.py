"""Float islands in an int8 file: chosen layers compute in float between DEQUANTIZE and QUANTIZE.

After ``convert.tflite.export.export_int8``, on the flatbuffer itself, because TFLiteConverter decides by itself what
stays in float: it takes any layer whose inputs and output have ranges, and the first MEAN of every LayerNormalization,
which rounds the mean to one step of its input. ``convert.quantization.fakequant.for_export`` models the same islands,
so that file and network agree. Which layers: ``convert.budget``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from convert.lowering.emission import with_trained_weights
from convert.lowering.graph import FLOAT_KINDS, Graph
from convert.lowering.layout import lay_out
from convert.quantization.fakequant import KERNEL_AXIS, SAME_SCALE, for_export, unrounded
from convert.tflite import flatfile
from convert.tflite.inspection import CONVERSIONS

_KERNEL_LAYOUT = {"CONV_2D": (3, 0, 1, 2), "DEPTHWISE_CONV_2D": (3, 0, 1, 2), "FULLY_CONNECTED": (1, 0)}
"""From Keras' kernel to TFLite's; a depthwise kernel [h, w, c, 1] becomes [1, h, w, c]."""


def with_islands(graph: Graph, model: Any, flatbuffer: bytes, kept: Collection[str]) -> tuple[bytes, Any]:
    """The file with its normalizations and the layers in ``kept`` in float, and the fake-quant network that it is.

    Args:
        graph: The lowered graph that ``model`` was made of.
        model: Fake-quant, calibrated, perhaps fine-tuned.
        flatbuffer: All-integer, exported from ``for_export(graph, model)``.
        kept: Layers to compute in float.
    """
    floats = frozenset(kept) | {node.name for node in graph if node.kind in FLOAT_KINDS}
    reference = for_export(graph, model, floats)
    if not floats:
        return flatbuffer, reference
    trained = lay_out(with_trained_weights(graph, model))
    weights = {name: trained[name].weights for name in floats if trained[name].kind in KERNEL_AXIS}
    passive = {node.name for node in graph if node.kind in SAME_SCALE}  # TFLiteConverter may fold these away
    return keep_in_float(flatbuffer, weights, floats, unrounded(graph, floats), passive), reference


def keep_in_float(
    flatbuffer: bytes,
    weights: Mapping[str, Mapping[str, np.ndarray]],
    kept: Collection[str],
    unrounded: Collection[str],
    passive: Collection[str] = (),
) -> bytes:
    """The file with some of its int8 layers computing in float.

    Args:
        flatbuffer: Of TFLiteConverter, all-integer.
        weights: ``kernel`` and ``bias`` float32 of the kept layers that have them, in Keras' layout.
        kept: Layers whose operators are to compute in float.
        unrounded: Those of them whose result float readers take as it is; the others' is rounded to int8 for all.
        passive: Layers that the file may do without.

    Raises:
        ValueError: A kept layer has no operator in the file.
    """
    file = _File(flatfile.unpack(flatbuffer))
    present = {layer for op in file.operators if (layer := file.layer(op)) is not None}
    missing = sorted(set(kept) - present - set(passive))
    if missing:
        raise ValueError(f"expected layers with an operator in the file; came {', '.join(missing)}")
    file.keep(weights, frozenset(kept), frozenset(unrounded))
    file.prune()
    return flatfile.pack(file.model)


class _File:
    """A ``ModelT`` with one subgraph, and the names of its parts."""

    def __init__(self, model: Any) -> None:
        from tensorflow.lite.python import schema_py_generated as schema

        self.model, self.schema = model, schema
        self.graph = model.subgraphs[0]
        self.names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}

    @property
    def operators(self) -> list[Any]:
        return list(self.graph.operators)

    def kind(self, operator: Any) -> str:
        code = self.model.operatorCodes[operator.opcodeIndex]
        return str(self.names[max(code.builtinCode, code.deprecatedBuiltinCode)])

    def layer(self, operator: Any) -> str | None:
        return flatfile.layer_of(self.graph.tensors[operator.outputs[0]].name.decode())

    def keep(self, weights: Mapping[str, Any], kept: frozenset[str], unrounded: frozenset[str]) -> None:
        """Rewrites the operators in order; ``value`` is the float tensor that holds what an int8 tensor means."""
        value: dict[int, int] = {}
        inner = self._inner_tensors()
        renamed: dict[int, int] = {}
        rewritten: list[Any] = []
        for operator in self.operators:
            operator.inputs = [renamed.get(int(tensor), int(tensor)) for tensor in operator.inputs]
            operator.outputs = [int(tensor) for tensor in operator.outputs]
            kind, layer = self.kind(operator), self.layer(operator)
            if kind == "DEQUANTIZE":
                source = int(operator.inputs[0])
                if source in value:  # there is a float tensor for it already
                    renamed[operator.outputs[0]] = value[source]
                    continue
                value[source] = operator.outputs[0]
            elif kind == "QUANTIZE" and self._is_int8(operator.inputs[0]):  # to the scale of a CONCATENATION
                source = operator.inputs[0]
                if source not in value:
                    value[source] = self._tensor(self.graph.tensors[source], b"/dequantized")
                    rewritten.append(self._conversion("DEQUANTIZE", source, value[source]))
                value[operator.outputs[0]] = value[source]
            elif kind == "QUANTIZE" and layer in unrounded:  # a normalization computes in float already
                value[operator.outputs[0]] = operator.inputs[0]
            elif layer in kept and kind not in CONVERSIONS:
                self._float_inputs(operator, kind, weights.get(layer or "", {}), value, rewritten)
                rewritten.append(operator)
                rewritten += self._float_outputs(operator, inner if layer not in unrounded else None, value)
                continue
            rewritten.append(operator)
        self.graph.operators = rewritten

    def _float_inputs(
        self, operator: Any, kind: str, weights: Mapping[str, np.ndarray], value: dict[int, int], rewritten: list[Any]
    ) -> None:
        """Makes an operator read float tensors: constants from the weights, others by DEQUANTIZE where none is."""
        for position, tensor in enumerate(operator.inputs):
            entry = self.graph.tensors[tensor] if tensor >= 0 else None
            if entry is None or entry.quantization is None or entry.quantization.scale is None:
                continue
            if self._is_constant(entry):
                given = weights["kernel"].transpose(_KERNEL_LAYOUT[kind]) if position == 1 else weights["bias"]
                operator.inputs[position] = self._constant(entry, np.ascontiguousarray(given, np.float32))
                continue
            if tensor not in value:
                value[tensor] = self._tensor(entry, b"/dequantized")
                rewritten.append(self._conversion("DEQUANTIZE", tensor, value[tensor]))
            operator.inputs[position] = value[tensor]

    def _inner_tensors(self) -> frozenset[int]:
        """Tensors that only operators of their own layer read, such as the mean inside a normalization."""
        readers: dict[int, set[str | None]] = {}
        for operator in reversed(self.operators):
            layers = {self.layer(operator)}
            if self.kind(operator) in CONVERSIONS:
                layers = readers.get(int(operator.outputs[0]), layers)
            for tensor in operator.inputs:
                readers.setdefault(int(tensor), set()).update(layers)
        written = {int(tensor): self.layer(op) for op in self.operators for tensor in op.outputs}
        return frozenset(tensor for tensor, layer in written.items() if readers.get(tensor) == {layer})

    def _float_outputs(self, operator: Any, inner: frozenset[int] | None, value: dict[int, int]) -> list[Any]:
        """Makes an operator write float tensors; the QUANTIZE operators behind it that int8 readers need.

        Args:
            operator: Of a kept layer.
            inner: Tensors that are not rounded; None to round none.
            value: Gets the tensors that float readers take as they are.
        """
        extra = []
        for position, tensor in enumerate(operator.outputs):
            entry = self.graph.tensors[tensor]
            if entry.quantization is None or entry.quantization.scale is None:
                continue
            result = self._tensor(entry, b"/float")
            operator.outputs[position] = result
            extra.append(self._conversion("QUANTIZE", result, tensor))
            if inner is None or tensor in inner:
                value[tensor] = result
        return extra

    def _is_int8(self, tensor: int) -> bool:
        return bool(self.graph.tensors[tensor].type == self.schema.TensorType.INT8)

    def _is_constant(self, entry: Any) -> bool:
        data = self.model.buffers[entry.buffer].data
        return data is not None and len(data) > 0

    def _tensor(self, like: Any, suffix: bytes) -> int:
        """A new float tensor of the same shape."""
        new = self.schema.TensorT()
        new.name, new.shape, new.type = like.name + suffix, like.shape, self.schema.TensorType.FLOAT32
        new.shapeSignature, new.hasRank = like.shapeSignature, like.hasRank
        self.graph.tensors.append(new)
        return len(self.graph.tensors) - 1

    def _constant(self, like: Any, array: np.ndarray) -> int:
        if tuple(int(side) for side in like.shape) != array.shape:
            raise ValueError(f"expected weights of shape {tuple(like.shape)}; came {array.shape} for {like.name!r}")
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        index = self._tensor(like, b"/float")
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def _conversion(self, kind: str, source: int, target: int) -> Any:
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._code(kind)
        operator.inputs, operator.outputs = [source], [target]
        options = f"{kind.title()}Options"
        operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(self.schema, f"{options}T")()
        return operator

    def _code(self, kind: str) -> int:
        """The index of an operator code, added where the file has none; version 2 reads and writes int8."""
        wanted = getattr(self.schema.BuiltinOperator, kind)
        for index, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted:
                return index
        code = self.schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = wanted, wanted, 2
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def prune(self) -> None:
        """Drops conversions that nothing reads, then tensors and buffers that no operator uses."""
        graph = self.graph
        while True:
            read = {int(tensor) for op in graph.operators for tensor in op.inputs} | {int(t) for t in graph.outputs}
            useful = [
                op
                for op in graph.operators
                if self.kind(op) not in CONVERSIONS or any(int(t) in read for t in op.outputs)
            ]
            if len(useful) == len(graph.operators):
                break
            graph.operators = useful
        used = {int(t) for op in graph.operators for t in (*op.inputs, *op.outputs) if t >= 0}
        used |= {int(t) for t in (*graph.inputs, *graph.outputs)}
        place = {old: new for new, old in enumerate(sorted(used))}
        for op in graph.operators:
            op.inputs = [place[int(t)] if t >= 0 else -1 for t in op.inputs]
            op.outputs = [place[int(t)] for t in op.outputs]
        graph.inputs, graph.outputs = [place[int(t)] for t in graph.inputs], [place[int(t)] for t in graph.outputs]
        self._move_signatures(place)
        graph.tensors = [graph.tensors[old] for old in sorted(used)]
        self._prune_buffers()

    def _move_signatures(self, place: Mapping[int, int]) -> None:
        for signature in self.model.signatureDefs or []:
            for entry in (*(signature.inputs or []), *(signature.outputs or [])):
                entry.tensorIndex = place[entry.tensorIndex]

    def _prune_buffers(self) -> None:
        """The buffer 0 is empty by the format's rule and stays."""
        users = [*self.graph.tensors, *(self.model.metadata or [])]
        kept = sorted({0, *(int(user.buffer) for user in users)})
        place = {old: new for new, old in enumerate(kept)}
        for user in users:
            user.buffer = place[int(user.buffer)]
        self.model.buffers = [self.model.buffers[old] for old in kept]
