from __future__ import annotations

import io
import random
import struct
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from edge.errors import ContractError, ImageError
from edge.inference.modelfile import default_model_path, parse_model
from edge.pictures.images import decode_image
from tests.edge import fuzz, mutations


def test_damaged_pictures_are_taken_or_refused_and_nothing_else() -> None:
    findings = fuzz.search("picture", 600, seed=7)
    assert findings.wrong == []
    assert findings.outcomes["taken"] + findings.outcomes["refused"] == 600
    assert min(findings.outcomes.values()) > 60
    assert findings.peak_mb < 1024


def test_damaged_models_are_taken_or_refused_and_nothing_else() -> None:
    findings = fuzz.search("model", 120, seed=7)
    assert findings.wrong == []
    assert findings.outcomes["taken"] + findings.outcomes["refused"] == 120
    assert findings.outcomes["refused"] > 90 and findings.outcomes["taken"] > 3
    assert findings.peak_mb < 512


CHILD = """
import json, os, signal, sys, time
first, count = (int(sys.argv[sys.argv.index(name) + 1]) for name in ("--first", "--count"))
for number in range(first, first + count):
    print(json.dumps({"begins": "drawn", "number": number}), flush=True)
    if number == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 4:
        time.sleep(60)
    if number == 5:
        sys.exit("no reason")
    outcome = {"outcome": "wrong", "why": "KeyError"} if number == 6 else {"outcome": "refused"}
    print(json.dumps({**outcome, "peak_mb": number}), flush=True)
"""


def test_a_crash_a_hang_an_exit_and_another_error_are_found_and_the_rest_still_tried() -> None:
    findings = fuzz.search("picture", 8, silence_s=2, child=(sys.executable, "-c", CHILD))
    assert findings.wrong[0] == "picture 2 (drawn): died of SIGSEGV"
    assert findings.wrong[1] == "picture 4 (drawn): no answer for 2 s"
    assert findings.wrong[2].startswith("picture 5 (drawn): died of exit code 1: no reason")
    assert findings.wrong[3:] == ["picture 6 (drawn): KeyError"]
    assert findings.outcomes == {"taken": 0, "refused": 4} and findings.peak_mb == 7


def test_a_second_line_another_error_and_a_foreign_network_count_as_wrong() -> None:
    def raises(error: Exception | None) -> dict[str, object]:
        def attempt(_: bytes) -> None:
            if error is not None:
                raise error

        return fuzz._outcome(attempt, b"", must_be_refused=error is None)

    assert raises(ImageError("one line")) == {"outcome": "refused"}
    assert "more than one line" in str(raises(ImageError("two\nlines"))["why"])
    assert "ZeroDivisionError" in str(raises(ZeroDivisionError())["why"])
    assert raises(None)["why"] == "taken, although the network is not the one described"
    assert fuzz._outcome(lambda _: None, b"", must_be_refused=False) == {"outcome": "taken"}


def test_a_case_comes_from_its_number_alone() -> None:
    seeds, model = mutations.pictures(), default_model_path().read_bytes()
    assert {Path(name).suffix for name in seeds} == {".jpg", ".png", ".webp", ".bmp", ".gif", ".tiff"}
    for name, content in seeds.items():
        assert decode_image(content).shape in ((48, 64, 3), (64, 48, 3)), name
    drawn = [mutations.damaged_picture(seeds, random.Random(f"{number}")) for number in range(100)]
    assert drawn == [mutations.damaged_picture(seeds, random.Random(f"{number}")) for number in range(100)]
    assert len({content for _, content in drawn} - set(seeds.values())) > 90
    assert mutations.damaged_model(model, random.Random("3")) == mutations.damaged_model(model, random.Random("3"))


# What the search found, once.


def test_a_big_tiffs_offset_beyond_all_memory_is_one_line() -> None:
    with pytest.raises(ImageError, match="expected a whole TIFF; got one that ends early"):
        decode_image(b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**64 - 1) + bytes(64))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("depth", [0, 3, 255])
def test_a_png_of_impossible_depth_is_one_line(depth: int) -> None:
    header = struct.pack(">IIBBBBB", 4, 4, depth, 0, 0, 0, 0)
    content = png((b"IHDR", header), (b"tRNS", b"\0\1"), (b"IDAT", zlib.compress(bytes(20))), (b"IEND", b""))
    with pytest.raises(ImageError, match=f"expected a sound PNG; got {depth} bits a sample"):
        decode_image(content)


def test_a_chunk_whose_name_holds_a_line_break_is_refused_in_one_line() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    content = stream.getvalue().replace(b"IDAT", b"ID\n\0")
    with pytest.raises(ImageError, match="a wrong checksum in its nameless chunk") as error:
        decode_image(content)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", ["input", "recipe", "metrics"])
def test_a_number_beyond_every_float_in_the_json_is_one_line(field: str) -> None:
    whole = default_model_path().read_bytes()
    huge = {"input": {"height": 10**400, "width": 64, "colour": "rgb", "dtype": "uint8"}}.get(field, 10**400)
    with pytest.raises(ContractError, match=rf"fer-edge\.json: {field}.*: expected .*; got 1000") as error:
        parse_model(mutations.repacked(whole, {field: huge}))
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_of_deeper_pictures_fewer_pixels_are_taken() -> None:
    def sized(width: int, depth: int) -> bytes:
        return png((b"IHDR", struct.pack(">IIBBBBB", width, 1 << 13, depth, 6, 0, 0, 0)), (b"IEND", b""))

    with pytest.raises(ImageError, match=r"expected at most 33,554,432 pixels of 16 bits; got 4,097 x 8,192"):
        decode_image(sized((1 << 12) + 1, 16))
    for sound in (sized(1 << 12, 16), sized((1 << 12) + 1, 8), sized(1 << 13, 8)):
        with pytest.raises(ImageError, match="OpenCV"):  # the size is allowed: decoding was tried
            decode_image(sound)
    with pytest.raises(ImageError, match=r"expected at most 67,108,864 pixels; got 8,193 x 8,192"):
        decode_image(sized((1 << 13) + 1, 8))
