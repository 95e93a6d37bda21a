"""From a path to who answers it, and what all answers that are not a paid one have in common.

Rule: whatever is answered here is answered in the words of the API that was called (`routing.surfaces.errors`), with an
`x-request-id`, and never with a redirect: behind a load balancer we do not know under which address we were called. Rule: a head
that is refused on the paid path (no Host, two credentials) is refused on every path.
Strategy: the paid path is one look-up; everything else, and every browser where origins are configured, takes the long way.
"""

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.endpoints.cors import Cors, Origins, origin_of
from edge.relay.ids import IdGenerator
from edge.relay.response.own import REQUEST_ID, Headers, send_refusal, send_whole
from routing.plan.refusal import Refusal
from routing.surfaces import ALL_BASES
from routing.surfaces.errors import error_at
from routing.table.problem import nearest
from routing.wire.headers import KEY_HEADERS, own_request_id, validate
from usage.flavor import BASES, Flavor

log = logging.getLogger("tollway.router")

_KEY_PREFIX = "sk_live_"
_KEY_NAMES = frozenset(("key", "api_key", "api-key", "apikey", "access_token", "x-api-key"))
_CREDENTIALS = frozenset((b"authorization", *KEY_HEADERS))
_KEY_IN_URL = Refusal(
    401,
    "invalid_api_key",
    "a key in the URL is not taken, because URLs are logged: send it in the header `Authorization: Bearer sk_live_...`"
    " or `x-api-key`, and replace a key that was sent this way",
)


_FAILED = Refusal(500, "internal_error", "this edge failed; the request id helps to find out why")


class PathEndpoint:
    """An ASGI endpoint and the methods it takes; with another one the answer is 405 and names them."""

    def __init__(self, app: ASGIApp, *methods: str) -> None:
        self._app = app
        self.methods = methods
        self._allow = (b"allow", ", ".join((*methods, "HEAD") if "GET" in methods else methods).encode() + b", OPTIONS")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if method in self.methods or (method == "HEAD" and "GET" in self.methods):
            await self._app(scope, receive, send)
        elif method == "OPTIONS":
            await send_whole(send, 204, [self._allow], b"")
        else:
            message = f"{method} is not possible at {scope['path']}; send {' or '.join(self.methods)}"
            await send_refusal(send, Refusal(405, "method_not_allowed", message), scope, [self._allow])


class FrontOwner(Protocol):
    """What stands behind the front (`edge.process`)."""

    paid: Mapping[str, ASGIApp]

    def origins(self) -> Origins: ...


