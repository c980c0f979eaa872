"""Rivals: other networks on the same pictures, each in its own size, colour and range of pixels."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.peers.config import PeersConfig
from benchmarks.peers.exports import PLAIN_FLOAT_1, Making, make
from benchmarks.peers.measure import Candidate, Truth, measure
from benchmarks.peers.rivals import SPANS, Scene, rival_files
from benchmarks.peers.runner import Runner
from benchmarks.peers.study import _as_convert
from convert.__main__ import main as convert
from convert.reporting.progress import Progress
from convert.source import load_dataset, load_source
from edge.errors import DataError
from edge.inference.modelfile import default_model_path
from tests.benchmarks.networks import passing_on, pixel, plain_network

ROWS = np.arange(0, 280, 40)


@pytest.fixture(scope="module", autouse=True)
def frameworks() -> None:
    """TensorFlow and Keras, quietly."""
    from convert.__main__ import settle_frameworks

    settle_frameworks()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model (net.keras), and as rivals a grey network of 40 pixels and networks of other classes and shapes."""
    folder = tmp_path_factory.mktemp("rivals")
    plain_network().save(folder / "net.keras")
    network(40, 1, 7).save(folder / "grey.keras")
    network(40, 1, 5).save(folder / "five.keras")
    network(40, 2, 7).save(folder / "two.keras")
    making = Making(network(40, 1, 7), np.zeros((0, 40, 40, 1), np.uint8), {}, "")
    (folder / "found.tflite").write_bytes(make(PLAIN_FLOAT_1, making))
    three = Making(network(40, 3, 3), np.zeros((0, 40, 40, 3), np.uint8), {}, "")
    (folder / "three.tflite").write_bytes(make(PLAIN_FLOAT_1, three))
    shutil.copy(default_model_path(), folder / "described.tflite")
    (folder / "net.tflite").write_bytes((folder / "found.tflite").read_bytes())
    return folder


def network(side: int, channels: int, classes: int) -> Any:
    """A network whose first logit is the mean pixel of a picture, in the unit that it is given."""
    import keras
    from keras import layers

    picture = keras.Input((side, side, channels))
    x = layers.Dense(classes)(layers.GlobalAveragePooling2D()(picture))
    model = keras.Model(picture, x)
    model.layers[-1].set_weights([np.eye(channels, classes, dtype=np.float32), np.zeros(classes, np.float32)])
    return model


@functools.cache
def loaded(folder: Path) -> Scene:
    """The model and the drawn faces, without rivals."""
    config = PeersConfig(
        model=folder / "net.keras", dataset="synthetic", data=None, part="validation", limit=None, exports=None,
        out=None, peers=(), quantizer_python="", rivals=(), rival_range="0..255",
        name=None, protocol=None, colour="auto", calibration=4, rounds=1, warmup=0, threads=1, seed=0,
    )  # fmt: skip
    as_convert = _as_convert(config)
    dataset = load_dataset(as_convert)
    return Scene(config, as_convert, load_source(as_convert, dataset), dataset, ROWS)


def scene(folder: Path, *rivals: str, span: str = "0..255") -> Scene:
    return beside(loaded(folder), *(folder / rival for rival in rivals), span=span)


def beside(made: Scene, *rivals: Path, span: str = "0..255") -> Scene:
    return dataclasses.replace(made, config=dataclasses.replace(made.config, rivals=rivals, rival_range=span))


def test_a_grey_rival_gets_the_same_pictures_as_luminance_in_its_own_size(folder: Path) -> None:
    made = scene(folder, "grey.keras")
    (rival,) = rival_files(made, Progress())
    assert (rival.name, rival.network, rival.ours) == ("grey-plain-float32", "grey", False)
    assert rival.pictures is not None and rival.pictures.shape == (len(ROWS), 40, 40, 1)
    coloured = made.pictures(40, 40, 3, "rgb").astype(float)
    luminance = coloured @ np.array([0.299, 0.587, 0.114])
    assert np.abs(rival.pictures[..., 0] - luminance).max() <= 1
    assert np.ptp(coloured, axis=-1).max() > 50  # there was colour to lose


