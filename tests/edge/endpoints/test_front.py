"""From a path to an endpoint: what is decided about paths, queries and failures; tests/e2e/test_flavors.py has the answers."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.endpoints.front import EXCEPTION_HANDLERS, Front, PathEndpoint, has_key, tidy
from edge.relay.response.own import send_whole

pytestmark = pytest.mark.anyio
KEY = "sk_" + "live_" + "x" * 10


@pytest.mark.parametrize(
    ("path", "told"),
    [("/v1/models", "/v1/models"), ("/v1/models/", "/v1/models"), ("/v1//a///b//", "/v1/a/b"), ("/", "/"), ("//", "/")],
)
def test_path_tidied(path: str, told: str) -> None:
    """Slashes that mean nothing are left out."""
    assert tidy(path) == told


@pytest.mark.parametrize(
    ("query", "has_header", "found"),
    [
        ("key=abc", False, True),
        ("KEY=abc", False, True),
        ("api_key=", False, True),
        ("key=abc", True, False),
        (f"q={KEY}", True, True),
        (f"a=1&q=%73{KEY[1:]}", True, True),
        ("beta=true&api-version=2026", False, False),
        ("api_key_hash=abc", False, False),
    ],
)
def test_query_with_a_key(query: str, has_header: bool, found: bool) -> None:
    """Ours under any name, however it is escaped; another's only where no header has one."""
    headers = [(b"authorization", b"Bearer x")] if has_header else []
    assert has_key(query.encode(), headers) is found


Header = tuple[bytes, bytes]
HOST = (b"host", b"edge.test")


class Behind:
    """What stands behind a front; no browser may call."""

    def __init__(self, paid: Mapping[str, ASGIApp]) -> None:
        self.paid = paid

    def origins(self) -> tuple[str, ...]:
        return ()


def front(paid: Mapping[str, ASGIApp], routes: list[Route]) -> Front:
    return Front(Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS), Behind(paid))


async def call(router: Front, path: str, method: str = "GET", headers: tuple[Header, ...] = (HOST,)) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": method, "path": path, "query_string": b"", "root_path": ""}
    scope["headers"] = list(headers)
    await router(scope, receive, send)
    return sent


async def test_endpoint_that_fails() -> None:
    """The outer ring: a bug is a 500 in the API's words, without a traceback; once the head is out, the answer just ends."""

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret")

    async def fails_late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("secret")

    router = front({}, [Route("/v1/a", PathEndpoint(fails, "GET")), Route("/v1/b", PathEndpoint(fails_late, "GET"))])
    start, body = await call(router, "/v1/a")
    assert start["status"] == 500
    assert json.loads(body["body"])["error"]["code"] == "internal_error"
    assert b"secret" not in body["body"]
    assert [message["type"] for message in await call(router, "/v1/b")] == ["http.response.start"]


async def test_paid_path_is_answered_by_itself() -> None:
    """The paid endpoint gets the server's own `send`: nothing stands between."""
    seen: list[Any] = []

    async def chat(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(send)
        await send_whole(send, 200, [], b"{}")

    router = front({"/v1/chat/completions": chat}, [])
    assert dict((await call(router, "/v1/chat/completions", "POST"))[0]["headers"]) == {b"content-length": b"2"}
    assert seen[0].__qualname__ == "call.<locals>.send"
    assert (await call(router, "/v1/chat/completions", "GET"))[0]["status"] == 404


@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/v1/credits", "/v1/chat/completions", "/nowhere"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 400),
        ((HOST, HOST), 400),
        (((b"host", b"a b"),), 400),
        ((HOST, (b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")), 401),
        ((HOST, (b"authorization", b"Bearer a"), (b"x-api-key", b"b")), 401),
        ((HOST, *((b"x-a", b"1"),) * 64), 400),
        ((HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")), 400),
    ],
)
async def test_head_is_checked_on_every_path(path: str, headers: tuple[Header, ...], status: int) -> None:
    """What the paid path refuses before it looks further is refused everywhere."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await send_whole(send, 200, [], b"{}")

    router = front({}, [Route(path, PathEndpoint(served, "GET"))] if path != "/nowhere" else [])
    assert (await call(router, path, headers=headers))[0]["status"] == status
    assert (await call(router, path))[0]["status"] == (404 if path == "/nowhere" else 200)
