"""Picture files to upright uint8 RGB arrays, and nothing else: damaged, huge or foreign files are refused in a line.

OpenCV alone would apply the Exif orientation only where it drops alpha, and cut 16 bits instead of scaling them; so
pictures are decoded unchanged and brought to RGB here, but for JPEG, which has neither and comes as RGB at once: a
camera's frames are JPEG. Transparency is laid on white.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ImageError
from edge.pictures.headers import FORMATS, Header, read_header

# 67,108,864 (8192 x 8192): 200 MB as RGB, and up to 570 MB while OpenCV decodes it, what a Raspberry Pi with 1 GB can
# still hold. Of 16 bits a sample half as many (1,080 MB were needed), of 32 a quarter.
MAX_PIXELS = 1 << 26
MAX_FILE_BYTES = 1 << 28  # 256 MB
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

# Exif orientation -> (transpose rows and columns first, then reverse rows, then reverse columns). Source: Exif 2.32,
# tag 274: where the stored row 0 and column 0 lie in the upright picture.
_TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def read_image(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Return the picture in a file as upright RGB.

    Returns:
        (height, width, 3) uint8, 0..255. Exif orientation applied; transparency laid on white; 16-bit values divided
        by 257 and rounded, and turned where a TIFF counts them from white; grey repeated into three channels; CMYK
        converted. Of an animation, the first frame.

    Raises:
        ImageError: missing, no ordinary file, empty, not one of the formats, damaged, cut short, or with more than
            `MAX_PIXELS` pixels, fewer of more than 8 bits (refused from the header, before anything is decoded). The
            text begins with the path.
    """
    content = _read_file(path)
    try:
        return decode_image(content)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def decode_image(content: bytes, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Return the picture in a file's content as `read_image` does.

    Args:
        content: the file's bytes.
        max_pixels: limit of its size; half of it at 16 bits a sample.

    Raises:
        ImageError: as `read_image`; the text lacks the file's name.
    """
    header = read_header(content)
    most = max_pixels * 8 // max(8, header.bits)
    if header.width * header.height > most:
        deep = f" of {header.bits} bits" if header.bits > 8 else ""
        raise ImageError(
            f"expected at most {most:,} pixels{deep}; got {header.width:,} x {header.height:,}; scale it down first"
        )
    if header.width < 1 or header.height < 1:
        raise ImageError(f"expected at least one pixel; got {header.width} x {header.height}; save it again")
    is_jpeg = header.format == "JPEG"
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION if is_jpeg else cv2.IMREAD_UNCHANGED
    try:
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise ImageError(
            f"expected a sound {header.format}; got one that OpenCV cannot decode; save it again"
        ) from error
    if decoded is None:
        raise ImageError(
            f"expected a sound {header.format}; got one that OpenCV {cv2.__version__} cannot decode; save it again, "
            "as JPEG or PNG"
        )
    if sorted(decoded.shape[:2]) != sorted((header.height, header.width)):
        raise ImageError(
            f"expected {header.width} x {header.height} pixels as its header says; got {decoded.shape[1]} x "
            f"{decoded.shape[0]}; save it again"
        )
    rgb = decoded.astype(np.uint8, copy=False) if is_jpeg else _to_rgb(decoded, header)
    return _upright(rgb, header.orientation)


def encode_jpeg(picture: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Return a (height, width, 3) uint8 RGB picture as JPEG.

    Args:
        picture: RGB, 0..255.
        quality: 0..100.

    Raises:
        ImageError: OpenCV refuses it (a side above 65,500 pixels).
    """
    try:
        done, content = cv2.imencode(
            ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, quality)
        )
    except cv2.error:
        done = False
    if not done:
        height, width = picture.shape[:2]
        raise ImageError(f"expected a picture that JPEG can hold; got {width} x {height} pixels; scale it down")
    return content.tobytes()


def list_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the picture files that files, folders and glob patterns name, each once, in the order given.

    A file is taken as it is named, whatever its suffix. A folder gives its own pictures (by suffix, not those of its
    sub-folders) sorted by name; a pattern (`*`, `?`, `[...]`, `**` for any depth) gives its matches likewise.

    Two spellings of one file (a link, `./a.jpg` and `a.jpg`) are one picture, under the name that came first.

    Raises:
        ImageError: an empty name, a folder or pattern without a picture, or an unreadable folder.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not os.fspath(path):
            raise ImageError("expected the name of a picture; got an empty name; leave it out, or name the file")
        for picture in _expand(Path(path)):
            found.setdefault(os.path.realpath(picture), picture)
    return list(found.values())


