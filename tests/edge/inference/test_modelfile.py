from __future__ import annotations

import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edge.errors import ContractError, EdgeError, ModelFileError
from edge.files import sha256_of
from edge.inference.modelfile import SHIPPED, default_model_path, parse_model, read_model, shipped_model_path
from tests.edge import models


def test_a_model_file_says_what_it_is(int8_path: Path, networks: dict[str, bytes]) -> None:
    model = read_model(int8_path)
    assert model.path == int8_path
    assert model.content == int8_path.read_bytes()
    assert (model.sha256, model.size_bytes) == (sha256_of(int8_path), int8_path.stat().st_size)
    assert model.labels == models.CONTRACT.labels
    assert (model.input.shape, model.input.dtype) == ((1, 32, 32, 3), "uint8")
    assert (model.output.shape, model.output.scale) == ((1, 7), 1 / 256)
    assert model.contract.flatbuffer_sha256 == sha256_of(networks["qat-int8"])
    assert "colours" in repr(model) and len(repr(model)) < 200


def test_the_default_model_lies_in_the_package() -> None:
    import edge

    assert default_model_path() == Path(str(edge.__file__)).parent / "models" / "default.tflite"


def test_shipped_models_go_by_name_and_a_file_of_such_a_name_by_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, networks: dict[str, bytes]
) -> None:
    assert [read_model(name).path for name in SHIPPED] == [shipped_model_path(name) for name in SHIPPED]
    assert read_model("default").sha256 == read_model().sha256 != read_model("small").sha256
    monkeypatch.chdir(tmp_path)
    Path("small").write_bytes(models.packed(networks["qat-int8"]))
    assert read_model("./small").contract.name == read_model(Path("small")).contract.name == "colours"
    assert read_model("small").contract.name != "colours"
    names = "check the path; the names of the models that ship are default and small"
    with pytest.raises(ModelFileError, match=f"tiny: expected a model file; got no such file; {names}"):
        read_model("tiny")


def test_a_name_that_this_package_does_not_ship_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge.inference.modelfile.shipped_model_path", lambda name: tmp_path / f"{name}.tflite")
    with pytest.raises(ModelFileError, match=r"small\.tflite: .*ships no model of that name: name a \.tflite"):
        read_model("small")


def test_without_a_default_model_the_line_says_what_to_give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge.inference.modelfile.default_model_path", lambda: tmp_path / "default.tflite")
    with pytest.raises(ModelFileError, match="this package ships no model: give one with --model"):
        read_model()


def test_a_missing_empty_or_foreign_file_is_one_line(tmp_path: Path, networks: dict[str, bytes]) -> None:
    with pytest.raises(ModelFileError, match=r"none\.tflite: expected a model file; got no such file; check the path"):
        read_model(tmp_path / "none.tflite")
    for name, content, text in (
        ("empty", b"", r"got an empty file \(0 bytes\)"),
        ("text", b"hello, world", r"expected a TFLite model \(TFL3 at byte 4\); got b'o, w'"),
        ("foreign", networks["qat-int8"], "got no sound zip .*: a foreign or damaged file; convert the network with"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelFileError, match=f"{name}: .*{text}"):
            read_model(tmp_path / name)
    with pytest.raises(ModelFileError, match="got a folder"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"without": "labels.txt"}, r"expected the associated file labels\.txt; got \['fer-edge.json'\]"),
        ({"without": "fer-edge.json"}, r"expected the associated file fer-edge\.json"),
        ({"compression": zipfile.ZIP_DEFLATED}, "stored uncompressed"),
        ({"labels": "happy\nsad\n"}, r"the same labels in labels\.txt and fer-edge\.json; got happy, sad and angry"),
        ({"json": {"flatbuffer_sha256": "0" * 64}}, r"network with sha256 000000000000\.\.\. as fer-edge\.json says"),
        (
            {"json": {"input": {"height": 64, "width": 64, "colour": "rgb", "dtype": "uint8"}}},
            r"one input uint8 \[1, 64, 64, 3\] as fer-edge\.json says; got uint8 \[1, 32, 32, 3\]",
        ),
        (
            {"json": {"labels": ["happy", "sad"]}, "labels": "happy\nsad\n"},
            r"one output \[1, 2\].*; got uint8 \[1, 7\]",
        ),
    ],
)
def test_a_file_that_disagrees_with_itself_is_refused(
    networks: dict[str, bytes], changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(ModelFileError, match=text):
        parse_model(models.packed(networks["qat-int8"], **changes))


def test_a_contract_outside_its_schema_is_refused_with_the_path(networks: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(models.packed(networks["qat-int8"], json={"recipe": 8}))
    with pytest.raises(ContractError, match=r"m\.tflite: fer-edge\.json: recipe: expected string; got 8"):
        read_model(path)


def test_a_network_swapped_behind_the_contract_is_noticed(networks: dict[str, bytes]) -> None:
    content = models.packed(networks["qat-int8"])
    swapped = networks["float32"] + content[len(networks["qat-int8"]) :]
    with pytest.raises(ModelFileError, match="expected a network with sha256"):
        parse_model(swapped)


def test_truncations_and_flipped_bits_are_one_line_or_harmless(int8_path: Path, networks: dict[str, bytes]) -> None:
    content = int8_path.read_bytes()
    whole = read_model(int8_path)
    generator = random.Random(0)
    damaged = [content[:length] for length in generator.sample(range(len(content)), 150)]
    for _ in range(600):
        flipped = bytearray(content)
        flipped[generator.randrange(len(flipped))] ^= 1 << generator.randrange(8)
        damaged.append(bytes(flipped))
    refused = 0
    for candidate in damaged:
        try:
            model = parse_model(candidate)
        except EdgeError as error:
            assert "\n" not in str(error)
            refused += 1
        else:  # a bit that means nothing: a date in the zip
            assert model.contract == whole.contract
            assert candidate[: len(networks["qat-int8"])] == networks["qat-int8"]
    assert refused > 600
