"""Evaluation across data sets and protocols: what a result says, what it refuses, and what it keeps."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge.errors import DataError
from edge.files import sha256_of
from edge.labels import EMOTIONS
from edge.pictures.preprocess import fit_face
from tests.train.handmade import flat_pictures, write_run
from train.__main__ import main
from train.commands.compare import stem as stem_of_comparison
from train.datasets import Dataset, Part, apply_protocol, load
from train.datasets.rows import picture_digests
from train.datasets.synthetic import CROP
from train.evaluation.calibration import fit_temperature, softmax
from train.evaluation.comparison import compare_runs
from train.evaluation.evaluate import evaluate_run, keep_evaluation, tta_gain
from train.evaluation.leakage import exposure, is_own, own_dataset
from train.evaluation.plots import plot_confusion, plot_history, plot_reliability
from train.evaluation.predict import predict_views
from train.evaluation.predictions import Predictions, predictions, stem
from train.runs import Run, load_run

Make = Callable[..., Run]
TWO = ("angry", "happy")
ANGRY, HAPPY = 0, 1
# Dark pictures are angry and bright ones happy, but for one bright angry face in five.
VALIDATION = [(60, ANGRY)] * 4 + [(200, HAPPY)] * 4 + [(205, ANGRY)] * 2
TEST = [(30, ANGRY)] * 5 + [(230, HAPPY)] * 4 + [(235, ANGRY)]


def _dataset(**parts: list[tuple[int, int]]) -> Dataset:
    """Return a grey data set "synthetic" of two classes with the given (level, label) rows by part."""
    filled = {"train": [(1, ANGRY), (2, HAPPY)], "validation": VALIDATION, "test": TEST} | parts
    roles = {role: role for role in ("train", "validation", "test")}
    made = {name: Part(*flat_pictures(rows)) for name, rows in filled.items()}
    return Dataset("synthetic", TWO, made, roles, CROP, "grey", "f" * 64, protocol="official")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write and load a run whose model has its threshold between dark and bright."""

    def write(dataset: Dataset, name: str = "hand", threshold: float = 128, **options: Any) -> Run:
        return load_run(write_run(tmp_path, dataset, name, threshold, **{"labels": TWO} | options))

    return write


def test_temperature_comes_from_the_validation_part_alone(make: Make) -> None:
    dataset = _dataset()
    run = make(dataset)
    result = evaluate_run(run, dataset, "test")["calibration"]
    on_validation = predictions(run.path, run.config, dataset, "validation")
    assert result["temperature"] == pytest.approx(fit_temperature(on_validation.logits, on_validation.labels))
    assert result["temperature"] > 2  # the bright angry faces: sure, and wrong
    assert result["fitted_on"] == "synthetic validation (official)"
    assert result["fitted_samples"] == 10
    # sure of all ten and right on nine: 0.1; with the temperature the logit at 230 is still 16 / T
    assert result["ece_before"] == pytest.approx(0.1, abs=1e-3)
    assert result["ece_after"] != result["ece_before"]
    harder = _dataset(test=[(level, 1 - label) for level, label in TEST])
    assert evaluate_run(run, harder, "test")["calibration"]["temperature"] == result["temperature"]


def test_the_reported_part_never_gives_its_own_temperature(make: Make) -> None:
    dataset = _dataset()
    result = evaluate_run(make(dataset), dataset, "validation")["calibration"]
    assert result["temperature"] is None
    assert "the reported part is the validation part" in result["reason"]
    half_shared = _dataset(test=TEST + VALIDATION[:4])
    apart = evaluate_run(make(half_shared, "shared"), half_shared, "test")["calibration"]
    assert apart["fitted_samples"] == 6  # the dark validation faces are among the reported ones


def test_result_says_what_it_is_a_figure_of(make: Make) -> None:
    dataset = _dataset()
    run = make(dataset, supervision="FER+ votes")
    result = evaluate_run(run, dataset, "test", "flip")
    assert (result["run"], result["cross_data_set"], result["supervision"]) == ("hand", False, "FER+ votes")
    assert result["trained_on"] == {"name": "synthetic", "protocol": "official", "fingerprint": "f" * 64}
    assert result["seen"] == {"samples": 10, "trained": 0, "selected": 0}
    assert result["single_view"]["accuracy"] == 0.9
    assert result["with_tta"]["accuracy"] == 0.9
    assert result["tta_gain"]["p_value"] == 1.0
    assert result["single_view"]["macro_f1_ci95"][0] <= result["single_view"]["macro_f1"]
    json.dumps(result)


