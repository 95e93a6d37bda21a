"""A load of chat completions over raw sockets: many at once, some hung up at a chosen moment; what each caller saw is kept.

Rule: a shot is sent once and never retried, so that what the caller saw can be held against what the provider and the books saw.
Strategy: one asyncio connection per worker, kept as long as the server keeps it; an answer is read to the end of its framing.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

ANSWER_S_MAX = 30.0
_COST = re.compile(rb'"cost":([0-9.eE+-]+)')
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_GEN_ID = re.compile(rb"x-generation-id: (gen-\w+)", re.IGNORECASE)


@dataclass
class Shot:
    """One request: its body, and after how many seconds its caller hangs up (None: never)."""

    name: str
    key: str
    body: bytes
    hang_up_s: float | None = None

    def wire(self) -> bytes:
        return (
            b"POST /api/v1/chat/completions HTTP/1.1\r\nhost: edge\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %s\r\nx-request-id: %s\r\ncontent-length: %d\r\n\r\n%s"
        ) % (self.key.encode(), self.name.encode(), len(self.body), self.body)


@dataclass
class Seen:
    """What the caller saw. `status` 0: the connection failed before a head; `is_whole`: the answer came to its end."""

    shot: Shot
    status: int = 0
    gen_id: str = ""
    cost_nano: int | None = None
    is_whole: bool = False
    has_hung_up: bool = False
    seconds: float = 0.0
    body: bytes = b""
    problem: str = ""


def shot(name: str, key: str, model: str, *, stream: bool, hang_up_s: float | None = None, **more: Any) -> Shot:
    """A request for `model` whose `user` member carries the shot's name to the provider."""
    value = {"model": model, "messages": [{"role": "user", "content": "Say hello."}], "user": name, "stream": stream} | more
    return Shot(name, key, json.dumps(value).encode(), hang_up_s)


class _Line:
    """One caller's connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def fire(self, shot: Shot) -> Seen:
        seen = Seen(shot)
        started_s = time.perf_counter()
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            self._streams[1].write(shot.wire())
            async with asyncio.timeout(ANSWER_S_MAX if shot.hang_up_s is None else shot.hang_up_s):
                await self._read(self._streams[0], seen)
        except TimeoutError:
            assert shot.hang_up_s is not None, f"no answer to {shot.name} within {ANSWER_S_MAX} s"
            seen.has_hung_up = True
            self.close()
        except (OSError, EOFError) as problem:
            seen.problem = repr(problem)
            self.close()
        seen.seconds = time.perf_counter() - started_s
        return seen

    async def _read(self, reader: asyncio.StreamReader, seen: Seen) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.status = int(head[9:12])
        if found := _GEN_ID.search(head):
            seen.gen_id = found[1].decode()
        if length := _LENGTH.search(head):
            body = await reader.readexactly(int(length[1]))
        else:
            body = await reader.readuntil(b"\r\n0\r\n\r\n")
        costs = _COST.findall(body)
        if costs:
            seen.cost_nano = int(Decimal(costs[-1].decode()) * 1_000_000_000)
        seen.body = body if seen.status != 200 or b'"error":' in body else b""
        seen.is_whole = seen.status == 200 and not seen.body
        if b"connection: close" in head.lower():
            self.close()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def fire(port: int, shots: Iterable[Shot], at_once: int) -> list[Seen]:
    """Fire all shots, `at_once` at a time; what each caller saw, in the order of the ends."""
    waiting: Iterator[Shot] = iter(shots)
    seen: list[Seen] = []

    async def work() -> None:
        line = _Line(port)
        for each in waiting:
            seen.append(await line.fire(each))
        line.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
    return seen
