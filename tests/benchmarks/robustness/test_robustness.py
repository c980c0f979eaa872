"""`python -m benchmarks robustness` with networks whose answers are known; figures by hand; unsound records refused."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks.__main__ import main
from benchmarks.evidence import read_evidence
from benchmarks.robustness.distortions import CLEAN, CONDITIONS
from benchmarks.robustness.page import BEGIN, END, markdown, picture_name, shown_names
from benchmarks.robustness.plot import Robustness
from benchmarks.robustness.record import brief, measure, read, schema, write
from benchmarks.robustness.scoring import certain, loss, mean_over_kinds, results
from edge.errors import DataError, OutputError
from edge.labels import EMOTIONS
from edge.pictures.packs import read_pack, write_pack
from edge.schema import record_schema
from tests.edge import models
from tests.record_schema import strict

META = {"dataset": "colours", "part": "test", "fingerprint": "sha256:2"}
RECIPES = ("float32", "qat-int8")
ANGRY, NEUTRAL = EMOTIONS.index("angry"), EMOTIONS.index("neutral")
Record = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The colour network in float32 and int8, and a pack of six faces.

    Two are red to the left and blue to the right, brighter in red: angry, with a mean of (130, 20, 110). Without the
    left half they are sad, without the right one angry; without the upper or the lower one nothing stands out: neutral.
    Four are grey, three of them labelled neutral and one sad.
    """
    place = tmp_path_factory.mktemp("robustness")
    for recipe in RECIPES:
        contract = dataclasses.replace(models.CONTRACT, recipe=recipe)
        (place / f"{recipe}.tflite").write_bytes(models.packed(models.flatbuffer(recipe), contract))
    half = np.concatenate([np.full((32, 16, 3), (240, 20, 20)), np.full((32, 16, 3), (20, 20, 200))], axis=1)
    images = np.stack([half] * 2 + [models.face(models.GREY)] * 4).astype(np.uint8)
    names = ["angry"] * 2 + ["neutral"] * 3 + ["sad"]
    write_pack(place / "pack.npz", images, np.array([EMOTIONS.index(name) for name in names]), EMOTIONS, META)
    return place


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="python -m benchmarks")


@pytest.fixture(scope="module")
def measured(folder: Path) -> tuple[Result, Record, str]:
    """What the command printed, its record and the page that it wrote."""
    (folder / "page.md").write_text(f"# Mine\n\n{BEGIN}\n{END}\n\nKept.\n", encoding="utf-8")
    both = [word for recipe in RECIPES for word in ("--model", folder / f"{recipe}.tflite")]
    written = ("--record", folder / "r.json", "--page", folder / "page.md")
    result = run("robustness", *both, "--data", folder / "pack.npz", *written)
    assert result.exit_code == 0, result.output
    return result, read(folder / "r.json"), (folder / "page.md").read_text(encoding="utf-8")


@pytest.fixture
def record(measured: tuple[Result, Record, str]) -> Record:
    return copy.deepcopy(measured[1])


def under(record: Record, name: str, place: int = 0) -> Record:
    found: Record = record["models"][place]["results"][name]
    return found


@pytest.mark.parametrize("place", [0, 1])
def test_what_half_a_face_is_worth_to_a_network_that_is_known(record: Record, place: int) -> None:
    told = {name: under(record, name, place)["predictions"] for name in record["models"][place]["results"]}
    assert told["none"] == f"{ANGRY}{ANGRY}{NEUTRAL}{NEUTRAL}{NEUTRAL}{NEUTRAL}"
    assert told["occlusion-left"][:2] == 2 * str(EMOTIONS.index("sad"))
    assert told["occlusion-right"] == told["none"]
    assert told["occlusion-upper"][:2] == told["occlusion-lower"][:2] == f"{NEUTRAL}{NEUTRAL}"
    assert under(record, "none", place)["accuracy"] == pytest.approx(5 / 6)
    assert under(record, "occlusion-left", place)["accuracy"] == pytest.approx(3 / 6)
    assert under(record, "occlusion-left", place)["lost"]["points"] == pytest.approx(100 * 2 / 6)
    assert under(record, "occlusion-left", place)["lost"]["only_first"] == 2
    assert under(record, "occlusion-right", place)["lost"]["points"] == 0
    assert "lost" not in under(record, "none", place)


