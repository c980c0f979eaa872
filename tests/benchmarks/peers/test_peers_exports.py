"""The peers' own files: what they take, what is calibrated with, what is kept in a folder, what a failure leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import cache, exports
from benchmarks.peers.candidates import OURS, peer_files, stratified
from benchmarks.peers.exports import OURS_FLOAT, PEERS, PLAIN_FLOAT, Making, PeerError, make, quantizer_version, reason
from benchmarks.peers.measure import Candidate, Truth, measure
from benchmarks.peers.runner import Runner
from benchmarks.peers.study import compared
from convert.reporting.progress import Progress
from convert.source import calibration_pictures
from convert.tflite.inspection import inspect
from edge.labels import EMOTIONS
from tests.benchmarks.networks import SIDE, passing_on, pixel, plain_network
from train.datasets import load

AEQ, AEQ_ON_OURS = "ai-edge-quantizer-int8", "ai-edge-quantizer-int8-on-ours"
FakePython = Callable[..., str]


@pytest.fixture(scope="module", autouse=True)
def frameworks() -> None:
    """TensorFlow and Keras, quietly."""
    from convert.__main__ import settle_frameworks

    settle_frameworks()


@pytest.fixture
def fake_python(tmp_path: Path) -> FakePython:
    """A function that makes a `python` whose ai-edge-quantizer has a version and does what a line of shell says.

    The line finds the float file in $3, the pictures in $4 and the file to write in $5.
    """

    def build(line: str, version: str = "9.9") -> str:
        path = tmp_path / "python"
        path.write_text(f'#!/bin/sh\nif [ "$1" = -c ]; then echo {version}; else {line}; fi\n', encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return build


def making(python: str = "no-such-python", files: dict[str, bytes] | None = None, refused: bool = False) -> Making:
    pictures = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), dtype=np.uint8)
    return Making(plain_network(refused=refused), pictures, files or {}, python)


def test_plain_files_take_raw_pixels_and_give_the_keras_models_classes() -> None:
    given = making()
    pictures = given.calibration
    expected = np.asarray(given.model(pictures.astype(np.float32))).argmax(axis=1)
    for peer, dtype in ((PLAIN_FLOAT, "float32"), ("plain-int8-batch1", "uint8")):
        runner = Runner(make(peer, given), peer, as_bytes=False)
        assert (str(runner.dtype), str(runner.output_dtype)) == (dtype, dtype)
        agreeing = (runner.classes(pictures)[0] == expected).mean()
        assert agreeing == 1 if dtype == "float32" else agreeing >= 0.75
    assert 0.99 < runner.scale < 1.01  # calibrated on pixels up to 255, so that one step is one pixel value
    assert runner.zero_point == 0


def test_a_batch_of_one_spares_the_delegate_the_shapes_of_squeeze_and_excite() -> None:
    given = making()
    left_open, fixed = inspect(make(PLAIN_FLOAT, given)), inspect(make(f"{PLAIN_FLOAT}-batch1", given))
    assert (left_open.partitions, left_open.outside["SHAPE"]) == (2, 1)
    assert (fixed.partitions, fixed.outside) == (1, {})


def test_a_network_that_tensorflow_lite_refuses_is_a_failure_that_names_the_operator() -> None:
    with pytest.raises(PeerError, match=r"^ConverterError: .*'tf\.Erfinv' op is neither a custom op nor") as refused:
        make(PLAIN_FLOAT, making(refused=True))
    assert "\n" not in str(refused.value)
    assert "loc(" not in str(refused.value)


def test_a_network_that_the_plain_converter_refuses_is_recorded_as_failed_beside_what_runs() -> None:
    pictures = np.concatenate([pixel(9, 1, 1), pixel(1, 9, 1)])
    truth = Truth(pictures, np.array([0, 1]), np.array([0, 1]), ("a", "b", "c"))
    with pytest.raises(PeerError, match="Erfinv") as error:
        make(PLAIN_FLOAT, making(refused=True))
    failed, scored = measure(
        [
            Candidate(PLAIN_FLOAT, False, "net-plain-float32.tflite", error.value, as_bytes=False),
            Candidate("other", False, "net-other.tflite", passing_on("float32"), as_bytes=False),
        ],
        truth, rounds=2, warmup=0, threads=1, seed=0, progress=Progress(),
    )  # fmt: skip
    assert failed.block()["status"] == "failed"
    assert failed.block()["error"] == str(error.value)
    assert scored.block()["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first\nsecond", "first"),
        ("", "no reason given"),
        ('error: loc(callsite(fused["a"] at "b")): no kernel (yet)\nloc(', "error: : no kernel "),
        ("no kernel (yet)", "no kernel (yet)"),
        ("loc( never closed", "loc( never closed"),
        ("x" * 400, "x" * 300),
    ],
)
def test_the_reason_is_the_first_line_without_places(text: str, expected: str) -> None:
    assert reason(text) == expected


def test_the_quantizer_works_on_the_file_that_its_name_says(fake_python: FakePython) -> None:
    python = fake_python('cp "$3" "$5"')
    given = making(python, {PLAIN_FLOAT: b"plain", OURS_FLOAT: b"ours"})
    assert make(AEQ, given) == b"plain"
    assert make(AEQ_ON_OURS, given) == b"ours"
    given.files[f"{PLAIN_FLOAT}-batch1"] = b"for one"
    assert make(f"{AEQ}-batch1", given) == b"for one"


def test_peers_are_calibrated_with_the_pictures_that_the_converter_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []

    def made(peer: str, making: Making, *_: object) -> bytes:
        seen.append(making.calibration)
        return b""

    monkeypatch.setattr(cache, "made", made)
    (tmp_path / "net.keras").write_bytes(b"a network")
    source: Any = SimpleNamespace(
        model=None, name="net", height=SIDE, width=SIDE, colour="rgb", own=True, labels=EMOTIONS
    )
    config: Any = SimpleNamespace(
        model=tmp_path / "net.keras", peers=(PLAIN_FLOAT,), quantizer_python="python", calibration=9, seed=3, out=None
    )
    drawn = load("synthetic", progress=False)
    peer_files(config, source, drawn, {}, Progress())
    assert len(seen) == 1 and len(seen[0]) == 9
    assert np.array_equal(seen[0], calibration_pictures(source, drawn, 9, 3))


def test_the_quantizer_gets_the_calibration_pictures(fake_python: FakePython, tmp_path: Path) -> None:
    given = making(fake_python('cp "$4" "$5"'), {PLAIN_FLOAT: b"plain"})
    (tmp_path / "came.npy").write_bytes(make(AEQ, given))
    assert np.array_equal(np.load(tmp_path / "came.npy"), given.calibration)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("echo warning >&2; echo 'RuntimeError: no statistics' >&2; exit 1", "^RuntimeError: no statistics$"),
        ("exit 3", "^ended with exit code 3 and no word$"),
        ("true", "^FileNotFoundError: "),
    ],
)
def test_a_quantizer_that_fails_is_a_failure_with_its_last_word(fake_python: FakePython, line: str, text: str) -> None:
    with pytest.raises(PeerError, match=text):
        make(AEQ, making(fake_python(line), {PLAIN_FLOAT: b"plain"}))


def test_without_a_file_to_quantize_or_a_quantizer_the_failure_says_so(tmp_path: Path, fake_python: FakePython) -> None:
    with pytest.raises(PeerError, match="expected plain-float32 to quantize; got none"):
        make(AEQ, making())
    with pytest.raises(PeerError, match=r"expected a Python at .*none; got: No such file.*--quantizer-python"):
        quantizer_version(str(tmp_path / "none"))
    with pytest.raises(PeerError, match=r"expected ai-edge-quantizer in .*; got none; run `pip install"):
        quantizer_version("false")
    assert quantizer_version(fake_python("true", version="0.10.0")) == "0.10.0"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """A function that asks the folder for a peer's file; each making gives another content."""
    makings = 0

    def make_another(peer: str, given: Making) -> bytes:
        nonlocal makings
        makings += 1
        return f"{peer} {makings}".encode()

    monkeypatch.setattr(cache, "make", make_another)

    def ask(peer: str = PLAIN_FLOAT, python: str = "", float_file: bytes = b"plain", **origin: object) -> bytes:
        given = Making(None, np.zeros((1, 1, 1, 3), np.uint8), {PLAIN_FLOAT: float_file}, python)
        facts = {"source_sha256": "a", "calibration": 8} | origin
        return cache.made(peer, given, facts, tmp_path / "out" / f"net-{peer}.tflite", Progress())

    return ask


