"""Files written whole or not at all, their sha256, and the cache folder."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BLOCK_BYTES = 1 << 20


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; it is moved into place when the block ends well, removed when it fails.

    The temporary name keeps the suffix (writers such as `np.savez` and `cv2.imwrite` go by it).

    Raises:
        OSError: the folder cannot be made or written, or the block wrote no file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path`: a reader or a kill sees the old file or the new one, never a part.

    Raises:
        OSError: the folder cannot be made or the file cannot be written.
    """
    content = data.encode("utf-8") if isinstance(data, str) else data
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


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
    """
    own = os.environ.get("FER_EDGE_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fer-edge"
