from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.tflite import flatfile
from convert.tflite.inspection import inspect
from convert.verification.delegation import (
    FLOAT,
    INT8,
    OUTSIDE,
    Delegation,
    Operator,
    ScaleError,
    as_json,
    delegation,
    require_kernel_scales,
)
from tests.convert.networks import lowered_network, pictures


@pytest.fixture(scope="module")
def int8_file() -> bytes:
    """The small network in int8: ADD, MUL, LOGISTIC, MEAN, both convolutions and a dense layer."""
    from convert.lowering.parity import normalize
    from convert.quantization.fakequant import calibrate, fake_quantize, for_export
    from convert.tflite.export import export_int8

    _, graph = lowered_network()
    model = fake_quantize(graph)
    calibrate(model, graph, [normalize(pictures(16), graph)])
    return export_int8(graph, for_export(graph, model))


def below(value: float) -> float:
    """The next smaller float32."""
    return float(np.nextafter(np.float32(value), np.float32(0)))


def rescaled(content: bytes, scales: Mapping[str, float]) -> bytes:
    """The file with other scales for the outputs of the named layers; nothing else is changed."""
    model = flatfile.unpack(content)
    tensors = model.subgraphs[0].tensors
    outputs = [tensors[int(entry.outputs[0])] for entry in model.subgraphs[0].operators]
    for layer, scale in scales.items():
        tensor = next(t for t in outputs if t.name.decode().startswith(f"lowered/quant_{layer}/"))
        tensor.quantization.scale = np.array([scale], np.float32)
    return flatfile.pack(model)


def operator(report: Delegation, name: str, layer: str) -> Operator:
    return next(o for o in report.operators if o.name == name and o.output.startswith(f"lowered/quant_{layer}/"))


def test_the_small_int8_network_is_one_partition_with_only_its_ends_outside(int8_file: bytes) -> None:
    report = delegation(int8_file)
    assert report.partitions == 1
    assert report.counts == {
        INT8: {
            "ADD": 1,
            "CONV_2D": 4,
            "DEPTHWISE_CONV_2D": 1,
            "FULLY_CONNECTED": 1,
            "LOGISTIC": 3,
            "MEAN": 2,
            "MUL": 3,
            "RESHAPE": 1,
        },
        FLOAT: {},
        OUTSIDE: {"QUANTIZE": 2, "SOFTMAX": 1},
    }
    assert [(o.name, o.reason) for o in report.operators if o.place == OUTSIDE] == [
        ("QUANTIZE", "XNNPACK does not convert between uint8 and int8"),
        ("SOFTMAX", "XNNPACK has it in float only"),
        ("QUANTIZE", "XNNPACK does not convert between uint8 and int8"),
    ]
    assert {o.partition for o in report.operators if o.place == INT8} == {0}
    assert all(o.reason is None and o.partition is not None for o in report.operators if o.place != OUTSIDE)
    assert report.counts[OUTSIDE] == inspect(int8_file).outside


def test_the_report_is_plain_json(int8_file: bytes) -> None:
    text = json.dumps(as_json(delegation(int8_file)), allow_nan=False)
    assert json.loads(text)["counts"][OUTSIDE] == {"QUANTIZE": 2, "SOFTMAX": 1}


# The borders are those of the installed runtime, not only of the source: at each the delegate itself is asked.
@pytest.mark.parametrize(
    ("ratio", "stays"),
    [(2.0**-10, True), (below(2.0**-10), False), (below(2.0**8), True), (2.0**8, False)],
)
def test_a_sum_leaves_xnnpack_exactly_where_an_input_leaves_the_window(
    int8_file: bytes, ratio: float, stays: bool
) -> None:
    """Output and the other input at 1/32, so that their ratio is 1."""
    scales = {"residual": 1 / 32, "stem_swish": 1 / 32, "project": ratio / 32}
    found = operator(delegation(rescaled(int8_file, scales)), "ADD", "residual")
    assert [r.value for r in found.ratios] == pytest.approx([1.0, ratio], rel=1e-7)
    assert [r.holds for r in found.ratios] == [True, stays]
    assert (found.place == INT8) is stays
    assert found.ratios[0].margin == pytest.approx(8)
    assert found.ratios[1].margin == pytest.approx(0, abs=1e-6)
    if stays:
        assert found.reason is None
    else:
        side = "below 2^-10" if ratio < 1 else "not below 2^8"
        assert found.reason is not None
        assert found.reason.startswith("scale ratio input 1 / output is")
        assert side in found.reason
        assert "input 0" not in found.reason


@pytest.mark.parametrize(
    ("ratio", "stays"),
    [(2.0**-16, True), (below(2.0**-16), False), (below(2.0**8), True), (2.0**8, False)],
)
def test_a_product_leaves_xnnpack_exactly_where_its_scales_leave_the_window(
    int8_file: bytes, ratio: float, stays: bool
) -> None:
    """depthwise (ratio * 8) times sigmoid (1/256) over the output (1/32): the product's ratio is ``ratio``."""
    report = delegation(rescaled(int8_file, {"depthwise": ratio * 8, "excite": 1 / 32}))
    found = operator(report, "MUL", "excite")
    assert found.ratios[0].value == pytest.approx(ratio, rel=1e-7)
    assert (found.place == INT8, found.ratios[0].holds) == (stays, stays)
    assert (found.reason is None) is stays
    assert stays or "product of inputs / output" in str(found.reason)
    assert operator(report, "MUL", "stem_swish").place == INT8


def test_a_ratio_far_outside_has_a_negative_margin_and_splits_the_network(int8_file: bytes) -> None:
    report = delegation(rescaled(int8_file, {"residual": 1 / 32, "stem_swish": 1 / 32, "project": 2.0**11 / 32}))
    found = operator(report, "ADD", "residual")
    assert found.ratios[1].margin == pytest.approx(-3)
    assert report.partitions == 2
    partitions = [o.partition for o in report.operators]
    place = found.position
    assert set(partitions[1:place]) == {0}
    assert partitions[place] is None
    assert partitions[place + 1] == 1


