from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from convert.__main__ import main
from convert.reporting.tables import rows_of
from edge.inference.interpreter import Classifier
from edge.inference.modelfile import read_model
from edge.labels import EMOTIONS
from tests.convert.networks import SIDE, small_network


def grey_faces(part: str) -> tuple[np.ndarray, np.ndarray]:
    """The drawn faces in grey, uint8 [n, 16, 16, 3] with r = g = b, and their labels."""
    from edge.pictures.preprocess import fit
    from train.datasets import load
    from train.datasets.mapping import as_colour

    drawn = load("synthetic", progress=False).part(part)
    images = as_colour(drawn.images, "grey")
    return np.stack([fit(image, SIDE, SIDE) for image in images]), drawn.labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network trained for a moment on the drawn faces, so that its probabilities differ."""
    import keras

    images, labels = grey_faces("train")
    model = small_network()
    model.compile(
        keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    model.fit(images.astype(np.float32), labels, epochs=15, batch_size=32, verbose=0)
    path = tmp_path_factory.mktemp("model") / "drawn.keras"
    model.save(path)
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def exports(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exports")
    words = ("--dataset", "synthetic", "--colour", "grey", "--out", out, "--steps", "30", "--part", "test", "--quiet")
    result = run(trained, "--recipe", "all", *words)
    assert result.exit_code == 0, result.output
    return out


def report(exports: Path, recipe: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((exports / f"drawn-{recipe}.json").read_text())
    return content


def test_every_recipe_gives_a_file_that_the_device_runs(exports: Path) -> None:
    image = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for recipe in ("float32", "float16", "dynamic-int8", "ptq-int8", "qat-int8"):
        model = read_model(exports / f"drawn-{recipe}.tflite")
        assert model.labels == EMOTIONS
        assert model.contract.recipe == recipe
        assert model.contract.training_colour == "grey"
        assert model.output.dtype == ("uint8" if recipe in ("ptq-int8", "qat-int8") else "float32")
        assert Classifier(model).probabilities(image).sum() == pytest.approx(1, abs=0.01)
    expected = {
        f"drawn-{recipe}.{kind}"
        for recipe in ("float32", "float16", "dynamic-int8", "ptq-int8", "qat-int8")
        for kind in ("json", "tflite")
    }
    assert {path.name for path in exports.iterdir()} == expected | {"drawn.html"}


def test_every_report_holds_all_latencies_where_each_operator_runs_and_for_int8_each_layers_error(
    exports: Path,
) -> None:
    recipes = ("float32", "float16", "dynamic-int8", "ptq-int8", "qat-int8")
    found = {recipe: report(exports, recipe) for recipe in recipes}
    for recipe, entry in found.items():
        assert list(entry["latency"]["recipes"]) == list(recipes)
        assert entry["latency"] == found["float32"]["latency"]
        assert len(rows_of(entry["delegation"]["operators"])) == sum(entry["inspection"]["operators"].values())
        assert bool(rows_of(entry["delegation"]["ratios"])) is (recipe in ("ptq-int8", "qat-int8"))
        assert ("layers" in entry) is (recipe in ("ptq-int8", "qat-int8"))
    layers = {row["layer"] for row in rows_of(found["qat-int8"]["layers"])}
    assert {"stem", "depthwise", "project", "residual", "logits"} <= layers
    page = (exports / "drawn.html").read_text()
    assert "qat-int8" in page
    assert "<script" not in page


def test_a_later_recipe_is_compared_with_the_files_of_the_same_network_only(trained: Path, tmp_path: Path) -> None:
    words = ("--dataset", "synthetic", "--colour", "grey", "--out", tmp_path, "--limit", "64", "--quiet")
    assert run(trained, "--recipe", "float32", *words).exit_code == 0
    assert run(trained, "--recipe", "float16", *words).exit_code == 0
    assert set(report(tmp_path, "float16")["latency"]["recipes"]) == {"float32", "float16"}
    other = small_network()
    other.save(tmp_path / "drawn.keras")
    assert run(tmp_path / "drawn.keras", "--recipe", "float16", *words).exit_code == 0
    assert set(report(tmp_path, "float16")["latency"]["recipes"]) == {"float16"}


def test_the_report_of_qat_holds_every_check(exports: Path) -> None:
    found = report(exports, "qat-int8")
    model = read_model(exports / "drawn-qat-int8.tflite")
    assert (found["sha256"], found["size_bytes"]) == (model.sha256, model.size_bytes)
    assert found["lowering"]["parity"]["relative"] <= 1e-4
    assert found["lowering"]["grey_folded"] is True
    assert found["inspection"]["float_operators"] == {}
    assert found["inspection"]["partitions"] == 1
    assert found["inspection"]["input"] == [1 / 128, 128]
    # The network of the tests is flat: several classes share the highest of 256 levels.
    assert [warning for warning in found["warnings"] if "several classes tie" not in warning] == []
    assert found["qat"]["history"][-1]["step"] == 30
    assert set(found["parts"]) == {"validation", "test"}
    for part in found["parts"].values():
        assert part["agreement_with_network"] >= 0.99
        assert part["drop_ci95"][0] <= part["drop_points"] <= part["drop_ci95"][1]
        assert part["drop_points"] == pytest.approx(100 * (part["float"]["accuracy"] - part["file"]["accuracy"]))
    assert found["config"]["steps"] == 30
    assert found["command"][-1] == "--quiet"
    assert found["calibration"]["nll_after"] <= found["calibration"]["nll_before"]


def test_the_contract_tells_the_files_own_accuracy(exports: Path) -> None:
    model = read_model(exports / "drawn-qat-int8.tflite")
    entry = next(entry for entry in model.contract.metrics if entry["part"] == "test")
    faces, labels = grey_faces("test")
    right = Classifier(model).probabilities(faces).argmax(axis=1) == labels
    assert entry["samples"] == len(labels)
    assert entry["accuracy"] == pytest.approx(right.mean())
    assert right.mean() > 0.22  # it learnt something: chance is 1/7


def test_float32_loses_nothing(exports: Path) -> None:
    part = report(exports, "float32")["parts"]["test"]
    assert part["drop_points"] == 0
    assert part["agreement_with_network"] == 1


def test_the_same_command_gives_the_same_bytes(exports: Path, trained: Path, tmp_path: Path) -> None:
    words = ("--dataset", "synthetic", "--colour", "grey", "--out", tmp_path, "--part", "test", "--quiet")
    assert run(trained, "--recipe", "ptq-int8", *words).exit_code == 0
    name = "drawn-ptq-int8.tflite"
    assert (tmp_path / name).read_bytes() == (exports / name).read_bytes()


def test_a_failed_check_leaves_the_old_file_and_nothing_half_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "drawn-float32.tflite"
    old.write_bytes(b"the old one")
    monkeypatch.setattr("convert.verification.checks.AGREEMENT_FLOOR", 1.01)
    monkeypatch.setattr("convert.verification.checks.FEW_PICTURES", 1)
    result = run(trained, "--recipe", "float32", "--dataset", "synthetic", "--out", tmp_path, "--quiet")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: expected the float32 file to give its network's class for 101%")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
    assert old.read_bytes() == b"the old one"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"model": "nothing.keras"}, "nothing"),
        ({"model": "weights.h5"}, "expected a run folder or a .keras file; came"),
        ({"model": "broken.keras"}, "expected a Keras model (a zip) in"),
        ({"dataset": "nonsense"}, "unknown data set 'nonsense'; known:"),
        ({"part": "nonsense"}, "synthetic has no part 'nonsense'; it has"),
        ({"protocol": "nonsense"}, "unknown protocol 'nonsense'"),
        ({"model": "three.keras"}, "expected one output a label (7: angry,"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(
    changed: dict[str, str], text: str, trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "weights.h5").write_bytes(b"\x89HDF")
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 half a file")
    if changed.get("model") == "three.keras":
        small_network(classes=3).save(tmp_path / "three.keras")
    model = tmp_path / changed["model"] if "model" in changed else trained
    words: list[str | Path] = [
        "--recipe",
        "float32",
        "--dataset",
        changed.get("dataset", "synthetic"),
        "--out",
        tmp_path / "out",
    ]
    for flag in ("part", "protocol"):
        words += [f"--{flag}", changed[flag]] if flag in changed else []
    result = run(model, *words, "--quiet")
    assert result.exit_code == 1
    assert text in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture
def brightness(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a finished run that was trained, it says, under a protocol of the drawn faces or of another data set."""
    from tests.train.handmade import write_run
    from train.datasets import apply_protocol, load

    def write(name: str, protocol: str) -> Path:
        dataset = apply_protocol(load("synthetic", progress=False), protocol)
        if name != dataset.name:
            dataset = dataclasses.replace(dataset, name=name, fingerprint="d" * 64)
        folder = write_run(tmp_path, dataset, "bright", 128, labels=EMOTIONS)
        known = json.loads((folder / "run.json").read_text()) | {"metrics": {}}
        (folder / "run.json").write_text(json.dumps(known))
        return folder

    return write


