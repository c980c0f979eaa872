from __future__ import annotations

import random
import struct

import pytest

from edge.errors import ModelFileError
from edge.inference.flatbuffer import TensorInfo, read_signature
from tests.edge.models import SIDE


def test_the_signature_is_the_one_that_the_interpreter_reports(networks: dict[str, bytes]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    for network in networks.values():
        interpreter = Interpreter(model_content=network)
        inputs, outputs = read_signature(network)
        for ours, theirs in ((inputs, interpreter.get_input_details()), (outputs, interpreter.get_output_details())):
            assert [tensor.name for tensor in ours] == [detail["name"] for detail in theirs]
            assert [tensor.shape for tensor in ours] == [tuple(detail["shape"]) for detail in theirs]
            assert [tensor.dtype for tensor in ours] == [detail["dtype"].__name__ for detail in theirs]
            quantized = [(tensor.scale or 0.0, tensor.zero_point or 0) for tensor in ours]
            assert quantized == [detail["quantization"] for detail in theirs]


def test_an_int8_network_declares_its_steps(networks: dict[str, bytes]) -> None:
    inputs, outputs = read_signature(networks["qat-int8"])
    assert inputs == (TensorInfo(inputs[0].name, (1, SIDE, SIDE, 3), "uint8", 1.0, 0),)
    assert outputs == (TensorInfo(outputs[0].name, (1, 7), "uint8", 1 / 256, 0),)
    assert read_signature(networks["float32"])[1][0].scale is None


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\0\0\0TFL2" + bytes(40), b"\x89PNG\r\n\x1a\n"])
def test_bytes_without_the_mark_are_refused(content: bytes) -> None:
    with pytest.raises(ModelFileError, match=r"expected a TFLite model \(TFL3 at byte 4\)"):
        read_signature(content)


def test_every_truncation_is_refused_or_loses_nothing_that_is_read(networks: dict[str, bytes]) -> None:
    network = networks["qat-int8"]
    whole = read_signature(network)
    refused = 0
    for length in range(0, len(network), 3):
        try:
            assert read_signature(network[:length]) == whole
        except ModelFileError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 100


def test_random_damage_never_escapes_as_another_error(networks: dict[str, bytes]) -> None:
    generator = random.Random(0)
    network = networks["qat-int8"]
    refused = 0
    for _ in range(1500):
        damaged = bytearray(network)
        for _ in range(generator.randint(1, 8)):
            damaged[generator.randrange(8, len(damaged))] = generator.randrange(256)
        try:
            read_signature(bytes(damaged))
        except ModelFileError:
            refused += 1
    assert refused > 20


def test_an_offset_far_outside_is_refused() -> None:
    with pytest.raises(ModelFileError, match="damaged or ends early"):
        read_signature(struct.pack("<I4s", 0x7FFFFFFF, b"TFL3") + bytes(64))
