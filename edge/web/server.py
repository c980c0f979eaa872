"""The web server's thread: begun before the stream, ended after it."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from edge.errors import EdgeError
from edge.sources.frames import Closing
from edge.web.app import Pages
from edge.web.guard import HEADERS, Guard
from edge.web.hub import Hub
from edge.web.stills import Stills
from edge.web.view import LiveView

_LEAST_CONNECTIONS = 64  # that are allowed however few the viewers
_SPARE_CONNECTIONS = 16  # beside a page's two, picture and events: for its files, still pictures, and refusals
_IDLE_S = 15.0  # for a request to come, and for the next one
_LOGGER = "edge.web"
_START_S, _END_S = 30.0, 5.0  # a loaded board takes its time to import the web library


class WebServer(Closing):
    """Serves the page from a thread of its own until it is closed.

    Attributes:
        most_connections: at once; those above are cut off.
    """

    def __init__(
        self,
        listener: socket.socket,
        guard: Guard,
        hub: Hub,
        stills: Stills,
        about: Mapping[str, Any],
        viewers: int,
        view_fps: float,
    ) -> None:
        """Start it.

        Args:
            listener: from `listening_socket`; closed with the server.
            guard: decides who is answered.
            hub: the stream's newest reading.
            stills: reads pictures that are sent.
            about: what does not change: model, settings, notices.
            viewers: at once.
            view_fps: live pictures a second at most.

        Raises:
            EdgeError: it does not start.
        """
        self._listener = listener
        self.most_connections = max(_LEAST_CONNECTIONS, 2 * viewers + _SPARE_CONNECTIONS)
        self._executors = [ThreadPoolExecutor(1, "fer-edge view"), ThreadPoolExecutor(1, "fer-edge stills")]
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: Callable[[], None] | None = None
        self._hub = hub
        self.view = LiveView(hub, self._executors[0], view_fps)
        self.pages = Pages(guard, hub, self.view, stills, self._executors[1], viewers, about)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="fer-edge web", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_S) or self._failure is not None:
            self.close()
            came = self._failure or f"nothing within {_START_S:g} s"
            raise EdgeError(f"expected the web server to start; got: {came}; try again, or another --port")

    def close(self) -> None:
        """End every connection and the thread; more than once is allowed."""
        loop, self._loop = self._loop, None
        self._hub.connect(None)
        if loop is not None and self._end is not None:
            loop.call_soon_threadsafe(self._end)
            self._thread.join(_END_S)
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)
        self._listener.close()

    def _run(self) -> None:
        """Serve; what goes wrong before it is ready is told by `__init__`, later on by the thread itself."""
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._ready.is_set():
                raise
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        from aiohttp import web

        loop = asyncio.get_running_loop()
        end = asyncio.Event()
        options: dict[str, Any] = {
            "access_log": None,
            "logger": _logger(),
            "keepalive_timeout": _IDLE_S,
            "lingering_time": 2.0,
        }

        class Answering(web.RequestHandler):
            """Answers on a connection; in aiohttp's own answers, to what is no request, with our headers."""

            def handle_error(self, *words: Any, **more: Any) -> web.StreamResponse:
                response = super().handle_error(*words, **more)
                response.headers.update(HEADERS)
                return response

        def answering() -> asyncio.Protocol:
            room = len(serve.connections) < self.most_connections
            return Answering(serve, loop=loop, **options) if room else _Refused()

        runner = web.AppRunner(self.pages.application(), shutdown_timeout=1.0, **options)
        await runner.setup()
        serve: Any = runner.server
        listening = await loop.create_server(answering, sock=self._listener)
        self._loop, self._end = loop, end.set
        self._hub.connect(loop)
        self._ready.set()
        try:
            await end.wait()
        finally:
            listening.close()
            await runner.cleanup()


def _logger() -> logging.Logger:
    """Return the logger of aiohttp's server."""
    logger = logging.getLogger(_LOGGER)
    logger.addFilter(_is_ours)  # the same one is not added twice
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    """Return whether a failure is not the sender's, who broke off or sent what is no request or body."""
    from aiohttp import web
    from aiohttp.http import HttpProcessingError

    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, ConnectionError | web.RequestPayloadError | HttpProcessingError)


class _Refused(asyncio.Protocol):
    """Cuts off a connection above the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()
