"""What `fit` records and refuses: supervision through votes and teachers, and a resume with other flags."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import pytest
from click.testing import CliRunner, Result

from edge.errors import DataError
from tests.train.conftest import tiny_model
from train.__main__ import main
from train.commands.fit import FitConfig, resolve
from train.datasets import Dataset
from train.fitting.distill import load_teachers, supervision
from train.recipes import Recipe, recipe

FIT = ["--size", "32", "--head-epochs", "0", "--epochs", "1", "--batch", "35", "--limit", "70", "--quiet"]


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _config(run: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run / "run.json").read_text())
    return config


def _resolved(**flags: Any) -> Recipe:
    """Return the recipe that `fit` makes of some flags."""
    left_out: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(FitConfig))
    return resolve(FitConfig(**left_out | {"dataset": "synthetic", "recipe": "modern", "teacher": ()} | flags))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own small network."""
    path = tmp_path_factory.mktemp("networks") / "own.keras"
    keras.utils.set_random_seed(1)
    tiny_model().save(path)
    return path


@pytest.fixture(scope="module")
def teacher(network: Path) -> Path:
    """A finished run."""
    path = network.parent / "teacher"
    result = _run("fit", "synthetic", "--out", path, *FIT, "--backbone", network)
    assert result.exit_code == 0, result.output
    return path


def test_limit_that_leaves_a_class_out_is_told(network: Path, tmp_path: Path) -> None:
    words: tuple[str | Path, ...] = ("fit", "synthetic", *FIT, "--backbone", network)
    few = _run(*words, "--limit", "6", "--out", tmp_path / "few")
    assert few.exit_code == 0, few.output
    assert "the first 6 pictures of train hold none of neutral; raise --limit for all classes\n" in few.stderr
    all_classes = _run(*words, "--limit", "7", "--out", tmp_path / "all")
    assert (all_classes.exit_code, "hold none of" in all_classes.stderr) == (0, False), all_classes.output


def test_run_says_what_it_learned_from_and_computed_with(teacher: Path) -> None:
    config = _config(teacher)
    assert (config["supervision"], config["teachers"]) == ("labels", [])
    assert (config["backbone"], config["recipe"]["backbone"]) == ("own", "own.keras")
    assert config["precision"] == "float32"
    assert config["devices"] == {"kind": "cpu", "count": 1}


def test_teachers_are_recorded_with_all_that_they_were_taught(teacher: Path, network: Path, tmp_path: Path) -> None:
    voted = tmp_path / "voted"
    shutil.copytree(teacher, voted)
    (voted / "run.json").write_text(json.dumps(_config(teacher) | {"supervision": "FER+ votes", "name": "voted"}))
    student = tmp_path / "student"
    flags: list[str | Path] = ["--backbone", network, "--teacher", teacher, "--teacher", voted]
    result = _run("fit", "synthetic", "--out", student, *FIT, *flags)
    assert result.exit_code == 0, result.output
    assert "learns from labels; FER+ votes through a teacher" in result.output
    config = _config(student)
    assert [record["name"] for record in config["teachers"]] == ["teacher", "voted"]
    assert len(config["teachers"][0]["model_sha256"]) == 64
    # The student's own student: two steps from the votes, still said.
    assert supervision("synthetic", recipe("modern"), [config]) == "labels; FER+ votes through a teacher"
    alone = _run("fit", "synthetic", "--out", student, *FIT, "--backbone", network, "--teacher", teacher, "--resume")
    assert (alone.exit_code, "expected the teachers of the run" in alone.output) == (1, True)
    other = _run("fit", "synthetic", "--out", student, *FIT, *flags, "--resume", "--mixed-precision", "float16")
    assert (other.exit_code, "(float32); got another (float16)" in other.output) == (1, True)


