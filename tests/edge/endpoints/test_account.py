"""What is asked of an account and goes on to the collector: whole, or not at all."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from edge.endpoints.account import Forward

pytestmark = pytest.mark.anyio
HALF: Message = {"type": "http.request", "body": b"{", "more_body": True}


@pytest.mark.parametrize(
    ("rest", "arrived"),
    [({"type": "http.request", "body": b"}", "more_body": False}, [b"{}"]), ({"type": "http.disconnect"}, [])],
    ids=["whole", "left"],
)
async def test_body_goes_on_when_it_is_whole(rest: Message, arrived: list[bytes]) -> None:
    """Of a caller who leaves before its end the collector hears nothing: a part of a body is another request."""
    bodies: list[bytes] = []

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        bodies.append(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    messages, sent = [HALF, rest], list[Message]()

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    server = await asyncio.start_server(collect, "127.0.0.1", 0)
    forward = Forward(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/keys", "query_string": b"", "headers": []}
    try:
        await forward(scope, receive, send)
    finally:
        await forward.aclose()
        server.close()
    assert bodies == arrived
    assert bool(sent) is bool(arrived)