def at_kernel_ratio(content: bytes, name: str, layer: str, ratio: float) -> bytes:
    """The file with the layer's output scale such that its largest input * kernel / output is ``ratio``."""
    found = operator(delegation(content), name, layer)
    model = flatfile.unpack(content)
    tensor = next(t for t in model.subgraphs[0].tensors if t.name.decode() == found.output)
    return rescaled(content, {layer: float(tensor.quantization.scale[0]) * found.ratios[0].value / ratio})


@pytest.mark.parametrize(
    ("name", "layer"), [("CONV_2D", "project"), ("DEPTHWISE_CONV_2D", "depthwise"), ("FULLY_CONNECTED", "logits")]
)
def test_kernel_scales_that_xnnpack_fails_on_are_refused_before_the_runtime_allocates(
    int8_file: bytes, name: str, layer: str
) -> None:
    require_kernel_scales(at_kernel_ratio(int8_file, name, layer, 255.9))
    with pytest.raises(ScaleError, match=rf"input \* kernel / output below 256 .* came 256.1 in .*{layer}.* widen"):
        delegation(at_kernel_ratio(int8_file, name, layer, 256.1))


def test_the_runtime_does_fail_on_such_a_file(int8_file: bytes, tmp_path: Path) -> None:
    """In a process of its own, as it aborts; without this, ``require_kernel_scales`` would not be needed."""
    program = (
        "import sys; from ai_edge_litert.interpreter import Interpreter; "
        "Interpreter(model_path=sys.argv[1]).allocate_tensors()"
    )
    codes = {}
    for ratio in (255.9, 256.1):
        path = tmp_path / f"{ratio}.tflite"
        path.write_bytes(at_kernel_ratio(int8_file, "CONV_2D", "project", ratio))
        codes[ratio] = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True).returncode
    assert codes[255.9] == 0
    assert codes[256.1] != 0


def converted(function: Any, integer: bool) -> bytes:
    """The file of one float function [1, 8, 8, 4] -> anything, in int8 with float ends or in float."""
    import tensorflow as tf

    from convert.tflite.export import quiet

    signature = [tf.TensorSpec((1, 8, 8, 4), tf.float32)]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [tf.function(function, input_signature=signature).get_concrete_function()], None
    )
    if integer:
        generator = np.random.default_rng(0)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: [[generator.normal(size=(1, 8, 8, 4)).astype(np.float32)]]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with quiet():
        return bytes(converter.convert())


@pytest.mark.parametrize("name", ["GELU", "HARD_SWISH", "AVERAGE_POOL_2D", "RELU6", "SQUARED_DIFFERENCE"])
def test_operators_that_xnnpack_has_in_float_only_leave_it_in_int8_and_stay_in_float(name: str) -> None:
    import tensorflow as tf

    functions = {
        "GELU": lambda x: tf.nn.gelu(x),
        "HARD_SWISH": lambda x: x * tf.nn.relu6(x + 3) / 6,
        "AVERAGE_POOL_2D": lambda x: tf.nn.avg_pool2d(x, 2, 2, "SAME"),
        "RELU6": lambda x: tf.nn.relu6(x),
        "SQUARED_DIFFERENCE": lambda x: tf.math.squared_difference(x, tf.sigmoid(x)),
    }
    found = next(o for o in delegation(converted(functions[name], True)).operators if o.name == name)
    assert (found.place, found.reason) == (OUTSIDE, "XNNPACK has it in float only")
    found = next(o for o in delegation(converted(functions[name], False)).operators if o.name == name)
    assert (found.place, found.reason, found.ratios) == (FLOAT, None, ())


def test_an_operator_that_xnnpack_lacks_and_a_shape_known_only_at_run_time_are_told_apart() -> None:
    import tensorflow as tf

    def reshaped(x: Any) -> Any:
        side = tf.cast(tf.reduce_sum(tf.cast(x[0, 0, 0, 0] > 5, tf.int32)) * 4 + 8, tf.int32)
        return tf.reshape(x, tf.stack([side, -1])) + 1.0

    report = delegation(converted(reshaped, False))
    reasons = {o.name: o.reason for o in report.operators}
    assert reasons["RESHAPE"] == "its shape is only known when it runs"
    assert reasons["PACK"] == "XNNPACK has no such operator"


def test_a_depthwise_convolution_of_dynamic_range_is_outside_for_its_mixed_types() -> None:
    """TFLiteConverter quantizes kernels from 1024 weights on: 3x3 on 128 channels."""
    import tensorflow as tf

    from convert.tflite.export import quiet

    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 128, 1)).astype(np.float32))
    signature = [tf.TensorSpec((1, 4, 4, 128), tf.float32)]
    function = tf.function(lambda x: tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "SAME"), input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], None)
    with quiet():
        plain = bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with quiet():
        dynamic = bytes(converter.convert())
    (found,) = [o for o in delegation(dynamic).operators if o.name == "DEPTHWISE_CONV_2D"]
    assert (found.place, found.reason) == (OUTSIDE, "float data with an int8 kernel")
    (found,) = [o for o in delegation(plain).operators if o.name == "DEPTHWISE_CONV_2D"]
    assert (found.place, found.reason) == (FLOAT, None)


def test_places_reasons_and_partitions_are_never_half_set(int8_file: bytes) -> None:
    for found in delegation(int8_file).operators:
        fields = dataclasses.asdict(found)
        assert (fields["place"] == OUTSIDE) == (fields["partition"] is None) == (fields["reason"] is not None)