def test_long_figures_of_a_condition_have_six_digits_and_shares_all_of_theirs() -> None:
    found = {"none": {"accuracy": 5 / 6, "per_class": {"angry": {"f1": 2 / 3}}, "confidence": {"count": [1, 10**7]}}}
    assert brief(found) == {
        "none": {"accuracy": 5 / 6, "per_class": {"angry": {"f1": 0.666667}}, "confidence": {"count": [1, 10**7]}}
    }


def test_the_record_says_what_ran_on_what(record: Record, folder: Path) -> None:
    from edge.files import sha256_of

    assert [model["recipe"] for model in record["models"]] == list(RECIPES)
    assert [model["sha256"] for model in record["models"]] == [sha256_of(folder / f"{r}.tflite") for r in RECIPES]
    pack = read_pack(folder / "pack.npz")
    assert record["data"]["content_sha256"] == pack.content_sha256
    assert (record["data"]["height_px"], record["data"]["colour"], record["data"]["samples"]) == (32, "rgb", 6)
    assert record["command"][:2] == ["python -m benchmarks", "robustness"]
    assert record["truth"] == "006664"  # angry, angry, neutral, neutral, neutral, sad
    assert {"features", "cores"} <= set(record["machine"]) and record["runtime"]["version"]
    assert [each["name"] for each in record["conditions"]] == [each.name for each in CONDITIONS]
    by_name = {each["name"]: each["content_sha256"] for each in record["conditions"]}
    assert by_name["none"] == pack.content_sha256 and len(set(by_name.values())) == len(CONDITIONS)
    assert under(record, "none", 0)["confusion"][EMOTIONS.index("sad")][NEUTRAL] == 1
    assert under(record, "none", 0)["per_class"]["neutral"]["recall"] == 1


def test_the_same_seed_measures_the_same_and_another_other_noise(folder: Path, record: Record) -> None:
    from edge.inference.interpreter import Classifier
    from edge.inference.modelfile import read_model

    one, pack = Classifier(read_model(folder / "float32.tflite")), read_pack(folder / "pack.npz")
    again, other = (measure([one], pack, "p.npz", ["x"], seed) for seed in (0, 1))
    assert again["conditions"] == record["conditions"]
    assert again["models"][0]["results"] == record["models"][0]["results"]
    differ = [
        mine["kind"]
        for mine, theirs in zip(again["conditions"], other["conditions"], strict=True)
        if mine["content_sha256"] != theirs["content_sha256"]
    ]
    assert differ == ["noise", "noise"]


def test_the_terminal_shows_each_condition_of_each_model(measured: tuple[Result, Record, str]) -> None:
    lines = measured[0].stdout.splitlines()
    for each in CONDITIONS:
        assert sum(line.startswith(f"  {each.text} ") for line in lines) == 2, each.text
    (first, second) = (line for line in lines if line.startswith("  left half grey "))
    assert first.split()[3:4] == second.split()[3:4] == ["50.00%"]
    assert "+33.33" in first and "+0.00" not in first  # the first model has no drop
    assert "+33.33" in second and "+0.00" in second


def test_a_drop_is_paired_and_a_plus_where_the_second_model_is_worse() -> None:
    # Four faces of class 0: the first model has three right, the second one of these and the fourth.
    truth = np.zeros(4, np.int64)
    right, wrong = [0.8, 0.2], [0.3, 0.7]
    first = {"none": np.array([right, right, right, wrong])}
    second = {"none": np.array([right, wrong, wrong, right])}
    drop = results(second, truth, ("a", "b"), first)["none"]["drop"]
    assert drop["points"] == pytest.approx(100 * (3 - 2) / 4)
    assert (drop["only_first"], drop["only_second"], drop["agreement"]) == (2, 1, 0.25)
    assert drop["p_value"] == 1.0  # two against one of three
    assert drop["ci95"][0] < drop["points"] < drop["ci95"][1]
    assert results(first, truth, ("a", "b"), second)["none"]["drop"]["points"] == -drop["points"]
    assert "drop" not in results(first, truth, ("a", "b"))["none"]


def test_what_is_lost_is_counted_face_by_face() -> None:
    gone = loss(np.array([True, True, True, False]), np.array([False, False, True, True]))
    assert (gone["points"], gone["only_first"], gone["only_second"]) == (25.0, 2, 1)


