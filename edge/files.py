"""Files written whole or not at all, their sha256, and the cache folder."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.errors import DataError, EdgeError, OutputError

_BLOCK_BYTES = 1 << 20
_LARGEST = sys.float_info.max  # of a number in JSON: arithmetic ends there
_INT_DIGITS = 309  # a whole number of more is larger
ONE_LINE = 320  # characters that a list or object may have in one line of a record


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; it is moved into place when the block ends well, removed when it fails.

    The temporary name keeps the suffix (writers such as `np.savez` and `cv2.imwrite` go by it). A symbolic link stays
    one: the file that it names is replaced. What the block itself raises passes through.

    Raises:
        OutputError: `path` is a folder or a device, or its folder cannot be made or written.
        FileNotFoundError: the block wrote no file.
    """
    try:
        _check_ordinary(path)
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.stem}.{os.getpid()}-{secrets.token_hex(4)}{target.suffix}")
        temporary.touch(exist_ok=False)  # an unwritable folder is met here, under the target's name
        temporary.unlink()
    except OSError as error:
        raise _refused(path, error) from error
    try:
        yield temporary
        if not temporary.exists():
            raise FileNotFoundError(errno.ENOENT, "the block wrote no file", os.fspath(path))
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise _refused(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path`: a reader or a kill sees the old file or the new one, never a part.

    Raises:
        OutputError: `path` is a folder or a device, its folder cannot be made, or the file cannot be written.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    with atomic_path(path) as temporary:
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise _refused(path, error) from error


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OutputError where `write_atomically` could not write `path`, as far as is known without writing.

    Its folder need not be there: the nearest one above it that is must be one in which entries can be made.

    Raises:
        OutputError: `path` is a folder or a device, what should be a folder is none, or it may not be written in.
    """
    try:
        _check_ordinary(path)
    except NotADirectoryError as error:
        raise _refused(path, error) from error
    folder = Path(os.path.realpath(path)).parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise _refused(path, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refused(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def write_json(path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all.

    Raises:
        OutputError: as `write_atomically`.
        ValueError: a number is not finite.
    """
    write_atomically(path, record_text(record))


def record_text(record: Mapping[str, Any]) -> str:
    """Return a record as JSON: indented by one, but what is short, or holds plain values alone, in one line.

    With every number in a line of its own, a tenth of a record is white space.

    Raises:
        ValueError: a number is not finite.
    """
    return _indented(record, "") + "\n"


def _indented(value: Any, indent: str) -> str:
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(line) <= ONE_LINE or not any(isinstance(item, Mapping | list | tuple) and item for item in inside):
        return line
    deeper = indent + " "
    if isinstance(value, Mapping):
        rows = [
            f"{deeper}{json.dumps(str(key), ensure_ascii=False)}: {_indented(item, deeper)}"
            for key, item in value.items()
        ]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    return "[\n" + ",\n".join(deeper + _indented(item, deeper) for item in value) + f"\n{indent}]"


def rounded(value: Any, digits: int = 6) -> Any:
    """Return JSON values with every float at so many significant digits: 0.0009968930389732122 becomes 0.000996893.

    For the parts of a record that are long and derived; raw measurements stay as they came.
    """
    if isinstance(value, Mapping):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def read_json(path: str | os.PathLike[str], remedy: str, *, finite: bool = True) -> Any:
    """Return what a JSON file holds.

    Args:
        path: the file.
        remedy: what its user can do where it holds no JSON.
        finite: refuse numbers that are not finite or that no float holds; without it, they are left to the caller.

    Raises:
        DataError: it cannot be read, is no JSON, or has such a number.
    """
    try:
        values = parse_json(Path(path).read_text(encoding="utf-8"))
        place = not_finite(values) if finite else None
    except OSError as error:
        raise DataError(f"{path}: expected a record; got {error.strerror}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected a JSON record; got {error}; {remedy}") from error
    if place is not None:
        raise DataError(
            f"{path}: expected a JSON record; got the number NaN, or none that a float holds, in {place}; {remedy}"
        )
    return values


def parse_json(text: str | bytes) -> Any:
    """Return what JSON says; numbers that no float holds (1e309, 400 digits) are infinite there: see `not_finite`.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deep.
    """
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= _INT_DIGITS else float(digits))


def not_finite(value: Any, where: str = "") -> str | None:
    """Return the place of the first number in JSON values that is not finite, such as `latency_ms.p50`, or None."""
    if isinstance(value, int | float):
        return None if abs(value) <= _LARGEST else where
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        place = not_finite(item, f"{where}.{key}" if where else str(key))
        if place is not None:
            return place
    return None


def sha256_of(source: str | os.PathLike[str] | bytes) -> str:
    """Return the sha256 of a file's content (given its path) or of bytes, as 64 hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    digest = hashlib.sha256()
    with Path(source).open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def cache_dir() -> Path:
    """Return the folder for downloaded files: $FER_EDGE_CACHE, else $XDG_CACHE_HOME/fer-edge, else ~/.cache/fer-edge.

    The folder is not created.

    Raises:
        EdgeError: neither variable is set, and the account has no home folder.
    """
    own = os.environ.get("FER_EDGE_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "fer-edge"
    try:
        return Path.home() / ".cache" / "fer-edge"
    except RuntimeError as error:
        raise EdgeError(
            "expected a home folder for downloaded files; got an account without one; set FER_EDGE_CACHE to a folder"
        ) from error


def _check_ordinary(path: str | os.PathLike[str]) -> None:
    """Raise OutputError where `path` exists, links followed, and is no ordinary file."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        came = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
        raise OutputError(f"expected an ordinary file to write at {path}; got {came}; choose another name")


def _refused(path: str | os.PathLike[str], error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"expected to write {path}; got: {reason}; choose another name or check its rights")
