"""The runner of any TFLite file: how pixels become its input, and its classes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.peers.runner import Runner
from edge.errors import ModelFileError
from tests.benchmarks.networks import passing_on, pixel


def runner(dtype: str, low: float = 0.0, high: float = 255.0, as_bytes: bool = False) -> Runner:
    return Runner(passing_on(dtype, low, high), "pixel.tflite", as_bytes)


def test_a_float_file_gets_the_raw_pixels() -> None:
    made = runner("float32")
    prepared = made.prepared(pixel(0, 30, 255))
    assert (str(prepared.dtype), prepared.ravel().tolist()) == ("float32", [0.0, 30.0, 255.0])
    assert made.infer(prepared).tolist() == [[0.0, 30.0, 255.0]]


def test_a_uint8_file_gets_steps_of_its_own_scale_from_its_own_zero_point() -> None:
    made = runner("uint8", low=-100, high=155)
    assert (made.scale, made.zero_point) == (1.0, 100)
    prepared = made.prepared(pixel(0, 30, 155))
    assert (str(prepared.dtype), prepared.ravel().tolist()) == ("uint8", [100, 130, 255])
    assert made.infer(prepared).tolist() == [[100, 130, 255]]


def test_pixels_beyond_the_range_of_the_input_are_clipped_and_do_not_wrap() -> None:
    assert runner("uint8", low=-100, high=155).prepared(pixel(156, 200, 255)).ravel().tolist() == [255, 255, 255]


def test_an_int8_file_gets_rounded_steps() -> None:
    made = runner("int8", low=0, high=510)
    assert (made.scale, made.zero_point) == (2.0, -128)
    prepared = made.prepared(pixel(0, 100, 254))
    assert (str(prepared.dtype), prepared.ravel().tolist()) == ("int8", [-128, -78, -1])
    assert made.infer(prepared).tolist() == [[-128, -78, -1]]


def test_a_file_of_our_contract_gets_the_bytes_whatever_its_scale() -> None:
    """Ours have scale 1/128 and zero point 128: the normalization of training, not the meaning of a pixel."""
    made = runner("uint8", low=-1, high=127 / 128, as_bytes=True)
    assert (made.scale, made.zero_point) == (1 / 128, 128)
    assert made.prepared(pixel(0, 30, 255)).ravel().tolist() == [0, 30, 255]
    assert runner("uint8", low=-1, high=127 / 128).prepared(pixel(0, 30, 255)).ravel().tolist() == [128, 255, 255]


def test_the_class_is_the_highest_output_and_ties_are_counted() -> None:
    pictures = np.concatenate([pixel(3, 9, 4), pixel(200, 7, 7), pixel(5, 60, 60), pixel(1, 2, 250)])
    for made in (runner("float32"), runner("uint8"), runner("int8")):
        done: list[int] = []
        classes, ties = made.classes(pictures, done.append)
        assert classes.tolist() == [1, 0, 1, 2]
        assert ties == 0.25
        assert done == [1, 2, 3, 4]


def test_a_file_said_to_take_bytes_must_take_uint8() -> None:
    with pytest.raises(ModelFileError, match="expected a uint8 input; got float32"):
        runner("float32", as_bytes=True).prepared(pixel(1, 2, 3))


def test_a_file_that_the_interpreter_refuses_is_named() -> None:
    with pytest.raises(ModelFileError, match=r"^broken\.tflite: expected a file that ai-edge-litert runs; got: "):
        Runner(b"TFL3" * 10, "broken.tflite", as_bytes=False)
