"""`python -m benchmarks peers`, run for real on a small network and the drawn faces."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks.commands.peers import peers
from benchmarks.peers import cache
from benchmarks.peers.exports import ONNX_FLOAT, PEERS, PLAIN_FLOAT, PeerError, suffix
from benchmarks.peers.record import read_peers
from benchmarks.peers.study import compared
from convert.tflite.inspection import inspect
from edge.errors import OutputError
from edge.files import sha256_of
from tests.benchmarks.networks import SIDE, plain_network, quietly
from tests.conftest import require

pytestmark = pytest.mark.slow  # the first test waits for a training and eight conversions

AEQ = "ai-edge-quantizer-int8"
OURS = ["ours-float32", "ours-ptq-int8"]
# Stands for a Python with ai-edge-quantizer: gives a plain file back as it is, refuses one of ours.
STAND_IN = """#!/bin/sh
if [ "$1" = -c ]; then echo 9.9; exit; fi
if grep -q fer-edge.json "$3"; then echo "RuntimeError: not this one" >&2; exit 1; fi
cp "$3" "$5"
"""


@pytest.fixture(scope="module", autouse=True)
def frameworks() -> None:
    """TensorFlow and Keras, quietly."""
    from convert.__main__ import settle_frameworks

    settle_frameworks()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained for a moment (net.keras), what we converted it to (exports), and a stand-in Python."""
    import keras

    from convert.__main__ import main as convert
    from edge.pictures.preprocess import fit
    from train.datasets import load

    folder = tmp_path_factory.mktemp("peers")
    drawn = load("synthetic", progress=False).part("train")
    images = np.stack([fit(image, SIDE, SIDE) for image in drawn.images]).astype(np.float32)
    keras.utils.set_random_seed(2013)  # the same start and order each time
    model = plain_network()
    model.compile(
        keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False
    )
    model.fit(images, drawn.labels, epochs=15, batch_size=64, verbose=0)  # sure enough that rounding moves few
    model.save(folder / "net.keras")
    words = [folder / "net.keras", "--recipe", "float32", "--recipe", "ptq-int8", "--out", folder / "exports"]
    words += ["--dataset", "synthetic", "--calibration", "64", "--quiet"]
    done = CliRunner().invoke(convert, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    (folder / "python").write_text(STAND_IN, encoding="utf-8")
    (folder / "python").chmod(0o755)
    return folder


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(peers, [str(word) for word in words], prog_name="python -m benchmarks peers")


def ask(folder: Path, *words: str | Path) -> Result:
    few = ("--dataset", "synthetic", "--limit", "70", "--pairs", "4", "--warmup", "1", "--calibration", "256")
    quantizer = ("--quantizer-python", folder / "python")
    return run(folder / "net.keras", *few, "--exports", folder / "exports", *quantizer, *words)


@pytest.fixture(scope="module")
def whole(folder: Path) -> tuple[Result, dict[str, Any]]:
    """What the command printed, and its record."""
    result = ask(folder, "--out", folder / "out", "--record", folder / "peers.json", "--quiet")
    assert result.exit_code == 0, result.output
    return result, read_peers(folder / "peers.json")


def test_every_peer_and_every_export_is_in_the_record(whole: tuple[Result, dict[str, Any]]) -> None:
    record = whole[1]
    assert [file["name"] for file in record["files"]] == [*PEERS, *OURS]
    failed = {file["name"]: file["error"] for file in record["files"] if file["status"] == "failed"}
    assert failed == {f"{AEQ}-on-ours": "RuntimeError: not this one"}
    names = [file["name"] for file in record["files"] if file["name"] not in failed]
    assert [(entry["model"], entry["against"]) for entry in record["ratios"]] == compared(names)
    assert {len(file["samples_ms"]) for file in record["files"] if file["name"] in names} == {4}


def test_the_record_says_what_was_scored_and_how(whole: tuple[Result, dict[str, Any]], folder: Path) -> None:
    record = whole[1]
    assert record["command"][:2] == ["python -m benchmarks peers", str(folder / "net.keras")]
    assert (record["rounds"], record["warmup"], record["threads"], record["config"]["seed"]) == (4, 1, 1, 0)
    assert record["source"]["sha256"] == sha256_of(folder / "net.keras")
    data = record["data"]
    assert (data["name"], data["part"], data["samples"], data["in_part"]) == ("synthetic", "validation", 70, 280)
    assert [record["truth"].count(label) for label in "0123456"] == [10] * 7
    assert record["calibration"]["samples"] == 256


def test_float_files_give_the_keras_models_classes_and_lose_nothing(whole: tuple[Result, dict[str, Any]]) -> None:
    record = whole[1]
    assert record["reference"]["accuracy"] > 0.5  # of seven classes: it has learnt, so that agreement means something
    for file in record["files"]:
        if file["name"] in (PLAIN_FLOAT, ONNX_FLOAT, "ours-float32"):
            assert file["predictions"] == record["reference"]["predictions"]
            assert (file["agreement"], file["drop"]["points"]) == (1.0, 0.0)
        elif file["status"] == "measured":
            same = sum(a == b for a, b in zip(file["predictions"], record["reference"]["predictions"], strict=True))
            assert file["agreement"] == pytest.approx(same / 70)
            assert file["agreement"] > 0.8
            lost = record["reference"]["accuracy"] - file["accuracy"]
            assert file["drop"]["points"] == pytest.approx(100 * lost)


def test_the_peers_files_are_kept_and_are_the_measured_ones(whole: tuple[Result, dict[str, Any]], folder: Path) -> None:
    kept = sorted(path.name for path in (folder / "out").iterdir() if path.suffix != ".json")
    assert kept == sorted(f"net-{peer}{suffix(peer)}" for peer in PEERS if peer != f"{AEQ}-on-ours")
    for file in whole[1]["files"]:
        if file["status"] == "measured":
            path = folder / ("exports" if file["ours"] else "out") / file["file"]
            assert (sha256_of(path), path.stat().st_size) == (file["sha256"], file["size_bytes"])
            if path.suffix == ".onnx":
                continue
            facts = inspect(path.read_bytes())
            assert (facts.partitions, facts.outside) == (file["partitions"], file["outside"])


def test_the_terminal_shows_the_table(whole: tuple[Result, dict[str, Any]]) -> None:
    assert "net (plain, 32×32), synthetic validation (70 of 280 pictures" in whole[0].output
    assert "failed:" in whole[0].output
    assert "ours-ptq-int8" in whole[0].output


def test_a_second_run_takes_the_files_from_the_folder(whole: tuple[Result, dict[str, Any]], folder: Path) -> None:
    again = ask(folder, "--out", folder / "out", "--peer", PLAIN_FLOAT, "--peer", AEQ)
    assert again.exit_code == 0, again.output
    taken = [line.split(":")[0] for line in again.stderr.splitlines() if ": taken from " in line]
    assert taken == [PLAIN_FLOAT, AEQ]
    other = ask(folder, "--out", folder / "out", "--peer", PLAIN_FLOAT, "--calibration", "257")
    assert "plain-float32: converting" in other.stderr


def test_a_peer_that_quantizes_another_file_is_measured_without_it_and_in_any_order(folder: Path) -> None:
    chosen = [AEQ, "onnxruntime-int8", ONNX_FLOAT]
    words = [word for peer in chosen for word in ("--peer", peer)]
    result = ask(folder, *words, "--record", folder / "few.json", "--quiet")
    assert result.exit_code == 0, result.output
    files = read_peers(folder / "few.json")["files"]
    assert [file["name"] for file in files] == [*chosen, *OURS]
    assert {file["status"] for file in files} == {"measured"}


def test_the_table_is_shown_though_the_record_cannot_be_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, result: dict[str, Any]) -> None:
        raise OutputError(f"{path}: no space left")

    monkeypatch.setattr("benchmarks.peers.record.write_peers", full)
    result = ask(folder, "--peer", PLAIN_FLOAT, "--record", tmp_path / "r.json", "--quiet")
    assert (result.exit_code, result.stderr) == (1, f"error: {tmp_path / 'r.json'}: no space left\n")
    assert PLAIN_FLOAT in result.stdout and OURS[0] in result.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--exports", "nowhere"), "expected net-RECIPE.tflite in nowhere; got none; run `python -m convert`"),
        (("--part", "train-and-test"), "train-and-test"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_exit_code_1(folder: Path, words: tuple[str, ...], text: str) -> None:
    result = run(folder / "net.keras", "--dataset", "synthetic", *words, "--limit", "7", "--pairs", "1", "--quiet")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")
    assert re.search(text, result.stderr)


def test_a_peer_whose_file_to_quantize_cannot_be_made_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cache.made

    def fails(peer: str, *rest: Any) -> bytes:
        if peer == PLAIN_FLOAT:
            raise PeerError("no converter")
        return real(peer, *rest)

    monkeypatch.setattr(cache, "made", fails)
    words = ("--dataset", "synthetic", "--peer", AEQ, "--limit", "7", "--pairs", "1", "--quiet")
    result = run(folder / "net.keras", *words)
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
    text = "error: expected a file that could be measured; got none: .*: expected plain-float32 to quantize"
    assert re.match(text, result.stderr)


def test_exports_of_another_network_are_refused(folder: Path, tmp_path: Path) -> None:
    quietly(lambda: plain_network(side=48).save(tmp_path / "net.keras"))
    result = run(tmp_path / "net.keras", "--dataset", "synthetic", "--exports", folder / "exports", "--quiet")
    assert result.exit_code == 1
    assert "expected the labels and input of net; got net with 7 labels at 32x32" in result.stderr


def test_the_real_quantizer_makes_one_partition_that_gives_the_keras_models_classes(folder: Path) -> None:
    require("ai_edge_quantizer")
    out = folder / "real.json"
    words = ("--quantizer-python", sys.executable, "--limit", "280", "--record", out, "--quiet")
    result = ask(folder, "--peer", f"{PLAIN_FLOAT}-batch1", "--peer", f"{AEQ}-batch1", *words)
    assert result.exit_code == 0, result.output
    found = {file["name"]: file for file in read_peers(out)["files"]}[f"{AEQ}-batch1"]
    assert (found["partitions"], found["float_operators"], found["input"]["dtype"]) == (1, {}, "int8")
    assert found["agreement"] > 0.8


def test_another_protocol_than_the_runs_is_refused_and_an_unknown_models_is_not(folder: Path, tmp_path: Path) -> None:
    from edge.labels import EMOTIONS
    from tests.train.handmade import write_run
    from train.datasets import apply_protocol, load

    own = apply_protocol(load("synthetic", progress=False), "official")
    bright = write_run(tmp_path, own, "bright", 128, labels=EMOTIONS)
    words = ("--dataset", "synthetic", "--limit", "7", "--pairs", "1", "--peer", PLAIN_FLOAT, "--calibration", "7")
    refused = run(bright, *words, "--protocol", "seed", "--record", tmp_path / "peers.json")
    assert refused.exit_code == 1
    assert "expected the protocol that bright was trained under (official); came seed, whose" in refused.stderr
    assert "--allow-leaks" not in refused.stderr  # this command has no such flag
    assert (refused.stderr.count("\n"), (tmp_path / "peers.json").exists()) == (1, False)
    taken = run(folder / "net.keras", *words, "--protocol", "seed")
    assert taken.exit_code == 0, taken.output