def test_a_rival_run_or_file_of_another_protocol_is_refused(folder: Path, tmp_path: Path) -> None:
    from edge.labels import EMOTIONS
    from tests.train.handmade import write_run
    from train.datasets import apply_protocol, load

    drawn = load("synthetic", progress=False)
    own, other = (
        write_run(tmp_path, apply_protocol(drawn, protocol), protocol.replace("-", ""), 128, labels=EMOTIONS)
        for protocol in ("official-dedup", "seed")
    )
    made = scene(folder)
    assert made.dataset.protocol == "official-dedup"
    refused = r"expected the protocol that seed was trained under \(seed\); came official-dedup, .*; leave it out"
    for run in (own, other):
        record = json.loads((run / "run.json").read_text()) | {"metrics": {}}  # finished
        (run / "run.json").write_text(json.dumps(record))
        words = [str(run), "--recipe", "float32", "--dataset", "synthetic", "--colour", "rgb", "--quiet"]
        done = CliRunner().invoke(convert, [*words, "--out", str(tmp_path / "out")])
        assert done.exit_code == 0, done.output
    for rival in (own, tmp_path / "out" / "officialdedup-float32.tflite"):
        assert rival_files(beside(made, rival), Progress())
    for rival in (other, tmp_path / "out" / "seed-float32.tflite"):
        with pytest.raises(DataError, match=refused):
            rival_files(beside(made, rival), Progress())


@pytest.mark.parametrize(("span", "expected"), [("0..255", 51.0), ("0..1", 0.2), ("-1..1", -0.6)])
def test_pixels_come_in_the_range_that_is_told(folder: Path, span: str, expected: float) -> None:
    (rival,) = rival_files(scene(folder, "found.tflite", span=span), Progress())
    assert isinstance(rival.content, bytes)
    runner = Runner(rival.content, rival.file, rival.as_bytes, span=rival.span)
    grey = np.full((1, 40, 40, 1), 51, np.uint8)
    assert runner.infer(runner.prepared(grey))[0, 0] == pytest.approx(expected, abs=1e-5)
    assert rival.note == f"as found, pixels as {span}"


def test_a_quantized_input_takes_steps_of_the_told_range() -> None:
    # Steps of 1/128 from 128 on: -1, -0.6 and 1 are 128 - 128, 128 - 76.8 and 128 + 128, which is beyond the last step.
    made = Runner(passing_on("uint8", low=-1, high=127 / 128), "pixel.tflite", as_bytes=False, span=SPANS["-1..1"])
    assert made.prepared(pixel(0, 51, 255)).ravel().tolist() == [0, 51, 255]
    plain = Runner(passing_on("uint8", low=-1, high=127 / 128), "pixel.tflite", as_bytes=False)
    assert plain.prepared(pixel(0, 51, 255)).ravel().tolist() == [128, 255, 255]


def test_a_file_that_describes_itself_takes_bytes_and_needs_no_range(folder: Path) -> None:
    (rival,) = rival_files(scene(folder, "described.tflite", span="-1..1"), Progress())
    assert (rival.as_bytes, rival.note, rival.span) == (True, "as found", SPANS["0..255"])
    assert rival.pictures is not None and rival.pictures.shape == (len(ROWS), 80, 80, 3)


def test_a_rival_is_scored_on_its_own_pictures_beside_the_models_files(folder: Path) -> None:
    made = scene(folder, "grey.keras")
    (rival,) = rival_files(made, Progress())
    labels = np.zeros(len(ROWS), np.int64)
    truth = Truth(made.pictures(32, 32, 3, "rgb"), labels, labels, made.source.labels)
    (found,) = measure([rival], truth, rounds=2, warmup=0, threads=1, seed=0, progress=Progress())
    block = found.block()
    assert (block["network"], block["status"], block["predictions"]) == ("grey", "measured", "0" * len(ROWS))
    dark = dataclasses.replace(rival, span=(0.0, -255.0))  # then the mean is below the other logits, which are 0
    assert isinstance(dark, Candidate)
    (other,) = measure([dark], truth, rounds=1, warmup=0, threads=1, seed=0, progress=Progress())
    assert other.block()["predictions"] == "1" * len(ROWS)


@pytest.mark.parametrize(
    ("rival", "text"),
    [
        ("five.keras", "expected the classes of net in their order .*; got 5 outputs"),
        ("three.tflite", "expected the classes of net in their order .*; got 3 outputs"),
        ("two.keras", r"expected an input of one size and 3 channels or 1; got \(40, 40, 2\)"),
        ("old.h5", "expected a run folder, a .keras or a .tflite file; other formats may carry code"),
        ("none.tflite", "expected a model file; got: No such file"),
        ("net.tflite", "expected every network under a name of its own; got net, net; rename a rival"),
    ],
)
def test_a_rival_that_cannot_be_compared_is_refused_in_one_line(folder: Path, rival: str, text: str) -> None:
    (folder / "old.h5").touch()
    with pytest.raises(DataError, match=text) as refused:
        rival_files(scene(folder, rival), Progress())
    assert "\n" not in str(refused.value)


def test_the_ranges_are_those_of_the_command() -> None:
    from benchmarks.commands.peers import peers

    (option,) = (option for option in peers.params if option.name == "rival_range")
    assert list(getattr(option.type, "choices", ())) == list(SPANS)
