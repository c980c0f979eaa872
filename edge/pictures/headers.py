"""What a picture file says before it is decoded: format, size, orientation, and whether the file is whole.

OpenCV decodes first and asks later: it allocates what a header claims and, by version, fills the missing part of a
truncated file with grey. So the size is read and the file's structure walked here, in Python, bounds-checked.

Sources: JPEG ITU-T T.81 annex B; PNG specification, section 5; GIF89a, sections 18-27; BMP: Microsoft's
BITMAPINFOHEADER; WebP: RFC 9649; TIFF: `edge.pictures.tiff`.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from edge.errors import ImageError
from edge.pictures import tiff

FORMATS = "JPEG, PNG, WebP, BMP, GIF or TIFF"

_PNG_MARK_BYTES = 8
_JPEG_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # frame headers; the three others share the range
# In coded data: not a stuffed zero, not a restart marker. Fill bytes before it are left out: a pattern that begins with
# one certain byte is searched for 20 times as fast.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True)
class Header:
    """What the file says about its picture.

    Attributes:
        format: "JPEG", "PNG", "WebP", "BMP", "GIF" or "TIFF".
        width: columns as stored (before the orientation is applied), pixels.
        height: rows as stored, pixels.
        orientation: Exif orientation 1..8; 1 is upright. Always 1 for TIFF, which OpenCV turns itself.
        premultiplied: the colours are already multiplied by alpha.
        transparent_grey: a PNG's fully transparent grey level, in 0..1; None: none.
        bits: of a sample, in PNG and TIFF; the others have 8.
        has_alpha: a fourth channel is transparency; a BMP of 32 bits may leave it unused.
        white_is_zero: a TIFF's grey levels count from white; OpenCV turns those of 8 bits, not of 16.
        rgb_bytes: where red, green and blue stand in a pixel of a BMP, where OpenCV takes them for (2, 1, 0).
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    premultiplied: bool = False
    transparent_grey: float | None = None
    bits: int = 8
    has_alpha: bool = True
    white_is_zero: bool = False
    rgb_bytes: tuple[int, int, int] = (2, 1, 0)


def read_header(content: bytes) -> Header:
    """Return the header of a whole picture file.

    Raises:
        ImageError: not one of the formats, damaged, or shorter than it says (the text lacks the file's name).
    """
    for mark, kind, read in (
        (rb"\xff\xd8\xff", "JPEG", _jpeg),
        (rb"\x89PNG\r\n\x1a\n", "PNG", _png),
        (rb"RIFF....WEBP", "WebP", _webp),
        (rb"GIF8[79]a", "GIF", _gif),
        (rb"BM", "BMP", _bmp),
        (rb"II[*+]\0|MM\0[*+]", "TIFF", _tiff),
    ):
        if re.match(mark, content, re.DOTALL):
            try:
                return read(content)
            except (struct.error, IndexError) as error:
                raise _ends_early(kind) from error
    raise ImageError(f"expected a picture ({FORMATS}); got other content; give a picture or convert it to JPEG or PNG")


def _jpeg(content: bytes) -> Header:
    offset, orientation, size = 2, 1, None
    while True:
        marker, offset = _next_jpeg_marker(content, offset)
        if marker == 0xD9:  # end of image
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        length = struct.unpack_from(">H", content, offset)[0]
        segment = content[offset + 2 : offset + length]
        if length < 2 or offset + length > len(content):
            raise _ends_early("JPEG")
        offset += length
        if marker in _JPEG_SOF:
            height, width = struct.unpack_from(">HH", segment, 1)
            size = (width, height)
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            orientation = tiff.exif_orientation(segment)
        elif marker == 0xDA:  # start of scan: coded data up to the next marker
            found = _JPEG_MARKER.search(content, offset)
            if found is None:
                raise _ends_early("JPEG")
            offset = found.start()
    if size is None:
        raise _damaged("JPEG", "no frame header")
    return Header("JPEG", *size, orientation)


def _next_jpeg_marker(content: bytes, offset: int) -> tuple[int, int]:
    """Return the marker at `offset` (any number of 0xFF, then its code) and the offset after it."""
    if offset >= len(content):
        raise _ends_early("JPEG")
    if content[offset] != 0xFF:
        raise _damaged("JPEG", f"no marker at byte {offset}")
    while content[offset] == 0xFF:
        offset += 1
    return content[offset], offset + 1


def _png(content: bytes) -> Header:
    offset, orientation, transparent = _PNG_MARK_BYTES, 1, None
    width = height = depth = colour = 0
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", content, offset)
        data = content[offset + 8 : offset + 8 + length]
        checksum = struct.unpack_from(">I", content, offset + 8 + length)[0]
        if not width and kind != b"IHDR":
            raise _damaged("PNG", "no header chunk first")
        if (kind[0] < 0x60 or kind == b"tRNS") and zlib.crc32(data, zlib.crc32(kind)) != checksum:
            raise _damaged("PNG", f"a wrong checksum in its {kind.decode() if kind.isalpha() else 'nameless'} chunk")
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", data)
            if not width:
                raise _damaged("PNG", "no columns")
            if depth not in (1, 2, 4, 8, 16):
                raise _damaged("PNG", f"{depth} bits a sample")
        elif kind == b"eXIf":
            orientation = tiff.exif_orientation(data)
        elif kind == b"tRNS" and colour == 0:
            transparent = struct.unpack_from(">H", data)[0] / (2**depth - 1)
        offset += 12 + length
    return Header("PNG", width, height, orientation, transparent_grey=transparent, bits=depth)