def test_a_file_is_taken_from_the_folder_while_all_that_decides_it_is_the_same(made: Callable[..., bytes]) -> None:
    assert made() == b"plain-float32 1"
    assert made() == b"plain-float32 1"
    assert made(source_sha256="b") == b"plain-float32 2"
    assert made(source_sha256="b", calibration=9) == b"plain-float32 3"
    assert made() == b"plain-float32 4"


def test_a_file_changed_in_the_folder_is_made_anew(made: Callable[..., bytes], tmp_path: Path) -> None:
    made()
    (tmp_path / "out" / "net-plain-float32.tflite").write_bytes(b"something else")
    assert made() == b"plain-float32 2"
    (tmp_path / "out" / "net-plain-float32.json").write_text("[1", encoding="utf-8")
    assert made() == b"plain-float32 3"
    assert json.loads((tmp_path / "out" / "net-plain-float32.json").read_text(encoding="utf-8"))["calibration"] == 8


def test_a_newer_quantizer_or_another_float_file_makes_it_anew(
    made: Callable[..., bytes], fake_python: FakePython
) -> None:
    old = fake_python("true", version="0.9")
    assert made(AEQ, old) == f"{AEQ} 1".encode()
    assert made(AEQ, old) == f"{AEQ} 1".encode()
    assert made(AEQ, old, float_file=b"other") == f"{AEQ} 2".encode()
    assert made(AEQ, fake_python("true", version="1.0"), float_file=b"other") == f"{AEQ} 3".encode()