def test_each_kind_counts_alike_in_the_mean() -> None:
    # Two faces of class 0; two strengths of blur (one right each), one turn (both right): (1/2 + 1) / 2.
    truth, kinds = np.zeros(2, np.int64), {"none": "none", "b1": "blur", "b2": "blur", "r": "rotation"}
    conditions = [dataclasses.replace(CLEAN, name=name, kind=kind) for name, kind in kinds.items()]
    yes, no = [1.0, 0.0], [0.0, 1.0]
    found = {"none": np.array([no, no]), "b1": np.array([yes, no]), "b2": np.array([no, yes]), "r": np.array([yes] * 2)}
    mean = mean_over_kinds(found, truth, conditions)
    assert mean["accuracy"] == 0.75 and "drop" not in mean
    assert mean["accuracy_ci95"] == [0.75, 0.75]  # both faces have the score (1/2 + 1) / 2
    worse = found | {"r": np.array([no, no])}
    assert mean_over_kinds(worse, truth, conditions, found)["drop"] == {"points": 50.0, "ci95": [50.0, 50.0]}


def test_certain_answers_are_those_at_the_runtimes_threshold_or_above() -> None:
    sure = certain(np.array([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05], [0.45, 0.3, 0.25]]), np.array([0, 1, 0]))
    assert sure["coverage"] == pytest.approx(2 / 3) and sure["accuracy"] == 0.5
    nobody = certain(np.array([[0.4, 0.3, 0.3]]), np.array([0]))
    assert (nobody["coverage"], nobody["accuracy"], nobody["accuracy_ci95"]) == (0.0, None, None)


def test_the_threshold_is_the_one_of_the_command_line() -> None:
    import click

    from benchmarks.robustness.scoring import UNCERTAIN_BELOW
    from edge.commands.camera import camera

    context = click.Context(camera)
    (option,) = (each for each in camera.params if each.name == "uncertain_below")
    assert option.get_default(context) == UNCERTAIN_BELOW == 0.5


def test_confidence_is_told_in_ten_bins() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45]])
    found = results({"none": probabilities}, np.array([0, 1, 0]), ("a", "b"))["none"]["confidence"]
    assert found["count"] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    assert found["accuracy"][9] == 0.5 and found["accuracy"][5] == 1


def test_the_schema_is_valid_and_true_of_the_record_for_jsonschema_too(record: Record) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(record, schema())
    record["models"][0]["results"]["none"]["accuracy"] = 83
    with pytest.raises(jsonschema.ValidationError, match="83 is greater than the maximum"):
        jsonschema.validate(record, schema())


def test_no_field_is_written_that_no_schema_describes(record: Record) -> None:
    own, others = schema(), record_schema()["$defs"]
    own["properties"]["machine"] = {"$ref": "#/$defs/machine"}
    own["properties"]["models"]["items"]["properties"]["xnnpack"] = {"$ref": "#/$defs/xnnpack"}
    whole = {"$ref": "#/$defs/own", "$defs": others | {"own": own}, "unevaluatedProperties": False}
    validator = jsonschema.Draft202012Validator(strict(whole))
    assert [error.message for error in validator.iter_errors(record)] == []
    under(record, "none")["new"] = 1
    assert not validator.is_valid(record)
    jsonschema.validate(record, schema())  # of a later version


def shift(record: Record) -> None:
    under(record, "none")["accuracy"] = 0.5


BROKEN: list[tuple[Callable[[Record], Any], str]] = [
    (lambda record: record.update(kind="accuracy"), 'kind: expected "robustness"'),
    (lambda record: record.pop("seed"), "seed: expected this field"),
    (lambda record: record["models"].clear(), "models: expected 1..inf items"),
    (lambda record: record["models"][0].update(sha256="0"), "sha256: expected text that matches"),
    (shift, r"none\.accuracy: expected 0\.8333.*the share of right predictions; got 0\.5"),
    (lambda record: record.update(truth="00"), "truth: expected 6 classes; got 2"),
    (lambda record: under(record, "none").update(predictions="00"), "predictions: expected 6 answers; got 2"),
    (lambda record: record["models"][0]["results"].pop("jpeg-65"), "expected each condition once"),
    (lambda record: record["conditions"].pop(0), "conditions: expected none among names that differ"),
    (lambda record: under(record, "jpeg-65").pop("lost"), r"jpeg-65\.lost: expected under every distortion"),
    (lambda record: under(record, "none", 1).pop("drop"), r"none\.drop: expected of every model but the first"),
    (lambda record: under(record, "none", 1)["drop"].update(points=-9), r"none\.drop\.points: expected .*; got -9"),
    (lambda record: under(record, "jpeg-65")["lost"].update(points=50), r"jpeg-65\.lost\.points: expected .*; got 50"),
    (lambda record: under(record, "jpeg-65")["lost"].update(ci95=[98, 99]), r"jpeg-65\.lost\.ci95: expected an interv"),
    (lambda record: record["models"][0]["mean_over_kinds"].update(accuracy=0.99), "expected .*mean over the kinds"),
    (lambda record: record["models"][1]["mean_over_kinds"]["drop"].update(points=9), r"kinds\.drop\.points: expected"),
    (lambda record: under(record, "none")["per_class"].pop("sad"), "per_class: expected the labels; got angry"),
]