def test_pictures_that_the_run_was_trained_on_are_counted_under_its_own_protocol(make: Make) -> None:
    dataset = _dataset(train=[(30, ANGRY), (2, HAPPY)])
    result = evaluate_run(make(dataset), dataset, "test")
    assert result["seen"] == {"samples": 10, "trained": 5, "selected": 0}


def test_pictures_not_seen_before_have_figures_of_their_own(make: Make) -> None:
    dataset = _dataset(train=[(30, ANGRY), (2, HAPPY)], validation=[*VALIDATION, (230, HAPPY)])
    run = make(dataset)
    found = evaluate_run(run, dataset, "test", "flip")
    assert found["seen"] == {"samples": 10, "trained": 5, "selected": 4}
    for view in ("single_view", "with_tta"):  # of the ten only the bright angry face is left, which it gets wrong
        assert (found[view]["samples"], found[view]["accuracy"]) == (10, 0.9)
        assert (found["unseen"][view]["samples"], found["unseen"][view]["accuracy"]) == (1, 0.0)
    assert "with_tta" not in evaluate_run(run, dataset, "test")["unseen"]


def test_nothing_seen_and_all_seen_leave_no_second_figures(make: Make) -> None:
    nothing = _dataset()
    assert "unseen" not in evaluate_run(make(nothing), nothing, "test")
    everything = _dataset(train=TEST)
    told = evaluate_run(make(everything, "all"), everything, "test")
    assert (told["seen"]["trained"], "unseen" in told) == (10, False)
    own = dataclasses.replace(nothing, fingerprint="e" * 64)  # another data set, whose run's pictures are not at hand
    assert "unseen" not in evaluate_run(make(own, "other"), nothing, "test")


def test_another_protocols_part_that_the_run_was_trained_on_is_refused(make: Make) -> None:
    own = _dataset(train=[(30, ANGRY), (2, HAPPY)])
    run = make(own)
    other = dataclasses.replace(own, protocol="seed")
    with pytest.raises(
        DataError, match=r"run hand \(synthetic, official\) was not trained on; 5 of the 10 pictures of"
    ):
        evaluate_run(run, other, "test", own=own)
    told = evaluate_run(run, other, "test", own=own, allow_leaks=True)
    assert told["seen"]["trained"] == 5
    assert told["stem"] == "synthetic-test-seed"
    clean = dataclasses.replace(_dataset(), protocol="seed")
    assert evaluate_run(run, clean, "validation", own=own)["seen"]["trained"] == 0


def test_rgb_copy_of_a_grey_training_picture_is_the_same_picture() -> None:
    grey = _dataset()
    coloured = np.repeat(grey.parts["train"].images[..., None], 3, axis=-1)
    found = exposure(grey, Part(coloured, grey.parts["train"].labels))
    assert (found.samples, found.trained, found.selected) == (2, 2, 0)
    brighter = Part(coloured + 1, grey.parts["train"].labels)
    assert exposure(grey, brighter).trained == 1  # level 1 became 2, which is there; level 2 became 3


def test_data_set_without_some_of_the_runs_classes_is_measured_by_name(make: Make) -> None:
    run = make(_dataset(), labels=EMOTIONS)
    other = dataclasses.replace(_dataset(), name="folder", labels=("happy", "angry"), fingerprint="e" * 64)
    swapped = {name: Part(part.images, 1 - part.labels) for name, part in other.parts.items()}
    result = evaluate_run(run, dataclasses.replace(other, parts=swapped), "test")
    assert result["cross_data_set"] is True
    assert result["classes_without_samples"] == ["disgust", "fear", "sad", "surprise", "neutral"]
    assert result["single_view"]["accuracy"] == 0.9
    assert result["single_view"]["macro_f1"] == pytest.approx((10 / 11 + 8 / 9) / 2)
    assert result["seen"] is None
    assert "give --run-data" in result["calibration"]["reason"]


