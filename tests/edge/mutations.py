"""Whole pictures of every format and the ways to damage them and a model file; all from a seeded generator."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

from edge.files import sha256_of

_EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER_BYTES = 64
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 10**400, 0.5, "", "\0", "\ud800", "x" * 5000, [], {}, [[]], {"a": {}}, [1, "a", None],
)  # fmt: skip


def pictures() -> dict[str, bytes]:
    """Return whole pictures of every format that `edge.read_image` takes: name -> content."""
    from PIL import Image

    generator = np.random.default_rng(0)
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, :, 0], pixels[:, :, 1] = np.linspace(0, 255, 64), np.linspace(255, 0, 48)[:, np.newaxis]
    pixels[12:36, 16:48, 2] = generator.integers(0, 256, (24, 32))
    rgb = Image.fromarray(pixels)
    alpha = rgb.copy()
    alpha.putalpha(Image.fromarray(pixels[:, :, 0]))
    deep = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[274] = 6
    wanted: tuple[tuple[str, Any, dict[str, Any]], ...] = (
        ("rgb.jpg", rgb, {"exif": exif}),
        ("progressive.jpg", rgb, {"progressive": True}),
        ("restart.jpg", rgb, {"restart_marker_blocks": 1}),
        ("grey.jpg", rgb.convert("L"), {}),
        ("cmyk.jpg", rgb.convert("CMYK"), {}),
        ("rgb.png", rgb, {"exif": exif}),
        ("alpha.png", alpha, {}),
        ("palette.png", rgb.convert("P"), {"transparency": 3}),
        ("grey.png", rgb.convert("L"), {"transparency": 9}),
        ("deep.png", deep, {}),
        ("rgb.webp", rgb, {"exif": exif}),
        ("lossless.webp", alpha, {"lossless": True}),
        ("moving.webp", rgb, {"save_all": True, "append_images": [alpha.convert("RGB").rotate(90)]}),
        ("rgb.bmp", rgb, {}),
        ("palette.bmp", rgb.convert("P"), {}),
        ("moving.gif", rgb.convert("P"), {"save_all": True, "append_images": [rgb.rotate(90).convert("P")]}),
        ("rgb.tiff", rgb, {}),
        ("lzw.tiff", alpha, {"compression": "tiff_lzw"}),
        ("deflate.tiff", rgb, {"compression": "tiff_adobe_deflate"}),
        ("jpeg.tiff", rgb, {"compression": "jpeg"}),
        ("deep.tiff", deep, {}),
        ("big.tiff", rgb, {"big_tiff": True}),
    )
    kinds = {"jpg": "JPEG", "tiff": "TIFF", "webp": "WEBP", "png": "PNG", "bmp": "BMP", "gif": "GIF"}
    made = {}
    for name, image, options in wanted:
        stream = io.BytesIO()
        image.save(stream, kinds[name.partition(".")[2]], **options)
        made[name] = stream.getvalue()
    return made


def damaged_picture(seeds: dict[str, bytes], generator: random.Random) -> tuple[str, bytes]:
    """Return a label and one of the pictures, damaged in one to three ways."""
    name = generator.choice(sorted(seeds))
    content, ways = seeds[name], []
    for _ in range(generator.choice((1, 1, 2, 3))):
        way = generator.choice(("flip", "flip", "cut", "number", "number", "splice", "insert", "delete", "repeat"))
        content = damaged(content, way, generator, seeds[generator.choice(sorted(seeds))])
        ways.append(way)
    if content.startswith(b"\x89PNG") and generator.random() < 0.7:
        content = _with_png_checksums(content)  # or no damage would get past them
        ways.append("checksums")
    return f"{name}, {', '.join(ways)}", content


def damaged(content: bytes, way: str, generator: random.Random, other: bytes) -> bytes:
    """Return the content damaged in a way: flip bits, cut short, set numbers, splice another's bytes in, and so on."""
    if len(content) < 16:
        return content
    changed = bytearray(content)
    # Half of the damage goes to the first bytes, where the sizes are.
    reach = len(content) if generator.random() < 0.5 else min(len(content), _HEADER_BYTES)
    place = generator.randrange(reach)
    length = generator.randrange(1, 1 + min(64, len(content) - place))
    if way == "flip":
        for _ in range(generator.choice((1, 2, 8))):
            changed[generator.randrange(reach)] ^= 1 << generator.randrange(8)
    elif way == "cut":
        del changed[generator.randrange(len(content)) :]
    elif way == "number":
        layout = generator.choice(("<H", ">H", "<I", ">I"))
        size = struct.calcsize(layout)
        place = min(place, len(content) - size)
        struct.pack_into(layout, changed, place, generator.choice(_EXTREMES) & ((1 << 8 * size) - 1))
    elif way == "splice":
        count = generator.randrange(1, _HEADER_BYTES)
        changed[:count] = other[:count]
    elif way == "insert":
        changed[place:place] = generator.randbytes(length)
    elif way == "delete":
        del changed[place : place + length]
    else:
        changed[place:place] = changed[place : place + length] * generator.choice((1, 3, 100))
    return bytes(changed)


