"""Peers' files kept in a folder: NAME-PEER.tflite (or .onnx), and beside it NAME-PEER.json with what it was made from.

A file is taken again when everything that decides it is the same: the Keras model's sha256, the data, the calibration,
the converter's versions, and the file that it was quantized from; and when its content still has the sha256 kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.peers.exports import (
    NEEDS,
    QUANTIZER,
    Making,
    PeerError,
    make,
    onnx_versions,
    quantizer_version,
    suffix,
)
from benchmarks.peers.onnxfiles import saturates
from convert.reporting.progress import Progress
from convert.reporting.report import versions
from edge.files import sha256_of, write_atomically


def made(peer: str, making: Making, origin: dict[str, Any], path: Path | None, progress: Progress) -> bytes:
    """Return a peer's file, from the folder if it is there, and write it into the folder if not.

    Args:
        peer: name in ``PEERS``.
        making: what it is made from.
        origin: what decides its content beside the converter.
        path: of the file; None keeps none.
        progress: where to tell.

    Raises:
        PeerError: the file could not be made.
        OutputError: the folder cannot be written.
    """
    origin = {"peer": peer} | origin | _made_with(peer, making)
    kept = None if path is None else _kept(path, origin)
    if kept is not None:
        progress.say(f"{peer}: taken from {path}")
        return kept
    progress.say(f"{peer}: converting")
    content = make(peer, making)
    if path is not None:
        write_atomically(path, content)
        note = origin | {"sha256": sha256_of(content), "size_bytes": len(content)}
        write_atomically(path.with_suffix(".json"), json.dumps(note, indent=1) + "\n")
    return content


def _made_with(peer: str, making: Making) -> dict[str, Any]:
    converter = {name: versions()[name] for name in ("tensorflow", "keras")}
    if suffix(peer) == ".onnx":
        converter |= onnx_versions()
    if peer not in NEEDS:
        return {"versions": converter}
    needed = making.files.get(NEEDS[peer])
    if needed is None:
        raise PeerError(f"expected {NEEDS[peer]} to quantize; got none")
    if suffix(peer) == ".onnx":
        return {"versions": converter, "reduced_range": saturates(), "quantized_sha256": sha256_of(needed)}
    return {"versions": {QUANTIZER: quantizer_version(making.quantizer_python)}, "quantized_sha256": sha256_of(needed)}


def _kept(path: Path, origin: dict[str, Any]) -> bytes | None:
    """Return the file at `path` if its note is there, says the same origin, and fits it."""
    try:
        content, note = path.read_bytes(), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = isinstance(note, dict) and {key: note.get(key) for key in origin} == origin
    return content if same and note.get("sha256") == sha256_of(content) else None