def test_data_set_with_a_class_that_the_run_does_not_know_is_refused(make: Make) -> None:
    other = dataclasses.replace(_dataset(), labels=("angry", "contempt"), fingerprint="e" * 64)
    with pytest.raises(DataError, match="the data set also has contempt"):
        evaluate_run(make(_dataset()), other, "test")
    with pytest.raises(DataError, match="expected pictures in test of synthetic; it holds none"):
        empty = _dataset()
        parts = {**empty.parts, "test": empty.parts["test"].take(np.array([], np.int64))}
        evaluate_run(make(_dataset(), "second"), dataclasses.replace(empty, parts=parts), "test")


def test_own_rows_are_made_again_from_the_run_json(make: Make) -> None:
    whole = _dataset(train=[(level, level % 2) for level in range(20)])
    limited = dataclasses.replace(whole, parts={**whole.parts, "train": whole.parts["train"].take(np.arange(8))})
    run = make(limited)  # fit --limit 8
    assert len(own_dataset(run.config, whole).parts["train"]) == 8
    fewer = dataclasses.replace(whole, parts={**whole.parts, "test": whole.parts["test"].take(np.arange(8))})
    with pytest.raises(DataError, match=r"expected 10 pictures in test .* as run hand counted them; got 8"):
        own_dataset(run.config, fewer)
    with pytest.raises(DataError, match="expected the data of run hand"):
        own_dataset(run.config, dataclasses.replace(whole, fingerprint="e" * 64))


def test_votes_in_the_fingerprint_do_not_make_fer2013_another_data_set(make: Make) -> None:
    dataset = dataclasses.replace(_dataset(), name="fer2013")
    without = dataclasses.replace(dataset, fingerprint="e" * 64)
    assert is_own(make(dataset, "voted", supervision="FER+ votes").config, without)
    assert not is_own(make(dataset, "plain").config, without)


def test_another_edition_of_fer2013_is_not_a_voted_runs_own(make: Make) -> None:
    names = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    folders = dataclasses.replace(_dataset(), name="fer2013")
    published = {names[role]: part for role, part in folders.parts.items()}
    csv = dataclasses.replace(folders, parts=published, roles=names, fingerprint="e" * 64)
    voted = make(csv, "voted", supervision="labels with 30% of FER+ votes").config
    without = dataclasses.replace(csv, fingerprint="d" * 64)
    shorter = {**published, "PrivateTest": csv.part("test").take(np.arange(9))}
    seed = dataclasses.replace(csv, parts=folders.parts, roles=folders.roles, protocol="seed")
    pooled = make(seed, "pooled", supervision="FER+ votes").config
    for protocol in ("as-is", "official-dedup"):
        assert is_own(voted, dataclasses.replace(without, protocol=protocol))
        assert is_own(pooled, dataclasses.replace(without, protocol=protocol))
        assert not is_own(voted, dataclasses.replace(without, parts=shorter, protocol=protocol))
        for config in (voted, pooled):
            assert not is_own(config, dataclasses.replace(folders, protocol=protocol))
    assert is_own(voted, dataclasses.replace(seed, fingerprint="d" * 64))
    told = evaluate_run(make(csv, "taught", supervision="labels; FER+ votes through a teacher"), folders, "test")
    assert (told["cross_data_set"], told["seen"]) == (True, None)


