"""What the networks have seen that a run comes from: its first weights, its teachers, and what those come from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from convert.config import ConvertConfig
from convert.source import load_source
from edge.errors import DataError
from edge.inference.modelfile import read_model
from edge.labels import EMOTIONS
from tests.train.handmade import flat_pictures, write_run
from train.__main__ import main
from train.datasets import Dataset, Part, apply_protocol, load
from train.datasets.synthetic import CROP
from train.evaluation.evaluate import evaluate_run
from train.evaluation.leakage import Ancestor, ancestors, before, read_before
from train.fitting.distill import record_of_run
from train.networks.quantized import record_of
from train.runs import Run, load_run

TWO = ("angry", "happy")
ANGRY, HAPPY = 0, 1
VALIDATION = [(60, ANGRY)] * 4 + [(200, HAPPY)] * 4 + [(205, ANGRY)] * 2
TEST = [(30, ANGRY)] * 5 + [(230, HAPPY)] * 4 + [(235, ANGRY)]
VOTED = "labels with 30% of FER+ votes"
THROUGH = f"{VOTED}; {VOTED} through its first weights"


def _dataset(name: str = "synthetic", fingerprint: str = "f" * 64, **parts: list[tuple[int, int]]) -> Dataset:
    """Return a grey data set of two classes, under ``official``, with the given (level, label) rows by part."""
    filled = {"train": [(1, ANGRY), (2, HAPPY)], "validation": VALIDATION, "test": TEST} | parts
    roles = {role: role for role in ("train", "validation", "test")}
    made = {part: Part(*flat_pictures(rows)) for part, rows in filled.items()}
    return Dataset(name, TWO, made, roles, CROP, "grey", fingerprint, protocol="official")


def _published(dataset: Dataset) -> Dataset:
    """Return a data set with the part names of FER2013's csv."""
    names = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    return dataclasses.replace(dataset, parts={names[key]: part for key, part in dataset.parts.items()}, roles=names)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Run]:
    """Write and load a run on a data set, with further fields in its run.json."""

    def write(dataset: Dataset, name: str = "hand", **fields: Any) -> Run:
        run = write_run(tmp_path, dataset, name, 128, labels=TWO)
        config = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(config | fields))
        return load_run(run)

    return write


def _record(run: Run) -> dict[str, Any]:
    return record_of_run(run.path, run.path / "model.keras")


FACES = _dataset()
OTHERS = _dataset("folder", "e" * 64, train=[(3, ANGRY), (4, HAPPY)])


def test_ancestors_are_found_over_generations_with_their_roles(make: Callable[..., Run]) -> None:
    first = make(FACES, "first")
    middle = make(_dataset("rafdb", "d" * 64), "middle", start=_record(first))
    run = make(OTHERS, "last", start=_record(middle))
    taught = make(OTHERS, "taught", teachers=[_record(middle), _record(run)], start=_record(run))
    found = ancestors(run.config, [dataclasses.replace(FACES, protocol="none")], OTHERS)
    assert [(one.role, one.name, one.dataset) for one in found] == [
        ("its first weights", "middle", "rafdb"),
        ("the first weights of its first weights", "first", "synthetic"),
    ]
    assert found[0].own is None
    assert found[1].own is not None and found[1].own.protocol == "official"
    found = ancestors(taught.config, [FACES, OTHERS], OTHERS)
    assert [(one.role, one.name) for one in found] == [  # its own rows count as its own; each data set is there once
        ("the first weights of its first weights", "middle"),
        ("the first weights of the first weights of its first weights", "first"),
    ]
    teacher = ancestors(make(OTHERS, "student", teachers=[_record(first)]).config, [FACES], None)
    assert [one.role for one in teacher] == ["its teacher"]
    assert ancestors(make(OTHERS, "alone").config, [FACES], OTHERS) == ()


