from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from edge.errors import ImageError
from edge.pictures.images import MAX_PIXELS, decode_image, list_images, read_image

UPPER, LOWER = (200, 100, 50), (10, 220, 90)


def halves(height: int = 20, width: int = 30) -> Image.Image:
    """Return a picture whose halves differ, so that a turned or mirrored copy is another picture."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2], pixels[height // 2 :] = UPPER, LOWER
    pixels[:, : width // 3] //= 2
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def by_pillow(content: bytes) -> np.ndarray:
    """Return the picture as Pillow reads it: upright, on white, RGB."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.asarray(image.convert("RGB"))


def half_transparent(mode: str = "RGBA") -> Image.Image:
    image = halves().convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 30).astype(np.uint8), (20, 1))))
    return image.convert(mode)


PICTURES: dict[str, bytes] = {
    "rgb.png": encoded(halves(), "PNG"),
    "rgb.bmp": encoded(halves(), "BMP"),
    "rgb.webp": encoded(halves(), "WEBP", lossless=True),
    "rgb.tiff": encoded(halves(), "TIFF"),
    "rgb.gif": encoded(halves(), "GIF"),
    "clear.gif": encoded(halves().convert("P"), "GIF", transparency=halves().convert("P").getpixel((0, 0))),
    "rgb.jpg": encoded(halves(), "JPEG", quality=95),
    "progressive.jpg": encoded(halves(), "JPEG", progressive=True),
    "restart.jpg": encoded(halves(64, 64), "JPEG", restart_marker_blocks=1),
    "grey.jpg": encoded(halves().convert("L"), "JPEG"),
    "grey.png": encoded(halves().convert("L"), "PNG"),
    "grey.tiff": encoded(halves().convert("L"), "TIFF"),
    "black-and-white.png": encoded(halves().convert("1"), "PNG"),
    "cmyk.jpg": encoded(halves().convert("CMYK"), "JPEG", quality=95),
    "cmyk.tiff": encoded(halves().convert("CMYK"), "TIFF"),
    "palette.png": encoded(halves().convert("P"), "PNG"),
    "palette-clear.png": encoded(halves().convert("P"), "PNG", transparency=halves().convert("P").getpixel((0, 0))),
    "colour-clear.png": encoded(halves(), "PNG", transparency=LOWER),
    "grey-clear.png": encoded(halves().convert("L"), "PNG", transparency=halves().convert("L").getpixel((29, 0))),
    "alpha.png": encoded(half_transparent(), "PNG"),
    "grey-alpha.png": encoded(half_transparent("LA"), "PNG"),
    "alpha.webp": encoded(half_transparent(), "WEBP", lossless=True, exact=True),
    "alpha.tiff": encoded(half_transparent(), "TIFF"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_as_pillow_reads_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(PICTURES[name])
    picture = read_image(tmp_path / name)
    expected = by_pillow(PICTURES[name])
    assert picture.dtype == np.uint8 and picture.shape == expected.shape
    tolerance = 2 if name.endswith(("jpg", "alpha.tiff")) else 1
    assert np.abs(picture.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_exif_orientation_is_turned_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(halves(), kind, exif=exif, **options)
    picture = decode_image(content)
    assert picture.shape == ((30, 20, 3) if orientation > 4 else (20, 30, 3))
    assert np.abs(picture.astype(int) - by_pillow(content)).max() <= 2


def test_a_nonsense_orientation_leaves_the_picture_as_stored() -> None:
    exif = Image.Exif()
    exif[274] = 9
    assert decode_image(encoded(halves(), "JPEG", exif=exif)).shape == (20, 30, 3)


def sixteen_bit(suffix: str, pixels: np.ndarray) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_are_scaled_not_cut(suffix: str) -> None:
    levels = np.array([[0, 128, 129, 257 * 7, 257 * 7 + 129, 65535]], np.uint16)
    picture = decode_image(sixteen_bit(suffix, levels))
    assert picture[0, :, 0].tolist() == [0, 0, 1, 7, 8, 255]
    colour = np.array([[[257 * 30, 257 * 20, 257 * 10]]], np.uint16)  # OpenCV's order: blue first
    assert decode_image(sixteen_bit(suffix, colour)).tolist() == [[[10, 20, 30]]]


def test_grey_levels_that_count_from_white_are_turned_once() -> None:
    """A TIFF's PhotometricInterpretation, tag 262, is 0 then."""
    black_is_zero, white_is_zero = struct.pack("<HHIH", 262, 3, 1, 1), struct.pack("<HHIH", 262, 3, 1, 0)
    for levels in (np.array([[0, 257 * 7, 65535]], np.uint16), np.array([[0, 7, 255]], np.uint8)):
        content = sixteen_bit(".tiff", levels)
        assert content.count(black_is_zero) == 1
        assert decode_image(content)[0, :, 0].tolist() == [0, 7, 255]
        assert decode_image(content.replace(black_is_zero, white_is_zero))[0, :, 0].tolist() == [255, 248, 0]


def bitfields(header_size: int, *masks: int) -> bytes:
    """Return a BMP of one pixel of 32 bits, (200, 2, 1) with 128 in its fourth byte, whose header has these masks."""
    sizes = struct.pack("<IiiHHIIiiII", header_size, 1, 1, 1, 32, 3, 4, 0, 0, 0, 0)
    header = (sizes + struct.pack(f"<{len(masks)}I", *masks)).ljust(header_size, b"\0")
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + 4, 0, 0, start) + header + bytes([1, 2, 200, 128])


@pytest.mark.parametrize("header_size", [40, 52, 56, 108, 124])
def test_the_fourth_byte_of_a_bmp_is_alpha_where_its_header_says_so_only(header_size: int) -> None:
    colours = (0xFF0000, 0xFF00, 0xFF)
    assert decode_image(bitfields(header_size, *colours)).tolist() == [[[200, 2, 1]]]
    if header_size >= 56:  # (200, 2, 1) * 128 + 255 * 127, over 255: 227.4, 128.004, 127.502
        assert decode_image(bitfields(header_size, *colours, 0xFF000000)).tolist() == [[[227, 128, 128]]]


@pytest.mark.parametrize("header_size", [40, 52, 56, 108, 124])
def test_the_masks_of_a_bmp_say_where_its_colours_stand(header_size: int) -> None:
    assert decode_image(bitfields(header_size, 0xFF, 0xFF00, 0xFF0000)).tolist() == [[[1, 2, 200]]]
    assert decode_image(bitfields(header_size, 0xFF00, 0xFF0000, 0xFF000000)).tolist() == [[[2, 200, 128]]]


@pytest.mark.parametrize("header_size", [40, 52])
def test_a_bmp_whose_masks_are_no_bytes_is_refused_where_they_would_be_ignored(header_size: int) -> None:
    with pytest.raises(ImageError, match=r"got the masks 3ff00000, 000ffc00, 000003ff; save it again, as PNG$"):
        decode_image(bitfields(header_size, 0x3FF00000, 0xFFC00, 0x3FF))
    with pytest.raises(ImageError, match=r"got the masks 000000ff, 0000ff00, 000000ff; save"):
        decode_image(bitfields(header_size, 0xFF, 0xFF00, 0xFF))


@pytest.mark.parametrize("header_size", [40, 52])
def test_a_bmp_without_masks_or_room_for_them_has_the_usual_order(header_size: int) -> None:
    assert decode_image(bitfields(header_size, 0, 0, 0)).tolist() == [[[200, 2, 1]]]
    assert decode_image(bitfields(40)).tolist() == [[[200, 2, 1]]]


def test_one_of_the_grey_levels_of_sixteen_bits_is_transparent_not_those_about_it() -> None:
    levels = np.array([[29_950, 30_000, 30_070, 0]], np.uint16)  # the first three are 117 of 8 bits
    content, clear = sixteen_bit(".png", levels), b"tRNS" + struct.pack(">H", 30_000)
    chunk = struct.pack(">I", 2) + clear + struct.pack(">I", zlib.crc32(clear))
    end_of_header = 8 + 25
    picture = decode_image(content[:end_of_header] + chunk + content[end_of_header:])
    assert picture[0, :, 0].tolist() == [117, 255, 117, 0]


def test_sixteen_bit_alpha_is_laid_on_white() -> None:
    pixels = np.array([[[0, 0, 0, 0], [0, 0, 0, 65535], [0, 0, 65535, 32896]]], np.uint16)
    assert decode_image(sixteen_bit(".png", pixels)).tolist() == [[[255] * 3, [0] * 3, [255, 127, 127]]]


def test_large_pictures_are_scaled_in_bands_without_a_seam() -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (600, 4, 4), dtype=np.uint16)
    picture = decode_image(sixteen_bit(".png", pixels))
    eight = (pixels.astype(int) + 128) // 257
    expected = (eight[..., 2::-1] * eight[..., 3:] + 255 * (255 - eight[..., 3:]) + 127) // 255
    assert np.array_equal(picture, expected)


def test_of_an_animation_the_first_frame_is_read() -> None:
    frames = [halves(), ImageOps.flip(halves())]
    content = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert np.abs(decode_image(content).astype(int) - np.asarray(frames[0])).max() <= 2


@pytest.mark.parametrize("name", PICTURES)
def test_a_truncated_picture_is_refused_wherever_it_ends(name: str) -> None:
    content = PICTURES[name]
    lengths = {0, 1, len(content) - 1, *random.Random(0).sample(range(len(content)), min(60, len(content)))}
    whole = decode_image(content)
    for length in lengths:
        try:
            picture = decode_image(content[:length])
        except ImageError as error:
            assert "\n" not in str(error)
        else:  # only what follows the pixels was cut: TIFF's and WebP's padding
            assert np.array_equal(picture, whole), length
    with pytest.raises(ImageError, match=r"ends early|expected a picture"):
        decode_image(content[: len(content) // 2])


@pytest.mark.parametrize("name", PICTURES)
def test_flipped_bits_are_refused_in_a_line_or_give_a_picture(name: str) -> None:
    generator = random.Random(1)
    for _ in range(60):
        damaged = bytearray(PICTURES[name])
        damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        try:
            assert decode_image(bytes(damaged)).ndim == 3
        except ImageError as error:
            assert "\n" not in str(error)


def test_a_flipped_bit_in_a_png_is_always_noticed() -> None:
    content = PICTURES["rgb.png"]
    for position in range(16, len(content), 5):
        damaged = bytearray(content)
        damaged[position] ^= 4
        with pytest.raises(ImageError):
            decode_image(bytes(damaged))


def test_a_png_chunk_with_a_wrong_checksum_is_named() -> None:
    content = bytearray(PICTURES["rgb.png"])
    content[content.index(b"IDAT") + 6] ^= 1
    with pytest.raises(ImageError, match="expected a sound PNG; got a wrong checksum in its IDAT chunk"):
        decode_image(bytes(content))


def png_header(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that claims any size."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b"x"), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def claimed(name: str, offset: int, layout: str, *sizes: int) -> bytes:
    """Return a sound small picture whose header claims another size."""
    content = bytearray(PICTURES[name])
    struct.pack_into(layout, content, offset, *sizes)
    return bytes(content)


JPEG_SIZE = PICTURES["rgb.jpg"].index(b"\xff\xc0") + 5
BOMBS = {
    "png": png_header(100_000, 100_000),
    "png-wide": png_header(2**31 - 1, 1),
    "jpg": claimed("rgb.jpg", JPEG_SIZE, ">HH", 65000, 65000),
    "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + bytes(9) + b"\x02\x01\x00\x00;",
    "webp": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff\xff\xff" * 2,
    "tiff": b"II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIIHHII", 256, 4, 1, 10**6, 257, 4, 1, 10**6) + bytes(4),
    "bmp": b"BM" + bytes(8) + struct.pack("<IIiiHHI", 54, 40, 60000, -60000, 1, 24, 1) + bytes(20),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_decompression_bomb_is_refused_from_its_header(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def decodes(*_: object) -> None:
        pytest.fail("OpenCV was asked to decode a bomb")

    monkeypatch.setattr(cv2, "imdecode", decodes)
    with pytest.raises(ImageError, match=r"expected at most 67,108,864 pixels; got [\d,]+ x [\d,]+; scale it down"):
        decode_image(BOMBS[kind])


def test_the_limit_is_where_it_says() -> None:
    with pytest.raises(ImageError, match="expected a sound PNG"):  # small enough: refused by the decoder, not the limit
        decode_image(png_header(MAX_PIXELS, 1))
    with pytest.raises(ImageError, match="expected at most"):
        decode_image(png_header(MAX_PIXELS + 1, 1))


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.jpg", b"", r"got an empty file \(0 bytes\)"),
        ("text.jpg", b"hello", r"expected a picture \(JPEG, PNG, WebP, BMP, GIF or TIFF\); got other content"),
        ("page.png", b"<!DOCTYPE html>", "got other content"),
        ("start.jpg", b"\xff\xd8\xff", "expected a whole JPEG; got one that ends early"),
        ("no-frame.jpg", b"\xff\xd8\xff\xd9", "expected a sound JPEG; got no frame header"),
        ("zero.png", png_header(0, 5), "expected a sound PNG; got no columns"),
    ],
)
def test_what_is_no_picture_is_one_line_with_its_path(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=f"{name}: .*{text}"):
        read_image(tmp_path / name)


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.jpg: expected a picture; got no such file; check the path"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="expected a picture file; got a folder"):
        read_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="expected an ordinary file; got a device or pipe"):
        read_image(tmp_path / "pipe.jpg")


def test_a_floating_point_picture_is_refused() -> None:
    content = cv2.imencode(".tiff", np.zeros((4, 4), np.float32))[1].tobytes()
    with pytest.raises(ImageError, match="expected 8 or 16 bits a channel; got float32"):
        decode_image(content)


def test_folders_patterns_and_files_are_listed_each_picture_once(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "odd", "sub/c.tiff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_images([tmp_path]) == [tmp_path / "a.PNG", tmp_path / "b.jpg"]
    assert list_images([tmp_path / "*.jpg", tmp_path]) == [tmp_path / "b.jpg", tmp_path / "a.PNG"]
    assert list_images([tmp_path / "**" / "*.tiff"]) == [tmp_path / "sub" / "c.tiff"]
    assert list_images([tmp_path / "odd", tmp_path / "none.jpg"]) == [tmp_path / "odd", tmp_path / "none.jpg"]


def test_a_name_with_brackets_that_exists_is_taken_literally(tmp_path: Path) -> None:
    (tmp_path / "face[1].jpg").touch()
    assert list_images([tmp_path / "face[1].jpg"]) == [tmp_path / "face[1].jpg"]


def test_a_folder_or_pattern_without_a_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=r"expected a folder with pictures .*; got none"):
        list_images([tmp_path])
    with pytest.raises(ImageError, match=r"expected a pattern that matches pictures .*; got no match"):
        list_images([tmp_path / "*.jpg"])


def test_an_unreadable_folder_is_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuses)  # tests may run as root, whom no permission stops
    with pytest.raises(ImageError, match="expected a readable folder; got: Permission denied"):
        list_images([tmp_path])


def test_a_name_behind_a_closed_folder_is_taken_and_refused_when_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (tmp_path / "open.jpg").touch()
    (closed / "x.jpg").touch()
    stat = os.stat

    def refuses(path: Path, **options: bool) -> os.stat_result:
        if Path(path).parent == closed:
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refuses)  # tests may run as root, whom no permission stops
    assert list_images([closed / "x.jpg", tmp_path / "open.jpg"]) == [closed / "x.jpg", tmp_path / "open.jpg"]
    assert list_images([closed]) == [closed / "x.jpg"]
    with pytest.raises(ImageError, match=r"x\.jpg: expected a readable picture; got: Permission denied"):
        read_image(closed / "x.jpg")


def test_two_spellings_of_a_file_are_one_picture(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "sub").mkdir()
    again = tmp_path / "sub" / ".." / "a.jpg"
    assert list_images([again, tmp_path]) == [again, tmp_path / "b.jpg"]


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").touch()
    monkeypatch.chdir(tmp_path)
    assert list_images(["."]) == [Path("a.jpg")]
    with pytest.raises(ImageError, match="expected the name of a picture; got an empty name"):
        list_images([""])
