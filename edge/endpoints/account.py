"""The account endpoints as an edge serves them: what it has not shipped yet goes first, then the collector answers.

Rule: the caller's own key is what the collector checks; this node's token opens nobody's history. Rule: who has no usable key is
refused here, before anything is shipped or the collector asked (`Authenticated`), and an account reads a few things at once.
Strategy: with an embedded collector its routes are mounted behind `FlushFirst`; with one elsewhere `Forward` passes the request
on.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.auth.authenticator import Authenticator
from edge.auth.client_address import FailedAuthentications
from edge.collector_client.http import httpx_errors
from edge.relay.body import Budget, CallerLeft
from edge.relay.response.own import send_refusal
from routing.plan.refusal import Denied, Refusal
from routing.wire.headers import validate
from usage import key
from usage.flavor import below_base

CROSSING = frozenset(
    (
        *(b"authorization", b"x-api-key", b"api-key", b"x-request-id", b"content-type", b"accept", b"if-none-match"),
        *(b"idempotency-key", b"stripe-signature", b"origin", b"sec-fetch-site"),
    )
)
"""What the collector gets of a caller's headers."""
RETURNING = (
    *(b"content-type", b"retry-after", b"www-authenticate", b"etag", b"cache-control", b"vary", b"content-disposition"),
    *(b"location", b"allow", b"content-length"),
)
WITH_BODY = frozenset(("POST", "PATCH", "PUT", "DELETE"))
BODY_BYTES_MAX = 64 * 1024
OPEN_PATHS = ("/openapi.json", "/auth/keys", "/webhooks/stripe")
"""What needs no key: it is public, or proves itself in its body. All of these share one account's part of the reads."""
FRESH_S = 1.0
FORWARD_TIMEOUT_S = 10.0
QUERY_BYTES_MAX = 4_096
READS_MAX = 64
READS_SHARE = 0.125
"""One account may have an eighth of the reads that are free: each costs what a hundred refusals cost."""
Flush = Callable[[float], Awaitable[Any]]
_UNREADABLE = Refusal(503, "collector_unreachable", "the account cannot be read right now", retry_after_s=1.0)
_TOO_MANY = Refusal(429, "too_many_requests", "this account reads too many things at once; let some end", retry_after_s=1.0)


class Authenticated:
    """An application that is reached with a usable key alone. `authenticator`: that of the running epoch, None before it.

    A key that reads or manages an account is known to the collector only; here its shape and the deployment's mark are checked.
    """

    def __init__(self, app: ASGIApp, authenticator: Callable[[], Authenticator | None], failed: FailedAuthentications) -> None:
        self._app = app
        self._authenticator = authenticator
        self._failed = failed
        self._reads = Budget(READS_MAX, READS_SHARE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            account = await self._account_of(scope)
            if not self._reads.claim(account, 1):
                raise Denied(_TOO_MANY)
        except Denied as denied:
            if denied.refusal.status == 401:
                self._failed.count(scope, denied.refusal.message)
            await send_refusal(send, denied.refusal, scope, [])
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._reads.release(account, 1)

    async def _account_of(self, scope: Scope) -> str:
        if len(scope["query_string"]) > QUERY_BYTES_MAX:
            raise Denied(Refusal(400, "invalid_parameter", f"the query is longer than {QUERY_BYTES_MAX} bytes"))
        arrival = validate(scope["headers"], http_version=scope.get("http_version", "1.1"))
        if isinstance(arrival, Refusal):
            raise Denied(arrival)
        authenticator = self._authenticator()
        if authenticator is None:
            raise Denied(_UNREADABLE)
        if arrival.authorization is None and below_base(scope["path"]) in OPEN_PATHS:
            return "/"
        if arrival.authorization is not None and authenticator.is_account_key(arrival.authorization):
            return key.digest(arrival.authorization)
        return (await authenticator.policy_of(arrival)).account


class FlushFirst:
    """An application whose answers include everything that this edge has settled, if the collector can be reached in a second."""

    def __init__(self, app: ASGIApp, flush: Flush) -> None:
        self._app = app
        self._flush = flush

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._flush(FRESH_S)
        await self._app(scope, receive, send)


class Forward:
    """Passes requests on to the collector at `base_url`, and its answers back as they come."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._client: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(base_url=self._base_url, timeout=FORWARD_TIMEOUT_S, trust_env=False)
        try:
            body = await _read(receive) if scope["method"] in WITH_BODY else b""
        except CallerLeft:
            return
        if body is None:
            await send_refusal(send, Refusal(413, "too_large", f"a body has at most {BODY_BYTES_MAX} bytes here"), scope, [])
            return
        query = scope["query_string"].decode("latin-1")
        url = scope["path"] + (f"?{query}" if query else "")
        has_begun = False
        try:
            async with self._client.stream(scope["method"], url, headers=_crossing(scope), content=body) as answer:
                kept = [(name, answer.headers[name.decode()].encode()) for name in RETURNING if name.decode() in answer.headers]
                await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
                has_begun = True
                if scope["method"] != "HEAD":
                    async for chunk in answer.aiter_raw():
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except httpx.InvalidURL:
            refusal = Refusal(400, "invalid_parameter", "the path or the query cannot be passed on: it has characters no URL has")
            await send_refusal(send, refusal, scope, [])
        except httpx_errors():
            if has_begun:
                raise  # the caller sees a body that is cut off
            await send_refusal(send, _UNREADABLE, scope, [])

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None when it is too large. CallerLeft: it has not come whole."""
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if len(body) > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return bytes(body)
    raise CallerLeft


def _crossing(scope: Scope) -> list[tuple[bytes, bytes]]:
    """What the collector gets of the head. It does not see our host, so an origin that is ours is left out."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    host = next((value for name, value in headers if name == b"host"), b"")
    return [
        (name, value)
        for name, value in headers
        if name in CROSSING and not (name == b"origin" and value.partition(b"://")[2] == host)
    ]
