"""The peers' files, each made from the same trained Keras model as ours, the way its own documentation shows it.

* ``plain-float32``, ``plain-dynamic-int8``, ``plain-int8``: ``tf.lite.TFLiteConverter.from_keras_model``. With Keras
  3.15 and TensorFlow 2.21 that works as it stands: it exports a SavedModel and converts that, with the operators that
  ``model.export(..., format="tf_saved_model")`` with ``from_saved_model`` and Keras' ``format="litert"`` give too. The
  batch stays open in the file (signature [-1, height, width, 3]), as for anyone who follows the guide. Input: raw
  pixels, because the model's own normalization is inside. ``plain-int8`` asks for integer operators alone and for
  uint8 at both ends.
* ``plain-float32-batch1``, ``plain-int8-batch1``: the same with a batch of one fixed beforehand, as someone does who
  knows what an open batch costs: without it a squeeze-and-excite block works out its shape at every inference, and
  XNNPACK gets EfficientNet-B0 in 17 pieces instead of one.
* ``ai-edge-quantizer-int8``: ai-edge-quantizer's static int8 recipe on ``plain-float32``;
  ``ai-edge-quantizer-int8-batch1`` on ``plain-float32-batch1``, and ``ai-edge-quantizer-int8-on-ours`` on our lowered
  float32 export.

* ``onnxruntime-float32`` and ``onnxruntime-int8``: ONNX Runtime's, see ``benchmarks.peers.onnxfiles``.

All are calibrated with the training pictures that ``python -m convert`` takes for as many pictures and the same seed.
A further peer is a function and a line in ``PEERS``.

Source: https://ai.google.dev/edge/litert/models/post_training_quantization and ai-edge-quantizer's README.
"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers import onnxfiles, quantize

PLAIN_FLOAT = "plain-float32"
PLAIN_FLOAT_1 = "plain-float32-batch1"
OURS_FLOAT = "ours-float32"
QUANTIZER = "ai-edge-quantizer"
ONNX_FLOAT, ONNX_INT8 = "onnxruntime-float32", "onnxruntime-int8"
REASON_LENGTH = 300  # characters of a converter's first line that are kept
_PARENTHESES = re.compile(r"\w*\([^()]*\)")  # the innermost


class PeerError(ValueError):
    """A peer did not make its file; the text is the first line of what it said."""


class PeerNotRunError(PeerError):
    """A peer was not tried, because a package is not installed; the text says what to install."""


@dataclass(frozen=True, eq=False)
class Making:
    """What peers are made from.

    Attributes:
        model: ``keras.Model``: raw pixels (n, height, width, 3) in 0..255 to logits.
        calibration: uint8 (n, height, width, 3) of the training part.
        files: what is there already, by name, for peers that work on another file.
        quantizer_python: the Python that has ai-edge-quantizer.
    """

    model: Any
    calibration: npt.NDArray[np.uint8]
    files: dict[str, bytes]
    quantizer_python: str


def plain_float32(making: Making) -> bytes:
    """Return tf.lite's file without any optimization."""
    return _converted(making.model, lambda converter, tf: None)


def plain_float32_batch1(making: Making) -> bytes:
    """Return tf.lite's file without any optimization, for a batch of one."""
    return _converted(_batch_of_one(making.model), lambda converter, tf: None)


