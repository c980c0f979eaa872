"""Tiny model files whose answers can be worked out by hand: the mean colour of a face decides its emotion.

Red faces are angry, green happy, blue sad, grey neutral, in float32 and in full int8 with uint8 in and out.
"""

from __future__ import annotations

import dataclasses
import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.files import sha256_of
from edge.inference.contract import Contract, CropSpec, InputSpec
from edge.labels import EMOTIONS

SIDE = 32
RED, GREEN, BLUE, GREY = (230, 20, 20), (20, 230, 20), (20, 20, 230), (128, 128, 128)

METRIC = {
    "dataset": "fer2013",
    "part": "PrivateTest",
    "protocol": "official",
    "accuracy": 0.65,
    "macro_f1": 0.6,
    "weighted_f1": 0.64,
    "ci95": [0.63, 0.67],
    "samples": 3589,
}

CONTRACT = Contract(
    name="colours",
    version="1.0",
    description="Says the emotion that a colour stands for.",
    recipe="qat-int8",
    backbone="mean",
    labels=EMOTIONS,
    input=InputSpec(SIDE, SIDE),
    crop=CropSpec(side_scale=1.0),
    training_colour="rgb",
    metrics=(METRIC,),
    data={"name": "colours", "fingerprint": "sha256:0", "supervision": "labels with 30% of FER+ votes"},
    versions={"numpy": "2.0"},
    licence="Apache-2.0",
    intended_use="Tests.",
    not_for="Anything else.",
    flatbuffer_sha256="0" * 64,
)


def flatbuffer(recipe: str, classes: int = len(EMOTIONS)) -> bytes:
    """Return a TFLite network: mean colour -> Dense -> softmax; `recipe` is float32 or qat-int8."""
    import tensorflow as tf

    weights = np.zeros((3, classes), np.float32)
    for channel, label in enumerate(("angry", "happy", "sad")):
        weights[:, EMOTIONS.index(label)] = -0.03
        weights[channel, EMOTIONS.index(label)] = 0.06
    bias = np.full(classes, -4.0, np.float32)
    bias[[EMOTIONS.index(label) for label in ("angry", "happy", "sad")]] = 0.0
    if classes > EMOTIONS.index("neutral"):
        bias[EMOTIONS.index("neutral")] = 3.0
    same = np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)

    def network(picture: Any) -> Any:
        values = tf.nn.conv2d(picture, same, 1, "SAME")
        return tf.nn.softmax(tf.reduce_mean(values, [1, 2]) @ weights + bias)

    if recipe == "float32":
        spec = tf.TensorSpec((1, SIDE, SIDE, 3), tf.uint8)
        function = tf.function(lambda picture: network(tf.cast(picture, tf.float32)), [spec])
    else:
        function = tf.function(network, [tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    if recipe != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = _calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's, about its own defaults
        return bytes(converter.convert())


def packed(network: bytes, contract: Contract = CONTRACT, **changes: Any) -> bytes:
    """Return a whole model file: the network, then a stored zip with labels.txt and fer-edge.json.

    Keyword arguments: `labels` (text of labels.txt), `json` (fields that replace the contract's in fer-edge.json,
    unchecked), `without` (name of an associated file to leave out), `compression` (of the zip).
    """
    described = dataclasses.replace(contract, flatbuffer_sha256=sha256_of(network)).to_dict()
    described.update(changes.get("json", {}))
    files: Mapping[str, str] = {
        "labels.txt": changes.get("labels", "\n".join(contract.labels) + "\n"),
        "fer-edge.json": json.dumps(described),
    }
    stream = io.BytesIO(network)
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a", changes.get("compression", zipfile.ZIP_STORED)) as archive:
        for name, text in files.items():
            if name != changes.get("without"):
                archive.writestr(name, text)
    return stream.getvalue()


def face(colour: tuple[int, int, int], side: int = SIDE) -> np.ndarray:
    """Return a (side, side, 3) uint8 picture of one colour."""
    return np.full((side, side, 3), colour, np.uint8)


def _calibration() -> Any:
    for colour in (RED, GREEN, BLUE, GREY, (0, 0, 0), (255, 255, 255)):
        yield [face(colour)[np.newaxis].astype(np.float32)]
