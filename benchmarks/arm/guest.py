"""What runs inside the emulated machine: each model's inferences between markers. It imports nothing of this project.

    guest.py RUNTIME REPEATS MODEL...

Prints one JSON object a model, with the interpreter's own list of operators; a last one says where the libraries lie in
memory. Before the markers come two inferences, as the first prepares buffers.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from typing import Any


def main() -> None:
    """Run all models that the command line names."""
    runtime, repeats, models = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    make, version = _interpreter(runtime), importlib.metadata.version(runtime)
    for path in models:
        try:
            interpreter = make(model_path=path, num_threads=1)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            print(json.dumps({"model": path, "error": " ".join(str(error).split())[:300]}), flush=True)
            continue
        for entry in interpreter.get_input_details():
            interpreter.set_tensor(entry["index"], picture(entry["shape"], entry["dtype"]))
        interpreter.invoke()
        interpreter.invoke()
        _mark()
        for _ in range(repeats):
            interpreter.invoke()
            _mark()
        print(json.dumps({"model": path, "runtime": version, "operators": _operators(interpreter)}), flush=True)
    print(json.dumps({"libraries": _libraries()}), flush=True)


def _interpreter(runtime: str) -> Any:
    """Return the runtime's class Interpreter."""
    if runtime == "tflite-runtime":
        from tflite_runtime.interpreter import Interpreter
    else:
        from ai_edge_litert.interpreter import Interpreter
    return Interpreter


def picture(shape: Any, dtype: Any) -> Any:
    """Return a seeded input: whole range of 8-bit types, standard normal floats, zeros of anything else."""
    import numpy as np

    generator = np.random.default_rng(7)
    kind = np.dtype(dtype)
    if kind in (np.uint8, np.int8):
        return generator.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, kind, endpoint=True)
    if kind.kind == "f":
        return generator.standard_normal(shape).astype(kind)
    return np.zeros(shape, kind)


def _mark() -> None:
    os.getpriority(os.PRIO_PROCESS, 0)  # the plugin looks out for this system call


def _operators(interpreter: Any) -> list[dict[str, Any]]:
    """Return the operators after XNNPACK took its parts: name, and the numbers of the tensors."""
    return [
        {"op_name": entry["op_name"], **{key: [int(n) for n in entry[key]] for key in ("inputs", "outputs")}}
        for entry in interpreter._get_ops_details()
    ]


def _libraries() -> dict[str, int]:
    """Return the address of each shared library's first byte."""
    found: dict[str, int] = {}
    with open("/proc/self/maps", encoding="utf-8") as stream:
        for line in stream:
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and ".so" in fields[5]:
                start, offset = int(fields[0].partition("-")[0], 16), int(fields[2], 16)
                found.setdefault(fields[5].strip(), start - offset)
    return found


if __name__ == "__main__":
    main()
