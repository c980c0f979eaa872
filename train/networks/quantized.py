"""A shipped .tflite as a network to train from or to learn from: its kernels and biases, put back into the backbone.

Whoever has the file that ships has no need of the run that made it. The converter folded every batch norm into the
convolution before it; here each gets one again, with the statistics that pictures give it, so that the network answers
as the file does and still trains as any network with batch norms. What rounding to 8 bits took stays lost.

Source: Jacob et al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only
inference", section 3.2 (the folding that is undone). Kernels as laid out by ``convert.lowering.layout``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from edge.errors import DataError, EdgeError
from edge.inference.contract import Contract
from edge.inference.interpreter import Classifier, find_runtime
from edge.inference.modelfile import SHIPPED, ModelFile, read_model
from edge.pictures.preprocess import fit
from train.datasets.mapping import as_colour
from train.evaluation.calibration import softmax
from train.evaluation.leakage import KEYS, read_before
from train.evaluation.predict import predict_logits
from train.networks.backbones import BACKBONES, assemble
from train.networks.layers import leaves

SUFFIX = ".tflite"
PICTURES = 512  # that the statistics are taken from
CHECKED = 256  # of them, that the network and the file are asked about
BATCH = 64
PIXEL_STEPS = 128  # pixels from −1 to 0, by the Rescaling that all our backbones begin with
DIFFERENCE = 0.05  # the shipped file has 0.01 on FER2013's faces, 0.02 on drawn ones, and 0.5 with kernels turned
KERNELS = {"CONV_2D": layers.Conv2D, "DEPTHWISE_CONV_2D": layers.DepthwiseConv2D, "FULLY_CONNECTED": layers.Dense}
# How a kernel of TFLite's becomes Keras': (out, h, w, in), (1, h, w, channels), (out, in).
TO_KERAS = {"CONV_2D": (1, 2, 3, 0), "DEPTHWISE_CONV_2D": (1, 2, 3, 0), "FULLY_CONNECTED": (1, 0)}


@dataclass(frozen=True, eq=False)
class Shipped:
    """A model file and the network in it.

    Attributes:
        file: the checked file.
        model: pictures ``(n, height, width, 3)`` in 0–255 -> logits ``(n, classes)``; layers named as its backbone's.
        difference: total variation distance between the network's probabilities and the file's, mean over pictures,
            0–1.
    """

    file: ModelFile
    model: keras.Model
    difference: float


def is_shipped(path: str | Path) -> bool:
    """Return whether a path is a .tflite's, or a str the name of a model in the package (``default``, ``small``)."""
    return Path(path).suffix == SUFFIX or (isinstance(path, str) and path in SHIPPED)


def load_shipped(path: str | Path, pictures: np.ndarray) -> Shipped:
    """Return the network of a .tflite made by ``python -m convert``.

    Args:
        path: a file, or the name of one in the package, of any recipe.
        pictures: uint8 ``(n, h, w[, 3])``, for the statistics of the batch norms and for the check; as many as
            ``PICTURES`` are taken, evenly.

    Raises:
        DataError: no such file, no backbone of ours, other layers than the backbone's, or other answers.
    """
    try:
        classifier = Classifier(read_model(path))
        operators = operators_of(classifier.model)
    except EdgeError as cause:
        raise DataError(str(cause)) from cause
    contract = classifier.model.contract
    if contract.backbone not in BACKBONES:
        raise DataError(
            f"expected a file of one of the backbones {', '.join(BACKBONES)}; {path} is of {contract.backbone}; "
            "give the run that it was made from"
        )
    model = assemble(contract.backbone, contract.input.height, contract.input.width, len(contract.labels))
    _put_in(model, operators, path)
    chosen = pictures[np.linspace(0, len(pictures) - 1, min(PICTURES, len(pictures))).astype(int)]
    fitted = _fitted(chosen, contract)
    _match_statistics(model, fitted)
    difference = _difference(model, classifier, fitted[:CHECKED])
    if not difference <= DIFFERENCE:  # nor where it is no number
        raise DataError(
            f"expected the network in {path} to be {contract.backbone} as this fer-edge builds it; the probabilities "
            f"of the two are {difference:.2f} apart; give the run that it was made from"
        )
    return Shipped(classifier.model, model, difference)


def arrays_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Return a network's weights by ``LAYER/VARIABLE``, the names that an npz of weights has."""
    named = ((f"{layer.name}/{variable.name}", variable) for layer in leaves(model) for variable in layer.weights)
    return {name: keras.ops.convert_to_numpy(variable) for name, variable in named if "seed_generator" not in name}