@pytest.mark.parametrize(("damage", "text"), BROKEN)
def test_a_record_that_is_not_sound_is_neither_read_nor_written(
    damage: Callable[[Record], Any], text: str, record: Record, tmp_path: Path
) -> None:
    write(tmp_path / "sound.json", record)
    damage(record)
    (tmp_path / "r.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(DataError, match=text):
        read(tmp_path / "r.json")
    with pytest.raises(DataError, match=text):
        write(tmp_path / "new.json", record)
    assert not (tmp_path / "new.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", "3"])
def test_what_is_no_record_is_refused_in_a_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    result = run("distorted", tmp_path / "r.json")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert run("distorted", tmp_path / "none.json").exit_code == 1


def test_what_is_no_pack_is_refused_in_a_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "p.npz").write_bytes(b"PK no pack")
    for data in (tmp_path / "p.npz", tmp_path / "none.npz", tmp_path):
        result = run("robustness", "--model", folder / "float32.tflite", "--data", data)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "expected a" in result.stderr


def test_the_figures_are_shown_though_the_record_cannot_be_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, result: Record) -> None:
        raise OutputError(f"{path}: no space left")

    monkeypatch.setattr("benchmarks.robustness.record.write", full)
    words = ("--model", folder / "float32.tflite", "--data", folder / "pack.npz", "--record", tmp_path / "r.json")
    result = run("robustness", *words)
    assert (result.exit_code, result.stderr) == (1, f"error: {tmp_path / 'r.json'}: no space left\n")
    assert "left half grey" in result.stdout


def test_no_model_is_wrong_usage(folder: Path) -> None:
    assert run("robustness", "--data", folder / "pack.npz").exit_code == 2
    with pytest.raises(ValueError, match="expected a model or several; got none"):
        measure([], read_pack(folder / "pack.npz"), "p.npz", ["x"])


def test_models_of_other_labels_and_packs_of_other_classes_are_refused(folder: Path, tmp_path: Path) -> None:
    two = ("contempt", *EMOTIONS[1:])
    content = (folder / "float32.tflite").read_bytes()
    contract = dataclasses.replace(models.CONTRACT, labels=two)
    (tmp_path / "other.tflite").write_bytes(models.packed(_flatbuffer_of(content), contract))
    words = ("--model", folder / "float32.tflite", "--model", tmp_path / "other.tflite")
    result = run("robustness", *words, "--data", folder / "pack.npz", "--record", tmp_path / "r.json")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "expected the labels of" in result.stderr and "got contempt" in result.stderr
    pack = read_pack(folder / "pack.npz")
    write_pack(tmp_path / "p.npz", pack.images, pack.labels, two, META)
    strange = run("robustness", *words[:2], "--data", tmp_path / "p.npz", "--record", tmp_path / "r.json")
    assert strange.exit_code == 1 and "got contempt" in strange.stderr
    small = pack.images[:, :20, :20]
    write_pack(tmp_path / "s.npz", small, pack.labels, EMOTIONS, META)
    assert "expected faces of more than 24 pixels" in run("robustness", *words[:2], "--data", tmp_path / "s.npz").stderr
    assert not (tmp_path / "r.json").exists()


def _flatbuffer_of(content: bytes) -> bytes:
    """Return a model file without the zip behind it."""
    return content[: content.index(b"PK\x03\x04")]