def test_ancestor_of_the_same_name_and_other_rows_counts(make: Callable[..., Run]) -> None:
    other = _dataset("folder", "d" * 64)
    run = make(OTHERS, start=_record(make(other, "first")))
    assert [one.own is other for one in ancestors(run.config, [OTHERS], OTHERS)] == [False]
    (found,) = ancestors(run.config, [OTHERS, other], OTHERS)
    assert found.own is not None and np.array_equal(found.own.parts["train"].images, other.parts["train"].images)
    whole = _dataset(train=[(level, level % 2) for level in range(20)])
    few = dataclasses.replace(whole, parts={**whole.parts, "train": whole.parts["train"].take(np.arange(8))})
    limited = make(few, "limited", start=_record(make(whole, "whole")))  # fit --limit 8
    (found,) = ancestors(limited.config, [whole], few)
    assert found.own is not None and len(found.own.parts["train"]) == 20
    reverse = make(whole, "reverse", start=_record(limited))
    (found,) = ancestors(reverse.config, [whole], whole)
    assert (found.name, found.own and len(found.own.parts["train"])) == ("limited", 8)
    assert ancestors(make(few, "same", start=_record(limited)).config, [whole], few)[0].name == "whole"
    both = make(OTHERS, "both", start=_record(make(few, "little")), teachers=[_record(make(whole, "much"))])
    sizes = [len(one.own.parts["train"]) for one in ancestors(both.config, [whole], OTHERS) if one.own is not None]
    assert sizes == [8, 20]


def test_rows_of_a_vote_trained_file_are_those_of_the_published_parts(make: Callable[..., Run]) -> None:
    faces = _published(_dataset("fer2013", "c" * 64))
    voted: dict[str, Any] = {"name": "voted", "model_sha256": "a" * 64, "supervision": VOTED, "teachers": []}
    voted["data"] = {"name": "fer2013", "protocol": "official-dedup", "fingerprint": "b" * 64}
    run = make(OTHERS, start=voted)
    (found,) = ancestors(run.config, [faces], OTHERS)
    assert found.own is not None and found.own.protocol == "official-dedup"
    folders = dataclasses.replace(_dataset("fer2013", "c" * 64))  # the folder edition: its validation part is drawn
    assert ancestors(run.config, [folders], OTHERS)[0].own is None
    plus = dataclasses.replace(faces, name="ferplus", fingerprint="9" * 64)
    assert ancestors(run.config, [plus], OTHERS)[0].own is not None  # the same pictures in the same parts
    seed = voted | {"data": {**voted["data"], "protocol": "seed"}}
    assert ancestors(make(OTHERS, "seed", start=seed).config, [plus], OTHERS)[0].own is None


def test_what_is_not_on_record_is_said(make: Callable[..., Run]) -> None:
    (copied,) = ancestors(make(OTHERS, "one", weights="copied.keras").config, [FACES], OTHERS)
    assert (copied.role, copied.name, copied.dataset, copied.own) == ("its first weights", "copied.keras", "", None)
    assert ancestors(make(OTHERS, "two", weights="weights.npz").config, [FACES], OTHERS) == ()
    taught = make(OTHERS, "taught", weights="copied.keras", teachers=[_record(make(FACES, "teacher"))])
    roles = [(one.role, one.name) for one in ancestors(taught.config, [FACES], OTHERS)]
    assert roles == [("its teacher", "teacher"), ("its first weights", "copied.keras")]
    network = make(OTHERS, "network", recipe={"name": "by hand", "backbone": "own.keras"})
    second = make(OTHERS, "second", start=_record(network))
    assert [one.name for one in ancestors(network.config, [FACES], OTHERS)] == ["own.keras"]
    found = ancestors(second.config, [OTHERS], OTHERS)
    assert [(one.role, one.name) for one in found] == [("the first weights of its first weights", "own.keras")]
    assert before(second.config).endswith("; unknown")
    file = _record(make(FACES, "first")) | {"supervision": THROUGH, "before": []}
    found = ancestors(make(OTHERS, "three", start=file).config, [FACES], OTHERS)
    assert [(one.role, one.dataset) for one in found] == [
        ("its first weights", "synthetic"),
        ("networks before its first weights", ""),
    ]
    twice = ancestors(make(OTHERS, "twice", start=file, teachers=[file]).config, [FACES], OTHERS)
    assert [one.role for one in twice] == [one.role for one in found]
    told = evaluate_run(make(OTHERS, "four", start=file), OTHERS, "test", ancestors=found)
    assert [each["network"] for each in told["seen_before"]] == [
        "its first weights, first (synthetic, official)",
        "networks before its first weights",
    ]
    assert told["seen_before"][1] == {"network": "networks before its first weights", "trained_on": None, "seen": None}


