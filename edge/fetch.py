"""Downloads with a pinned sha256: the file arrives whole and right, or not at all."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.detectors import BLAZEFACE_NAME, BLAZEFACE_SHA256, YUNET_NAME, YUNET_SHA256
from edge.errors import DownloadError
from edge.files import cache_dir, sha256_of, write_atomically

TIMEOUT_S = 20.0
_BLOCK_BYTES = 1 << 14
_SCHEMES = ("http", "https", "file")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Download:
    """A published file.

    Attributes:
        name: its name in the cache folder.
        sha256: the pinned one.
        size_bytes: its length.
    """

    name: str
    sha256: str
    size_bytes: int


# OpenCV Zoo's own file, and OpenCV's copy of it at Hugging Face.
YUNET_URLS = (
    f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET_NAME}",
    f"https://huggingface.co/opencv/face_detection_yunet/resolve/main/{YUNET_NAME}",
)
YUNET_BYTES = 232_589
# MediaPipe's public storage, at the two places that its build files (third_party/external_files.bzl) name.
BLAZEFACE_URLS = (
    f"https://storage.googleapis.com/mediapipe-assets/{BLAZEFACE_NAME}",
    f"https://storage.googleapis.com/mediapipe-assets/modules/face_detection/{BLAZEFACE_NAME}",
)
BLAZEFACE_BYTES = 229_032

YUNET = Download(YUNET_NAME, YUNET_SHA256, YUNET_BYTES)
BLAZEFACE = Download(BLAZEFACE_NAME, BLAZEFACE_SHA256, BLAZEFACE_BYTES)


def fetch(
    wanted: Download,
    urls: Sequence[str],
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """Return the path of a published file in the cache folder, downloaded unless the pinned file is already there.

    Args:
        wanted: the file.
        urls: addresses, tried in order.
        folder: where to put it; None: `cache_dir()`.
        progress: called with (bytes read, bytes in all).
        timeout_s: seconds without an answer after which an address is given up.

    Raises:
        ValueError: an address that does not begin with http, https or file.
        DownloadError: no address delivered the file with the pinned sha256; the text gives each one's reason.
        OutputError: the folder cannot be written.
    """
    target = (Path(folder) if folder is not None else cache_dir()) / wanted.name
    if target.is_file() and sha256_of(target) == wanted.sha256:
        return target
    for url in urls:
        if urllib.parse.urlsplit(url).scheme not in _SCHEMES:
            raise ValueError(f"expected an address that begins with {', '.join(_SCHEMES)}; got {url}; name another one")
    reasons = []
    for url in urls:
        try:
            content = _download(url, wanted.size_bytes, progress, timeout_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reasons.append(f"{url}: {_reason(error)}")
            continue
        came = sha256_of(content)
        if came == wanted.sha256:
            write_atomically(target, content)
            return target
        reasons.append(f"{url}: {len(content):,} bytes with sha256 {came[:12]}...")
    raise DownloadError(
        f"expected {wanted.name} with sha256 {wanted.sha256[:12]}...; got {'; '.join(reasons)}; check the network, or "
        "copy the file by hand and name it with --detector-model"
    )


def fetch_yunet(
    urls: Sequence[str] = YUNET_URLS,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """Return the path of YuNet's file in the cache folder; see `fetch`."""
    return fetch(YUNET, urls, folder, progress, timeout_s)


def fetch_blazeface(
    urls: Sequence[str] = BLAZEFACE_URLS,
    folder: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Path:
    """Return the path of BlazeFace's file in the cache folder; see `fetch`."""
    return fetch(BLAZEFACE, urls, folder, progress, timeout_s)


def _download(url: str, size_bytes: int, progress: Progress | None, timeout_s: float) -> bytes:
    """Return what an address delivers, reading at most one block more than `size_bytes`."""
    request = urllib.request.Request(url, headers={"User-Agent": "fer-edge"})
    blocks, count = [], 0
    with urllib.request.urlopen(request, timeout=timeout_s) as response:
        while count <= size_bytes and (block := response.read(_BLOCK_BYTES)):
            blocks.append(block)
            count += len(block)
            if progress is not None:
                progress(min(count, size_bytes), size_bytes)
    return b"".join(blocks)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