def before_of(folder: Path, *words: str | Path) -> str | None:
    """What the float file of a run tells of networks and data before it."""
    out = folder / "out"
    result = run(folder, "--recipe", "float32", "--dataset", "synthetic", "--colour", "rgb", "--out", out, *words)
    assert result.exit_code == 0, result.output
    return read_model(out / "bright-float32.tflite").contract.data.get("before")


def test_another_protocol_than_the_runs_is_refused_or_told_in_the_file(
    brightness: Callable[[str, str], Path], tmp_path: Path
) -> None:
    from train.datasets import load

    folder = brightness("synthetic", "official")
    words = ("--recipe", "float32", "--dataset", "synthetic", "--protocol", "seed", "--out", tmp_path / "out")
    refused = run(folder, *words)
    assert refused.exit_code == 1
    assert "expected the protocol that bright was trained under (official); came seed, whose" in refused.stderr
    assert (refused.stderr.count("\n"), (tmp_path / "out").exists()) == (1, False)
    seen = f"synthetic seed {load('synthetic', progress=False).fingerprint}"
    assert before_of(folder, "--protocol", "seed", "--allow-leaks") == seen
    assert before_of(folder) is None


def test_a_file_tells_of_another_data_set_that_it_was_converted_with(brightness: Callable[[str, str], Path]) -> None:
    from train.datasets import load

    seen = f"synthetic official {load('synthetic', progress=False).fingerprint}"
    assert before_of(brightness("rafdb", "official")) == seen


