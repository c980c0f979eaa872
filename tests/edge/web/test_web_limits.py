"""The web server in this process, its time limits made short: who stalls is let go, and the stream never waits."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import MappingProxyType

import numpy as np
import pytest

from edge.errors import EdgeError
from edge.recognizer import Recognizer
from edge.sources import Frame
from edge.sources.frames import Status
from edge.streams.stream import StreamReading
from edge.web.guard import HEADERS, Guard, own_names
from edge.web.hub import Hub
from edge.web.listening import listening_socket
from edge.web.server import WebServer
from edge.web.stills import Stills
from tests.conftest import require

require("aiohttp")

HEAD = b"POST /api/image HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"


def no_recognizer() -> Recognizer:
    raise EdgeError("expected no picture; got one")


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[WebServer, int]]:
    for name, seconds in (("app.CHUNK_S", 0.3), ("app.WRITE_S", 0.5), ("server._IDLE_S", 0.5)):
        monkeypatch.setattr(f"edge.web.{name}", seconds)
    listener = listening_socket("127.0.0.1", 0)
    guard = Guard(own_names("127.0.0.1", "pi"), any_address=False)
    with WebServer(listener, guard, hub, Stills(no_recognizer), {}, viewers=2, view_fps=60) as running:
        yield running, listener.getsockname()[1]


def noisy(number: int) -> StreamReading:
    picture = np.random.default_rng(number).integers(0, 255, (480, 640, 3), np.uint8)
    return StreamReading(Frame(picture, number, time.monotonic(), 0), (), (), MappingProxyType({"detect": 1.0}))


def connected(port: int, sent: bytes, receive_buffer: int | None = None) -> socket.socket:
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(10)
    client.connect(("127.0.0.1", port))
    client.sendall(sent)
    return client


def until(true: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def asked(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def test_a_viewer_that_takes_nothing_is_let_go_and_one_that_reads_stays(
    server: tuple[WebServer, int], hub: Hub
) -> None:
    running, port = server
    with connected(port, asked("/live.mjpg"), 4096), connected(port, asked("/live.mjpg")) as reader:
        counts: list[int] = []
        for number in range(100):
            hub.write(noisy(number))
            counts.append(running.pages.watching.now)
            if len(reader.recv(1 << 20)) and counts[-1] == 1 and 2 in counts:
                break
            time.sleep(0.02)
        assert 2 in counts and counts[-1] == 1


def test_a_pages_events_tell_whether_its_own_picture_is_being_sent(server: tuple[WebServer, int], hub: Hub) -> None:
    port = server[1]
    with connected(port, asked("/api/events?page=a")) as events, connected(port, asked("/live.mjpg?page=b")):
        told = events.makefile("rb")

        def pictured() -> bool:
            hub.write(noisy(0))
            line = next(line for line in told if line.startswith(b"data: "))
            found: bool = json.loads(line.removeprefix(b"data: "))["picture"]
            return found

        assert not pictured()
        with connected(port, asked("/live.mjpg?page=a"), 4096):  # takes nothing
            until(pictured)
            until(lambda: not pictured())


def test_without_a_viewer_nothing_is_encoded_however_many_frames_come(server: tuple[WebServer, int], hub: Hub) -> None:
    running, port = server
    for number in range(20):
        hub.write(noisy(number))
    time.sleep(0.2)
    assert running.view.encoded == 0
    with connected(port, asked("/live.mjpg")) as client:
        content = b""
        while b"\xff\xd8\xff" not in content:
            content += client.recv(1 << 16)
        assert running.view.encoded == 1  # of the newest alone


def test_an_upload_that_stops_is_refused_in_time(server: tuple[WebServer, int]) -> None:
    with connected(server[1], HEAD + b"half") as client:
        assert client.recv(12) == b"HTTP/1.1 408"
    with connected(server[1], HEAD + b"x" * 100) as client:
        assert client.recv(12) == b"HTTP/1.1 422"


def posted(host: str, *headers: str) -> bytes:
    lines = ["POST /api/image HTTP/1.1", f"Host: {host}", "Content-Length: 9", *headers]
    return ("\r\n".join(lines) + "\r\n\r\nno gzip..").encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost:70000\r\n\r\n", 403),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost:abc\r\n\r\n", 403),
        (posted("localhost", "Origin: http://["), 403),
        (posted("localhost", "Content-Encoding: gzip"), 400),
        (posted("evil.example", "Content-Encoding: gzip"), 403),
    ],
)
def test_what_is_no_host_origin_or_encoding_is_refused_without_a_traceback(
    sent: bytes, status: int, server: tuple[WebServer, int], caplog: pytest.LogCaptureFixture
) -> None:
    with connected(server[1], sent) as client:
        assert client.recv(12) == f"HTTP/1.1 {status}".encode()
        while client.recv(1 << 16):  # until the server is done with it
            pass
    assert not caplog.records


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n"])
def test_what_is_no_request_is_answered_with_every_safe_header_and_no_versions(
    sent: bytes, server: tuple[WebServer, int]
) -> None:
    with connected(server[1], sent) as client:
        answer = b""
        while part := client.recv(1 << 16):
            answer += part
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert lines[0].startswith(("HTTP/1.0 400", "HTTP/1.1 400"))
    assert set(lines) >= {f"{name}: {value}" for name, value in HEADERS.items()}
    assert b"aiohttp" not in answer


def test_an_upload_that_is_broken_off_is_not_reported(
    server: tuple[WebServer, int], caplog: pytest.LogCaptureFixture
) -> None:
    uploads = server[0].pages._reading_stills
    with connected(server[1], HEAD + b"half"):
        until(lambda: uploads.now == 1)
    until(lambda: uploads.now == 0)
    with connected(server[1], asked("/healthz")) as again:
        assert again.recv(12) == b"HTTP/1.1 200"
    assert not caplog.records


def test_a_failure_of_our_own_is_reported(
    server: tuple[WebServer, int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.web.stills.Stills.read", lambda *words: 1 / 0)
    with connected(server[1], HEAD + b"x" * 100) as client:
        assert client.recv(12) == b"HTTP/1.1 500"
    assert "division by zero" in caplog.text


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHo"])
def test_a_connection_that_asks_for_nothing_is_closed(sent: bytes, server: tuple[WebServer, int]) -> None:
    with connected(server[1], sent) as client:
        begun = time.monotonic()
        while client.recv(1 << 16):
            pass
        assert time.monotonic() - begun < 5


def test_viewers_hear_that_the_camera_is_lost_and_back(server: tuple[WebServer, int], hub: Hub) -> None:
    hub.write(noisy(0))
    with connected(server[1], asked("/api/events")) as client:
        for kind, state in (("lost", "lost"), ("resumed", "live")):
            text = f"the camera is {kind} now"
            hub.tell(Status(kind, text, time.monotonic()))  # type: ignore[arg-type]
            content = b""
            while text.encode() not in content:
                content += client.recv(1 << 16)
            line = next(line for line in content.splitlines() if text.encode() in line)
            found = json.loads(line[line.index(b"{") :])
            assert found["source"] == {"state": state, "text": text}


def test_a_connection_above_the_limit_is_cut_off_and_one_below_is_answered(
    server: tuple[WebServer, int],
) -> None:
    server[0].most_connections = 2
    port = server[1]
    with connected(port, asked("/live.mjpg")) as first, connected(port, asked("/api/events")) as second:
        assert first.recv(12) == second.recv(12) == b"HTTP/1.1 200"
        with connected(port, b"") as third, pytest.raises((ConnectionError, AssertionError)):
            third.sendall(asked("/healthz"))
            assert third.recv(12) == b"HTTP/1.1 200"
    deadline = time.monotonic() + 10
    while server[0].pages.watching.now:  # a viewer who leaves before the first frame makes room too
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with connected(port, asked("/healthz")) as again:
        assert again.recv(12) == b"HTTP/1.1 200"


def test_as_many_viewers_as_are_allowed_are_answered_and_one_more_is_told_so(hub: Hub) -> None:
    listener = listening_socket("127.0.0.1", 0)
    guard = Guard(own_names("127.0.0.1", "pi"), any_address=False)
    port = listener.getsockname()[1]
    with WebServer(listener, guard, hub, Stills(no_recognizer), {}, viewers=50, view_fps=60), ExitStack() as stack:
        for status in [200] * 50 + [503]:
            for path in ("/live.mjpg", "/api/events"):
                client = stack.enter_context(connected(port, asked(path)))
                assert client.recv(12) == f"HTTP/1.1 {status}".encode()


def test_a_third_upload_at_once_is_told_to_come_again(server: tuple[WebServer, int]) -> None:
    port = server[1]
    with connected(port, HEAD + b"half") as first, connected(port, HEAD + b"half") as second:
        time.sleep(0.1)
        with connected(port, HEAD + b"x" * 100) as third:
            assert third.recv(12) == b"HTTP/1.1 503"
        assert first.recv(12) == second.recv(12) == b"HTTP/1.1 408"
    with connected(port, HEAD + b"x" * 100) as again:
        assert again.recv(12) == b"HTTP/1.1 422"


def test_a_server_that_cannot_start_is_one_line_at_once(hub: Hub) -> None:
    listener = listening_socket("127.0.0.1", 0)
    listener.close()
    begun = time.monotonic()
    with pytest.raises(EdgeError, match=r"expected the web server to start; got: .*; try again, or another --port"):
        WebServer(listener, Guard(frozenset(), any_address=False), hub, Stills(no_recognizer), {}, 2, 60)
    assert time.monotonic() - begun < 5
