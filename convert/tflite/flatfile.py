"""Taking a .tflite apart and writing it again: weights aligned, equal vectors written once, metadata added.

Used by ``convert.tflite.packaging``. TFLiteConverter writes a zero point of eight bytes for every channel of every
kernel and bias; as they are all zero, they share one vector a length here, which saves a tenth of an int8 file.
"""

from __future__ import annotations

import re
from typing import Any

import flatbuffers
import numpy as np

from convert.tflite.export import quiet

IDENTIFIER = b"TFL3"
WEIGHT_ALIGNMENT_BYTES = 16
_LAYER = re.compile(r"lowered/(?:quant_)?([^/;]+)/")


class SharingBuilder(flatbuffers.Builder):
    """A builder that aligns byte vectors to 16, as schema.fbs asks, and writes equal vectors of other types once."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802 (flatbuffers' own name)
        """Offset of the vector, written now or before."""
        if x.dtype == np.uint8:
            self.Prep(WEIGHT_ALIGNMENT_BYTES, len(x))
            return int(super().CreateNumpyVector(x))
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = int(super().CreateNumpyVector(x))
        return self._written[key]


def layer_of(tensor: str) -> str | None:
    """The lowered network's layer that a tensor of an exported file belongs to, None for none.

    TFLiteConverter names a tensor after all that it fused, the layer that ends it first.
    """
    found = _LAYER.match(tensor)
    return found[1] if found else None


def unpack(content: bytes) -> Any:
    """The ``ModelT`` object of a flatbuffer."""
    schema = _schema()
    return schema.ModelT.InitFromPackedBuf(content, 0)


def pack(model: Any) -> bytes:
    """The flatbuffer of a ``ModelT`` object; the same bytes for the same object."""
    builder = SharingBuilder()
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def set_metadata(model: Any, name: str, data: bytes) -> None:
    """Adds or replaces one named metadata buffer of a ``ModelT`` object."""
    schema = _schema()
    model.metadata = list(model.metadata or [])
    for entry in model.metadata:
        if (entry.name.decode() if isinstance(entry.name, bytes) else entry.name) == name:
            model.buffers[entry.buffer].data = np.frombuffer(data, np.uint8)
            return
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(model.buffers) - 1
    model.metadata.append(entry)


def _schema() -> Any:
    with quiet():
        from tensorflow.lite.python import schema_py_generated
    return schema_py_generated
