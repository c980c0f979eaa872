"""Any image classifier, ours or a peer's, TFLite or ONNX: uint8 pictures in, the index of the highest class out.

`edge.inference.interpreter.Classifier` demands this project's contract; the files of other converters take float32 or
quantized pixels and give logits or probabilities. TFLite files run in the same interpreter, ONNX files in ONNX Runtime.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.onnxfiles import session_of
from edge.errors import ModelFileError
from edge.inference.interpreter import find_runtime

RAW = (0.0, 255.0)


class AnyRunner(ABC):
    """A loaded file.

    Attributes:
        runtime: {"name", "version"} of the interpreter's package.
        shape: (height, width, channels) of the picture that it takes.
        classes_given: number of outputs.
        dtype: of the input.
        scale: of a quantized input; 0.0 where it has none.
        zero_point: of a quantized input; 0 where it has none.
        output_dtype: of the output.
    """

    runtime: dict[str, str]
    shape: tuple[int, int, int]
    classes_given: int
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0
    output_dtype: np.dtype[Any]

    @abstractmethod
    def prepared(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return uint8 pictures (n, height, width, channels) as the input takes them, in its type."""

    @abstractmethod
    def infer(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the raw output (1, classes) for one prepared picture (1, height, width, channels); what is timed."""

    def classes(
        self, pictures: npt.NDArray[np.uint8], advance: Callable[[int], None] = lambda done: None
    ) -> tuple[npt.NDArray[np.int64], float]:
        """Return the first highest class of each picture, and the share (0..1) of pictures on which several tie for it.

        Raises:
            ModelFileError: an output is not finite.
        """
        predicted = np.empty(len(pictures), np.int64)
        ties = 0
        for index in range(len(pictures)):
            row = self.infer(self.prepared(pictures[index : index + 1]))[0]
            if not np.isfinite(row).all():
                raise ModelFileError(f"expected finite outputs; got {row.tolist()} for picture {index}")
            predicted[index] = row.argmax()
            ties += int((row == row.max()).sum() > 1)
            advance(index + 1)
        return predicted, ties / len(pictures)


class OnnxRunner(AnyRunner):
    """A loaded ONNX file that takes float32 pixels of 0..255.

    Attributes:
        operators: type -> count of the network as ONNX Runtime really runs it on this processor.
    """

    def __init__(self, content: bytes, name: str, threads: int = 1) -> None:
        """Load a file.

        Args:
            content: the .onnx file.
            name: for errors.
            threads: within an operator, 1 or more.

        Raises:
            ModelFileError: ONNX Runtime refuses the file, or it takes no single float32 picture.
        """
        import onnx
        import onnxruntime

        self.runtime = {"name": "onnxruntime", "version": onnxruntime.__version__}
        with tempfile.TemporaryDirectory() as folder:
            optimized = Path(folder, "optimized.onnx")
            try:
                self._session = session_of(content, threads, optimized)
            except Exception as error:  # its own classes, one a cause, below Exception alone
                first = str(error).strip().splitlines()[0]
                raise ModelFileError(f"{name}: expected a file that onnxruntime runs; got: {first}") from error
            nodes = onnx.load(str(optimized), load_external_data=False).graph.node
        self.operators = dict(sorted(Counter(node.op_type for node in nodes).items()))
        (given,), (came,) = self._session.get_inputs(), self._session.get_outputs()
        if given.type != "tensor(float)" or len(given.shape) != 4 or given.shape[0] != 1:
            raise ModelFileError(
                f"{name}: expected one float32 picture (1, height, width, 3); got {given.type} {given.shape}"
            )
        self._input = given.name
        self.shape = (given.shape[1], given.shape[2], given.shape[3])
        self.classes_given = came.shape[-1]
        self.dtype = self.output_dtype = np.dtype(np.float32)

    def prepared(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return uint8 pictures (n, height, width, 3) as float32."""
        return pictures.astype(np.float32)

    def infer(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the raw output (1, classes) for one prepared picture (1, height, width, 3); what is timed."""
        output: npt.NDArray[Any] = self._session.run(None, {self._input: picture})[0]
        return output


class Runner(AnyRunner):
    """A loaded TFLite file."""

    def __init__(
        self, content: bytes, name: str, as_bytes: bool, threads: int = 1, span: tuple[float, float] = RAW
    ) -> None:
        """Load a file.

        Args:
            content: the .tflite file.
            name: for errors.
            as_bytes: the file takes the pixels' own uint8, whatever the scale of its input says (our contract: the
                scale then is the normalization of training). Otherwise the tensor stands for values of `span`.
            threads: of the interpreter, 1 or more.
            span: what the network takes for a pixel's 0 and 255.

        Raises:
            ModelFileError: the interpreter refuses the file, or it takes no single picture.
        """
        make_interpreter, self.runtime = find_runtime()
        try:
            self._interpreter = make_interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelFileError(f"{name}: expected a file that {self.runtime['name']} runs; got: {error}") from error
        given, came = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        shape = tuple(int(side) for side in given[0]["shape"])
        if len(given) != 1 or len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
            raise ModelFileError(f"{name}: expected one picture (1, height, width, 3 or 1) as input; got shape {shape}")
        self.shape = (shape[1], shape[2], shape[3])
        self.classes_given = int(came[0]["shape"][-1])
        self._input, self._output = given[0]["index"], came[0]["index"]
        self.dtype, self.output_dtype = np.dtype(given[0]["dtype"]), np.dtype(came[0]["dtype"])
        self.scale, self.zero_point = float(given[0]["quantization"][0]), int(given[0]["quantization"][1])
        self._as_bytes, self._span = as_bytes, span

    def prepared(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return uint8 pictures (n, height, width, channels) as the input tensor takes them, in its type.

        Raises:
            ModelFileError: the file is said to take bytes, and does not.
        """
        if self._as_bytes and self.dtype != np.uint8:
            raise ModelFileError(f"expected a uint8 input; got {self.dtype}; export the model again")
        if self._as_bytes or (self.scale == 0 and self.dtype == np.uint8):
            return pictures
        low, high = self._span
        values = low + pictures * ((high - low) / 255)
        if self.scale == 0:
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        steps = np.round(values / self.scale) + self.zero_point
        quantized: npt.NDArray[Any] = np.clip(steps, limits.min, limits.max).astype(self.dtype)
        return quantized

    def infer(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the raw output (1, classes) for one prepared picture (1, height, width, channels); what is timed."""
        self._interpreter.set_tensor(self._input, picture)
        self._interpreter.invoke()
        output: npt.NDArray[Any] = self._interpreter.get_tensor(self._output)
        return output
