"""A study's file: what it says becomes cells and commands, and what it may not say is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.commands.tradeoff import tradeoff
from benchmarks.tradeoff.steps import cells, steps
from benchmarks.tradeoff.study import Study, read_study
from edge.errors import DataError
from edge.inference.modelfile import shipped_model_path

TEXT = """
name = "two"
schedule = "trial"
dataset = "synthetic"
sizes = [32, 48]
recipes = ["float32", "ptq-int8"]
threads = [1, 2]

[train]
epochs = 1

[latency]
pairs = 7

[backbones.efficientnet-lite0]
weights = "none"

[backbones.mine]
model = "mine.keras"
epochs = 3
"""
STUDIES = Path(__file__).resolve().parents[3] / "benchmarks" / "studies"


def written(folder: Path, text: str = TEXT) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(written(tmp_path))


def test_cells_are_all_combinations(study: Study) -> None:
    found = [(cell.network.name, cell.size, cell.recipe, cell.threads) for cell in cells(study, Path("out"))]
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 2
    assert found[:3] == [
        ("efficientnet-lite0", 32, "float32", 1),
        ("efficientnet-lite0", 32, "float32", 2),
        ("efficientnet-lite0", 32, "ptq-int8", 1),
    ]


def test_steps_go_stage_by_stage_with_latency_last(study: Study) -> None:
    stages = [step.stage for step in steps(study, None, Path("out"))]
    assert stages == ["train"] * 4 + ["convert"] * 8 + ["accuracy"] * 9 + ["latency"] * 16


def test_commands_are_those_that_a_user_types(study: Study) -> None:
    words = {step.label: " ".join(step.words) for step in steps(study, Path("faces"), Path("out"))}
    assert words["train mine-48px"] == (
        "python -m train fit synthetic --data faces --backbone mine.keras --size 48 --protocol official-dedup "
        "--epochs 3 --quiet --out out/runs/mine-48px"
    )
    assert words["accuracy mine-48px-ptq-int8"] == (
        "fer-edge benchmark accuracy --model out/exports/mine-48px-ptq-int8.tflite "
        "--data out/packs/synthetic-validation.npz --record out/records/mine-48px-ptq-int8-accuracy.json"
    )
    assert words["latency mine-48px-ptq-int8 2 threads"] == (
        "fer-edge benchmark latency --model out/exports/mine-48px-ptq-int8.tflite --threads 2 "
        "--against out/exports/efficientnet-lite0-32px-float32.tflite --pairs 7 "
        "--record out/records/mine-48px-ptq-int8-latency-2.json"
    )
    assert "--runs 7" in words["latency efficientnet-lite0-32px-float32 1 thread"]


def test_a_backbones_own_flag_counts_before_the_studys(study: Study) -> None:
    lite0, mine = study.networks
    assert (lite0.flags["epochs"], mine.flags["epochs"]) == (1, 3)


def test_a_training_reads_its_data_its_network_and_the_files_of_its_flags(tmp_path: Path) -> None:
    text = TEXT.replace('model = "mine.keras"', 'model = "mine.keras"\nweights = "w.npz"\nteacher = ["runs/a"]')
    lite0, *_, mine = [step for step in steps(read_study(written(tmp_path, text)), Path("faces"), Path("out"))][:4]
    assert lite0.reads == (Path("faces"),)
    assert mine.reads == (Path("faces"), Path("mine.keras"), Path("w.npz"), Path("runs/a"))


def test_a_shipped_model_that_a_training_reads_is_its_file(tmp_path: Path) -> None:
    text = TEXT.replace('weights = "none"', 'weights = "default"\nteacher = ["small", "runs/a"]')
    first = steps(read_study(written(tmp_path, text)), Path("faces"), Path("out"))[0]
    assert "default" in first.words and "small" in first.words
    assert first.reads == (Path("faces"), shipped_model_path("default"), shipped_model_path("small"), Path("runs/a"))


def test_a_list_repeats_its_flag_and_true_stands_alone(tmp_path: Path) -> None:
    text = TEXT.replace("[train]", '[train]\nteacher = ["a", "b"]\ndrop-leaks = true')
    words = steps(read_study(written(tmp_path, text)), None, Path("out"))[0].words
    joined = " ".join(words)
    assert "--teacher a --teacher b" in joined
    assert "--drop-leaks --epochs" in joined


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('name = "two"', "", "expected name as a text; got none"),
        ('name = "two"', 'name = "Two/3"', "expected a name of small letters"),
        ("sizes =", "size =", "unknown key 'size'"),
        ("[32, 48]", "[32, 32]", "expected sizes as a list of numbers in 32..512, each once"),
        ("[32, 48]", "[16]", "expected sizes as a list of numbers in 32..512"),
        ("[1, 2]", "[true]", "expected threads"),
        ('"ptq-int8"', '"ptq-int7"', "unknown recipe 'ptq-int7'; known: float32"),
        ("synthetic", "fer2014", "unknown data set 'fer2014'"),
        ("efficientnet-lite0", "efficientnet-lite9", "unknown backbone 'efficientnet-lite9'"),
        ('"mine.keras"', '"mine.h5"', "expected model of mine as a .keras file"),
        ("[latency]\npairs = 7", "latency = 7", "unknown key"),
        ("[train]", "[trains]", "unknown key 'trains'"),
        ("[32, 48]", "[32, 48", "expected a study (TOML)"),
    ],
)
def test_a_study_that_says_what_it_may_not_is_refused(old: str, new: str, text: str, tmp_path: Path) -> None:
    assert old in TEXT
    path = written(tmp_path, TEXT.replace(old, new, 1))
    if "latency = 7" in new:  # below [train] it is a flag of fit
        with pytest.raises(DataError, match="No such option"):
            steps(read_study(path), None, tmp_path)
        return
    with pytest.raises(DataError) as caught:
        read_study(path)
    assert text in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("epochs = 1", "epoch = 1", "--epoch"),
        ("epochs = 1", 'epochs = "many"', "'many' is not a valid integer"),
        ("epochs = 1", "size = 64", "expected a flag that the study leaves open"),
        ("pairs = 7", "pairs = 0", "Invalid value for '--pairs'"),
        ("pairs = 7", 'model = "x"', "expected a flag that the study leaves open"),
    ],
)
def test_a_flag_that_its_command_does_not_take_is_told_before_anything_runs(
    old: str, new: str, text: str, tmp_path: Path
) -> None:
    path, out = written(tmp_path, TEXT.replace(old, new, 1)), tmp_path / "out"
    result = CliRunner().invoke(tradeoff, [str(path), "--out", str(out)])
    assert result.exit_code == 1
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_a_dry_run_lists_cells_and_commands_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(
        tradeoff, [str(written(tmp_path)), "--out", str(out), "--dry-run", "--stage", "train", "--stage", "convert"]
    )
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "efficientnet-lite0  32 px  float32  1 thread"
    assert "16 cells; 12 of 12 steps are left" in lines
    assert lines[-1].startswith("$ python -m convert ") and lines[-1].endswith("--recipe ptq-int8")
    assert not out.exists()


def test_a_data_set_or_study_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    for words in ([written(tmp_path), "--data", tmp_path / "no.csv"], [tmp_path / "no.toml"]):
        result = CliRunner().invoke(tradeoff, [*map(str, words), "--out", str(tmp_path / "out")])
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert "/no." in result.stderr


def test_again_wants_a_stage(tmp_path: Path) -> None:
    result = CliRunner().invoke(tradeoff, [str(written(tmp_path)), "--out", str(tmp_path / "out"), "--again"])
    assert result.exit_code == 2


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.name)
def test_the_published_studies_can_be_read(path: Path) -> None:
    study = read_study(path)
    assert study.part != "PrivateTest"
    assert len(steps(study, Path("fer2013.csv"), Path("out"))) > len(cells(study, Path("out")))