def _expand(path: Path) -> list[Path]:
    if os.path.isdir(path):  # unlike Path.is_dir, False where a folder on the way may not be searched
        try:
            entries = sorted(path.iterdir())
        except OSError as error:
            raise ImageError(
                f"{path}: expected a readable folder; got: {error.strerror}; check its permissions"
            ) from error
        pictures = [entry for entry in entries if _is_picture_name(entry)]
        if not pictures:
            raise ImageError(
                f"{path}: expected a folder with pictures ({FORMATS}); got none; name the files, or '{path}/**/*'"
            )
        return pictures
    if os.path.exists(path) or not glob.has_magic(str(path)):
        return [path]  # a missing file is reported when it is read
    matches = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
    pictures = [match for match in matches if _is_picture_name(match)]
    if not pictures:
        raise ImageError(f"{path}: expected a pattern that matches pictures ({FORMATS}); got no match; check it")
    return pictures


def _is_picture_name(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not os.path.isdir(path)


def _read_file(path: str | os.PathLike[str]) -> bytes:
    """Return an ordinary file's content, within `MAX_FILE_BYTES`."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{path}: expected a picture file; got a folder; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path}: expected an ordinary file; got a device or pipe; save the picture to a file")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageError(
                f"{path}: expected a file of at most {MAX_FILE_BYTES:,} bytes; got {status.st_size:,}; scale it down"
            )
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: expected a picture; got no such file; check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ImageError(
            f"{path}: expected a readable picture; got: {reason}; check the path and its rights"
        ) from error
    if not content:
        raise ImageError(f"{path}: expected a picture; got an empty file (0 bytes); copy or download it again")
    return content


def _to_rgb(decoded: npt.NDArray[np.generic], header: Header) -> npt.NDArray[np.uint8]:
    """Return what OpenCV decoded unchanged, (h, w), (h, w, 1), BGR or BGRA, 8 or 16 bits, as (h, w, 3) uint8 RGB."""
    if decoded.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"expected 8 or 16 bits a channel; got {decoded.dtype}; convert it to 8 bits")
    channels = 1 if decoded.ndim == 2 else decoded.shape[2]
    if channels not in (1, 3, 4):
        raise ImageError(f"expected 1, 3 or 4 channels; got {channels}; convert it to RGB")
    shape = (*decoded.shape[:2], channels)
    if decoded.dtype == np.uint16:
        pixels = np.empty(shape, np.uint8)
        for rows in _bands(shape[0]):
            pixels[rows] = (decoded[rows].astype(np.uint32).reshape(-1, *shape[1:]) + 128) // 257
        if channels == 1 and header.white_is_zero:
            np.subtract(255, pixels, out=pixels)
    else:
        pixels = decoded.astype(np.uint8, copy=False).reshape(shape)
    if channels == 1:
        if header.transparent_grey is not None:
            level = round(header.transparent_grey * (255 if decoded.dtype == np.uint8 else 65535))
            pixels = np.where(decoded.reshape(shape) == level, np.uint8(255), pixels)
        return np.repeat(pixels, 3, axis=2)
    if header.rgb_bytes != (2, 1, 0):
        return np.take(pixels, header.rgb_bytes, axis=2)
    to_rgb = cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGB
    rgb = cv2.cvtColor(np.ascontiguousarray(pixels), to_rgb).astype(np.uint8, copy=False)
    if channels == 3 or not header.has_alpha:
        return rgb
    alpha = pixels[:, :, 3:]
    if (alpha == 255).all():
        return rgb
    return _on_white(rgb, alpha, header.premultiplied)


def _on_white(rgb: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8], premultiplied: bool) -> npt.NDArray[np.uint8]:
    """Return (h, w, 3) colours with (h, w, 1) alpha 0..255 laid on white, in place: c * a + 255 * (1 - a), rounded."""
    for rows in _bands(len(rgb)):
        rest = 255 - alpha[rows].astype(np.uint32)
        if premultiplied:
            rgb[rows] = np.minimum(rgb[rows] + rest, 255)
        else:
            rgb[rows] = (rgb[rows] * (255 - rest) + 255 * rest + 127) // 255
    return rgb


def _bands(rows: int) -> Iterator[slice]:
    """Yield slices of 256 rows, so that the wider integers of a large picture are never held all at once."""
    return (slice(start, start + 256) for start in range(0, rows, 256))


def _upright(image: npt.NDArray[np.uint8], orientation: int) -> npt.NDArray[np.uint8]:
    """Return the picture turned and mirrored as its Exif orientation 1..8 says."""
    transposed, rows, columns = _TURNS[orientation]
    if transposed:
        image = image.transpose(1, 0, 2)
    return np.ascontiguousarray(image[:: -1 if rows else 1, :: -1 if columns else 1])