def test_converted_file_tells_what_its_run_comes_from(make: Callable[..., Run]) -> None:
    first = make(FACES, "first", metrics={})
    run = make(OTHERS, start=_record(first), teachers=[_record(first)], metrics={})
    words = f"synthetic official {'f' * 64}"
    assert before(run.config) == words
    converted = ConvertConfig(model=run.path, recipes=("float32",), dataset="synthetic", data=None, out=run.path)
    assert load_source(converted, FACES).trained_on["before"] == words
    assert "before" not in load_source(dataclasses.replace(converted, model=first.path), FACES).trained_on
    assert read_before(words) == [{"name": "synthetic", "protocol": "official", "fingerprint": "f" * 64}]
    assert read_before(before(make(OTHERS, "copied", weights="a.keras").config)) == [None]
    assert read_before("") == []
    file = record_of(read_model()) | {"before": read_before(words)}
    found = ancestors(make(OTHERS, "next", start=file).config, [FACES], OTHERS)
    assert [(one.role, one.dataset) for one in found] == [
        ("its first weights", "fer2013"),
        ("networks before its first weights", "synthetic"),
    ]
    assert found[1].own is not None
    voted = [{"name": "fer2013", "protocol": "official", "fingerprint": "8" * 64}]  # with votes: another fingerprint
    faces = _published(_dataset("fer2013", "c" * 64, train=[(1, ANGRY), (30, ANGRY), (2, HAPPY)]))  # 30: a test face
    found = ancestors(make(OTHERS, "voted", start=file | {"before": voted}).config, [faces], OTHERS)
    assert [(one.role, one.own is not None) for one in found] == [
        ("its first weights", True),
        ("networks before its first weights", True),
    ]
    own = make(faces, "own", start=file | {"before": voted}).config  # official: the voted rows are its own
    assert [one.protocol for one in ancestors(own, [faces], faces)] == ["official-dedup"]
    assert ancestors(make(OTHERS, "same", start=file | {"before": voted * 2}).config, [], OTHERS)[1:] == (
        Ancestor("", "networks before its first weights", "fer2013", "official", None),
    )


def test_part_that_the_first_weights_were_trained_on_is_refused(make: Callable[..., Run]) -> None:
    faces = _dataset(train=[(30, ANGRY), (2, HAPPY)])
    run = make(OTHERS)
    first = (Ancestor("first", "its first weights", "synthetic", "official", faces),)
    with pytest.raises(
        DataError,
        match=r"expected a part that nothing before run hand was trained on; 2 of the 2 pictures of synthetic train "
        r"\(official\) were among the training pictures of its first weights, first .*; report another part",
    ):
        evaluate_run(run, faces, "train", ancestors=first)
    assert evaluate_run(run, faces, "train")["seen_before"] == []
    told = evaluate_run(run, faces, "train", ancestors=first, allow_leaks=True)
    assert told["seen_before"] == [
        {
            "network": "its first weights, first (synthetic, official)",
            "trained_on": {"name": "synthetic", "protocol": "official"},
            "seen": {"samples": 2, "trained": 2, "selected": 0},
        }
    ]
    repeats = evaluate_run(run, faces, "test", ancestors=first)  # its own protocol's test part: told
    assert repeats["seen_before"][0]["seen"]["trained"] == 5
    assert "unseen" not in repeats  # what the run itself has seen is not known here
    known = evaluate_run(run, faces, "test", own=OTHERS, ancestors=first)
    left = 10 - 5 - known["seen_before"][0]["seen"]["selected"]
    assert (known["seen"]["trained"], known["unseen"]["single_view"]["samples"]) == (0, left)
    unknown = (*first, Ancestor("older", "a teacher", "rafdb", "official", None))
    assert "unseen" not in evaluate_run(run, faces, "test", own=OTHERS, ancestors=unknown)
    with pytest.raises(
        DataError, match=r"5 of the 10 pictures of synthetic test \(seed\) .*; give --protocol official,"
    ):
        evaluate_run(run, dataclasses.replace(faces, protocol="seed"), "test", ancestors=first)


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_commands_count_what_the_first_weights_have_seen(tmp_path: Path, flat_fer2013: Path) -> None:
    loaded = load("fer2013", flat_fer2013, progress=False)
    first, run, other = (
        write_run(tmp_path, apply_protocol(loaded, protocol), name, threshold, labels=EMOTIONS)
        for name, protocol, threshold in (
            ("first", "official", 100),
            ("begun", "official-dedup", 128),
            ("other", "official", 150),
        )
    )
    config = json.loads((run / "run.json").read_text())
    record = record_of_run(first, first / "model.keras")
    (run / "run.json").write_text(json.dumps(config | {"start": record}))
    data = ("--dataset", "fer2013", "--data", flat_fer2013)
    refused = _run("evaluate", run, *data)
    assert (refused.exit_code, refused.output.count("\n")) == (1, 1)
    assert "4 of the 15 pictures of fer2013 PrivateTest (official-dedup) were among the training" in refused.output
    assert "give --protocol official, where repeats are counted and reported" in refused.output
    seen = "seen by its first weights, first (fer2013, official): 4 of 15 pictures – A LEAK, no test of this run"
    for flags in (("--protocol", "official"), ("--allow-leaks",)):
        told = _run("evaluate", run, *data, *flags)
        assert (told.exit_code, seen in told.output) == (0, True), told.output
    chosen = _run("evaluate", run, *data, "--part", "PublicTest")
    assert "first (fer2013, official): 0 of 11 pictures; 11 among those that picked the checkpoint" in chosen.output
    leak = _run("compare", run, other, *data, "--protocol", "official-dedup", "--allow-leaks")
    assert leak.exit_code == 0, leak.output
    assert f"begun: {seen}" in leak.output
    for role in ("start", "teachers"):
        came = {"start": record} if role == "start" else {"teachers": [record]}
        (run / "run.json").write_text(json.dumps(config | came))
        refused = _run("compare", run, run, *data)
        assert refused.exit_code == 1
        its = "its first weights" if role == "start" else "its teacher"
        assert "expected a part that nothing before run begun was trained on; 4 of the 15 pictures of" in refused.output
        assert f"among the training pictures of {its}, first (fer2013, official)" in refused.output
    table = _run("protocols", run, other, "--data", flat_fer2013)
    assert (table.exit_code, f"begun: {seen}".replace("first weights", "teacher") in table.output) == (0, True), (
        table.output
    )


