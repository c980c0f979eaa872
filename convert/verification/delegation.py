"""Where each operator of an exported file runs, and why some stay outside XNNPACK: the delegation report.

An after-check like ``convert.tflite.inspection``, but by operator. The reasons are the conditions under which TFLite's
XNNPACK delegate takes an operator; a test holds the scale windows against the installed runtime at both borders.

Source: tensorflow/lite/delegates/xnnpack/xnnpack_delegate.cc (VisitNode, VisitBinaryNode, VisitUnaryNode).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from convert.tflite.inspection import KERNEL_OPERATORS
from edge.inference.delegation import DELEGATE, taken_over

INT8, FLOAT, OUTSIDE = "xnnpack-int8", "xnnpack-float", "outside"
PLACES = (INT8, FLOAT, OUTSIDE)
SUM_WINDOW = (2.0**-10, 2.0**8)
PRODUCT_WINDOW = (2.0**-16, 2.0**8)
CONVERSION_WINDOW = (2.0**-8, float(np.nextafter(np.float32(2.0**7), np.float32(np.inf))))
KERNEL_WINDOW = (0.0, 2.0**8)
"""Scale ratios from the first number on, below the second; QUANTIZE's window includes 128."""
IN_XNNPACK = frozenset({
    "ABS", "ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CEIL", "CONCATENATION", "CONV_2D", "COS",
    "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "DEQUANTIZE", "DIV", "ELU", "EXP", "FLOOR", "FULLY_CONNECTED",
    "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MINIMUM", "MUL", "NEG",
    "PAD", "PRELU", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE",
    "RESIZE_BILINEAR", "ROUND", "RSQRT", "SIN", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT", "SQRT", "SQUARE",
    "SQUARED_DIFFERENCE", "STRIDED_SLICE", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV",
})  # fmt: skip
IN_FLOAT_ONLY = frozenset({
    "ABS", "AVERAGE_POOL_2D", "CEIL", "COS", "DIV", "EXP", "FLOOR", "GELU", "HARD_SWISH", "MAXIMUM", "MINIMUM",
    "NEG", "PRELU", "RELU", "RELU6", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIN", "SOFTMAX", "SQRT", "SQUARE",
    "SQUARED_DIFFERENCE",
})  # fmt: skip
CONSTANT_SECOND = frozenset({
    "MEAN", "PAD", "RESHAPE", "RESIZE_BILINEAR", "SLICE", "STRIDED_SLICE", "SUM", "TRANSPOSE",
})  # fmt: skip
"""Operators whose second input (a shape, paddings, axes) must be a constant."""


class ScaleError(ValueError):
    """A file whose scales no XNNPACK takes, and which makes its delegate fail instead of leaving the operator out."""


@dataclass(frozen=True)
class Ratio:
    """One scale ratio of an operator that must lie in a window.

    Attributes:
        of: What is divided by what.
        value: Worked out in float32, as the delegate does; of a kernel by channel, the largest.
        low: The least value that is taken; 0 where there is no such border.
        high: The least value that is no longer taken.
        margin: Factors of two to the nearer border; negative outside.
    """

    of: str
    value: float
    low: float
    high: float
    margin: float

    @property
    def holds(self) -> bool:
        """Whether the ratio lies in its window."""
        return self.low <= self.value < self.high


@dataclass(frozen=True)
class Operator:
    """One operator of the file.

    Attributes:
        position: In the file's order, from 0.
        name: TFLite's, e.g. ``CONV_2D``.
        output: Name of its first output tensor.
        place: One of ``PLACES``; float also where a float operator has an int8 kernel.
        partition: Number of the XNNPACK partition that runs it, from 0 in the file's order; None outside.
        ratios: Its scale ratios that have a window.
        reason: Why it is outside; None inside.
    """

    position: int
    name: str
    output: str
    place: str
    partition: int | None
    ratios: tuple[Ratio, ...]
    reason: str | None


@dataclass(frozen=True)
class Delegation:
    """The delegation report of one file.

    Attributes:
        operators: All, in the file's order.
        partitions: How many pieces XNNPACK runs.
        counts: Operators by place, then by name.
    """

    operators: tuple[Operator, ...]
    partitions: int
    counts: dict[str, dict[str, int]]


def delegation(content: bytes) -> Delegation:
    """Reads a .tflite through the interpreter, delegated as on the device, on one thread.

    Raises:
        ScaleError: A kernel's scales are too large for XNNPACK (``require_kernel_scales``).
    """
    from ai_edge_litert.interpreter import Interpreter

    from convert.tflite.export import quiet

    require_kernel_scales(content)
    with quiet():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    details = interpreter._get_ops_details()
    entries = [entry for entry in details if entry["op_name"] != DELEGATE]
    inside = [taken_over(entries, [entry]) for entry in details if entry["op_name"] == DELEGATE]
    inside = sorted(inside, key=lambda positions: min(positions, default=len(entries)))
    partition_of = {position: number for number, positions in enumerate(inside) for position in positions}
    tensors = {entry["index"]: entry for entry in interpreter.get_tensor_details()}
    computed = {int(tensor) for entry in entries for tensor in entry["outputs"]}
    computed |= {entry["index"] for entry in interpreter.get_input_details()}
    operators = []
    for position, entry in enumerate(entries):
        partition = partition_of.get(position)
        ratios = _ratios(entry, tensors)
        place = OUTSIDE if partition is None else INT8 if _is_integer(entry, tensors) else FLOAT
        reason = None if partition is not None else _reason(entry, tensors, computed, ratios, bool(inside))
        output = str(tensors[int(entry["outputs"][0])]["name"])
        operators.append(Operator(position, entry["op_name"], output, place, partition, ratios, reason))
    counts = {place: Counter(operator.name for operator in operators if operator.place == place) for place in PLACES}
    return Delegation(
        tuple(operators), len(inside), {place: dict(sorted(found.items())) for place, found in counts.items()}
    )


