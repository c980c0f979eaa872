from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.detectors import BLAZEFACE_NAME, BLAZEFACE_SHA256, YUNET_NAME, YUNET_SHA256, load_detector
from edge.errors import DownloadError
from edge.fetch import BLAZEFACE_BYTES, BLAZEFACE_URLS, YUNET_BYTES, YUNET_URLS, fetch_blazeface, fetch_yunet
from edge.files import sha256_of
from tests.edge.conftest import Run


@pytest.fixture
def yunet(shared_data: Path) -> bytes:
    return (shared_data / "detectors" / YUNET_NAME).read_bytes()


@pytest.fixture
def blazeface(shared_data: Path) -> bytes:
    return (shared_data / "detectors" / BLAZEFACE_NAME).read_bytes()


@pytest.fixture
def server(yunet: bytes, blazeface: bytes) -> Iterator[str]:
    """The address of a web server with the right files, a moved one, a wrong one, an endless one and a silent one."""
    silent = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/right")
                self.end_headers()
                return
            if self.path == "/silent":
                silent.wait(10)
                return
            bodies = {"/right": yunet, "/wrong": yunet[:-1] + b"!", "/short": yunet[:1000], "/endless": yunet * 5,
                      "/blazeface": blazeface, "/blazeface-wrong": b"?" + blazeface[1:]}  # fmt: skip
            lengths = {"/endless": 5 * YUNET_BYTES, "/blazeface": BLAZEFACE_BYTES, "/blazeface-wrong": BLAZEFACE_BYTES}
            self.send_response(200 if self.path in bodies else 404)
            self.send_header("Content-Length", str(lengths.get(self.path, YUNET_BYTES)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the client has had enough
                self.wfile.write(bodies.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        silent.set()
        found.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/right", "/moved"])
def test_the_pinned_file_arrives_whole_and_is_not_fetched_twice(server: str, tmp_path: Path, path: str) -> None:
    ticks: list[tuple[int, int]] = []
    fetched = fetch_yunet([server + path], tmp_path, lambda done, total: ticks.append((done, total)))
    assert fetched == tmp_path / YUNET_NAME
    assert sha256_of(fetched) == YUNET_SHA256
    assert ticks[-1] == (YUNET_BYTES, YUNET_BYTES)
    assert fetch_yunet(["http://127.0.0.1:1/nobody"], tmp_path) == fetched


def test_a_damaged_file_in_the_cache_is_fetched_again(server: str, tmp_path: Path) -> None:
    (tmp_path / YUNET_NAME).write_bytes(b"damaged")
    assert sha256_of(fetch_yunet([server + "/right"], tmp_path)) == YUNET_SHA256


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/wrong", "232,589 bytes with sha256 "),
        ("/endless", r"2\d\d,\d\d\d bytes with sha256 "),
        ("/short", "1,000 bytes with sha256 "),
        ("/none", "HTTP 404"),
        ("/silent", "timed out"),
    ],
)
def test_anything_else_is_one_line_and_leaves_no_file(server: str, tmp_path: Path, path: str, text: str) -> None:
    with pytest.raises(
        DownloadError, match=rf"expected {YUNET_NAME} with sha256 8f23.*; got .*{text}.*; check the"
    ) as e:
        fetch_yunet([server + path], tmp_path, timeout_s=0.5)
    assert "\n" not in str(e.value)
    assert not list(tmp_path.iterdir())


def test_a_second_address_is_tried_and_a_dead_one_named(server: str, tmp_path: Path) -> None:
    assert fetch_yunet(["http://127.0.0.1:1/x", server + "/right"], tmp_path).is_file()
    with pytest.raises(DownloadError, match=r"http://127\.0\.0\.1:1/x: .*refused"):
        fetch_yunet(["http://127.0.0.1:1/x"], tmp_path / "other")


def test_the_addresses_are_opencvs_own() -> None:
    assert [url.split("/")[2] for url in YUNET_URLS] == ["github.com", "huggingface.co"]
    assert all("/opencv" in url and url.endswith(YUNET_NAME) for url in YUNET_URLS)


def test_the_command_prints_where_the_file_is(run: Run, server: str, tmp_path: Path) -> None:
    result = run("fetch", "yunet", "--url", server + "/right", env={"FER_EDGE_CACHE": str(tmp_path)})
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{tmp_path / YUNET_NAME}\n", "")
    failed = run("fetch", "yunet", "--url", server + "/wrong", env={"FER_EDGE_CACHE": str(tmp_path / "new")})
    assert failed.exit_code == 1
    assert failed.stderr.count("\n") == 1 and failed.stderr.startswith("error: expected face_detection_yunet")


def test_a_file_address_serves_as_a_mirror(tmp_path: Path, shared_data: Path) -> None:
    mirror = (shared_data / "detectors" / YUNET_NAME).resolve().as_uri()
    assert sha256_of(fetch_yunet([mirror], tmp_path)) == YUNET_SHA256
    with pytest.raises(DownloadError, match="No such file"):
        fetch_yunet([mirror + ".none"], tmp_path / "other")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/yunet.onnx", "yunet.onnx"])
def test_an_address_of_another_kind_is_refused_with_the_kinds_that_serve(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"expected an address that begins with http, https, file; got {url}"):
        fetch_yunet([url], tmp_path)


def test_blazeface_arrives_whole_and_right_or_not_at_all(server: str, tmp_path: Path) -> None:
    ticks: list[tuple[int, int]] = []
    addresses = [server + "/none", server + "/right", server + "/blazeface"]
    fetched = fetch_blazeface(addresses, tmp_path, lambda done, total: ticks.append((done, total)))
    assert fetched == tmp_path / BLAZEFACE_NAME
    assert sha256_of(fetched) == BLAZEFACE_SHA256
    assert ticks[-1] == (BLAZEFACE_BYTES, BLAZEFACE_BYTES)
    assert fetch_blazeface(["http://127.0.0.1:1/nobody"], tmp_path) == fetched
    with pytest.raises(DownloadError, match=rf"expected {BLAZEFACE_NAME} .*3bc1.*; got .*229,032 bytes with sha256 "):
        fetch_blazeface([server + "/blazeface-wrong"], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_blazefaces_addresses_are_mediapipes_own() -> None:
    for url in BLAZEFACE_URLS:
        assert url.startswith("https://storage.googleapis.com/mediapipe-assets/") and url.endswith(BLAZEFACE_NAME)


def test_the_command_fetches_blazeface_which_auto_then_finds(
    run: Run, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_CACHE", str(tmp_path))
    assert load_detector().name == "haar"
    result = run("fetch", "blazeface", "--url", server + "/blazeface")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{tmp_path / BLAZEFACE_NAME}\n", "")
    assert load_detector().name == "blazeface"
    failed = run("fetch", "blazeface", "--url", server + "/right", env={"FER_EDGE_CACHE": str(tmp_path / "new")})
    assert failed.exit_code == 1 and failed.stderr.startswith(f"error: expected {BLAZEFACE_NAME}")