def test_other_pictures_of_the_same_data_set_name_are_not_taken_for_the_run_s(tmp_path: Path) -> None:
    for folder, levels in (("a", (20, 40, 60, 200, 220, 240)), ("b", (30, 50, 210, 230))):
        for part in ("train", "test"):
            for level in levels:
                place = tmp_path / folder / part / ("angry" if level < 128 else "happy")
                place.mkdir(parents=True, exist_ok=True)
                shade = level + (part == "test")
                assert cv2.imwrite(str(place / f"{level}.png"), np.full((40, 40), shade, np.uint8))
    own = apply_protocol(load("folder", tmp_path / "a", progress=False), "official-dedup")
    run = write_run(tmp_path, own, "begun", 128, labels=own.labels)
    told = _run("evaluate", run, "--dataset", "folder", "--data", tmp_path / "b", "--run-data", tmp_path / "a")
    assert told.exit_code == 0, told.output
    assert "cross-data-set: trained on folder" in told.output and " 4 samples" in told.output


def test_evaluate_command_says_what_it_cannot_know(tmp_path: Path, flat_fer2013: Path) -> None:
    loaded = apply_protocol(load("fer2013", flat_fer2013, progress=False), "official-dedup")
    run = write_run(tmp_path, loaded, "begun", 128, labels=EMOTIONS)
    config = json.loads((run / "run.json").read_text())
    first: dict[str, Any] = {"name": "raf", "model_sha256": "a" * 64, "supervision": "labels", "teachers": []}
    first["data"] = {"name": "rafdb", "protocol": "official", "fingerprint": "d" * 64}
    (run / "run.json").write_text(json.dumps(config | {"start": first}))
    told = _run("evaluate", run, "--dataset", "fer2013", "--data", flat_fer2013)
    assert told.exit_code == 0, told.output
    assert "seen by its first weights, raf (rafdb, official): not known, its data is not at hand" in told.output
    (run / "run.json").write_text(json.dumps(config | {"weights": "copied.keras"}))
    told = _run("evaluate", run, "--dataset", "fer2013", "--data", flat_fer2013)
    assert "seen by its first weights, copied.keras: not known, there is no record of what" in told.output