def test_pictures_of_another_data_set_come_by_way_of_the_side_that_the_run_was_trained_at(
    brightness: Callable[[str, str], Path],
) -> None:
    from convert.config import ConvertConfig
    from convert.source import TrainingBatches, load_source, pictures
    from edge.pictures.preprocess import fit, fit_face
    from train.augmentation.augment import Augment
    from train.datasets import Part, load

    drawn = load("synthetic", progress=False)
    large = {
        name: Part(np.stack([fit(face, 70, 70) for face in part.images[:4]]), part.labels[:4])
        for name, part in drawn.parts.items()
    }
    folder = brightness("rafdb", "official")
    config = ConvertConfig(model=folder, recipes=("float32",), dataset="synthetic", data=None, out=folder)
    other = load_source(config, drawn)
    other = dataclasses.replace(other, crop=dataclasses.replace(other.crop, resolution_px=40), augment=Augment())
    assert (other.own, other.colour) == (False, "grey")
    other = dataclasses.replace(other, colour="rgb")
    dataset = dataclasses.replace(drawn, parts=large)
    faces = large["test"].images
    seen = pictures(other, dataset, "test", None).images
    assert np.array_equal(seen, np.stack([fit_face(face, other.crop, 32, 32) for face in faces]))
    own = pictures(dataclasses.replace(other, own=True), dataset, "test", None).images
    assert np.array_equal(own, np.stack([fit(face, 32, 32) for face in faces]))
    assert not np.array_equal(seen, own)
    train = large["train"].images
    for source, expected in (
        (other, [fit_face(face, other.crop, 32, 32) for face in train]),
        (dataclasses.replace(other, own=True), [fit(face, 32, 32) for face in train]),
    ):
        assert np.array_equal(TrainingBatches(source, dataset, 4, None, 0)._images, np.stack(expected))
    record = folder / "run.json"
    known = json.loads(record.read_text())
    known["data"] |= {"name": drawn.name, "fingerprint": drawn.fingerprint}
    record.write_text(json.dumps(known))
    assert load_source(config, drawn).own