def plain_dynamic_int8(making: Making) -> bytes:
    """Return tf.lite's file with int8 weights and float activations."""

    def settle(converter: Any, tf: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    return _converted(making.model, settle)


def plain_int8(making: Making) -> bytes:
    """Return tf.lite's all-integer file, uint8 in and out."""
    return _integer(making.model, making.calibration)


def plain_int8_batch1(making: Making) -> bytes:
    """Return tf.lite's all-integer file for a batch of one, uint8 in and out."""
    return _integer(_batch_of_one(making.model), making.calibration)


def quantizer_int8(making: Making) -> bytes:
    """Return ai-edge-quantizer's static int8 file of plain-float32."""
    return _quantized(making, PLAIN_FLOAT)


def quantizer_int8_batch1(making: Making) -> bytes:
    """Return ai-edge-quantizer's static int8 file of plain-float32-batch1."""
    return _quantized(making, PLAIN_FLOAT_1)


def quantizer_int8_on_ours(making: Making) -> bytes:
    """Return ai-edge-quantizer's static int8 file of our lowered float32 export."""
    return _quantized(making, OURS_FLOAT)


def onnx_float32(making: Making) -> bytes:
    """Return the ONNX file that Keras exports, for a batch of one."""
    return onnxfiles.float_file(making.model, making.calibration)


def onnx_int8(making: Making) -> bytes:
    """Return ONNX Runtime's static int8 file of onnxruntime-float32."""
    if ONNX_FLOAT not in making.files:
        raise PeerError(f"expected {ONNX_FLOAT} to quantize; got none")
    return onnxfiles.int8_file(making.files[ONNX_FLOAT], making.calibration)


PEERS: dict[str, Callable[[Making], bytes]] = {
    PLAIN_FLOAT: plain_float32,
    PLAIN_FLOAT_1: plain_float32_batch1,
    "plain-dynamic-int8": plain_dynamic_int8,
    "plain-int8": plain_int8,
    "plain-int8-batch1": plain_int8_batch1,
    f"{QUANTIZER}-int8": quantizer_int8,
    f"{QUANTIZER}-int8-batch1": quantizer_int8_batch1,
    f"{QUANTIZER}-int8-on-ours": quantizer_int8_on_ours,
    ONNX_FLOAT: onnx_float32,
    ONNX_INT8: onnx_int8,
}
NEEDS = {
    f"{QUANTIZER}-int8": PLAIN_FLOAT,
    f"{QUANTIZER}-int8-batch1": PLAIN_FLOAT_1,
    f"{QUANTIZER}-int8-on-ours": OURS_FLOAT,
    ONNX_INT8: ONNX_FLOAT,
}
"""Peers that quantize another file, which must be made first, and that file."""
TAKES_BYTES = frozenset({f"{QUANTIZER}-int8-on-ours"})
"""Peers whose input keeps our contract: a uint8 input takes the pixels as they are."""


def suffix(peer: str) -> str:
    """Return the ending of a peer's file."""
    return ".onnx" if peer in (ONNX_FLOAT, ONNX_INT8) else ".tflite"


def make(peer: str, making: Making) -> bytes:
    """Return a peer's file.

    Raises:
        PeerNotRunError: a package is not installed.
        PeerError: it could not be made; the first line of why.
    """
    try:
        return PEERS[peer](making)
    except PeerError:
        raise
    except onnxfiles.MissingPackageError as error:
        raise PeerNotRunError(str(error)) from error
    except Exception as error:  # converters raise whatever their insides meet; it is recorded, not raised further
        raise PeerError(f"{type(error).__name__}: {reason(str(error))}") from error


def reason(text: str) -> str:
    """Return the first line of a converter's error, without the places in the graph that MLIR puts before the cause."""
    line = (text.strip() or "no reason given").splitlines()[0]
    while "loc(" in line:
        shorter = _PARENTHESES.sub("", line)
        if shorter == line:
            break
        line = shorter
    return line[:REASON_LENGTH]


def quantizer_version(python: str) -> str:
    """Return the version of ai-edge-quantizer in a Python.

    Raises:
        PeerNotRunError: it has none.
        PeerError: there is no such Python.
    """
    words = [python, "-c", f"import importlib.metadata as m; print(m.version('{QUANTIZER}'))"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PeerError(f"expected a Python at {python}; got: {error.strerror}; check --quantizer-python") from error
    if found.returncode != 0:
        raise PeerNotRunError(
            f"expected {QUANTIZER} in the Python that runs it; got none; run `pip install {QUANTIZER}`, or name a "
            "Python that has it with --quantizer-python"
        )
    return found.stdout.strip()


def onnx_versions() -> dict[str, str]:
    """Return the versions of what makes and runs ONNX files.

    Raises:
        PeerNotRunError: one is not installed.
    """
    try:
        return onnxfiles.package_versions()
    except onnxfiles.MissingPackageError as error:
        raise PeerNotRunError(str(error)) from error


def _integer(model: Any, calibration: npt.NDArray[np.uint8]) -> bytes:
    def pictures() -> Iterator[list[npt.NDArray[np.float32]]]:
        for picture in calibration:
            yield [picture[np.newaxis].astype(np.float32)]

    def settle(converter: Any, tf: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = pictures
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8

    return _converted(model, settle)


def _batch_of_one(model: Any) -> Any:
    import keras

    picture = keras.Input(batch_shape=(1, *model.inputs[0].shape[1:]))
    return keras.Model(picture, model(picture))


def _converted(model: Any, settle: Callable[[Any, Any], None]) -> bytes:
    import tensorflow as tf

    from convert.tflite.export import quiet

    with quiet(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's own: dead node names, missing statistics of the ends
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        settle(converter, tf)
        return bytes(converter.convert())


def _quantized(making: Making, of: str) -> bytes:
    if of not in making.files:
        raise PeerError(f"expected {of} to quantize; got none")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "float.tflite").write_bytes(making.files[of])
        np.save(folder / "pictures.npy", making.calibration)
        files = [str(folder / file) for file in ("float.tflite", "pictures.npy", "int8.tflite")]
        # -P: this folder's modules must not stand before the quantizer's own imports.
        words = [making.quantizer_python, "-P", str(Path(quantize.__file__)), *files]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"ended with exit code {done.returncode} and no word"]
            raise PeerError(reason(lines[-1]))
        return (folder / "int8.tflite").read_bytes()
