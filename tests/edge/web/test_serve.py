from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import require
from tests.edge.conftest import Run

require("aiohttp")


@dataclass
class Served:
    process: subprocess.Popen[str]
    port: int
    query: str

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def state(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.ask("/api/state")[1])
        return found

    def stream(self, path: str, receive_buffer: int | None = None) -> socket.socket:
        """Return a connection on which a stream has begun."""
        client = socket.socket()
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(20)
        client.connect(("127.0.0.1", self.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        return client


@contextmanager
def serving(*words: object, env: dict[str, str] | None = None) -> Iterator[Served]:
    command = [sys.executable, "-m", "edge", "serve", *map(str, words), "--detector", "haar"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | (env or {})
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.match(r"open http://[^:]+:(\d+)/(\S*)$", line)
        assert found, line
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Served(process, int(found[1]), found[2])
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def served(int8_path: Path) -> Iterator[Served]:
    with serving(
        "synthetic", "--port", 0, "--model", int8_path, "--width", 320, "--height", 240, "--viewers", 2
    ) as found:
        yield found


def test_the_page_and_its_files_come_with_every_safe_header(served: Served) -> None:
    for path in ("/", "/page.css", "/page.js", "/api/state", "/healthz", "/nothing"):
        status, _, headers = served.ask(path)
        assert status == (404 if path == "/nothing" else 200)
        assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    text = served.ask("/")[1].decode() + served.ask("/page.css")[1].decode()
    assert "http://" not in text and "https://" not in text


def test_a_foreign_host_and_origin_are_refused_over_the_wire(served: Served) -> None:
    assert served.ask("/", Host="evil.example")[0] == 403
    assert served.ask("/api/image", "POST", b"x", Origin="http://evil.example")[0] == 403


def test_a_live_picture_is_encoded_while_somebody_watches_only(served: Served) -> None:
    time.sleep(1.1)
    before = served.state()["seconds"]
    assert isinstance(before, list) and before[-1]["frames"] > 0 and "view" not in before[-1]["median_ms"]
    with served.stream("/live.mjpg") as client:
        content = b""
        while content.count(b"\xff\xd8\xff") < 3:
            content += client.recv(65536)
        time.sleep(1.2)
        seconds = served.state()["seconds"]
        assert isinstance(seconds, list) and any("view" in second["median_ms"] for second in seconds)
        assert served.state()["viewers"] == {"now": 1, "most": 2}


def test_events_bring_faces_and_latency(served: Served) -> None:
    with served.stream("/api/events") as client:
        content = b""
        while b'"faces": [{' not in content or b'"end to end"' not in content:
            content += client.recv(65536)


def test_one_viewer_too_many_is_told_so_and_a_stalled_one_slows_nobody(served: Served) -> None:
    nobody_watches(served)
    with served.stream("/live.mjpg", 4096), served.stream("/live.mjpg", 4096):
        status, text, _ = served.ask("/live.mjpg")
        assert status == 503 and b"expected at most 2 viewers" in text and text.count(b"\n") == 1
        first = json.loads(served.ask("/api/state")[1])["reading"]["index"]
        deadline = time.monotonic() + 15
        while json.loads(served.ask("/api/state")[1])["reading"]["index"] < first + 5:
            assert time.monotonic() < deadline
    nobody_watches(served)


def nobody_watches(served: Served) -> None:
    """Wait until the viewers that left are no longer counted."""
    deadline = time.monotonic() + 15
    while served.state()["viewers"] != {"now": 0, "most": 2}:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_photograph_comes_back_as_the_image_command_reads_it(
    served: Served, run: Run, int8_path: Path, tmp_path: Path
) -> None:
    import cv2
    from skimage import data

    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), data.astronaut()[..., ::-1])
    content = path.read_bytes()
    status, text, _ = served.ask("/api/image?name=a.jpg", "POST", content)
    expected = json.loads(run("image", path, "--json", "--model", int8_path, "--detector", "haar").stdout)
    found = json.loads(text)
    assert status == 200 and found.keys() == expected.keys() and found["image"] == "a.jpg"
    assert found["faces"] == expected["faces"] and found["faces"]
    assert served.ask("/api/image", "POST", content, Accept="image/jpeg")[1].startswith(b"\xff\xd8\xff")
    assert json.loads(served.ask("/api/image?picture=1", "POST", content)[1])["picture"].startswith("data:image/jpeg")


def test_what_is_no_picture_or_too_large_is_one_line(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    status, text, _ = served.ask("/api/image", "POST", b"no picture")
    assert status == 422 and json.loads(text)["error"].startswith("expected a picture")
    bomb = (
        b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little") + (30000).to_bytes(4, "little") * 2
    )
    assert served.ask("/api/image", "POST", bomb + bytes(40))[0] == 422
    with socket.create_connection(("127.0.0.1", served.port), 20) as client:  # announced
        client.sendall(b"POST /api/image HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 413"
    with socket.create_connection(("127.0.0.1", served.port), 20) as client:  # not announced
        client.sendall(b"POST /api/image HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        part = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
        for _ in range(33):
            client.sendall(part)
        assert client.recv(12) == b"HTTP/1.1 413"


def test_beyond_this_machine_a_token_is_made_and_asked_for(int8_path: Path) -> None:
    with serving("synthetic", "--port", 0, "--host", "0.0.0.0", "--model", int8_path) as found:
        assert re.fullmatch(r"\?token=[\w-]{32}", found.query)
        assert found.ask("/")[0] == found.ask("/api/state")[0] == found.ask("/live.mjpg")[0] == 401
        status, _, headers = found.ask(f"/{found.query}")
        cookie = headers["Set-Cookie"]
        assert status == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert found.query.partition("=")[2] not in cookie
        assert found.ask("/api/state", Cookie=cookie.partition(";")[0])[0] == 200
        assert found.ask("/healthz")[0] == 200


def test_a_taken_port_is_one_line(served: Served, run: Run) -> None:
    result = run("serve", "synthetic", "--port", served.port)
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert "expected a free port of this machine; got: Address already in use" in result.stderr


def test_without_the_extra_it_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("serve", "synthetic")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1 and "pip install 'fer-edge[serve]'" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_promptly_with_viewers_connected(number: int, int8_path: Path) -> None:
    with (
        serving("synthetic", "--port", 0, "--model", int8_path) as found,
        found.stream("/live.mjpg", 4096),
        found.stream("/api/events"),
    ):
        found.process.send_signal(number)
        assert found.process.wait(10) == 0


def test_killed_it_can_be_started_again_on_its_port_at_once(int8_path: Path) -> None:
    with serving("synthetic", "--port", 0, "--model", int8_path) as found, found.stream("/live.mjpg"):
        found.process.kill()
        found.process.wait()
        with serving("synthetic", "--port", found.port, "--model", int8_path) as again:
            assert again.ask("/healthz")[0] == 200


def test_the_pace_of_a_folder_of_pictures_can_be_given_and_of_no_file(
    run: Run, int8_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.new("RGB", (80, 60)).save(tmp_path / "pictures" / f"{number}.png")
    words = ("--model", int8_path, "--detector", "haar", "--port", 0, "--max-frames", 2)
    began = time.monotonic()
    result = run("serve", tmp_path / "pictures", *words, "--fps", 1)
    assert result.exit_code == 0 and "1 frames a second" in result.stderr and time.monotonic() - began > 1
    for source, option in (("pictures/0.png", "--fps"), ("pictures", "--seconds"), ("pictures", "--width")):
        refused = run("serve", tmp_path / source, *words, option, 1)
        assert refused.exit_code == 2 and "--fps for cameras and folders of pictures" in refused.stderr
