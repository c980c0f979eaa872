"""Quantize a .tflite file with ai-edge-quantizer's own static int8 recipe; a script of its own.

    PYTHON quantize.py FLOAT.tflite PICTURES.npy OUT.tflite

`benchmarks.peers.exports` runs it with the Python that has ai-edge-quantizer, which need not be the one that has
TensorFlow. It imports nothing of this project and says in one line why it failed.

Source: ai-edge-quantizer's README (https://github.com/google-ai-edge/ai-edge-quantizer), recipe `static_wi8_ai8`:
int8 weights by channel, int8 activations, minimum and maximum of the calibration pictures.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path

import numpy as np


def quantize(source: Path, pictures: Path, out: Path) -> None:
    """Write the quantized file.

    Args:
        source: a float file that takes one picture (1, height, width, 3), values 0..255.
        pictures: .npy of uint8 (n, height, width, 3), to calibrate with.
        out: the file to write.
    """
    quantizer = importlib.import_module("ai_edge_quantizer.quantizer").Quantizer(str(source))
    quantizer.load_quantization_recipe(importlib.import_module("ai_edge_quantizer.recipe").static_wi8_ai8())
    interpreter = importlib.import_module("ai_edge_litert.interpreter").Interpreter(model_path=str(source))
    ((signature, ends),) = interpreter.get_signature_list().items()
    dtype = interpreter.get_input_details()[0]["dtype"]
    # A list: the quantizer goes through it twice, and finds a generator empty the second time.
    samples = [{ends["inputs"][0]: picture[np.newaxis].astype(dtype)} for picture in np.load(pictures)]
    statistics = quantizer.calibrate({signature: samples}, num_threads=1)
    result = quantizer.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    out.write_bytes(bytes(result.quantized_model))


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        quantize(*(Path(word) for word in sys.argv[1:4]))
    except Exception as error:  # whatever the quantizer meets is the peer's failure, told in one line
        first = (str(error).strip() or "no reason given").splitlines()[0]
        print(f"{type(error).__name__}: {first}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
