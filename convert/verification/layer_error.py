"""How far each layer of an exported file is from the float network: signal-to-quantization-noise ratios by layer.

An after-check of the conversion. It runs the file itself, without XNNPACK and with every tensor kept, and compares each
layer's dequantized output with the float network's. The file's arithmetic differs from the delegate's by roundings, and
what fine-tuning moved the weights by counts as error too.

Source: Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.4 (SQNR by layer as a debug tool);
the split into cumulative and own error is that of TFLite's Quantization Debugger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.lowering.graph import INPUT, Graph
from convert.lowering.parity import normalize
from convert.tflite.flatfile import layer_of

BATCH = 8
INTEGERS = (np.int8, np.uint8)


@dataclass(frozen=True)
class LayerError:
    """One layer of the network whose output is a tensor of the file.

    Attributes:
        layer: Name in the lowered graph.
        path: Where it stands in the Keras model.
        kind: What it computes; a key of ``convert.lowering.emission.EMITTERS``.
        tensor: Name in the file; of the layer's output after its fused activation.
        shape: Without the batch axis.
        scale: One step of an 8-bit tensor; None of a float one.
        sqnr_db: Power of the float network's output over that of the file's error at this place, in decibel; None where
            the output is all zero or nothing differs. What the layers before it lost is in it.
        own_sqnr_db: The same for this layer alone: the float layer on the file's own inputs against the file's output;
            None also where an input is no tensor of the file.
        own_channel_db: Median over the channels of each one's own SQNR. Far below ``own_sqnr_db`` where a few loud
            channels cover for many that are lost.
        bias_steps: Mean of file less float output, in steps of the scale; None of a float tensor.
        saturated_share: Of the float network's values, 0..1, that lie beyond the tensor's range by more than half a
            step; None of a float tensor.
    """

    layer: str
    path: str
    kind: str
    tensor: str
    shape: tuple[int, ...]
    scale: float | None
    sqnr_db: float | None
    own_sqnr_db: float | None
    own_channel_db: float | None
    bias_steps: float | None
    saturated_share: float | None


@dataclass(eq=False)
class _Sums:
    """What is added up over the pictures for one layer, in float64; own error by channel, float64 [channels]."""

    own_signal: np.ndarray
    own_noise: np.ndarray
    signal: float = 0.0
    noise: float = 0.0
    error: float = 0.0
    beyond: int = 0
    values: int = 0


def layer_errors(
    content: bytes,
    graph: Graph,
    float_model: Any,
    pictures: np.ndarray,
    advance: Callable[[int], None] = lambda done: None,
) -> list[LayerError]:
    """The error of every layer that has a tensor in the file, in the network's order.

    Args:
        content: A .tflite of this network, of any recipe.
        graph: The lowered graph that it was made of; for an int8 file the one with the approximate rules.
        float_model: Of ``convert.lowering.emission.emit(graph)``.
        pictures: uint8 [n, height, width, 3], raw; a few dozen do.
        advance: Called with the number of pictures done.

    Raises:
        ValueError: No picture, or no tensor of the file is named after a layer of the graph.
    """
    import tensorflow as tf
    import tf_keras

    if len(pictures) == 0:
        raise ValueError("expected pictures to compare the layers on; came none; give some of the validation part")
    interpreter = keeping_interpreter(content)
    tensors = layer_tensors(interpreter, graph)
    if not tensors:
        raise ValueError("expected a file of this network; came tensors named after none of its layers; give its graph")
    source, index = interpreter.get_input_details()[0]["index"], {name: t["index"] for name, t in tensors.items()}
    probe = tf_keras.Model(float_model.input, {name: float_model.get_layer(name).output for name in tensors})
    run = tf.function(lambda batch: probe(batch, training=False), jit_compile=False)
    sums = {name: _Sums(*np.zeros((2, graph[name].shape[-1]))) for name in tensors}
    for start in range(0, len(pictures), BATCH):
        batch = pictures[start : start + BATCH]
        expected = {name: value.numpy() for name, value in run(tf.constant(normalize(batch, graph))).items()}
        rows: dict[str, list[np.ndarray]] = {name: [] for name in tensors}
        for picture in batch:
            interpreter.set_tensor(source, picture[np.newaxis])
            interpreter.invoke()
            for name, found in rows.items():
                found.append(interpreter.get_tensor(index[name]))
        came = {name: dequantized(np.concatenate(found), tensors[name]) for name, found in rows.items()}
        came[INPUT] = normalize(batch, graph)
        for name, total in sums.items():
            _add(total, expected[name], came[name], tensors[name])
            feeds = graph[name].inputs
            if all(feed in came for feed in feeds):
                own = _alone(float_model.get_layer(name), [came[feed] for feed in feeds])
                total.own_signal += _power(own)
                total.own_noise += _power(came[name] - own)
        advance(start + len(batch))
    return [_row(graph, name, tensors[name], sums[name]) for name in tensors]


def layer_tensors(interpreter: Any, graph: Graph) -> dict[str, Any]:
    """The interpreter's details of each layer's output tensor, by layer, in the graph's order.

    Of a layer with several tensors (a normalization, a layer before a DEQUANTIZE, one kept in float) the last integer
    one of its output's shape counts, or the last float one where there is no other. A layer that the converter merged
    with another or folded away is left out.
    """
    details = {entry["index"]: entry for entry in interpreter.get_tensor_details()}
    found: dict[str, Any] = {}
    for entry in interpreter._get_ops_details():
        tensor = details[int(entry["outputs"][0])]
        name = layer_of(str(tensor["name"]))
        if name is None or name not in graph.nodes or tuple(tensor["shape"][1:]) != tuple(graph[name].shape):
            continue
        if name not in found or tensor["dtype"] in INTEGERS or found[name]["dtype"] not in INTEGERS:
            found[name] = tensor
    return {node.name: found[node.name] for node in graph if node.name in found}


def keeping_interpreter(content: bytes) -> Any:
    """An interpreter without XNNPACK that keeps every tensor of a file after an inference."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from convert.tflite.export import quiet

    with quiet():
        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    return interpreter