def network_of(model: bytes) -> bytes:
    """Return the flatbuffer part of a whole model file."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        return model[: min(info.header_offset for info in archive.infolist())]


def damaged_model(model: bytes, generator: random.Random) -> tuple[str, bytes]:
    """Return a label and the model file, damaged in its network, its zip, its labels or its JSON."""
    network, associated = network_of(model), model[len(network_of(model)) :]
    where = generator.choice(("network", "digest made to fit", "zip", "text", "field", "field", "anywhere"))
    way = generator.choice(("flip", "cut", "number", "splice", "insert", "delete", "repeat"))
    if where == "network":
        return where, damaged(network, generator.choice(("flip", "number")), generator, network) + associated
    if where == "digest made to fit":
        changed = damaged(network[:200_000], way, generator, network) + network[200_000:]
        return where, _packed(changed, _members(model), {"flatbuffer_sha256": sha256_of(changed)})
    if where == "zip":
        return where, network + damaged(associated, way, generator, network)
    members = _members(model)
    if where == "text":
        name = generator.choice(sorted(members))
        members[name] = damaged(members[name], way, generator, network)
        return where, _packed(network, members, {})
    if where == "field":
        return where, _packed(network, members, _changed_field(json.loads(members["fer-edge.json"]), generator))
    return where, damaged(model, way, generator, associated)


def repacked(model: bytes, fields: dict[str, Any]) -> bytes:
    """Return the model file with fields of its fer-edge.json replaced, unchecked."""
    return _packed(network_of(model), _members(model), fields)


def _changed_field(contract: dict[str, Any], generator: random.Random) -> dict[str, Any]:
    """Return one field of the contract, or one inside it, with another value."""
    name = generator.choice([*sorted(contract), "unknown"])
    inside = contract.get(name)
    if isinstance(inside, dict) and inside and generator.random() < 0.7:
        return {name: {**inside, generator.choice(sorted(inside)): generator.choice(_VALUES)}}
    return {name: generator.choice(_VALUES)}


def _members(model: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _packed(network: bytes, members: dict[str, bytes], fields: dict[str, Any]) -> bytes:
    """Return a model file with sound checksums; `fields` replace those of fer-edge.json."""
    stream = io.BytesIO(network)
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a") as archive:
        for name, text in members.items():
            if name == "fer-edge.json" and fields:
                text = json.dumps({**json.loads(text), **fields}).encode()
            archive.writestr(name, text)
    return stream.getvalue()


def _with_png_checksums(content: bytes) -> bytes:
    """Return a PNG with the right checksum behind every chunk that lies within it."""
    changed, offset = bytearray(content), 8
    while offset + 12 <= len(changed):
        length = struct.unpack_from(">I", changed, offset)[0]
        if offset + 12 + length > len(changed):
            break
        checksum = zlib.crc32(changed[offset + 4 : offset + 8 + length])
        struct.pack_into(">I", changed, offset + 8 + length, checksum)
        offset += 12 + length
    return bytes(changed)