def require_kernel_scales(content: bytes) -> None:
    """Refuses a file with input scale * kernel scale / output scale of 256 or more in a convolution or dense layer.

    The delegate takes such an operator, then XNNPACK refuses to make it, and the runtime loses the whole delegate or
    aborts the process (ai-edge-litert 2.3 does). So this is to be asked before an interpreter allocates.

    Raises:
        ScaleError: Names the operators.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    tensors = {entry["index"]: entry for entry in interpreter.get_tensor_details()}
    found = []
    for entry in interpreter._get_ops_details():
        if entry["op_name"] in KERNEL_OPERATORS:
            found += [(entry, ratio) for ratio in _ratios(entry, tensors) if not ratio.holds]
    if found:
        entry, ratio = found[0]
        raise ScaleError(
            f"expected {ratio.of} below {ratio.high:g} in every kernel; came {ratio.value:.4g} in "
            f"{tensors[int(entry['outputs'][0])]['name']!r} ({len(found)} in all), at which XNNPACK fails; "
            "widen that layer's output range"
        )


def as_json(report: Delegation) -> dict[str, Any]:
    """The report as plain JSON values."""
    return asdict(report)


def _ratios(entry: Any, tensors: Mapping[int, Any]) -> tuple[Ratio, ...]:
    """The scale ratios of an operator whose data are all 8-bit integers; none for others."""
    name = entry["op_name"]
    if not _is_integer(entry, tensors):
        return ()
    feeds = [_scales(tensors, tensor) for tensor in entry["inputs"][:2] if tensor >= 0]
    output = _scales(tensors, entry["outputs"][0])
    if output.size != 1 or not all(scales.size and scales.min() > 0 for scales in (*feeds, output)):
        return ()
    if name in ("ADD", "SUB"):
        return tuple(_ratio(f"input {i} / output", feed / output, SUM_WINDOW) for i, feed in enumerate(feeds))
    if name == "MUL":
        return (_ratio("product of inputs / output", feeds[0] * feeds[1] / output, PRODUCT_WINDOW),)
    if name == "QUANTIZE" and len(set(_types(entry, tensors))) == 1:
        return (_ratio("input / output", feeds[0] / output, CONVERSION_WINDOW),)
    if name in KERNEL_OPERATORS:
        return (_ratio("input * kernel / output", feeds[0] * feeds[1] / output, KERNEL_WINDOW),)
    return ()


def _ratio(of: str, values: np.ndarray, window: tuple[float, float]) -> Ratio:
    low, high = window
    value = float(values.max())
    above = math.log2(high / value)
    margin = min(above, math.log2(value / low)) if low > 0 else above
    return Ratio(of, value, low, high, margin)


def _scales(tensors: Mapping[int, Any], tensor: int) -> np.ndarray:
    return np.asarray(tensors[int(tensor)]["quantization_parameters"]["scales"], np.float32)


def _reason(
    entry: Any, tensors: Mapping[int, Any], computed: set[int], ratios: tuple[Ratio, ...], took_any: bool
) -> str:
    """Why the delegate left the operator; asked in the delegate's own order, from the coarse to the fine."""
    name = entry["op_name"]
    if name not in IN_XNNPACK:
        return "XNNPACK has no such operator"
    types = _types(entry, tensors)
    integer = any(kind in (np.int8, np.uint8) for kind in types)
    if integer and name in IN_FLOAT_ONLY:
        return "XNNPACK has it in float only"
    if name == "QUANTIZE" and {np.int8, np.uint8} <= set(types):
        return "XNNPACK does not convert between uint8 and int8"
    if name in CONSTANT_SECOND and len(entry["inputs"]) > 1 and int(entry["inputs"][1]) in computed:
        return "its shape is only known when it runs"
    if name in KERNEL_OPERATORS and np.float32 in types and integer:
        return "float data with an int8 kernel"
    if name not in ("QUANTIZE", "DEQUANTIZE") and len(set(types)) > 1:
        return f"mixed types {', '.join(sorted({np.dtype(kind).name for kind in types}))}"
    broken = [ratio for ratio in ratios if not ratio.holds]
    if broken:
        return "; ".join(_outside_text(ratio) for ratio in broken)
    return "no cause is known here" if took_any else "the delegate took nothing of this file"


def _outside_text(ratio: Ratio) -> str:
    low, high = (f"2^{math.log2(border):g}" for border in (ratio.low, ratio.high))
    side = "below" if ratio.value < ratio.low else "not below"
    border = low if ratio.value < ratio.low else high
    return f"scale ratio {ratio.of} is {ratio.value:.3g}, {side} {border} (window {low} to {high})"


def _types(entry: Any, tensors: Mapping[int, Any]) -> list[Any]:
    """Types of the data: the output, the first input, and the second where that is data or a kernel."""
    name = entry["op_name"]
    two = name in KERNEL_OPERATORS or name in ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
    ends = [*entry["inputs"][: 2 if two else 1], *entry["outputs"]]
    return [tensors[int(tensor)]["dtype"] for tensor in ends if tensor >= 0 and int(tensor) in tensors]


def _is_integer(entry: Any, tensors: Mapping[int, Any]) -> bool:
    """Whether an operator works on 8-bit integers alone."""
    return all(kind in (np.int8, np.uint8) for kind in _types(entry, tensors))
