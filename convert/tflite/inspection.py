"""What is in an exported file and where it runs: operators, XNNPACK partitions, float operators left, kernel scales.

An after-check of the conversion, by the interpreter that the device uses (ai-edge-litert, XNNPACK delegate on).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.tflite.flatfile import layer_of
from edge.inference.delegation import DELEGATE, taken_over

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
KERNEL_OPERATORS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""Operators with a constant kernel as second input, and the axis of its output channels."""


@dataclass(frozen=True)
class Inspection:
    """Facts about one exported network.

    Attributes:
        operators: How many of each, by name.
        partitions: How many pieces XNNPACK runs.
        outside: Operators that XNNPACK does not run, by name.
        float_operators: Operators with a float tensor among their inputs or outputs, by name.
        float_layers: Layers with an operator that computes in float (conversions are not counted), sorted; an operator
            that belongs to none is named itself.
        tensor_kernels: Layers whose int8 kernel has one scale for several output channels, by tensor name.
        input: scale and zero point of the input, 0.0 and 0 if it has none.
        output: scale and zero point of the output.
    """

    operators: dict[str, int]
    partitions: int
    outside: dict[str, int]
    float_operators: dict[str, int]
    float_layers: tuple[str, ...]
    tensor_kernels: tuple[str, ...]
    input: tuple[float, int]
    output: tuple[float, int]


def inspect(content: bytes) -> Inspection:
    """Reads a .tflite through the interpreter, delegated as on the device, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    from convert.tflite.export import quiet

    with quiet():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    details = interpreter._get_ops_details()
    operators = [entry for entry in details if entry["op_name"] != DELEGATE]
    partitions = [entry for entry in details if entry["op_name"] == DELEGATE]
    tensors = {entry["index"]: entry for entry in interpreter.get_tensor_details()}
    inside = taken_over(operators, partitions)
    floats = [entry for entry in operators if _is_float(entry, tensors)]
    computing = [entry for entry in floats if entry["op_name"] not in CONVERSIONS]
    outside = [entry["op_name"] for position, entry in enumerate(operators) if position not in inside]
    return Inspection(
        operators=_count(entry["op_name"] for entry in operators),
        partitions=len(partitions),
        outside=_count(outside),
        float_operators=_count(entry["op_name"] for entry in floats),
        float_layers=tuple(
            sorted({layer_of(str(tensors[int(e["outputs"][0])]["name"])) or e["op_name"] for e in computing})
        ),
        tensor_kernels=_tensor_kernels(operators, tensors),
        input=_scale(interpreter.get_input_details()[0]),
        output=_scale(interpreter.get_output_details()[0]),
    )


def _is_float(entry: Any, tensors: dict[int, Any]) -> bool:
    ends = [int(tensor) for tensor in (*entry["inputs"], *entry["outputs"]) if tensor >= 0]
    return any(tensors[tensor]["dtype"] in (np.float32, np.float16) for tensor in ends if tensor in tensors)


def _tensor_kernels(operators: list[Any], tensors: dict[int, Any]) -> tuple[str, ...]:
    found = []
    for entry in operators:
        if entry["op_name"] not in KERNEL_OPERATORS:
            continue
        kernel = tensors.get(int(entry["inputs"][1]))
        if kernel is None or kernel["dtype"] != np.int8:
            continue
        channels = int(kernel["shape"][KERNEL_OPERATORS[entry["op_name"]]])
        if len(kernel["quantization_parameters"]["scales"]) != channels:
            found.append(str(kernel["name"]))
    return tuple(found)


def _scale(details: Any) -> tuple[float, int]:
    scale, zero_point = details["quantization"]
    return float(scale), int(zero_point)


def _count(names: Any) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
