"""The few facts about a .tflite that must be known before an interpreter sees it, read bounds-checked.

The interpreters follow a file's offsets without looking; a damaged one crashes the process. This reader checks every
offset and reads no further than the model's inputs and outputs.

Sources: FlatBuffers, "Internals" (tables, vtables, vectors); TensorFlow Lite's schema.fbs, version 3 (field numbers).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from edge.errors import ModelFileError

IDENTIFIER = b"TFL3"
TENSOR_TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16",
    8: "complex64", 9: "int8", 10: "float64", 11: "complex128", 12: "uint64", 13: "resource", 14: "variant",
    15: "uint32", 16: "uint16", 17: "int4",
}  # fmt: skip

_MODEL_SUBGRAPHS, _SUBGRAPH_TENSORS, _SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS = 2, 0, 1, 2
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_QUANTIZATION = 0, 1, 3, 4
_QUANTIZATION_SCALE, _QUANTIZATION_ZERO_POINT = 2, 3
_MOST_ITEMS = 1 << 20


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as the file declares it.

    Attributes:
        name: its name.
        shape: its sizes.
        dtype: numpy's name of its type ("uint8", "float32", ...).
        scale: quantization step; real = scale * (stored - zero_point). None: not quantized.
        zero_point: the stored value of real 0. None: not quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None


def read_signature(content: bytes) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Return the inputs and the outputs of a .tflite's first subgraph.

    Raises:
        ModelFileError: not a TFLite flatbuffer, or an offset points outside it (the text lacks the file's name).
    """
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        raise ModelFileError(
            f"expected a TFLite model (TFL3 at byte 4); got {content[4:8]!r}; give a .tflite from `python -m convert`"
        )
    try:
        model = _Table(content, _unsigned(content, 0))
        subgraphs = model.tables(_MODEL_SUBGRAPHS)
        if not subgraphs:
            raise ModelFileError("expected a model with a subgraph; got none; export it again")
        tensors = subgraphs[0].table_offsets(_SUBGRAPH_TENSORS)
        sides = (subgraphs[0].integers(_SUBGRAPH_INPUTS), subgraphs[0].integers(_SUBGRAPH_OUTPUTS))
        inputs, outputs = (tuple(_tensor(_Table(content, tensors[i])) for i in _indices(side)) for side in sides)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ModelFileError(
            "expected a whole TFLite model; got one that is damaged or ends early; copy or export it again"
        ) from error
    return inputs, outputs


class _Table:
    """A flatbuffer table at a position; fields are looked up through its vtable; absent fields read as empty."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content = content
        self._position = position
        vtable = position - struct.unpack_from("<i", content, position)[0]
        if vtable < 0:
            raise IndexError(vtable)
        size = struct.unpack_from("<H", content, vtable)[0]
        self._fields = struct.unpack_from(f"<{max(0, size - 4) // 2}H", content, vtable + 4)

    def _field(self, number: int) -> int | None:
        """Return the position of a field's value, or None where the table has no such field."""
        if number >= len(self._fields) or self._fields[number] == 0:
            return None
        return self._position + self._fields[number]

    def _vector(self, number: int, item_bytes: int) -> tuple[int, int]:
        """Return the position of a vector's first item and the number of its items (0 where absent)."""
        field = self._field(number)
        if field is None:
            return 0, 0
        start = field + _unsigned(self._content, field)
        count = _unsigned(self._content, start)
        if count > _MOST_ITEMS or start + 4 + count * item_bytes > len(self._content):
            raise IndexError(start)
        return start + 4, count

    def table_offsets(self, number: int) -> list[int]:
        """Return the positions of the tables in a vector of tables."""
        start, count = self._vector(number, 4)
        places = range(start, start + 4 * count, 4)
        return [place + _unsigned(self._content, place) for place in places]

    def tables(self, number: int) -> list[_Table]:
        """Return the tables in a vector of tables."""
        return [_Table(self._content, offset) for offset in self.table_offsets(number)]

    def table(self, number: int) -> _Table | None:
        """Return a sub-table, or None where absent."""
        field = self._field(number)
        return None if field is None else _Table(self._content, field + _unsigned(self._content, field))

    def integers(self, number: int, layout: str = "i") -> tuple[int, ...]:
        """Return a vector of whole numbers ("i": 32 bits, "q": 64 bits)."""
        start, count = self._vector(number, struct.calcsize(f"<{layout}"))
        return struct.unpack_from(f"<{count}{layout}", self._content, start)

    def floats(self, number: int) -> tuple[float, ...]:
        """Return a vector of 32-bit floating-point numbers."""
        start, count = self._vector(number, 4)
        return struct.unpack_from(f"<{count}f", self._content, start)

    def byte(self, number: int) -> int:
        """Return a signed byte, 0 where absent."""
        field = self._field(number)
        return 0 if field is None else int(struct.unpack_from("<b", self._content, field)[0])

    def text(self, number: int) -> str:
        """Return a text."""
        start, count = self._vector(number, 1)
        return self._content[start : start + count].decode("utf-8")


def _tensor(table: _Table) -> TensorInfo:
    number = table.byte(_TENSOR_TYPE)
    quantization = table.table(_TENSOR_QUANTIZATION)
    scales = quantization.floats(_QUANTIZATION_SCALE) if quantization else ()
    zero_points = quantization.integers(_QUANTIZATION_ZERO_POINT, "q") if quantization else ()
    quantized = len(scales) == 1 and len(zero_points) == 1 and math.isfinite(scales[0]) and scales[0] > 0
    return TensorInfo(
        name=table.text(_TENSOR_NAME),
        shape=table.integers(_TENSOR_SHAPE),
        dtype=TENSOR_TYPES.get(number, f"type {number}"),
        scale=scales[0] if quantized else None,
        zero_point=zero_points[0] if quantized else None,
    )


def _indices(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Return tensor numbers, none of them negative (which Python would count from the end)."""
    for number in numbers:
        if number < 0:
            raise IndexError(number)
    return numbers


def _unsigned(content: bytes, position: int) -> int:
    return int(struct.unpack_from("<I", content, position)[0])