def test_predictions_are_kept_and_count_for_the_same_model_and_pictures_only(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = _dataset()
    run = make(dataset)
    first = predictions(run.path, run.config, dataset, "test", "flip")
    calls: list[str] = []
    real = predict_views

    def counted(model: Any, images: np.ndarray, tta: str) -> np.ndarray:
        calls.append(tta)
        return np.asarray(real(model, images, tta))

    monkeypatch.setattr("train.evaluation.predict.predict_views", counted)
    again = predictions(run.path, run.config, dataset, "test", "flip")
    assert not calls
    assert np.array_equal(again.logits, first.logits)
    assert again.averaged is not None and first.averaged is not None
    assert np.array_equal(again.averaged, first.averaged)
    predictions(run.path, run.config, _dataset(test=TEST[1:]), "test", "flip")
    assert calls == ["flip"]  # other pictures
    write_run(run.path.parent, dataset, "other", 90, labels=TWO)
    (run.path / "model.keras").write_bytes((run.path.parent / "other" / "model.keras").read_bytes())
    predictions(run.path, run.config, _dataset(test=TEST[1:]), "test", "flip")
    assert len(calls) == 2  # another model
    (run.path / "evaluations" / "synthetic-test-flip.npz").write_bytes(b"PK\x03\x04 cut off")
    predictions(run.path, run.config, _dataset(test=TEST[1:]), "test", "flip")
    assert len(calls) == 3  # a broken file


def test_faces_of_another_data_set_come_by_the_resolution_of_training_as_on_the_device(make: Make) -> None:
    own = _dataset()
    assert CROP.resolution_px == 48
    noise = np.random.default_rng(0).integers(0, 256, (4, 100, 100), np.uint8)
    other = dataclasses.replace(own, parts={"test": Part(noise, np.zeros(4, np.int64))}, fingerprint="e" * 64)
    run = make(own)
    on_device = np.stack([fit_face(image, CROP, 32, 32) for image in noise])
    by_hand = [predict_views(run.model, pictures, "none")[0] for pictures in (on_device, noise)]
    kept = run.path / "evaluations" / f"{stem(run.config, other, 'test', 'none')}.npz"
    assert not np.array_equal(by_hand[0], by_hand[1])
    assert np.array_equal(predictions(run.path, run.config, other, "test").logits, by_hand[0])
    assert kept.is_file()
    mirrored = predict_views(run.model, np.stack([fit_face(image, CROP, 48, 48) for image in noise]), "flip")
    found = predictions(run.path, run.config, other, "test", "flip").averaged
    assert found is not None and np.array_equal(found, softmax(mirrored).mean(axis=0))
    # The run's own pictures, of whatever size, are measured as they were selected on.
    same = dataclasses.replace(other, fingerprint=own.fingerprint)
    assert np.array_equal(predictions(run.path, run.config, same, "test").logits, by_hand[1])


def test_predictions_kept_before_faces_came_by_the_resolution_of_training_do_not_count(make: Make) -> None:
    own = _dataset()
    noise = np.random.default_rng(0).integers(0, 256, (4, 100, 100), np.uint8)
    other = dataclasses.replace(own, parts={"test": Part(noise, np.zeros(4, np.int64))}, fingerprint="e" * 64)
    run = make(own)
    right = predictions(run.path, run.config, other, "test")
    file = run.path / "evaluations" / f"{stem(run.config, other, 'test', 'none')}.npz"
    with np.load(file) as kept:
        key = json.loads(str(kept["key"]))
    labels = np.zeros(4, "<i8")
    key["rows_sha256"] = hashlib.sha256(b"".join(picture_digests(noise)) + labels.tobytes()).hexdigest()
    np.savez(file, logits=right.logits + 1, labels=labels, key=np.array(json.dumps(key)))
    assert np.array_equal(predictions(run.path, run.config, other, "test").logits, right.logits)


def test_files_of_other_protocols_and_other_folders_do_not_overwrite_each_other(make: Make) -> None:
    dataset = _dataset()
    config = make(dataset).config
    assert stem(config, dataset, "test", "none") == "synthetic-test"
    assert stem(config, dataset, "test", "crops") == "synthetic-test-crops"
    assert stem(config, dataclasses.replace(dataset, protocol="seed"), "test", "none") == "synthetic-test-seed"
    elsewhere = dataclasses.replace(dataset, fingerprint="abcdef0123")
    assert stem(config, elsewhere, "test", "none") == "synthetic-test-abcdef01"
    folders = [dataclasses.replace(dataset, name="folder", fingerprint=text * 8) for text in ("ab", "cd")]
    names = [stem(config, folder, "test", "flip") for folder in folders]
    assert names == ["folder-test-abababab-flip", "folder-test-cdcdcdcd-flip"]
    under = dataclasses.replace(folders[0], protocol="official-dedup")
    assert stem(config, under, "test", "none") == "folder-test-abababab-official-dedup"


def test_gain_of_tta_is_tested_against_the_single_view() -> None:
    labels = np.zeros(20, np.int64)
    logits = np.tile(np.array([[1.0, 0.0]], np.float32), (20, 1))
    logits[:8] = [0.0, 1.0]  # eight wrong without TTA
    averaged = np.tile([0.9, 0.1], (20, 1))
    averaged[0] = [0.4, 0.6]  # one of them still wrong, and one more
    averaged[19] = [0.4, 0.6]
    gain = tta_gain(Predictions(logits, labels, averaged, ""))
    assert (gain["only_tta_right"], gain["only_single_view_right"]) == (7, 1)
    assert gain["points"] == pytest.approx(30)
    assert gain["p_value"] == pytest.approx(2 * (1 + 8) / 2**8)
    assert gain["ci95"][0] < 30 < gain["ci95"][1]
    with pytest.raises(ValueError, match="expected predictions with TTA"):
        tta_gain(Predictions(logits, labels, None, ""))


def test_evaluation_keeps_figures_matrix_and_diagram(make: Make) -> None:
    dataset = _dataset()
    run = make(dataset)
    file = keep_evaluation(run.path, evaluate_run(run, dataset, "test"), TWO)
    assert file.name == "synthetic-test.json"
    assert json.loads(file.read_text())["single_view"]["confusion"] == [[5, 1], [0, 4]]
    kept = sorted(child.name for child in file.parent.iterdir())
    assert kept == [
        "synthetic-test-reliability.png",
        "synthetic-test.json",
        "synthetic-test.npz",
        "synthetic-test.png",
        "synthetic-validation.npz",
    ]


@pytest.mark.parametrize("phases", [("head",), ("head", "whole", "polish")])
def test_plots_are_pictures_with_something_on_them(tmp_path: Path, phases: tuple[str, ...]) -> None:
    rows = [
        {"phase": phase, "loss": 1.0 - i / 9, "val_loss": 1.1, "accuracy": i / 9, "val_accuracy": i / 10}
        | {"val_macro_f1": i / 11, "val_weighted_f1": i / 12, "learning_rate": 0.1**i}
        for i, phase in enumerate(phases)
    ]
    plot_history(rows, tmp_path / "curves.png", monitor="weighted_f1", ema=True, title="a run")
    plot_confusion([[3, 1], [0, 0]], TWO, "a class without samples", tmp_path / "confusion.png")
    bins = {"count": [0, 4], "confidence": [0.0, 0.8], "accuracy": [0.0, 0.5]}
    plot_reliability({"ece_before": 0.3, "before": bins, "temperature": None}, "one", tmp_path / "reliability.png")
    for name in ("curves", "confusion", "reliability"):
        picture = cv2.imread(str(tmp_path / f"{name}.png"))
        assert picture is not None
        assert picture.std() > 5


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def fer2013_runs(tmp_path: Path, flat_fer2013: Path) -> dict[str, Path]:
    """One run for each protocol, on the flat pictures."""
    loaded = load("fer2013", flat_fer2013, progress=False)
    return {
        protocol: write_run(tmp_path, apply_protocol(loaded, protocol), protocol, threshold, labels=EMOTIONS)
        for protocol, threshold in (("official", 100), ("official-dedup", 128), ("seed", 150))
    }


def test_evaluate_command_takes_the_runs_own_protocol_and_discloses(
    flat_fer2013: Path, fer2013_runs: dict[str, Path]
) -> None:
    run = fer2013_runs["official"]
    config = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(config | {"supervision": "FER+ votes"}))
    told = _run("evaluate", run, "--dataset", "fer2013", "--data", flat_fer2013, "--tta", "flip")
    assert told.exit_code == 0, told.output
    assert "fer2013 PrivateTest (official), single view: accuracy" in told.output
    assert "points over the single view (paired 95 %" in told.output
    assert "seen in training: 4 of 15 pictures – A LEAK" in told.output
    assert "the 11 of them not seen before, single view: accuracy" in told.output
    assert "the 11 of them not seen before, TTA flip: accuracy" in told.output
    assert "calibration: temperature" in told.output
    assert "extra supervision: this run was trained with FER+ votes" in told.output
    refused = _run("evaluate", run, "--dataset", "fer2013", "--data", flat_fer2013, "--protocol", "official-dedup")
    assert refused.exit_code == 1
    assert "4 of the 15 pictures of fer2013 PrivateTest (official-dedup) were among its training" in refused.output
    assert refused.output.count("\n") == 1


