"""What one hostile caller can do with a few connections, each kind as it was seen or thought of. All of it ends with its time."""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tests.hostile.beside import Target, chat
from usage import key as keys

MIB = 1 << 20
LARGE = 32 * MIB


async def _all(count: int, one: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """`count` attackers at once; one whose connection is refused or cut is done."""

    async def quietly() -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await one()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(quietly())


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


async def _say(target: Target, data: bytes) -> None:
    """Send, and take whatever comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        writer.write(data)
        await _drain(reader)
    finally:
        writer.close()


async def _again_and_again(target: Target, data: Callable[[], bytes]) -> None:
    """On one connection after another."""
    while True:
        with contextlib.suppress(OSError):
            await _say(target, data())


async def _hold(target: Target, data: bytes) -> None:
    """Send, and then nothing more, reading nothing."""
    _, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1)
    try:
        writer.write(data)
        await asyncio.Event().wait()
    finally:
        writer.transport.abort()


async def _trickle(target: Target, data: bytes, pause_s: float) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        for at in range(len(data)):
            writer.write(data[at : at + 1])
            await asyncio.sleep(pause_s)
    finally:
        writer.close()


async def pipelining(target: Target) -> None:
    """100 connections, each with 250 kB of 18-byte requests in one write."""
    await _all(100, lambda: _say(target, b"GET / HTTP/1.1\r\n\r\n" * 13_888))


async def pipelining_that_is_served(target: Target) -> None:
    """The same with requests that are answered."""
    await _all(100, lambda: _say(target, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 7_000))


async def silence(target: Target) -> None:
    """Connections that never say a word, opened anew when they are closed."""

    async def one() -> None:
        while True:
            await _say(target, b"")

    await _all(1_000, one)


async def slow_heads(target: Target) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 10_000
    await _all(500, lambda: _trickle(target, head, 0.1))


async def bodies_without_end(target: Target) -> None:
    """8 uploads of 32 MiB that lack one byte."""
    whole = chat(target.key, bytes(LARGE))[:-1]
    await _all(8, lambda: _hold(target, whole))


async def large_bodies(target: Target) -> None:
    """50 at once, of 32 MiB of one string."""
    body = json.dumps({"model": "echo/echo-1", "messages": [{"role": "user", "content": "x" * (LARGE - 200)}]}).encode()
    whole = chat(target.key, body, "Connection: close")
    await _all(50, lambda: _say(target, whole))


async def many_members(target: Target) -> None:
    """1 MiB of 116,501 members, of an account that has nothing."""
    members = ",".join(f'"{number:x}":0' for number in range(100_000))
    whole = chat(target.broke_key, b'{"model":"echo/echo-1","messages":[],' + members.encode() + b"}", "Connection: close")
    await _all(4, lambda: _again_and_again(target, lambda: whole))


async def many_parts(target: Target) -> None:
    """8 MiB of content parts."""
    parts = ",".join(['{"type":"text","text":""}'] * (8 * MIB // 26))
    body = f'{{"model":"echo/echo-1","messages":[{{"role":"user","content":[{parts}]}}]}}'.encode()
    whole = chat(target.broke_key, body, "Connection: close")
    await _all(2, lambda: _again_and_again(target, lambda: whole))


async def deep_bodies(target: Target) -> None:
    whole = chat(target.key, b'{"model":"echo/echo-1","messages":' + b"[" * MIB, "Connection: close")
    await _all(4, lambda: _again_and_again(target, lambda: whole))


async def tiny_chunks(target: Target) -> None:
    """A body of chunks of one byte."""
    head = chat(target.key, b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    await _all(20, lambda: _again_and_again(target, lambda: head + b"1\r\nx\r\n" * 200_000))


async def anonymous_account_reads(target: Target) -> None:
    """400 connections that ask for /credits without a key."""
    await _all(400, lambda: _say(target, b"GET /v1/credits HTTP/1.1\r\nHost: a\r\n\r\n" * 10_000))


async def invented_keys(target: Target) -> None:
    """Keys with a right checksum, each another one, on both kinds of paths."""

    def asked() -> bytes:
        made = [keys.mint(os.urandom(32))[0] for _ in range(50)]
        return b"".join(
            chat(key, b"{}") + f"GET /v1/key HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\r\n".encode() for key in made
        )

    await _all(50, lambda: _again_and_again(target, asked))


async def readers_of_nothing(target: Target) -> None:
    """Large answers that nobody takes."""
    await _all(200, lambda: _hold(target, b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n" * 500))


async def traceback_hunters(target: Target) -> None:
    """Paths and queries that a library may choke on."""
    bearer = f"Authorization: Bearer {target.key}\r\n"
    paths = (
        "/v1/credits%0A",
        "/v1/generation?id=" + "'" * 30_000,
        "/v1/generation?id=%00",
        "/v1/models/%ff",
        "/v1/activity?date=%F0",
    )
    data = "".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n{bearer}\r\n" for path in paths).encode()
    await _all(10, lambda: _again_and_again(target, lambda: data + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))


STREAM = json.dumps({"model": "echo/echo-1", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
WHOLE = STREAM.replace(b"true", b"false")


async def _ask_and_leave(target: Target, count: int, data: bytes, after_s: float) -> None:
    async def one() -> None:
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", target.port)
            writer.write(data)
            await asyncio.sleep(after_s)
            writer.transport.abort()

    await _all(count, one)


async def leavers(target: Target) -> None:
    """Ask for a stream, and leave at once."""
    await _ask_and_leave(target, 20, chat(target.key, STREAM) + b"G", 0.001)


async def leavers_of_whole_answers(target: Target) -> None:
    await _ask_and_leave(target, 20, chat(target.key, WHOLE), 0.001)


async def leavers_with_patience(target: Target) -> None:
    """Some of them are seen to leave when their answer has begun."""
    await _ask_and_leave(target, 100, chat(target.key, STREAM), 0.02)


async def paid_flood(target: Target) -> None:
    """200 connections that ask for one stream after another and read it all."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        while True:
            writer.write(chat(target.key, STREAM))
            await reader.readuntil(b"0\r\n\r\n")

    await _all(200, one)


async def paid_pipelines(target: Target) -> None:
    """200 connections, each with 300 paid requests in one write."""
    await _all(200, lambda: _again_and_again(target, lambda: chat(target.key, WHOLE) * 300))


ATTACKS: dict[str, Callable[[Target], Coroutine[Any, Any, None]]] = {
    function.__name__.replace("_", " "): function
    for function in (
        pipelining,
        pipelining_that_is_served,
        silence,
        slow_heads,
        bodies_without_end,
        large_bodies,
        many_members,
        many_parts,
        deep_bodies,
        tiny_chunks,
        anonymous_account_reads,
        invented_keys,
        readers_of_nothing,
        traceback_hunters,
        leavers,
        leavers_of_whole_answers,
        leavers_with_patience,
        paid_flood,
        paid_pipelines,
    )
}


async def mixed(target: Target, names: Sequence[str]) -> None:
    """All of these at once."""
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(ATTACKS[name](target))