def test_an_unsupported_layer_stops_the_command_before_anything_is_written(tmp_path: Path) -> None:
    import keras

    picture = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.LeakyReLU(name="leaky")(picture))
    keras.Model(picture, keras.layers.Dense(7)(pooled)).save(tmp_path / "leaky.keras")
    out = tmp_path / "out"
    result = run(tmp_path / "leaky.keras", "--recipe", "float32", "--dataset", "synthetic", "--out", out, "--quiet")
    assert result.exit_code == 1
    assert "came LeakyReLU at 'leaky'; supported: Activation, " in result.stderr
    assert not out.exists()


def test_usage_errors_exit_with_2() -> None:
    assert run("model.keras", "--recipe", "int3", "--dataset", "synthetic", "--out", "x").exit_code == 2
    assert run("model.keras", "--dataset", "synthetic", "--out", "x").exit_code == 2


def test_help_answers_without_loading_tensorflow() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from convert.__main__ import main; "
        "result = CliRunner().invoke(main, ['--help']); assert 'qat-int8' in result.output, result.output; "
        "assert not {'tensorflow', 'keras', 'tf_keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network whose first layer has a channel 3,000 times larger than it needs to be: int8 loses the others.

    The next layer divides by as much, so that the float network does not change.
    """
    import keras
    from keras import layers

    images, labels = grey_faces("train")
    picture = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 128, offset=-1)(picture)
    x = layers.Conv2D(8, 4, strides=2, name="wide")(x)
    x = layers.Conv2D(16, 3, strides=2, activation="relu", name="narrow")(x)
    model = keras.Model(picture, layers.Dense(7, name="logits")(layers.GlobalAveragePooling2D(name="pool")(x)))
    model.compile(
        keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    model.fit(images.astype(np.float32), labels, epochs=20, batch_size=32, verbose=0)
    wide, narrow = model.get_layer("wide"), model.get_layer("narrow")
    kernel, bias = (np.array(value) for value in wide.get_weights())
    kernel[..., 0], bias[0] = 3000 * kernel[..., 0], 3000 * bias[0]
    wide.set_weights([kernel, bias])
    kernel, bias = (np.array(value) for value in narrow.get_weights())
    kernel[:, :, 0] /= 3000
    narrow.set_weights([kernel, bias])
    path: Path = tmp_path_factory.mktemp("spread") / "spread.keras"
    model.save(path)
    return path


def test_an_accuracy_budget_keeps_the_layers_that_int8_ruins_in_float(spread: Path, tmp_path: Path) -> None:
    words = (spread, "--recipe", "ptq-int8", "--dataset", "synthetic", "--colour", "grey", "--quiet", "--out")
    assert run(*words, tmp_path / "plain").exit_code == 0
    assert run(*words, tmp_path / "kept", "--accuracy-budget", "1").exit_code == 0
    plain, kept = (json.loads((tmp_path / out / "spread-ptq-int8.json").read_text()) for out in ("plain", "kept"))
    assert plain["parts"]["validation"]["drop_points"] > 5
    assert "kept_in_float" not in plain
    assert kept["parts"]["validation"]["drop_points"] == pytest.approx(kept["budget"]["drop_points"])
    assert kept["budget"]["drop_points"] <= 1
    assert kept["kept_in_float"] == ["wide", "narrow"]
    assert kept["inspection"]["float_layers"] == ["narrow", "wide"]
    costliest = rows_of(kept["sensitivity"])[0]
    assert (costliest["layer"], costliest["what"]) == ("wide", "output")
    assert [row["left_out"] for row in kept["budget"]["tried"]] == [0, 1]
    assert kept["inspection"]["partitions"] == 1


def test_a_later_recipe_on_other_pictures_stands_alone(trained: Path, tmp_path: Path) -> None:
    words = (trained, "--dataset", "synthetic", "--colour", "grey", "--out", tmp_path, "--quiet", "--recipe")
    assert run(*words, "float32", "--limit", "64").exit_code == 0
    assert run(*words, "float16", "--limit", "32").exit_code == 0
    assert set(report(tmp_path, "float16")["latency"]["recipes"]) == {"float16"}


@pytest.mark.parametrize(
    ("flag", "value"), [("--epochs", "inf"), ("--epochs", "nan"), ("--learning-rate", "inf"), ("--hard-share", "nan")]
)
def test_a_figure_of_fine_tuning_that_is_not_finite_is_refused_before_anything_is_loaded(
    flag: str, value: str, tmp_path: Path
) -> None:
    words = ("--recipe", "qat-int8", "--dataset", "synthetic", "--out", tmp_path, flag, value)
    result = run(tmp_path / "none.keras", *words)
    assert result.exit_code == 1
    name = flag[2:].replace("-", " ")
    assert result.stderr == f"error: expected {name} to be a finite number; came {value}; give {flag} another\n"


@pytest.mark.parametrize("budget", ["nan", "inf"])
def test_a_budget_that_is_no_number_of_points_is_refused(budget: str, trained: Path, tmp_path: Path) -> None:
    words = ("--recipe", "ptq-int8", "--dataset", "synthetic", "--out", tmp_path / "out", "--accuracy-budget", budget)
    result = run(trained, *words)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: expected an accuracy budget of 0 points or more; came {budget}; give a number of points\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_fine_tuning_is_taken_up_only_by_one_with_the_same_data_ranges_and_network() -> None:
    import dataclasses
    from types import SimpleNamespace

    from convert.conversion import _identity
    from convert.quantization.finetune import QatConfig
    from tests.convert.networks import lowered_network
    from train.augmentation.augment import Augment

    _, graph = lowered_network()
    _, other = lowered_network(seed=1)
    first = next(iter(graph.nodes.values()))

    def identity(**changes: Any) -> str:
        facts = {"protocol": "official", "calibration": 64, "colour": "grey", "graph": graph, "steps": 10} | changes
        work: Any = SimpleNamespace(
            config=SimpleNamespace(limit=None, calibration=facts["calibration"]),
            source=SimpleNamespace(augment=Augment(), colour=facts["colour"]),
            dataset=SimpleNamespace(fingerprint="f", protocol=facts["protocol"]),
            int8_graph=facts["graph"],
        )
        return _identity(work, QatConfig(steps=facts["steps"]))

    renamed = dataclasses.replace(graph, nodes={**graph.nodes, first.name: first.with_attributes(other=1)})
    changed: list[dict[str, Any]] = [
        {"protocol": "seed"}, {"calibration": 65}, {"colour": "rgb"}, {"steps": 11},
        {"graph": other}, {"graph": renamed},
    ]  # fmt: skip
    assert identity() == identity()
    assert len({identity(), *(identity(**change) for change in changed)}) == 1 + len(changed)