def test_evaluate_command_across_data_sets_says_so(
    tmp_path: Path, flat_fer2013: Path, fer2013_runs: dict[str, Path]
) -> None:
    for part in ("train", "test"):
        for name, levels in (("angry", (20, 40, 60)), ("happy", (200, 220, 110))):
            folder = tmp_path / "faces" / part / name
            folder.mkdir(parents=True)
            for level in levels:
                assert cv2.imwrite(str(folder / f"{level}.png"), np.full((40, 40), level, np.uint8))
    run = fer2013_runs["official-dedup"]
    data = ("--dataset", "folder", "--data", tmp_path / "faces", "--protocol", "official")
    told = _run("evaluate", run, *data)
    assert told.exit_code == 0, told.output
    assert "cross-data-set: trained on fer2013 (official-dedup), measured on folder test (official)" in told.output
    assert "no samples of disgust, fear, sad, surprise, neutral" in told.output
    assert "accuracy 0.8333" in told.output  # the happy face of level 110 is taken for angry
    assert "seen in training: not known" in told.output
    known = _run("evaluate", run, *data, "--run-data", flat_fer2013)
    assert known.exit_code == 0, known.output
    assert "seen in training: 0 of 6 pictures" in known.output
    assert "fitted on fer2013 PublicTest (official-dedup)" in known.output
    wrong = _run("evaluate", run, *data, "--run-data", flat_fer2013.parent / "nowhere.csv")
    assert (wrong.exit_code, wrong.output.count("\n")) == (1, 1)


