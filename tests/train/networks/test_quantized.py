"""The shipped .tflite as first weights and as a teacher: the same answers, statistics that fit, refusals."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks.__main__ import main as benchmarks
from edge.errors import DataError
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import default_model_path, read_model
from edge.pictures.preprocess import fit
from tests.edge.models import flatbuffer, packed
from tests.train.conftest import tiny_model
from train.__main__ import main
from train.datasets import Dataset
from train.datasets.mapping import as_colour
from train.evaluation.calibration import softmax
from train.evaluation.predict import predict_logits
from train.fitting.distill import load_teachers, supervision
from train.networks import quantized
from train.networks.building import build
from train.networks.quantized import Shipped, is_shipped, load_shipped, operators_of, record_of
from train.networks.weights import load_weights_file
from train.recipes import recipe

BEGUN = "labels with 30% of FER+ votes through its first weights"
TAUGHT = "labels with 30% of FER+ votes through a teacher"


@pytest.fixture(scope="module")
def shipped(faces: Dataset) -> Shipped:
    return load_shipped(default_model_path(), faces.part("train").images)


@pytest.fixture
def described(tmp_path: Path) -> Callable[..., Path]:
    """Write the shipped network with other words in its contract."""

    def write(**changes: Any) -> Path:
        model = read_model()
        content = model.content[: _network_bytes()]
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.tflite"
        path.write_bytes(packed(content, model.contract, json=changes))
        return path

    return write


def _network_bytes() -> int:
    """Where the shipped file's zip begins."""
    with zipfile.ZipFile(default_model_path()) as archive:
        return min(info.header_offset for info in archive.infolist())


