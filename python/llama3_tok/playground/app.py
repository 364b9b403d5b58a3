"""The server of the page: for this machine alone, and for no other page in its browser.

It listens on 127.0.0.1. A request has to name this address in its `Host`, so a name of somebody
else's that points here (DNS rebinding) is refused; one that a page sends has to come from this page
(`Origin`, `Sec-Fetch-Site`), and to be JSON, which no form can send. Nothing is stored or sent on,
and the page may load nothing from elsewhere (its Content-Security-Policy). Bodies have a limit.

Starlette and Uvicorn do the HTTP: both are widely used and kept up, and a parser of requests is
nothing to write oneself.
"""

import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llama3_tok.errors import Llama3TokError
from llama3_tok.playground.views import Playground

__all__ = ["MAX_BODY", "application"]

MAX_BODY = 16 << 20
"""Bytes of a request: a text of some megabytes, also where JSON writes characters as escapes."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
# What decides whether a request is let in.
_READ = (b"host", b"origin", b"sec-fetch-site", b"content-type")
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
# The files of the page, each with the folder that has it.
_FILES = {
    "": ("llama3_tok.playground", "play.html"),
    "play.css": ("llama3_tok.playground", "play.css"),
    "play.js": ("llama3_tok.playground", "play.js"),
    "page.css": ("llama3_tok.page", "page.css"),
    "page.js": ("llama3_tok.page", "page.js"),
}


def application(playground: Playground, port: int) -> ASGIApp:
    """The whole as an ASGI application that is reached at `port`."""
    routes = [Route(f"/{name}", _file(*place)) for name, place in _FILES.items()]
    routes.append(Route("/about", _about(playground)))
    routes += [
        Route(f"/{name}", _view(view), methods=["POST"]) for name, view in playground.views.items()
    ]
    return _Guard(Starlette(routes=routes), port)


Endpoint = Callable[[Request], Awaitable[Response]]


def _file(folder: str, name: str) -> Endpoint:
    content = files(folder).joinpath(name).read_bytes()
    kind = _TYPES[name.rsplit(".", 1)[1]]

    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=kind)

    return endpoint


def _about(playground: Playground) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return JSONResponse(playground.about())

    return endpoint


def _view(view: Callable[[dict[str, Any]], dict[str, Any]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    # What is still on its way is not read.
                    reason = f"a request may have at most {MAX_BODY >> 20} MB"
                    return JSONResponse({"error": reason}, 413, {"connection": "close"})
        except ClientDisconnect:
            return _refusal(400, "nobody waits for the answer")
        try:
            asked = json.loads(body)
            if not isinstance(asked, dict):
                raise ValueError
        except (ValueError, RecursionError):
            return _refusal(400, "the request must be a JSON object")
        try:
            # In a thread: a long text does not keep the page's other requests waiting.
            return JSONResponse(await run_in_threadpool(view, asked))
        except (Llama3TokError, TypeError, ValueError, RecursionError) as error:
            return _refusal(400, str(error))
        except Exception as error:  # a fault of this program, which the page shows
            return _refusal(500, f"a fault of this program: {type(error).__name__}: {error}")

    return endpoint


def _refusal(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status)


class _Guard:
    """Lets in what this page asks, and sends headers that keep it to itself."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        hosts = ("127.0.0.1", "localhost")
        # A browser leaves out the port of HTTP.
        names = [f"{host}:{port}" for host in hosts] + list(hosts) * (port == 80)
        self._hosts = {name.encode() for name in names}
        self._origins = {f"http://{name}".encode() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # it has nothing else
            return

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        answer: ASGIApp = self._refused(scope) or self._app
        await answer(scope, receive, guarded_send)

    def _refused(self, scope: Scope) -> Response | None:
        """The answer to a request that is not from this page; None if it may be."""
        headers = [(name, value) for name, value in scope["headers"]]
        given: dict[bytes, bytes] = dict(headers)
        names = [name for name, _ in headers if name in _READ]
        if len(names) != len(set(names)):
            return _refusal(400, "a header stands twice")
        if given.get(b"host", b"").lower() not in self._hosts:
            return _refusal(403, "this server answers only to its own address, 127.0.0.1")
        if given.get(b"origin", next(iter(self._origins))) not in self._origins:
            return _refusal(403, "this request comes from another page")
        # "none" is a person who types the address.
        if given.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
            return _refusal(403, "this request comes from another page")
        if scope["method"] == "POST":
            kind = given.get(b"content-type", b"").split(b";")[0].strip().lower()
            if kind != b"application/json":
                return _refusal(415, "a request must be application/json")
        return None