def test_a_sample_keeps_the_shares_of_the_classes() -> None:
    labels = np.array([0] * 50 + [1] * 30 + [2] * 20)
    rows = stratified(labels, 10, seed=0)
    assert np.bincount(labels[rows]).tolist() == [5, 3, 2]
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert stratified(labels, 10, seed=0).tolist() == rows.tolist()
    assert stratified(labels, 10, seed=1).tolist() != rows.tolist()
    # Of 7: 3.5, 2.1 and 1.4 make 3, 2 and 1, and the seventh falls to the largest remainder.
    assert np.bincount(labels[stratified(labels, 7, seed=0)]).tolist() == [4, 2, 1]


@pytest.mark.parametrize("limit", [None, 3, 4])
def test_no_limit_or_a_large_one_takes_every_picture(limit: int | None) -> None:
    assert stratified(np.array([0, 2, 2]), limit, seed=0).tolist() == [0, 1, 2]


def test_a_limit_of_none_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a limit of 1 or more; got 0"):
        stratified(np.array([0, 1]), 0, seed=0)


def test_ours_are_compared_with_every_peer_and_our_float_and_peers_with_plain_float() -> None:
    names = [PLAIN_FLOAT, "plain-int8", OURS_FLOAT, f"{OURS}qat-int8"]
    assert compared(names) == [
        ("plain-int8", PLAIN_FLOAT),
        (OURS_FLOAT, PLAIN_FLOAT),
        (OURS_FLOAT, "plain-int8"),
        (f"{OURS}qat-int8", PLAIN_FLOAT),
        (f"{OURS}qat-int8", "plain-int8"),
        (f"{OURS}qat-int8", OURS_FLOAT),
    ]


def test_a_peer_that_failed_takes_no_part_in_a_comparison() -> None:
    assert compared(["plain-int8", f"{OURS}qat-int8"]) == [(f"{OURS}qat-int8", "plain-int8")]


def test_the_command_offers_every_peer() -> None:
    from benchmarks.commands import peers

    assert tuple(PEERS) == peers._PEERS
    assert exports.NEEDS.keys() <= PEERS.keys()