def test_network_answers_as_the_file_does(shipped: Shipped, faces: Dataset) -> None:
    pictures = faces.part("test").images
    classifier = Classifier(read_model())
    side = shipped.file.contract.input.height
    expected = classifier.probabilities(np.stack([fit(picture, side, side) for picture in pictures]))
    came = softmax(predict_logits(keras.Model(shipped.model.inputs, shipped.model.outputs), pictures))
    assert np.abs(came - expected).mean() < 0.02
    assert (came.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9
    assert 0 < shipped.difference < quantized.DIFFERENCE
    assert not shipped.model.compiled  # compiled within a teacher's model, it would log a loss of its own


def test_batch_norms_have_the_statistics_of_what_reaches_them(shipped: Shipped, faces: Dataset) -> None:
    pictures = np.stack([fit(picture, 80, 80) for picture in faces.part("train").images])
    copy = keras.models.clone_model(shipped.model)
    copy.set_weights(shipped.model.get_weights())
    resting = keras.ops.convert_to_numpy(copy(pictures, training=False))
    for layer in copy.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    training = keras.ops.convert_to_numpy(copy(pictures, training=True))  # with the batch's own statistics
    assert np.abs(training - resting).mean() < 0.05 * np.abs(resting).mean()
    for layer in copy.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(np.ones(layer.gamma.shape))
    lost = keras.ops.convert_to_numpy(copy(pictures, training=True))
    assert np.abs(lost - resting).mean() > 0.5 * np.abs(resting).mean()


def test_first_part_takes_its_layers_and_the_whole_network_its_logits_too(faces: Dataset, shipped: Shipped) -> None:
    pictures = as_colour(faces.part("train").images, "grey")
    first = build("efficientnet-lite0-os16", height=64, width=64, classes=7)
    [line] = load_weights_file(first, default_model_path(), pictures)
    assert line == "weights of default.tflite: 66 layers; 2 others begin anew"
    theirs = shipped.model.get_layer("block5_dw_conv").get_weights()[0]
    assert np.array_equal(first.get_layer("block5_dw_conv").get_weights()[0], theirs)
    for classes, taken in ((7, 99), (3, 98)):
        model = build("efficientnet-lite0", height=32, width=32, classes=classes)
        [line] = load_weights_file(model, default_model_path(), pictures)
        assert line == f"weights of default.tflite: {taken} layers"
    fine = build("efficientnet-lite0-fine", height=32, width=32, classes=7)  # all of the same layers
    assert load_weights_file(fine, default_model_path(), pictures) == ["weights of default.tflite: 99 layers"]
    with pytest.raises(DataError, match="expected pictures to take the statistics of"):
        load_weights_file(first, default_model_path())


def test_fit_from_the_shipped_file_taught_by_it_says_so(tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = ["--backbone", "efficientnet-lite0", "--size", "32", "--head-epochs", "0", "--epochs", "1", "--batch", "35"]
    flags += ["--limit", "70", "--quiet", "--weights", "default", "--teacher", str(default_model_path())]
    result = _run("fit", "synthetic", "--out", str(run), "--colour", "grey", *flags)
    assert result.exit_code == 0, result.output
    config = json.loads((run / "run.json").read_text())
    assert config["supervision"] == f"labels; {TAUGHT}; {BEGUN}"
    assert config["weights"] == "default"
    assert config["start"]["model_sha256"] == read_model().sha256 == config["teachers"][0]["model_sha256"]
    assert (config["start"]["name"], config["start"]["data"]["protocol"]) == ("fer2013-lite0", "official-dedup")
    with open(run / "history.csv", newline="") as stream:
        assert float(next(csv.DictReader(stream))["loss"]) > 0
    again = supervision("synthetic", recipe("modern"), [config])
    assert again == f"labels; {TAUGHT}"


def test_names_are_of_shipped_models_and_paths_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_shipped("default") and is_shipped("some/other.tflite") and not is_shipped("weights.npz")
    assert not is_shipped(Path("default")) and not is_shipped("./default")
    monkeypatch.chdir(tmp_path)
    flags = ["--backbone", "efficientnet-lite0", "--epochs", "1", "--limit", "70", "--quiet", "--out", "run"]
    result = _run("fit", "synthetic", *flags, "--weights", "./default")
    assert result.exit_code == 1 and "nothing is at default; check --weights" in result.output
    result = _run("fit", "synthetic", *flags, "--teacher", "./small")
    assert result.exit_code == 1 and "expected a run folder with run.json at small" in result.output


def test_logits_of_other_classes_are_not_taken(faces: Dataset, shipped: Shipped) -> None:
    pictures = faces.part("train").images
    for labels, taken in ((shipped.file.labels, 99), (tuple("abcdefg"), 98)):
        lines: list[str] = []
        build(
            "efficientnet-lite0", height=32, width=32, classes=7, weights="default", pictures=pictures, labels=labels,
            report=lines.append,
        )  # fmt: skip
        assert lines == [
            f"weights of default: {taken} layers",
            "default was trained on grey pictures, these have colours",
        ]


def test_resumed_run_keeps_the_record_of_what_it_began_with(described: Callable[..., Path], tmp_path: Path) -> None:
    kept, moved = described(), tmp_path / "moved.tflite"
    flags = ["--backbone", "efficientnet-lite0", "--size", "32", "--head-epochs", "0", "--limit", "35", "--batch", "35"]
    flags += ["--epochs", "1", "--quiet", "--weights", str(kept)]
    words = ["fit", "synthetic", *flags, "--out", str(tmp_path / "run")]
    result = _run(*words)
    assert result.exit_code == 0, result.output
    before = json.loads((tmp_path / "run" / "run.json").read_text())
    kept.rename(moved)
    result = _run(*words, "--resume")
    assert result.exit_code == 0, result.output
    after = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (after["start"], after["supervision"]) == (before["start"], before["supervision"])
    described(version="2.0.0").rename(kept)
    result = _run(*words, "--resume")
    assert result.exit_code == 1 and "expected the first weights of the run in" in result.output


@pytest.mark.parametrize("weights", [True, False])
def test_weights_or_network_of_a_run_bring_its_record_along(network_run: Path, tmp_path: Path, weights: bool) -> None:
    words = ["fit", "synthetic", "--size", "32", "--head-epochs", "0", "--epochs", "1", "--limit", "35", "--quiet"]
    words += ["--backbone", str(network_run / "model.keras")]
    words += ["--weights", str(network_run / "model.keras")] if weights else []
    result = _run(*words, "--out", str(tmp_path / "next"))
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "next" / "run.json").read_text())
    assert (config["start"]["name"], config["start"]["recipe"]) == (network_run.name, "float32")
    log = CliRunner().invoke(benchmarks, ["runs", str(tmp_path / "next" / "run.json")])
    assert log.exit_code == 0 and "(first weights: voted float32)" in log.output
    assert config["supervision"] == "labels; FER+ votes through its first weights"


@pytest.fixture
def network_run(tmp_path: Path) -> Path:
    """A finished run of a small network that says it learned from votes."""
    tiny_model().save(tmp_path / "own.keras")
    words = ["fit", "synthetic", "--size", "32", "--head-epochs", "0", "--epochs", "1", "--limit", "35", "--quiet"]
    result = _run(*words, "--backbone", str(tmp_path / "own.keras"), "--out", str(tmp_path / "voted"))
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "voted" / "run.json").read_text())
    (tmp_path / "voted" / "run.json").write_text(json.dumps(config | {"supervision": "FER+ votes"}))
    return tmp_path / "voted"