def dequantized(rows: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """Dequantized float32 of a tensor's rows."""
    if details["dtype"] not in INTEGERS:
        return np.asarray(rows, np.float32)
    scale, zero_point = details["quantization"]
    return (rows.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _alone(layer: Any, feeds: list[np.ndarray]) -> np.ndarray:
    return np.asarray(layer(feeds[0] if len(feeds) == 1 else feeds))


def _add(total: _Sums, expected: np.ndarray, came: np.ndarray, details: Mapping[str, Any]) -> None:
    difference = came - expected
    total.signal += float(_power(expected).sum())
    total.noise += float(_power(difference).sum())
    total.error += float(difference.sum(dtype=np.float64))
    total.values += expected.size
    if details["dtype"] in INTEGERS:
        limits = np.iinfo(details["dtype"])
        low, high = dequantized(np.array([limits.min, limits.max]), details)
        half = details["quantization"][0] / 2
        total.beyond += int(((expected < low - half) | (expected > high + half)).sum())


def _power(values: np.ndarray) -> np.ndarray:
    """Sum of squares by channel, float64 [channels], of [n, ..., channels]."""
    return np.asarray(np.square(values, dtype=np.float64).sum(axis=tuple(range(values.ndim - 1))))


def _decibel(signal: float, noise: float) -> float | None:
    return 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else None


def _row(graph: Graph, name: str, details: Mapping[str, Any], total: _Sums) -> LayerError:
    node = graph[name]
    channels = [_decibel(*pair) for pair in zip(total.own_signal, total.own_noise, strict=True)]
    known = [value for value in channels if value is not None]
    scale = float(details["quantization"][0]) if details["dtype"] in INTEGERS else None
    return LayerError(
        layer=name,
        path=node.path,
        kind=node.kind,
        tensor=str(details["name"]),
        shape=tuple(node.shape),
        scale=scale,
        sqnr_db=_decibel(total.signal, total.noise),
        own_sqnr_db=_decibel(total.own_signal.sum(), total.own_noise.sum()),
        own_channel_db=float(np.median(known)) if known else None,
        bias_steps=None if scale is None else total.error / total.values / scale,
        saturated_share=None if scale is None else total.beyond / total.values,
    )
