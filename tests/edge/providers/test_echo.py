"""The built-in provider works on everybody's event loop: what it makes for one request is bounded, and made in turns."""

import asyncio
import json
import tracemalloc
from typing import Any

import pytest

from edge.providers.echo import EchoExchange, EchoUpstream
from edge.providers.echo_bounds import SAID_CHARS_MAX
from edge.upstream import Target

pytestmark = pytest.mark.anyio
TARGET = Target(scheme="http", host="echo", port=0, connect_timeout_s=1.0)
LONG = "w " * SAID_CHARS_MAX
GEMINI = "/models/m:streamGenerateContent"


async def ask(path: str, **request: Any) -> EchoExchange:
    head = f"POST {path} HTTP/1.1\r\ncontent-type: application/json\r\n\r\n".encode()
    return await EchoUpstream().open(TARGET, head, [json.dumps({"model": "m", **request}).encode()])


async def all_of(exchange: EchoExchange) -> list[bytes]:
    pieces = []
    while piece := await exchange.read():
        pieces.append(piece)
    return pieces


STREAMS = [
    ("/chat/completions", {"messages": [{"role": "user", "content": LONG}], "stream": True}),
    ("/chat/completions", {"messages": [{"role": "user", "content": LONG}], "stream": True, "n": 128}),
    ("/completions", {"prompt": LONG, "max_tokens": 1_000_000, "stream": True}),
    (GEMINI, {"contents": [{"parts": [{"text": LONG}]}]}),
]


@pytest.mark.parametrize(("path", "request_of"), STREAMS)
async def test_stream_is_made_event_by_event(path: str, request_of: dict[str, Any]) -> None:
    """Before the first is read no more than the text is held; between two events others have a turn of the loop."""
    tracemalloc.start()
    try:
        exchange = await ask(path, **request_of)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * SAID_CHARS_MAX
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(others())
    for _ in range(1_000):
        assert await exchange.read()
    beside.cancel()
    assert turns >= 900
    exchange.abort()
    assert await exchange.read() == b""


@pytest.mark.parametrize(("path", "request_of"), STREAMS)
async def test_answer_to_a_long_text_is_bounded(path: str, request_of: dict[str, Any]) -> None:
    """In all choices together."""
    pieces = await all_of(await ask(path, **request_of))
    assert SAID_CHARS_MAX / 2 <= len(pieces) <= SAID_CHARS_MAX / 2 + 300


@pytest.mark.parametrize(
    ("path", "request_of"),
    [
        ("/embeddings", {"input": ["x"] * 33, "dimensions": 4_096}),
        ("/embeddings", {"input": ["x"] * 2_049}),
        ("/embed", {"texts": ["x"] * 2_049}),
        ("/models/m:batchEmbedContents", {"requests": [{"content": {"parts": []}}] * 2_049}),
        ("/moderations", {"input": ["x"] * 2_049}),
        ("/rerank", {"query": "a", "documents": ["a"] * 2_049}),
        ("/images/generations", {"prompt": "x", "n": 11}),
    ],
)
async def test_what_would_take_long_is_refused(path: str, request_of: dict[str, Any]) -> None:
    """With a sentence that says how much may be asked for."""
    exchange = await ask(path, **request_of)
    assert exchange.status == 400
    assert b"echo makes at most" in (await exchange.read() or b"")


@pytest.mark.parametrize("said", ["one", "one two", " one", "one  two ", "", " "])
async def test_words_are_said_with_their_spaces(said: str) -> None:
    """Streamed it is what was said, and the last piece is the goodbye."""
    pieces = await all_of(await ask("/chat/completions", messages=[{"role": "user", "content": said}], stream=True))
    assert pieces.pop() == b"data: [DONE]\n\n"
    choices = [json.loads(piece[6:])["choices"] for piece in pieces]
    assert "".join(choice[0]["delta"].get("content", "") for choice in choices if choice) == (said or "(nothing)")
