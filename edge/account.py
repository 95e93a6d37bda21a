"""The account endpoints as an edge serves them: what it has not shipped yet goes first, then the centre answers.

Rule: the caller's own key is what the centre checks; this node's token opens nobody's history. Strategy: with an embedded
collector its routes are mounted behind `Fresh`; with one elsewhere `Forward` passes the request on.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from edge.reply import send_refusal, send_whole
from routing.refusal import Refusal
from usage.flavor import flavor_of

CROSSING = frozenset((b"authorization", b"x-api-key", b"api-key", b"x-request-id"))
"""What the collector gets of a caller's headers."""
RETURNING = (b"content-type", b"retry-after", b"www-authenticate")
FRESH_S = 1.0
FORWARD_TIMEOUT_S = 10.0
Flush = Callable[[float], Awaitable[Any]]


class Fresh:
    """An application whose answers include everything that this edge has settled, if the centre can be reached in a second."""

    def __init__(self, app: ASGIApp, flush: Flush) -> None:
        self._app = app
        self._flush = flush

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._flush(FRESH_S)
        await self._app(scope, receive, send)


class Forward:
    """Passes GET requests on to the collector at `base_url`."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._client: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(base_url=self._base_url, timeout=FORWARD_TIMEOUT_S, trust_env=False)
        headers = [(name, value) for name, value in scope["headers"] if name in CROSSING]
        query = scope["query_string"].decode("latin-1")
        try:
            answer = await self._client.get(scope["path"] + (f"?{query}" if query else ""), headers=headers)
        except httpx.HTTPError:
            await send_refusal(
                send,
                Refusal(503, "collector_unreachable", "the account cannot be read right now", retry_after_s=1.0),
                flavor_of(scope["path"]),
                [],
            )
            return
        kept = [(name, answer.headers[name.decode()].encode()) for name in RETURNING if name.decode() in answer.headers]
        await send_whole(send, answer.status_code, kept, answer.content)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