def test_labels_of_another_data_set_are_told_over_generations() -> None:
    first = {"supervision": "labels", "data": {"name": "fer2013"}, "teachers": []}
    words = supervision("rafdb", recipe("modern"), [], first)
    assert words == "labels; labels of fer2013 through its first weights"
    second = {"supervision": words, "data": {"name": "rafdb"}, "teachers": []}
    assert supervision("rafdb", recipe("modern"), [second]) == "labels; labels of fer2013 through a teacher"
    assert supervision("fer2013", recipe("modern"), [], first) == "labels"


def test_file_trained_on_the_student_s_test_rows_is_refused(
    described: Callable[..., Path], faces: Dataset, tmp_path: Path
) -> None:
    told = dict(read_model().contract.data)
    seed = described(data=told | {"protocol": "seed"}, training_colour="rgb")
    with pytest.raises(DataError, match="expected a teacher that never saw the student's test pictures"):
        load_teachers([seed], faces)
    flags = ["--backbone", "efficientnet-lite0", "--epochs", "1", "--limit", "70", "--quiet", "--weights", str(seed)]
    result = _run("fit", "synthetic", "--out", str(tmp_path / "run"), *flags)
    assert result.exit_code == 1
    assert "expected a network to begin with that never saw the student's test pictures" in result.output
    assert f"{seed} was trained under the protocol seed" in result.output
    assert not (tmp_path / "run").exists()
    for key in ("protocol", "supervision"):
        silent = described(data={name: value for name, value in told.items() if name != key})
        with pytest.raises(DataError, match=f"tells what it was trained on; .* gives no {key} of its data; convert"):
            record_of(read_model(silent))


def test_file_of_other_layers_or_other_answers_is_refused(
    described: Callable[..., Path], faces: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = faces.part("train").images
    with pytest.raises(DataError, match=r"expected a file of one of the backbones .* is of unheard-of; give the run"):
        load_shipped(described(backbone="unheard-of"), pictures)
    with pytest.raises(DataError, match=r"layers of efficientnet_b0 in .*\(51 with kernels, 82 here\); give the run"):
        load_shipped(described(backbone="efficientnet-b0"), pictures)
    with pytest.raises(DataError, match="expected a model file; got no such file"):
        load_shipped(tmp_path / "none.tflite", pictures)
    foreign = tmp_path / "colours.tflite"
    foreign.write_bytes(packed(flatbuffer("qat-int8"), json={"backbone": "mini-xception"}))
    with pytest.raises(DataError, match="expected the layers of mini_xception"):
        load_shipped(foreign, pictures)
    turned = quantized.TO_KERAS | {"DEPTHWISE_CONV_2D": (2, 1, 3, 0)}
    monkeypatch.setattr(quantized, "TO_KERAS", turned)
    with pytest.raises(DataError, match=r"of the two are 0\.[3-9]\d apart; give the run that it was made from"):
        load_shipped(default_model_path(), pictures)


@pytest.mark.parametrize("half", [False, True])
def test_kernels_of_float_files_are_read_for_pictures_of_minus_one_to_one(half: bool, tmp_path: Path) -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 64)).astype(np.float32)  # small ones stay float32
    path = tmp_path / "float.tflite"
    path.write_bytes(packed(float_network(kernel, half), json={"recipe": "float16" if half else "float32"}))
    (found,) = operators_of(read_model(path))
    np.testing.assert_allclose(found.kernel, kernel, rtol=1e-3 if half else 1e-6, atol=1e-5 if half else 0)
    assert np.array_equal(found.kernel, kernel) is not half


def float_network(kernel: np.ndarray, half: bool) -> bytes:
    """A TFLite network of one convolution of pixels in −1…1; with ``half`` its kernel is widened as it runs."""
    import tensorflow as tf

    def network(picture: Any) -> Any:
        values = tf.nn.conv2d((tf.cast(picture, tf.float32) - 128.0) * (1 / 128), kernel, 1, "SAME")
        return tf.nn.softmax(tf.reduce_mean(values, [1, 2])[:, :7])

    function = tf.function(network, [tf.TensorSpec((1, 32, 32, 3), tf.uint8)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))
