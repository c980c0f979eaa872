"""ONNX Runtime's files of the same Keras model: float32 by Keras' own export, int8 by ONNX Runtime's static quantizer.

``keras.Model.export(format="onnx")`` goes through tf2onnx 1.17, which lacks the one operator that Keras' exact GELU
becomes in TensorFlow; it is registered here as 1 − erf. The batch is one and the input raw pixels, as float32.

int8: QDQ, per channel, signed activations and weights, minimum and maximum of the calibration pictures: what ONNX
Runtime's documentation says to try first on any processor. Where an x86 processor lacks VNNI, its 8-bit products
saturate, and the documentation's remedy, seven-bit weights, is taken.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "Method selection" and "When and
why do I need to use reduce-range"; https://keras.io/api/models/model_saving_apis/export/.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import logging
import platform
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PACKAGES = ("tf2onnx", "onnx", "onnxruntime")
OPSET = 17
COMPARED = 8  # pictures that the float file and Keras are compared on
CLOSE = 1e-4  # largest difference of a logit, relative to the range of the logits


class MissingPackageError(ImportError):
    """A package that is not installed; the text says what to install."""


class InexactExportError(ValueError):
    """A float file whose logits are not the Keras model's."""


def package_versions() -> dict[str, str]:
    """Return the versions of what makes and runs ONNX files.

    Raises:
        MissingPackageError: one is not installed.
    """
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise MissingPackageError(
                f"expected the packages {', '.join(PACKAGES)}; got no {name}; run `pip install '.[peers]'`"
            ) from error
    return found


def float_file(model: Any, pictures: npt.NDArray[np.uint8]) -> bytes:
    """Return the float32 file of a Keras model, compared with it.

    Args:
        model: ``keras.Model``: raw pixels (1, height, width, 3) in 0..255 to logits.
        pictures: uint8 (n, height, width, 3); the first ones are compared.

    Raises:
        MissingPackageError: a package is not installed.
        InexactExportError: the file's logits differ from the model's.
    """
    import keras

    package_versions()
    _register_erfc()
    signature = [keras.InputSpec(shape=(1, *model.inputs[0].shape[1:]), dtype="float32")]
    with tempfile.TemporaryDirectory() as folder, _silence():
        path = Path(folder, "float.onnx")
        model.export(path, format="onnx", verbose=False, input_signature=signature, opset_version=OPSET)
        content = path.read_bytes()
    require_same_logits(content, model, pictures[:COMPARED])
    return content


def require_same_logits(content: bytes, model: Any, pictures: npt.NDArray[np.uint8]) -> float:
    """Return the largest difference between a float file's logits and the Keras model's, relative to their range.

    Raises:
        InexactExportError: it exceeds ``CLOSE``.
    """
    session = session_of(content)
    name = session.get_inputs()[0].name
    singles = [picture[np.newaxis].astype(np.float32) for picture in pictures]
    theirs = np.concatenate([session.run(None, {name: single})[0] for single in singles])
    ours = np.concatenate([np.asarray(model(single, training=False)) for single in singles])
    difference = float(np.abs(theirs - ours).max() / max(float(np.ptp(ours)), 1e-12))
    if not difference <= CLOSE:
        raise InexactExportError(
            f"expected the Keras model's logits within {CLOSE:g} of their range; got {difference:.2g}; "
            "report it to tf2onnx, which wrote the file"
        )
    return difference


def int8_file(content: bytes, calibration: npt.NDArray[np.uint8]) -> bytes:
    """Return the int8 file of a float file; uint8 (n, height, width, 3) calibrates it.

    Raises:
        MissingPackageError: a package is not installed.
    """
    package_versions()
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name = session_of(content).get_inputs()[0].name
    with tempfile.TemporaryDirectory() as folder, _silence():
        source, prepared, out = (Path(folder, f"{step}.onnx") for step in ("float", "prepared", "int8"))
        source.write_bytes(content)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            out,
            _Reader(name, calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=saturates(),
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )
        return out.read_bytes()


def saturates(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether this processor's 8-bit products may saturate: x86 without VNNI."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return not cpuinfo.is_file() or "vnni" not in cpuinfo.read_text(encoding="utf-8", errors="replace")


def session_of(content: bytes, threads: int = 1, optimized: Path | None = None) -> Any:
    """Return an ``onnxruntime.InferenceSession`` on the processor, operators one after the other.

    Args:
        content: the .onnx file.
        threads: within an operator; between operators 1.
        optimized: where the network as it is really run is written.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


class _Reader:
    """Calibration pictures one by one, as ONNX Runtime's quantizer asks for them."""

    def __init__(self, name: str, pictures: npt.NDArray[np.uint8]) -> None:
        self._next: Iterator[dict[str, npt.NDArray[np.float32]]] = (
            {name: picture[np.newaxis].astype(np.float32)} for picture in pictures
        )

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        return next(self._next, None)


def _register_erfc() -> None:
    """Teach tf2onnx Erfc(x) = 1 − Erf(x)."""
    from tf2onnx.handler import tf_op

    if any("Erfc" in handlers for handlers in tf_op.get_opsets().get("", [])):
        return

    class Erfc:
        @classmethod
        def version_9(cls, graph: Any, node: Any, **unused: Any) -> None:
            shape, dtype = graph.get_shape(node.output[0]), graph.get_dtype(node.output[0])
            one = graph.make_const(f"{node.name}_one", np.ones((), np.float32))
            erf = graph.make_node("Erf", [node.input[0]], shapes=[shape], dtypes=[dtype])
            graph.remove_node(node.name)
            inputs = [one.output[0], erf.output[0]]
            graph.make_node("Sub", inputs, outputs=node.output, name=node.name, shapes=[shape], dtypes=[dtype])

    tf_op("Erfc")(Erfc)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the tools' words off the terminal."""
    from convert.tflite.export import quiet

    level = logging.root.manager.disable
    with quiet(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