def record_of(file: ModelFile) -> dict[str, Any]:
    """Return what a ``run.json`` says about a file that a run began with or learned from, as it does about teachers.

    Raises:
        DataError: the file does not say under which protocol, or from what, its network was trained.
    """
    contract = file.contract
    missing = [key for key in ("name", "protocol", "fingerprint", "supervision") if not contract.data.get(key)]
    if missing:
        raise DataError(
            f"expected a file that tells what it was trained on; {file.path} gives no {' and no '.join(missing)} of "
            "its data; convert its run (not its model.keras), or give the run"
        )
    return {
        "name": contract.name,
        "backbone": contract.backbone,
        "recipe": contract.recipe,
        "model_sha256": file.sha256,
        "data": {key: contract.data[key] for key in KEYS},
        "supervision": contract.data["supervision"],
        "teachers": [],
        "before": read_before(contract.data.get("before", "")),
    }


@dataclass(frozen=True)
class Operator:
    """A layer of the file: its kind, kernel in Keras' order and bias, in float32."""

    kind: str
    kernel: np.ndarray
    bias: np.ndarray


def operators_of(file: ModelFile) -> list[Operator]:
    """Return a file's layers with kernels, in the order in which they run.

    Raises:
        DataError: the runtime does not list layers, or kernels of another type than int8, float16 and float32.
    """
    make, runtime = find_runtime()
    interpreter = make(model_content=file.content)
    interpreter.allocate_tensors()
    if not hasattr(interpreter, "_get_ops_details"):
        raise DataError(
            f"expected a runtime that lists a file's layers; {runtime['name']} {runtime['version']} does not; "
            "pip install --upgrade ai-edge-litert"
        )
    tensors = {entry["index"]: entry for entry in interpreter.get_tensor_details()}
    entries = interpreter._get_ops_details()
    widened = {int(e["outputs"][0]): int(e["inputs"][0]) for e in entries if e["op_name"] == "DEQUANTIZE"}  # float16's
    found = []
    for entry in entries:
        kind = entry["op_name"]
        if kind in KERNELS:
            inputs = [widened.get(int(index), int(index)) for index in list(entry["inputs"])[1:3]]
            kernel, bias = (_real(interpreter, tensors, index) for index in inputs)
            found.append(Operator(kind, kernel.transpose(TO_KERAS[kind]), bias))
    return _behind_rescaling(found, [entry["op_name"] for entry in entries])


def _behind_rescaling(operators: list[Operator], names: Sequence[str]) -> list[Operator]:
    """Return the layers with the stem's kernel for pictures in −1…1, as our backbones have it.

    A float file takes 128 from the pixels and has the division by 128 in its stem's kernel.
    """
    before = names[: next((i for i, name in enumerate(names) if name in KERNELS), 0)]
    if "SUB" not in before or "MUL" in before:
        return operators
    stem, *rest = operators
    return [Operator(stem.kind, stem.kernel * PIXEL_STEPS, stem.bias), *rest]


def _real(interpreter: Any, tensors: Mapping[int, Any], index: int) -> np.ndarray:
    if index < 0:
        return np.zeros((), np.float32)
    details, dtype = tensors[index]["quantization_parameters"], tensors[index]["dtype"]
    scales, zeros = details["scales"], details["zero_points"]
    floats = dtype in (np.float16, np.float32)
    if not floats and (dtype not in (np.int8, np.int32) or not len(scales)):
        raise DataError(
            f"expected kernels in int8, float16 or float32 in the file; got {np.dtype(dtype).name}; give a qat-int8 "
            "file of it"
        )
    values = interpreter.get_tensor(index)
    if floats:
        return np.asarray(values, np.float32)
    shape = [1] * values.ndim
    if len(scales) > 1:
        shape[int(details["quantized_dimension"])] = len(scales)
    return ((values.astype(np.float64) - zeros.reshape(shape)) * scales.reshape(shape)).astype(np.float32)


def _put_in(model: keras.Model, operators: Sequence[Operator], path: str | Path) -> None:
    """Put the file's layers into the network's, in order; batch norms become the addition of the bias."""
    ours: list[Any] = [layer for layer in leaves(model) if isinstance(layer, tuple(KERNELS.values()))]
    norms = {norm.input._keras_history.operation: norm for norm in _norms(model)}
    wanted = [tuple(layer.weights[0].shape) for layer in ours]
    count = len(operators)
    pairs = zip(one_stem(operators, wanted), wanted, strict=False)
    operators = [laid_back(operator, shape) for operator, shape in pairs]
    fit_in_order = len(ours) == len(operators) and all(
        isinstance(layer, KERNELS[operator.kind]) and shape == operator.kernel.shape
        for layer, operator, shape in zip(ours, operators, wanted, strict=True)
    )
    plain = all(layer in norms or layer.use_bias for layer in ours)
    plain &= all(layer in ours or layer in norms.values() for layer in leaves(model) if layer.trainable_weights)
    if not fit_in_order or not plain or len(norms) != sum(layer in norms for layer in ours):
        raise DataError(
            f"expected the layers of {model.name} in {path}, each batch norm behind a convolution; got others "
            f"({count} with kernels, {len(ours)} here); give the run that it was made from"
        )
    for layer, operator in zip(ours, operators, strict=True):
        layer.weights[0].assign(operator.kernel)
        bias = np.broadcast_to(operator.bias, layer.output.shape[-1:])
        if layer.use_bias:
            layer.bias.assign(bias)
        if layer in norms:
            norm = norms[layer]
            norm.gamma.assign(np.ones(len(bias)))
            norm.beta.assign(bias if not layer.use_bias else np.zeros(len(bias)))
            norm.moving_mean.assign(np.zeros(len(bias)))
            norm.moving_variance.assign(np.full(len(bias), 1 - norm.epsilon))