def test_compare_command_prints_both_tables_and_keeps_its_result(
    flat_fer2013: Path, fer2013_runs: dict[str, Path]
) -> None:
    data = ("--dataset", "fer2013", "--data", flat_fer2013)
    asked = _run("compare", fer2013_runs["official"], fer2013_runs["official-dedup"], *data)
    assert (asked.exit_code, "say by --protocol under which" in asked.output) == (1, True)
    leak = _run("compare", fer2013_runs["official"], fer2013_runs["official-dedup"], *data, "--protocol", "seed")
    assert (leak.exit_code, "were among its training pictures" in leak.output) == (1, True)
    told = _run("compare", fer2013_runs["official"], fer2013_runs["official-dedup"], *data, "--protocol", "official")
    assert told.exit_code == 0, told.output
    assert "| official right |" in told.output
    assert "official-dedup minus official on fer2013 PrivateTest (official): accuracy" in told.output
    assert "McNemar's exact test on 2 discordant pictures: p = 0.5 (not significant at 5%)" in told.output
    first = sha256_of(fer2013_runs["official"] / "model.keras")[:8]
    name = f"against-official-{first}-fer2013-PrivateTest-official.json"
    kept = fer2013_runs["official-dedup"] / "evaluations" / name
    assert json.loads(kept.read_text())["counts"]["only_second_right"] == 2  # levels 105 and 120
    assert kept.with_suffix(".png").is_file()
    picture = fer2013_runs["official"].parent / "comparison.png"
    flags = ("--protocol", "official", "--out", picture)
    refused = _run("compare", fer2013_runs["official"], fer2013_runs["official-dedup"], *data, *flags)
    assert (refused.exit_code, "expected a name that ends in .json as --out" in refused.output) == (1, True)
    assert not picture.exists()


def test_comparisons_under_other_protocols_on_other_faces_or_with_another_model_keep_their_files(
    faces: Dataset, make: Make
) -> None:
    own = dataclasses.replace(faces, protocol="official")
    strict, lenient, other = (
        make(own, f"{threshold}", threshold=threshold, labels=EMOTIONS).path for threshold in (170, 80, 120)
    )
    results = [
        compare_runs((strict, lenient), own, "test"),
        compare_runs((strict, lenient), own, "test", "flip"),
        compare_runs((strict, lenient), dataclasses.replace(own, protocol="seed"), "test"),
        compare_runs((strict, lenient), dataclasses.replace(own, fingerprint="e" * 64), "test"),
    ]
    (strict / "model.keras").write_bytes((other / "model.keras").read_bytes())
    results.append(compare_runs((strict, lenient), own, "test"))
    assert len({stem_of_comparison(result) for result in results}) == len(results)


def test_protocols_command_sets_three_runs_side_by_side(flat_fer2013: Path, fer2013_runs: dict[str, Path]) -> None:
    told = _run("protocols", *fer2013_runs.values(), "--data", flat_fer2013)
    assert told.exit_code == 0, told.output
    lines = [line for line in told.output.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[1:]] == ["| official", "| official-dedup", "| seed"]
    assert "| official | official | PrivateTest | 15 | 4 |" in told.output
    assert "| official-dedup | official-dedup | PrivateTest | 15 | 0 |" in told.output
    assert "rows are not paired" in told.output
    assert (fer2013_runs["official"] / "evaluations" / "protocols-fer2013-test.json").is_file()
    twice = _run("protocols", fer2013_runs["seed"], fer2013_runs["seed"], "--data", flat_fer2013)
    assert (twice.exit_code, "expected one run for each protocol" in twice.output) == (1, True)