def _webp(content: bytes) -> Header:
    end = 8 + struct.unpack_from("<I", content, 4)[0]
    if end > len(content):
        raise _ends_early("WebP")
    offset, orientation, size = 12, 1, None
    while offset + 8 <= end:
        kind, length = struct.unpack_from("<4sI", content, offset)
        data = content[offset + 8 : offset + 8 + length]
        if size is None and kind == b"VP8X":
            size = (1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little"))
        elif size is None and kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 6)
            size = (width & 0x3FFF, height & 0x3FFF)
        elif size is None and kind == b"VP8L":
            bits = struct.unpack_from("<I", data, 1)[0]
            size = (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
        elif kind == b"EXIF":
            orientation = tiff.exif_orientation(data)
        offset += 8 + length + length % 2
    if size is None:
        raise _damaged("WebP", "no frame")
    return Header("WebP", *size, orientation)


def _gif(content: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    offset = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    while content[offset] == 0x21:  # extensions before the first frame
        offset = _after_gif_blocks(content, offset + 2)
    if content[offset] != 0x2C:
        raise _damaged("GIF", "no frame")
    flags = content[offset + 9]
    _after_gif_blocks(content, offset + 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0))
    return Header("GIF", width, height)


def _after_gif_blocks(content: bytes, offset: int) -> int:
    """Return the offset after a run of data blocks; the run ends with an empty block."""
    while content[offset]:
        offset += 1 + content[offset]
    return offset + 1


def _bmp(content: bytes) -> Header:
    start, header_size = struct.unpack_from("<II", content, 10)
    if header_size == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", content, 18)
        compression = 0
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", content, 18)
    height = abs(height)  # negative: rows from the top
    if width <= 0:
        raise _damaged("BMP", f"{width} columns")
    if compression in (0, 3) and start + (width * depth + 31) // 32 * 4 * height > len(content):
        raise _ends_early("BMP")
    # Only headers of 56 bytes and more have a mask for alpha; OpenCV gives a fourth channel with shorter ones too.
    has_alpha = header_size >= 56 and struct.unpack_from("<I", content, 66)[0] != 0
    is_masked = header_size in (40, 52) and (compression, depth) == (3, 32) and start >= 66
    return Header("BMP", width, height, has_alpha=has_alpha, rgb_bytes=_mask_bytes(content) if is_masked else (2, 1, 0))


def _mask_bytes(content: bytes) -> tuple[int, int, int]:
    """Where red, green and blue stand by the masks of a BMP of 32 bits; OpenCV reads those of longer headers alone."""
    places = {0xFF << (8 * place): place for place in range(4)}
    masks = struct.unpack_from("<III", content, 54)
    if masks == (0, 0, 0):  # left out by a careless writer: the usual order
        return 2, 1, 0
    if any(mask not in places for mask in masks) or len(set(masks)) < 3:
        told = ", ".join(f"{mask:08x}" for mask in masks)
        raise ImageError(f"expected a BMP with a byte a colour; got the masks {told}; save it again, as PNG")
    red, green, blue = (places[mask] for mask in masks)
    return red, green, blue


def _tiff(content: bytes) -> Header:
    tags = tiff.read_directory(content)
    if tiff.WIDTH not in tags or tiff.HEIGHT not in tags:
        raise _damaged("TIFF", "no size")
    for offsets, counts in ((tiff.STRIP_OFFSETS, tiff.STRIP_COUNTS), (tiff.TILE_OFFSETS, tiff.TILE_COUNTS)):
        for offset, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False):
            if offset + count > len(content):
                raise _ends_early("TIFF")
    # libtiff multiplies the colours of 8-bit pictures by alpha while OpenCV reads them; 16-bit ones come as stored.
    bits = tags.get(tiff.BITS, (8,))
    premultiplied = tags.get(tiff.EXTRA_SAMPLES, (0,))[0] == tiff.ASSOCIATED_ALPHA or bits[0] <= 8
    width, height = tags[tiff.WIDTH][0], tags[tiff.HEIGHT][0]
    white_is_zero = tags.get(tiff.PHOTOMETRIC) == (tiff.WHITE_IS_ZERO,)
    return Header("TIFF", width, height, premultiplied=premultiplied, bits=max(bits), white_is_zero=white_is_zero)


def _ends_early(kind: str) -> ImageError:
    return ImageError(f"expected a whole {kind}; got one that ends early; copy or download it again")


def _damaged(kind: str, what: str) -> ImageError:
    return ImageError(f"expected a sound {kind}; got {what}; copy or save it again")