class Front:
    """The application as a server sees it: `app` behind what all answers have in common, and the paid paths beside it."""

    def __init__(self, app: ASGIApp, owner: FrontOwner) -> None:
        self.app = app
        self._owner = owner
        self._ids = IdGenerator()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        paid = self._owner.paid.get(scope["path"]) if scope["method"] == "POST" else None
        if paid is None or scope["query_string"] or self._owner.origins():
            return self._answer(scope, receive, send)
        return paid(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The long way."""
        request_id = own_request_id(scope["headers"]) or "req-" + self._ids.draw()
        scope = {**scope, REQUEST_ID: request_id}
        reply = Reply(send, [(b"x-request-id", request_id.encode())])
        is_api = scope["path"].startswith(ALL_BASES)
        cors = Cors(origin_of(scope["headers"]), self._owner.origins()) if is_api else None
        if cors is not None:
            reply.headers += cors.headers()
        if cors is not None and cors.origin is not None:
            if scope["method"] == "OPTIONS" and cors.is_preflight(scope["headers"]):
                await cors.answer_preflight(scope, reply.send)
                return
            # Answers go through `send` alone, so that none can miss the headers.
            scope = {**scope, "extensions": {}}
        try:
            arrival = validate(scope["headers"], http_version=scope.get("http_version", "1.1"))
            if isinstance(arrival, Refusal):
                await send_refusal(reply.send, arrival, scope, [])
                return
            if is_api and scope["query_string"] and has_key(scope["query_string"], scope["headers"]):
                await send_refusal(reply.send, _KEY_IN_URL, scope, [])
                return
            if not scope["path"].isprintable():
                # Starlette's patterns end with `$`, which lets one line feed pass.
                message = missing_message(scope["method"], scope["path"], ())
                await send_refusal(reply.send, Refusal(404, "not_found", message), scope, [])
                return
            path = tidy(scope["path"]) if is_api else scope["path"]
            await self.app(scope if path == scope["path"] else {**scope, "path": path}, receive, reply.send)
        except Exception:
            # The outer ring: what we did not foresee is answered plainly, and never with a traceback.
            log.exception("request %s failed", request_id)
            if not reply.has_begun:
                await send_refusal(reply.send, _FAILED, scope, [])


async def not_found(request: Request, problem: Exception) -> Response:
    """404, with what there is."""
    served = [
        (method, route.path)
        for route in request.app.routes
        if isinstance(route, Route) and isinstance(route.endpoint, PathEndpoint)
        for method in route.endpoint.methods
    ]
    path: str = request.scope["path"]
    refusal = Refusal(404, "not_found", missing_message(request.method, path, served))
    return refused(request, refusal)


async def failed(request: Request, problem: Exception) -> Response:
    """500 for what we did not foresee; `Front` logs it."""
    return refused(request, _FAILED)


def refused(request: Request, refusal: Refusal) -> Response:
    """A refusal in the words of whoever calls at that path."""
    scope = request.scope
    told = error_at(scope["path"], scope["headers"], refusal, scope.get(REQUEST_ID, ""))
    headers = {name.decode(): value.decode() for name, value in told.headers}
    return Response(told.body, told.status, headers, "application/json")


EXCEPTION_HANDLERS = {404: not_found, Exception: failed}
"""For Starlette's `exception_handlers`: in the words of the API that was called."""


class Reply:
    """The answer to one request: `headers` that it has when it brings none of these names itself."""

    def __init__(self, send: Send, headers: Headers) -> None:
        self._send = send
        self.headers = headers
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            given = list(message.get("headers", ()))
            names = {name for name, _ in given}
            message = {**message, "headers": given + [header for header in self.headers if header[0] not in names]}
        await self._send(message)


def tidy(path: str) -> str:
    """The path without slashes that mean nothing: base addresses are often written with one at the end."""
    if "//" not in path and not path.endswith("/"):
        return path
    return "/" + "/".join(part for part in path.split("/") if part)


def has_key(query: bytes, headers: Headers) -> bool:
    """Whether a query carries a key: one of ours under any name, or, where no header has any, what is named like one."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    if any(value.startswith(_KEY_PREFIX) for _, value in pairs):
        return True
    return any(name.lower() in _KEY_NAMES for name, _ in pairs) and _CREDENTIALS.isdisjoint(name for name, _ in headers)


def missing_message(method: str, path: str, served: Sequence[tuple[str, str]]) -> str:
    """Why there is nothing at a path, what there is, and what was probably meant."""
    api = [(verb, where) for verb, where in served if where.startswith(BASES)]
    meant = _meant(path, [where for _, where in api])
    guess = f" Did you mean {meant}?" if meant is not None else ""
    base = Flavor.OPENAI.value
    there = ", ".join(f"{verb} {where}" for verb, where in api if where.startswith(base + "/"))
    return (
        f"{method} {path[:200]} is not served by this proxy.{guess} It serves {there}, and the same under /api/v1."
        f" Set the base URL of OpenAI's clients to https://HOST/v1, that of OpenRouter's to https://HOST/api/v1."
    )


def _meant(path: str, served: Sequence[str]) -> str | None:
    """The served path that ends as this one does (a base address that is too short, or there twice), or is spelled like it."""
    last = tidy(path)
    for base in BASES:
        _, found, rest = last.rpartition(base + "/")
        last = "/" + rest if found else last
    wanted = (Flavor.OPENROUTER if path.startswith("/api") else Flavor.OPENAI).value
    plain = [where for where in served if "{" not in where and where.startswith(wanted + "/")]
    return wanted + last if wanted + last in plain else nearest(wanted + last, plain)
