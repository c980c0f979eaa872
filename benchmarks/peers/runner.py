"""Any TFLite image classifier, ours or a peer's: uint8 RGB pictures in, the index of the highest class out.

`edge.interpreter.Classifier` demands this project's contract; the files of other converters take float32 or quantized
pixels and give logits or probabilities. The interpreter is the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.errors import ModelFileError
from edge.interpreter import find_runtime


class Runner:
    """A loaded file.

    Attributes:
        runtime: {"name", "version"} of the interpreter's package.
        dtype: of the input.
        scale: of a quantized input; 0.0 where it has none.
        zero_point: of a quantized input; 0 where it has none.
        output_dtype: of the output.
    """

    def __init__(self, content: bytes, name: str, as_bytes: bool, threads: int = 1) -> None:
        """Load a file.

        Args:
            content: the .tflite file.
            name: for errors.
            as_bytes: the file takes the pixels' own uint8, whatever the scale of its input says (our contract: the
                scale then is the normalization of training). Otherwise the tensor stands for pixel values 0..255.
            threads: of the interpreter, 1 or more.

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
        if len(given) != 1 or len(shape) != 4 or shape[0] != 1 or shape[3] != 3:
            raise ModelFileError(f"{name}: expected one picture (1, height, width, 3) as input; got shape {shape}")
        self._input, self._output = given[0]["index"], came[0]["index"]
        self.dtype, self.output_dtype = np.dtype(given[0]["dtype"]), np.dtype(came[0]["dtype"])
        self.scale, self.zero_point = float(given[0]["quantization"][0]), int(given[0]["quantization"][1])
        self._as_bytes = as_bytes

    def prepared(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return uint8 pictures (n, height, width, 3) as the input tensor takes them, in its type.

        Raises:
            ModelFileError: the file is said to take bytes, and does not.
        """
        if self._as_bytes and self.dtype != np.uint8:
            raise ModelFileError(f"expected a uint8 input; got {self.dtype}; export the model again")
        if self._as_bytes or (self.scale == 0 and self.dtype == np.uint8):
            return pictures
        if self.scale == 0:
            return pictures.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        steps = np.round(pictures / np.float64(self.scale)) + self.zero_point
        quantized: npt.NDArray[Any] = np.clip(steps, limits.min, limits.max).astype(self.dtype)
        return quantized

    def infer(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the raw output (1, classes) for one prepared picture (1, height, width, 3); what is timed."""
        self._interpreter.set_tensor(self._input, picture)
        self._interpreter.invoke()
        output: npt.NDArray[Any] = self._interpreter.get_tensor(self._output)
        return output

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
