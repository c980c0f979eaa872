from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from convert.lowering.emission import emit
from convert.tflite import flatfile
from convert.tflite.export import export_float, export_int8
from convert.tflite.packaging import METADATA_NAME, package
from convert.third_party.metadata_schema_py_generated import ModelMetadataT
from edge.errors import ModelFileError
from edge.inference.contract import Contract, CropSpec, InputSpec
from edge.inference.modelfile import parse_model
from edge.labels import EMOTIONS
from tests.convert.networks import SIDE, lowered_network, pictures
from tests.convert.quantization.test_quantization import ready

CONTRACT = Contract(
    name="small",
    version="1.2.3",
    description="A small network.",
    recipe="ptq-int8",
    backbone="small",
    labels=EMOTIONS,
    input=InputSpec(SIDE, SIDE),
    crop=CropSpec(1.02, resolution_px=48),
    training_colour="grey",
    licence="Apache-2.0",
    intended_use="Tests.",
    not_for="Anything else.",
    flatbuffer_sha256="0" * 64,
    data={"name": "none", "fingerprint": "none"},
)


@pytest.fixture(scope="module")
def flatbuffer() -> bytes:
    _, graph = lowered_network()
    return export_int8(graph, ready(graph, pictures(32)))


@pytest.fixture(scope="module")
def float_flatbuffer() -> bytes:
    _, graph = lowered_network()
    return export_float(graph, emit(graph), "float32")


def probabilities(content: bytes, image: np.ndarray) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_the_device_reads_what_was_packed(flatbuffer: bytes) -> None:
    model = parse_model(package(flatbuffer, CONTRACT))
    assert model.labels == EMOTIONS
    assert (model.input.shape, model.input.dtype) == ((1, SIDE, SIDE, 3), "uint8")
    assert (model.input.scale, model.input.zero_point) == (1 / 128, 128)
    assert (model.output.dtype, model.output.scale, model.output.zero_point) == ("uint8", 1 / 256, 0)
    assert model.contract.flatbuffer_sha256 != CONTRACT.flatbuffer_sha256


def test_one_flipped_byte_of_the_network_is_noticed(flatbuffer: bytes) -> None:
    content = bytearray(package(flatbuffer, CONTRACT))
    content[len(content) // 2] ^= 1
    with pytest.raises(ModelFileError, match="expected a network with sha256"):
        parse_model(bytes(content))


def test_metadata_says_what_mediapipe_asks_for(flatbuffer: bytes) -> None:
    model = flatfile.unpack(package(flatbuffer, CONTRACT))
    (place,) = (entry.buffer for entry in model.metadata if entry.name == METADATA_NAME.encode())
    written = bytes(model.buffers[place].data)
    assert written[4:8] == b"M001"
    metadata = ModelMetadataT.InitFromPackedBuf(written)
    assert (metadata.name, metadata.version, metadata.license) == (b"small", b"1.2.3", b"Apache-2.0")
    assert b"Anything else." in metadata.description
    subgraph = metadata.subgraphMetadata[0]
    picture, scores = subgraph.inputTensorMetadata[0], subgraph.outputTensorMetadata[0]
    assert picture.content.contentProperties.colorSpace == 1  # RGB
    assert list(picture.processUnits[0].options.mean) == [128]
    assert list(picture.processUnits[0].options.std) == [128]
    assert (list(picture.stats.min), list(picture.stats.max)) == ([0], [255])
    assert scores.associatedFiles[0].name == b"labels.txt"
    assert scores.associatedFiles[0].type == 2  # TENSOR_AXIS_LABELS


def test_the_zip_is_stored_dated_and_in_canonical_order(flatbuffer: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(package(flatbuffer, CONTRACT))) as archive:
        entries = archive.infolist()
        assert [entry.filename for entry in entries] == ["labels.txt", "fer-edge.json"]
        assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("labels.txt").decode().split() == list(EMOTIONS)


def test_the_same_network_gives_the_same_bytes_and_another_name_others(flatbuffer: bytes) -> None:
    import dataclasses

    assert package(flatbuffer, CONTRACT) == package(flatbuffer, CONTRACT)
    assert package(flatbuffer, CONTRACT) != package(flatbuffer, dataclasses.replace(CONTRACT, name="other"))


def test_packing_twice_replaces_the_metadata(flatbuffer: bytes) -> None:
    once = flatfile.unpack(package(flatbuffer, CONTRACT))
    again = flatfile.unpack(package(flatfile.pack(once), CONTRACT))
    assert len(again.metadata) == len(once.metadata)
    assert len(again.buffers) == len(once.buffers)


def test_the_packed_network_computes_the_same_and_is_smaller(flatbuffer: bytes) -> None:
    packed = package(flatbuffer, CONTRACT)
    for image in pictures(4, seed=3):
        np.testing.assert_array_equal(probabilities(packed, image), probabilities(flatbuffer, image))
    assert len(flatfile.pack(flatfile.unpack(flatbuffer))) < len(flatbuffer)


def test_weights_are_aligned_to_16_bytes(flatbuffer: bytes) -> None:
    content = package(flatbuffer, CONTRACT)
    kernel = max((b.data for b in flatfile.unpack(content).buffers if b.data is not None), key=len)
    assert content.find(kernel.tobytes()) % 16 == 0
    positions = [
        content.find(buffer.data.tobytes())
        for buffer in flatfile.unpack(content).buffers
        if buffer.data is not None and len(buffer.data) >= 64
    ]
    assert len(positions) > 3
    assert all(position % 16 == 0 for position in positions)


def test_a_float_file_takes_uint8_and_gives_probabilities(float_flatbuffer: bytes) -> None:
    model = parse_model(package(float_flatbuffer, CONTRACT))
    assert (model.input.dtype, model.output.dtype) == ("uint8", "float32")
    assert probabilities(model.content, pictures(1)[0]).sum() == pytest.approx(1, abs=1e-5)


def test_int8_files_hold_no_float_operator_in_one_partition_and_float_files_do(
    flatbuffer: bytes, float_flatbuffer: bytes
) -> None:
    from convert.tflite.inspection import inspect

    found = inspect(flatbuffer)
    assert found.float_operators == {}
    assert found.tensor_kernels == ()
    assert found.partitions == 1
    assert found.outside == {"QUANTIZE": 2, "SOFTMAX": 1}
    assert found.operators["LOGISTIC"] == 3
    assert found.operators["MUL"] == 3
    assert "PAD" not in found.operators
    other = inspect(float_flatbuffer)
    assert other.float_operators["CONV_2D"] == found.operators["CONV_2D"]
    assert other.outside == {"CAST": 1}


def test_without_keepdims_pooling_the_graph_would_be_cut() -> None:
    """The partner: squeeze-excite as Keras writes it, through the same exporter."""
    import tensorflow as tf

    from convert.tflite.export import quiet
    from convert.tflite.inspection import inspect
    from tests.convert.networks import small_network

    converter = tf.lite.TFLiteConverter.from_keras_model(small_network())
    with quiet():
        content = converter.convert()
    assert {"SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE"} & set(inspect(content).outside)
