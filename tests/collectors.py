"""A scripted collector: an honest collector in memory behind a link whose faults a test switches on.

`ScriptedCollector(in_memory)` answers like the collector. `is_reachable = False` makes every call fail; `replies_lost = n` lets
the next n calls be carried out and loses their answers; `gate` (an asyncio.Event) holds calls back until it is set; `seen` is
every message in the order it came.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from tests.memory_collector import MemoryCollector
from usage.protocol import (
    Ack,
    Acquire,
    Acquired,
    Batch,
    Boot,
    Booted,
    Close,
    Closed,
    Poll,
    Polled,
    Refused,
    Return,
    Returned,
    Unreachable,
)

M = TypeVar("M")
A = TypeVar("A")


class ScriptedCollector:
    """Implements usage.protocol.Collector."""

    def __init__(self, in_memory: MemoryCollector | None = None) -> None:
        self.in_memory = in_memory or MemoryCollector()
        self.is_reachable = True
        self.replies_lost = 0
        self.gate: asyncio.Event | None = None
        self.refusal: Refused | None = None
        self.seen: list[Any] = []

    def of(self, kind: type[M]) -> list[M]:
        """The messages of one kind that came."""
        return [message for message in self.seen if isinstance(message, kind)]

    async def boot(self, message: Boot) -> Booted:
        return await self._answer(message, self.in_memory.boot)

    async def acquire(self, message: Acquire) -> Acquired:
        return await self._answer(message, self.in_memory.acquire)

    async def ingest(self, message: Batch) -> Ack:
        return await self._answer(message, self.in_memory.ingest)

    async def give_back(self, message: Return) -> Returned:
        return await self._answer(message, self.in_memory.give_back)

    async def close(self, message: Close) -> Closed:
        return await self._answer(message, self.in_memory.close)

    async def poll(self, message: Poll) -> Polled:
        return await self._answer(message, self.in_memory.poll)

    async def _answer(self, message: M, method: Callable[[M], A]) -> A:
        self.seen.append(message)
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if not self.is_reachable:
            raise Unreachable("the link is down")
        if self.refusal is not None:
            raise self.refusal
        answer = method(message)
        if self.replies_lost:
            self.replies_lost -= 1
            raise Unreachable("the answer was lost")
        return answer
