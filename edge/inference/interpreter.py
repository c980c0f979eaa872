"""The interpreter wrapper: uint8 RGB faces in, calibrated probabilities out.

One interpreter for the wrapper's life; it takes the first runtime that is installed of `RUNTIMES`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import EdgeError, ModelFileError
from edge.inference.delegation import Delegation, delegation
from edge.inference.modelfile import ModelFile, parse_model

# module, distribution that holds its version
RUNTIMES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite", "tensorflow"),
)


class Classifier:
    """A checked model, loaded and ready.

    Attributes:
        model: the model file.
        threads: number of threads of the interpreter.
        runtime: {"name", "version"} of the interpreter's package.
        load_ms: milliseconds from bytes to allocated tensors (the runtime's import not counted).
    """

    def __init__(self, model: ModelFile | bytes, threads: int = 1) -> None:
        """Load the model.

        Args:
            model: a checked model file, or a file's content (checked here).
            threads: 1 or more.

        Raises:
            ModelFileError: the content is no model of ours, or the runtime refuses it.
            EdgeError: no runtime is installed.
            ValueError: threads is not positive.
        """
        if threads < 1:
            raise ValueError(f"expected 1 or more threads; got {threads}")
        self.model = model if isinstance(model, ModelFile) else parse_model(model)
        self.threads = threads
        make_interpreter, self.runtime = find_runtime()
        start = time.perf_counter_ns()
        try:
            self._interpreter = make_interpreter(model_content=self.model.content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelFileError(
                f"{self.model.path}: expected a model that {self.runtime['name']} {self.runtime['version']} can run; "
                f"got: {error}; update the runtime or export the model again"
            ) from error
        self.load_ms = (time.perf_counter_ns() - start) / 1e6
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the class names in the order of the probabilities."""
        return self.model.labels

    def probabilities(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return each face's class probabilities, one inference a face.

        Args:
            faces: (n, height, width, 3) uint8 RGB in the model's own size, or a single (height, width, 3).

        Returns:
            (n, classes) float32, each row non-negative with sum 1; (1, classes) for a single face.

        Raises:
            ValueError: another type or shape.
        """
        batch = faces[np.newaxis] if faces.ndim == 3 else faces
        expected = self.model.input.shape[1:]
        if batch.dtype != np.uint8 or batch.shape[1:] != expected:
            raise ValueError(
                f"expected uint8 faces of shape (n, {', '.join(map(str, expected))}); got {faces.dtype} {faces.shape}"
            )
        results = np.empty((len(batch), len(self.labels)), np.float32)
        for i in range(len(batch)):
            results[i] = self.dequantized(self.infer(np.ascontiguousarray(batch[i : i + 1])))
        return results

    def infer(self, face: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return the raw output (1, classes) for one (1, height, width, 3) uint8 face; what the benchmarks time."""
        self._interpreter.set_tensor(self._input, face)
        self._interpreter.invoke()
        output: npt.NDArray[Any] = self._interpreter.get_tensor(self._output)
        return output

    def delegation(self) -> Delegation | None:
        """Return where XNNPACK runs the network's operators; None if the interpreter does not list them."""
        return delegation(self._interpreter)

    def dequantized(self, raw: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the (classes,) float32 probabilities, sum 1, of a raw output (1, classes).

        A quantized softmax is rounded to steps of its scale, so its sum is only near 1: it is divided by its sum.

        Raises:
            ModelFileError: the output is not a probability distribution (not finite, or nothing above zero).
        """
        values = raw[0].astype(np.float64)
        if self.model.output.scale is not None and raw.dtype == np.uint8:
            values = (values - (self.model.output.zero_point or 0)) * self.model.output.scale
        values = np.maximum(values, 0)
        total = values.sum()
        if not np.isfinite(total) or total <= 0:
            raise ModelFileError(
                f"{self.model.path}: expected probabilities; got {raw[0].tolist()}; export the model again"
            )
        return (values / total).astype(np.float32)


def find_runtime() -> tuple[Any, dict[str, str]]:
    """Return the interpreter class of the first runtime that can be imported, and its {"name", "version"}.

    Raises:
        EdgeError: none can be imported; the text gives each one's reason.
    """
    reasons = []
    for module, distribution in RUNTIMES:
        try:
            found = importlib.import_module(module)
        except (ImportError, AttributeError) as error:  # AttributeError: built against another major numpy
            reasons.append(f"{distribution} ({' '.join(str(error).split())[:80]})")
            continue
        return found.Interpreter, {"name": distribution, "version": _version(module, distribution)}
    raise EdgeError(f"expected a TFLite runtime; got none of {', '.join(reasons)}; run `pip install ai-edge-litert`")


def _version(module: str, distribution: str) -> str:
    """Return the version of a runtime, also where another distribution (tensorflow-cpu) brings its module."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(importlib.import_module(module.partition(".")[0]), "__version__", "unknown"))