def test_resume_with_other_rows_or_colour_is_refused(network: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    begun: list[str | Path] = ["fit", "synthetic", "--out", run, *FIT, "--backbone", network]
    assert _run(*begun, "--protocol", "seed", "--colour", "grey").exit_code == 0
    kept = (run / "run.json").read_bytes()
    for flags, message in (
        (["--colour", "grey"], "expected the protocol of the run in"),
        (["--protocol", "seed", "--colour", "grey", "--drop-leaks"], "(seed); got another (seed+near"),
        (["--protocol", "seed", "--colour", "grey", "--limit", "60"], "give the same --limit"),
        (["--protocol", "seed"], "(colour=grey); got another (colour=rgb); give the same --colour"),
    ):
        other = _run(*begun, *flags, "--resume")
        assert (other.exit_code, message in other.output, other.output.count("\n")) == (1, True, 1), other.output
        assert (run / "run.json").read_bytes() == kept
    assert _run(*begun, "--protocol", "seed", "--colour", "grey", "--resume").exit_code == 0
    older = json.loads(kept)
    for name in ("counts", "roles"):
        del older["data"][name]
    (run / "run.json").write_text(json.dumps(older))
    assert _run(*begun, "--protocol", "seed", "--colour", "grey", "--resume").exit_code == 0


def test_supervision_names_what_goes_beyond_the_labels() -> None:
    votes = Recipe("v", recipe("modern").phases, targets="votes")
    assert supervision("fer2013", recipe("modern"), []) == "labels"
    assert supervision("fer2013", votes, []) == "FER+ votes"
    some = dataclasses.replace(votes, votes_share=0.3)
    assert supervision("fer2013", some, []) == "labels with 30% of FER+ votes"
    assert supervision("ferplus", recipe("modern"), []) == "FER+ majority labels"


def test_teacher_that_does_not_fit_the_student_is_refused(teacher: Path, tmp_path: Path, faces: Dataset) -> None:
    for change, message in (
        ({"labels": ["a", "b"]}, "expected a teacher with the classes angry"),
        ({"input": {"height": 32, "width": 32, "colour": "grey"}}, "expected a teacher for RGB pictures"),
        ({"data": _config(teacher)["data"] | {"protocol": "seed"}}, "never saw the student's test pictures"),
    ):
        other = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(teacher, other)
        (other / "run.json").write_text(json.dumps(_config(teacher) | change))
        with pytest.raises(DataError, match=message):
            load_teachers([other], faces)
    voted = _config(teacher)["data"] | {"name": "ferplus", "protocol": "seed"}
    (other / "run.json").write_text(json.dumps(_config(teacher) | {"data": voted}))
    seed = dataclasses.replace(faces, name="fer2013", protocol="seed")
    with pytest.raises(DataError, match=r"was trained on ferplus, the student on fer2013, and seed cuts the same"):
        load_teachers([other], seed)
    assert len(load_teachers([other], dataclasses.replace(seed, name="ferplus"))) == 1
    broken = {key: value for key, value in _config(teacher).items() if key != "metrics"}
    (other / "run.json").write_text(json.dumps(broken))
    with pytest.raises(DataError, match="expected a finished run as teacher"):
        load_teachers([other], faces)
    assert len(load_teachers([teacher], faces)) == 1


def test_balanced_sampling_leaves_the_recipes_class_weights_out_and_not_those_asked_for() -> None:
    assert _resolved(sampling="natural").class_weights == recipe("modern").class_weights != "none"
    assert _resolved(sampling="balanced").class_weights == "none"
    assert _resolved(sampling="balanced", class_weights="sqrt").class_weights == "sqrt"


def test_flags_change_the_recipe_field_by_field(teacher: Path, network: Path, tmp_path: Path) -> None:
    flags: list[str | Path] = [
        "--recipe",
        "modern",
        "--backbone",
        network,
        "--stochastic-depth",
        "0",
        "--ema",
        "0.5",
        "--loss",
        "focal",
    ]
    flags += ["--focal-gamma", "1", "--freeze", "0.5", "--mixup", "0", "--cutmix", "0.5", "--erasing", "0.1"]
    flags += [
        "--randaugment",
        "3",
        "--class-weights",
        "effective",
        "--effective-beta",
        "0.99",
        "--sampling",
        "balanced",
    ]
    result = _run("fit", "synthetic", "--out", tmp_path / "run", *FIT, *flags, "--drop-leaks")
    assert result.exit_code == 0, result.output
    config = _config(tmp_path / "run")
    kept = Recipe.from_json(config["recipe"])
    assert (kept.loss, kept.focal_gamma, kept.ema, kept.stochastic_depth) == ("focal", 1.0, 0.5, 0.0)
    assert (kept.class_weights, kept.effective_beta, kept.sampling) == ("effective", 0.99, "balanced")
    augment = kept.phases[-1].augment
    assert (augment.mixup_alpha, augment.cutmix_alpha, augment.erasing) == (0.0, 0.5, 0.1)
    assert (augment.randaugment_magnitude, kept.phases[-1].freeze) == (3.0, 0.5)
    assert config["data"]["protocol"].startswith("official-dedup+near")


def test_randaugment_of_magnitude_0_draws_no_operation() -> None:
    off = _resolved(randaugment=0.0).phases[-1].augment
    assert (off.randaugment_ops, off.randaugment_magnitude) == (0, 0.0)
    on = _resolved(recipe="fer2013-two-phase", randaugment=3.0).phases[-1].augment
    assert (on.randaugment_ops, on.randaugment_magnitude) == (2, 3.0)
    unsaid = _resolved().phases[-1].augment
    assert (unsaid.randaugment_ops, unsaid.randaugment_magnitude) == (2, 5.0)
    older = _resolved().to_json()  # a run that was begun when 0 still drew operations is read as it was
    older["phases"][-1]["augment"]["randaugment_magnitude"] = 0.0
    assert Recipe.from_json(older).phases[-1].augment.randaugment_ops == 2


def test_recipe_s_warm_up_takes_half_of_a_phase_that_is_no_longer_than_it() -> None:
    assert _resolved().phases[-1].warmup_epochs == 3.0
    assert _resolved(epochs=4).phases[-1].warmup_epochs == 3.0
    assert _resolved(epochs=3).phases[-1].warmup_epochs == 1.5
    assert _resolved(epochs=1).phases[-1].warmup_epochs == 0.5
    assert _resolved(epochs=3, warmup_epochs=2.5).phases[-1].warmup_epochs == 2.5
    assert _resolved(recipe="fer2013-two-phase", epochs=1).phases[-1].warmup_epochs == 0.5  # its own


def test_own_network_s_dropout_is_recorded_and_an_older_record_resumes(network: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    begun: list[str | Path] = ["fit", "synthetic", "--out", run, *FIT, "--backbone", network]
    assert _run(*begun).exit_code == 0
    assert _config(run)["recipe"]["dropout"] == 0.0  # it has none, the recipe says 0.3
    older = _config(run)
    older["recipe"]["dropout"] = 0.3
    (run / "run.json").write_text(json.dumps(older))
    assert _run(*begun, "--resume").exit_code == 0
    assert _config(run)["recipe"]["dropout"] == 0.0
    older["recipe"]["dropout"] = 0.6
    (run / "run.json").write_text(json.dumps(older))
    other = _run(*begun, "--resume")
    assert (other.exit_code, "(0.6); got another (0)" in other.output) == (1, True), other.output


def test_flags_that_need_another_are_refused(network: Path, tmp_path: Path) -> None:
    for flags, message in (
        (["--votes-share", "0.5"], "expected --targets votes with --votes-share"),
        (["--targets", "votes"], "synthetic has none; give --votes FILE"),
        (["--recipe", "modern", "--head-epochs", "2"], "modern has none; leave --head-epochs out"),
        (["--votes", network], "expected --targets votes with --votes FILE"),
        (["--focal-gamma", "1"], "expected --loss focal with --focal-gamma; got cross-entropy; give both, or leave"),
        (["--effective-beta", "0.9"], "expected --class-weights effective with --effective-beta; got sqrt"),
        (["--distillation-weight", "1"], "expected --teacher a run with --distillation-weight; got none"),
        (["--distillation-temperature", "3"], "expected --teacher a run with --distillation-temperature; got none"),
        (["--epochs", "2", "--warmup-epochs", "2"], "shorter than the 2 epochs of the phase whole; got 2; lower"),
        (["--dropout", "0.6"], "expected no --dropout with own.keras, whose own logits are kept"),
        (["--teacher", tmp_path], "expected a run folder with run.json"),
        (["--devices", "none"], "expected a number of devices, or all"),
    ):
        result = _run("fit", "synthetic", "--out", tmp_path / "run", *FIT[:2], "--backbone", network, *flags)
        assert (result.exit_code, message in result.output) == (1, True), result.output
        assert not (tmp_path / "run").exists()


def test_run_killed_in_its_first_epoch_begins_again_with_the_weights_it_was_given(
    teacher: Path, network: Path, tmp_path: Path
) -> None:
    flags: list[str | Path] = ["--backbone", network, "--weights", teacher / "model.keras"]
    assert _run("fit", "synthetic", "--out", tmp_path / "run", *FIT, *flags).exit_code == 0
    shutil.copytree(tmp_path / "run", tmp_path / "begun")
    for name in ("state.npz", "model.keras", "history.csv"):
        (tmp_path / "begun" / name).unlink()
    assert _run("fit", "synthetic", "--out", tmp_path / "begun", *FIT, *flags, "--resume").exit_code == 0
    losses = [(tmp_path / name / "history.csv").read_text().splitlines()[1].split(",")[2] for name in ("run", "begun")]
    assert losses[0] == losses[1]
