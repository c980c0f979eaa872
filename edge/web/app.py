"""The page's addresses: the page itself, live picture, events, state, still pictures, health."""

from __future__ import annotations

import asyncio
import base64
import json
import weakref
from collections.abc import Mapping
from concurrent.futures import Executor
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError
from edge.web.guard import HEADERS, Ask, Guard, cookie_name
from edge.web.hub import Hub
from edge.web.stills import MAX_BYTES, Stills
from edge.web.view import LiveView, Viewers

if TYPE_CHECKING:
    from aiohttp import web

WRITE_S = 10.0  # a viewer that takes nothing for so long is let go
BODY_S, CHUNK_S = 60.0, 10.0  # for a whole upload, and between two parts of it
STILLS_AT_ONCE = 2
_REPEAT_S = 1.0  # the last picture and state are said again: browsers show a picture when the next one begins
_EVENT_PAUSE_S = 0.1
_PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


class Pages:
    """Answers requests; of the event loop's thread alone."""

    def __init__(
        self,
        guard: Guard,
        hub: Hub,
        view: LiveView,
        stills: Stills,
        executor: Executor,
        most: int,
        about: Mapping[str, Any],
    ) -> None:
        """Put the parts together.

        Args:
            guard: decides who is answered.
            hub: the stream's newest reading.
            view: its picture.
            stills: reads pictures that are sent.
            executor: where they are read.
            most: viewers at once, of pictures and of events each.
            about: what does not change: model, settings, notices.
        """
        self._guard, self._hub, self._view, self._stills = guard, hub, view, stills
        self._executor, self._about = executor, about
        self.watching, self._listening = Viewers(most), Viewers(most)
        self._reading_stills = Viewers(STILLS_AT_ONCE)
        self._pictured: list[str] = []  # of each live picture that is being sent: which page asked for it
        self._open: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._closing = False

    def application(self) -> web.Application:
        """Return aiohttp's application."""
        from aiohttp import web

        @web.middleware
        async def checked(request: web.Request, handler: Any) -> web.StreamResponse:
            return await self._checked(request, handler)

        app = web.Application(middlewares=[checked])
        app.on_response_prepare.append(_add_headers)
        app.on_shutdown.append(self._shut)
        for path in _PAGE:
            app.router.add_get(path, self._page)
        app.router.add_get("/live.mjpg", self._live, allow_head=False)
        app.router.add_get("/api/events", self._events, allow_head=False)
        app.router.add_get("/api/state", self._state)
        app.router.add_get("/healthz", self._health)
        app.router.add_post("/api/image", self._image)
        return app

    async def _checked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        from aiohttp import web

        sent = request.headers
        host = sent.get("Host", "")  # as it came: aiohttp's own address of a request raises where it is no host
        refusal = self._guard.refusal(
            Ask(
                method=request.method,
                path=request.path,
                host=host,
                origin=sent.get("Origin", ""),
                fetch_site=sent.get("Sec-Fetch-Site", ""),
                fetch_mode=sent.get("Sec-Fetch-Mode", ""),
                authorization=sent.get("Authorization", ""),
                cookie=request.cookies.get(cookie_name(host), ""),
                query_token=request.query.get("token", ""),
            )
        )
        if refusal is not None:
            more = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
            return web.Response(status=refusal.status, text=refusal.text + "\n", headers=more)
        response: web.StreamResponse = await handler(request)
        return response

    async def _page(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        name, kind = _PAGE[request.path]
        content = files("edge.web").joinpath("page", name).read_bytes()
        response = web.Response(body=content, content_type=kind, charset="utf-8")
        if self._guard.token is not None and "token" in request.query:
            name = cookie_name(request.headers.get("Host", ""))
            response.set_cookie(name, self._guard.cookie, httponly=True, samesite="Strict", path="/")
        return response

    async def _health(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.json_response({"ok": True, "source": self._hub.source()["state"]})

    async def _state(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.json_response({**self._about, **self._now(), "seconds": self._hub.seconds()})

    def _now(self) -> dict[str, Any]:
        _, reading = self._hub.newest()
        return {
            "source": dict(self._hub.source()),
            "viewers": {"now": self.watching.now, "most": self.watching.most},
            "reading": None if reading is None else reading.to_dict(),
        }

    async def _live(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        with self.watching.one() as room:
            if not room:
                return _full(self.watching.most)
            response = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
            await response.prepare(request)
            number, sent = 0, b"--frame\r\n"
            page = request.query.get("page", "")
            self._pictured.append(page)
            try:
                while not self._closing and request.transport is not None:  # before the first frame nothing is written
                    number, jpeg = await self._view.newer(number, _REPEAT_S)
                    if jpeg:  # the boundary behind a picture is what lets a browser show it
                        head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
                        sent += head + jpeg + b"\r\n--frame\r\n"
                        if not await self._written(request, response, sent):
                            break
                        sent = b""
            finally:
                self._pictured.remove(page)
                if self.watching.now <= 1:
                    self._view.forget()
        return response

    async def _events(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        with self._listening.one() as room:
            if not room:
                return _full(self._listening.most)
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
            await response.prepare(request)
            second, changes = -1, -1
            while not self._closing:
                if self._hub.changes == changes:
                    await self._hub.bell.wait(_REPEAT_S)
                changes = self._hub.changes
                new = [entry for entry in self._hub.seconds() if entry["second"] > second]
                second = new[-1]["second"] if new else second
                pictured = request.query.get("page", "") in self._pictured
                text = json.dumps({**self._now(), "picture": pictured, "seconds": new}, allow_nan=False)
                if not await self._written(request, response, f"data: {text}\n\n".encode()):
                    break
                await asyncio.sleep(_EVENT_PAUSE_S)
        return response

    async def _written(self, request: web.Request, response: web.StreamResponse, content: bytes) -> bool:
        """Send a part; return whether the viewer took it. One that stalls or is gone is cut off."""
        transport = request.transport
        if transport is None:
            return False
        self._open.add(transport)
        try:
            async with asyncio.timeout(WRITE_S):
                await response.write(content)
        except (TimeoutError, ConnectionError):
            transport.abort()
            return False
        return True

    async def _image(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web
        from aiohttp.http import HttpProcessingError

        with self._reading_stills.one() as room:
            if not room:
                return _error(503, f"expected at most {STILLS_AT_ONCE} pictures at once; got one more; try again soon")
            try:
                content = await _body(request)
            except TimeoutError:
                return _error(408, f"expected a picture within {BODY_S:g} s; got a part of it; send it again")
            except ConnectionError:  # nobody is there to read the answer
                return _error(400, "expected a whole picture; got a part of it; send it again")
            except (web.RequestPayloadError, HttpProcessingError):
                return _error(400, "expected a body as its headers say; got another; send the picture as it is")
            if content is None:
                return _error(413, f"expected at most {MAX_BYTES:,} bytes; got more; scale the picture down")
            name = request.query.get("name", "upload")
            loop = asyncio.get_running_loop()
            try:
                found, jpeg = await loop.run_in_executor(self._executor, self._stills.read, content, name)
            except EdgeError as error:
                return _error(422, str(error))
        if "picture" in request.query:
            found = {"reading": found, "picture": f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"}
        elif request.headers.get("Accept", "").startswith("image/"):
            return web.Response(body=jpeg, content_type="image/jpeg")
        return web.json_response(found)

    async def _shut(self, app: web.Application) -> None:
        """End the streams, those too whose viewers take nothing."""
        self._closing = True
        self._hub.bell.ring()
        for transport in list(self._open):
            transport.abort()


async def _body(request: web.Request) -> bytes | None:
    """Return a request's body; None where it is above `MAX_BYTES`, announced or not.

    Raises:
        TimeoutError: it comes too slowly.
        ConnectionError: the sender is gone.
        aiohttp.web.RequestPayloadError: it is not encoded as the headers say; likewise HttpProcessingError.
    """
    if (request.content_length or 0) > MAX_BYTES:
        return None
    parts: list[bytes] = []
    size = 0
    async with asyncio.timeout(BODY_S):
        while True:
            async with asyncio.timeout(CHUNK_S):
                part = await request.content.readany()
            if not part:
                return b"".join(parts)
            size += len(part)
            if size > MAX_BYTES:
                return None
            parts.append(part)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _full(most: int) -> web.Response:
    from aiohttp import web

    return web.Response(
        status=503, text=f"expected at most {most} viewers; got one more; close another or see --viewers\n"
    )


def _error(status: int, text: str) -> web.Response:
    from aiohttp import web

    return web.json_response({"error": text}, status=status)