def test_the_page_holds_the_figures_and_is_checked(measured: tuple[Result, Record, str], folder: Path) -> None:
    text = measured[2]
    assert text.startswith("# Mine\n") and text.endswith(f"{END}\n\nKept.\n")
    assert "| left half grey | 50.00 % (" in text and "| +33.33 (" in text
    assert "| **mean over the kinds** |" in text and "| sad | 1 | 0.000 | 0.000 |" in text
    assert "![Accuracy by condition](robustness-colours.svg)" in text
    words = ("distorted", folder / "r.json", "--page", folder / "page.md")
    assert run(*words, "--check").exit_code == 0
    (folder / "page.md").write_text(text.replace("| 50.00 %", "| 60.00 %"), encoding="utf-8")
    stale = run(*words, "--check")
    assert (stale.exit_code, stale.stderr.count("\n")) == (1, 1)
    assert run(*words).exit_code == 0
    assert (folder / "page.md").read_text(encoding="utf-8") == text
    picture = folder / "robustness-colours.svg"
    drawn = picture.read_text(encoding="utf-8")
    for damage, came in ((None, "got none"), (drawn.replace("left half grey", "left half red"), "got another")):
        picture.unlink() if damage is None else picture.write_text(damage, encoding="utf-8")
        stale = run(*words, "--check")
        assert (stale.exit_code, stale.stderr.count("\n")) == (1, 1)
        assert f"expected the picture that its record draws; {came}; run" in stale.stderr
    assert run(*words).exit_code == 0 and picture.read_text(encoding="utf-8") == drawn
    assert run(*words[:2]).stdout == text.split(f"{BEGIN}\n")[1].split(END)[0].replace(
        "![Accuracy by condition](robustness-colours.svg)\n\n"
        "Accuracy under each condition. Bars: 95 % intervals; dashed: the faces as they are.\n\n", ""
    )  # fmt: skip


def test_without_records_the_page_stays_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\nfigures\n{END}\n", encoding="utf-8")
    for words in (["--page", page], ["--check"]):
        result = run("distorted", *words)
        assert result.exit_code == 2 and "Missing argument 'RECORDS...'" in result.stderr
    assert page.read_text(encoding="utf-8") == f"{BEGIN}\nfigures\n{END}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]
    result = run("distorted", page, "--check")
    assert result.exit_code == 2 and "--check needs --page FILE" in result.stderr


def test_models_are_told_apart_and_no_name_ends_a_cell_or_leaves_the_folder(record: Record) -> None:
    assert shown_names(record) == list(RECIPES)
    record["models"][1]["name"] = "a|b<i>"
    assert shown_names(record) == ["colours float32", "a|b<i> qat-int8"]
    page = markdown([(record, None)])
    assert not [line for line in page.splitlines() if line.startswith("|") and "a|b" in line]
    assert "<i>" not in page and "a/b&lt;i> qat-int8: accuracy (95 %)" in page
    record["models"][1] = copy.deepcopy(record["models"][0])
    assert shown_names(record) == ["float32", "float32 (2)"]
    record["models"][0]["name"] = "../a b"
    assert picture_name(record) == "robustness----a-b.svg"


def test_two_records_of_one_model_are_refused(record: Record, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        write(tmp_path / name, record)
    result = run("distorted", tmp_path)
    assert result.exit_code == 1 and "expected one record of colours; got another in" in result.stderr


def test_the_plot_has_a_row_a_condition_and_a_line_a_model(measured: tuple[Result, Record, str], folder: Path) -> None:
    data = Robustness.from_record(measured[1], ["one", "two"])
    assert [line.name for line in data.lines] == ["one", "two"]
    row = data.conditions.index("left half grey")
    assert data.lines[0].accuracy[row] == pytest.approx(50)
    assert data.lines[0].low[row] < 50 < data.lines[0].high[row]
    picture = (folder / "robustness-colours.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg") and all(each.text in picture for each in CONDITIONS)
    assert "float32" in picture and "qat-int8" in picture


def test_three_models_have_three_colours_and_markers(measured: tuple[Result, Record, str]) -> None:
    from matplotlib.figure import Figure

    data = Robustness.from_record(measured[1], ["one", "two"])
    axes = Figure().add_subplot()
    dataclasses.replace(data, lines=(*data.lines, dataclasses.replace(data.lines[0], name="three"))).plot(axes)
    drawn = [line for line in axes.get_lines() if line.get_label() in ("one", "two", "three")]
    assert len({line.get_color() for line in drawn}) == len({line.get_marker() for line in drawn}) == 3


def test_a_page_without_a_place_for_the_figures_is_refused_before_anything_is_measured(
    folder: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Mine\n", encoding="utf-8")
    words = ("--data", folder / "pack.npz", "--record", tmp_path / "r.json", "--page", page)
    result = run("robustness", "--model", folder / "float32.tflite", *words)
    assert result.exit_code == 1 and "expected the markers" in result.stderr
    again = run("distorted", folder / "r.json", "--page", page)
    assert again.exit_code == 1 and "expected the markers" in again.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_the_report_leaves_such_records_to_this_command(measured: tuple[Result, Record, str], folder: Path) -> None:
    (other,) = read_evidence([folder / "r.json"]).others
    assert (other.kind, other.command) == ("robustness", "python -m benchmarks distorted")
    assert measured[2].count("### colours\n") == 1
