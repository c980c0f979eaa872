"""TIFF's tag directory, bounds-checked: the header of TIFF pictures, and the Exif orientation of the other formats.

Source: TIFF 6.0 specification, section 2; BigTIFF design (Aware Systems); Exif 2.32, tag 274.
"""

from __future__ import annotations

import struct

from edge.errors import ImageError

WIDTH, HEIGHT, BITS, PHOTOMETRIC, STRIP_OFFSETS, ORIENTATION, STRIP_COUNTS = 256, 257, 258, 262, 273, 274, 279
TILE_OFFSETS, TILE_COUNTS, EXTRA_SAMPLES = 324, 325, 338
WHITE_IS_ZERO = 0  # a value of PHOTOMETRIC: grey levels count from white to black
ASSOCIATED_ALPHA = 1  # a value of EXTRA_SAMPLES: colours are already multiplied by alpha

_FORMATS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # field type -> struct letter: BYTE, SHORT, LONG, LONG8
_MOST_VALUES = 1 << 20  # a strip a row of the tallest picture allowed


def read_directory(content: bytes) -> dict[int, tuple[int, ...]]:
    """Return the first directory's whole-number tags: tag -> values.

    Args:
        content: a TIFF file, or the part of an Exif block after its "Exif" mark.

    Raises:
        ImageError: this is no TIFF, or a tag points outside the file (the text lacks the file's name).
    """
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or len(content) < 8:
        raise ImageError("expected a TIFF header; got other bytes; save the picture again")
    magic = struct.unpack_from(f"{order}H", content, 2)[0]
    if magic not in (42, 43):
        raise ImageError(f"expected TIFF's mark 42 or 43; got {magic}; save the picture again")
    big = magic == 43
    try:
        start = struct.unpack_from(f"{order}{'Q' if big else 'I'}", content, 8 if big else 4)[0]
        count = struct.unpack_from(f"{order}{'Q' if big else 'H'}", content, start)[0]
        if count > 4096:
            raise ImageError(f"expected a TIFF directory of at most 4096 tags; got {count}; save the picture again")
        first, size = (start + 8, 20) if big else (start + 2, 12)
        entries = [_entry(content, first + i * size, order, big) for i in range(count)]
    except (struct.error, OverflowError) as error:  # OverflowError: BigTIFF's 64-bit offsets past what memory can have
        raise ImageError("expected a whole TIFF; got one that ends early; copy or save it again") from error
    return {tag: values for tag, values in entries if values}


def exif_orientation(block: bytes) -> int:
    """Return the orientation 1..8 in an Exif block (with or without its "Exif" mark); 1 where it says nothing usable.

    A damaged Exif block does not make a picture unreadable; readers show such a picture as it is stored.
    """
    try:
        values = read_directory(block.removeprefix(b"Exif\0\0")).get(ORIENTATION, (1,))
    except ImageError:
        return 1
    return values[0] if 1 <= values[0] <= 8 else 1


def _entry(content: bytes, offset: int, order: str, big: bool) -> tuple[int, tuple[int, ...]]:
    """Return one directory entry's tag and whole-number values (empty for texts, fractions and other types)."""
    tag, kind, count = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", content, offset)
    letter = _FORMATS.get(kind)
    if letter is None or count > _MOST_VALUES:
        return tag, ()
    layout = f"{order}{count}{letter}"
    inline = offset + (12 if big else 8)
    if struct.calcsize(layout) > (8 if big else 4):
        inline = struct.unpack_from(f"{order}{'Q' if big else 'I'}", content, inline)[0]
    return tag, struct.unpack_from(layout, content, inline)