def one_stem(operators: Sequence[Operator], wanted: Sequence[tuple[int, ...]]) -> list[Operator]:
    """Return the layers with the one that makes a picture grey, where there is one, multiplied into the stem."""
    if len(operators) != len(wanted) + 1 or len(wanted[0]) != 4:
        return list(operators)
    grey, stem, *rest = operators
    rows, columns, colours = wanted[0][:3]
    if grey.kernel.ndim != 4 or grey.kernel.shape[2] % colours or stem.kernel.shape[0] != rows:
        return list(operators)
    shares = grey.kernel[0, 0, :colours, 0]
    taps = stem.kernel.reshape(rows, -1, 1, stem.kernel.shape[-1])[:, :columns]
    return [Operator(stem.kind, taps * shares[:, None], stem.bias), *rest]


def laid_back(operator: Operator, wanted: tuple[int, ...]) -> Operator:
    """Return the layer without what the converter does for speed: taps of several pixels, filters that recur.

    Taps that it left out, since on so small a feature map they see padding alone, come back as 0.
    """
    kernel, bias = operator.kernel, operator.bias
    if kernel.shape == wanted or kernel.ndim != 4 or len(wanted) != 4:
        return operator
    rows, columns, channels, filters = wanted
    lacking = [rows - kernel.shape[0], columns - kernel.shape[1]]
    if kernel.shape[2:] == wanted[2:] and min(lacking) >= 0 and not any(count % 2 for count in lacking):
        around = [(count // 2, count // 2) for count in lacking]
        return Operator(operator.kind, np.pad(kernel, [*around, (0, 0), (0, 0)]), bias)
    if operator.kind != "CONV_2D":
        return operator
    if kernel.shape[:3] == wanted[:3] and kernel.shape[3] % filters == 0:
        return Operator(operator.kind, kernel[..., :filters], bias[:filters] if bias.ndim else bias)
    if kernel.shape[0] == rows and kernel.shape[3] == filters and kernel[0, ..., 0].size % channels == 0:
        taps = kernel.reshape(rows, -1, channels, filters)[:, :columns]
        return Operator(operator.kind, taps, bias)
    return operator


def _match_statistics(model: keras.Model, pictures: np.ndarray) -> None:
    """Give each batch norm the mean and variance of what reaches it, and the gamma and beta that undo them."""
    norms = _norms(model)
    reached = [_Moments() for _ in norms]
    for norm, moments in zip(norms, reached, strict=True):
        norm.call = moments.watching(norm.call)  # in nested models no output can be taken off
    try:
        for start in range(0, len(pictures), BATCH):
            model(pictures[start : start + BATCH], training=False)
    finally:
        for norm in norms:
            del norm.call
    for norm, moments in zip(norms, reached, strict=True):
        mean, variance = moments.result()
        norm.beta.assign(keras.ops.convert_to_numpy(norm.beta) + mean)
        norm.gamma.assign(np.sqrt(variance + norm.epsilon))
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)


class _Moments:
    """Mean and variance, by channel, of all that a layer is called with."""

    def __init__(self) -> None:
        self._sum: Any = 0.0
        self._squares: Any = 0.0
        self._count = 0

    def watching(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call, which takes note of its first argument."""

        def watched(inputs: Any, *arguments: Any, **options: Any) -> Any:
            values = keras.ops.convert_to_numpy(inputs).astype(np.float64)
            flat = values.reshape(-1, values.shape[-1])
            self._sum, self._squares = self._sum + flat.sum(axis=0), self._squares + np.square(flat).sum(axis=0)
            self._count += len(flat)
            return call(inputs, *arguments, **options)

        return watched

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance ``(channels,)``."""
        mean = self._sum / self._count
        return mean, np.maximum(self._squares / self._count - mean**2, 0)


def _norms(model: keras.Model) -> list[layers.BatchNormalization]:
    return [layer for layer in leaves(model) if isinstance(layer, layers.BatchNormalization)]


def _fitted(pictures: np.ndarray, contract: Contract) -> np.ndarray:
    coloured = as_colour(pictures, "grey" if contract.training_colour == "grey" else "rgb")
    return np.stack([fit(picture, contract.input.height, contract.input.width) for picture in coloured])


def _difference(model: keras.Model, classifier: Classifier, pictures: np.ndarray) -> float:
    # Asked is another model of the same layers: a compiled one within a teacher's would log its own loss of 0.
    network = softmax(predict_logits(keras.Model(model.inputs, model.outputs), pictures))
    return float(np.abs(network - classifier.probabilities(pictures)).sum(axis=1).mean() / 2)
