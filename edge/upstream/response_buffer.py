"""What of a response has arrived and waits to be read: the reader's half of every exchange.

Rule: what arrived is delivered before what went wrong. A failure, once there, stays.
Strategy: the reader takes what is there at once and makes a future only when nothing is; `poke` resolves that same future with
False.
Limits: one reader. The writer's half (a parser or a task) keeps `unread_bytes` within bounds by pausing; `read` resumes it.
"""

import asyncio
from collections.abc import Callable

import msgspec

from edge.upstream import Header
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source


class ResponseBuffer(msgspec.Struct, eq=False, weakref=True):
    """See `edge.upstream.Exchange` for what `head`, `read`, `poke` and `abort` promise."""

    loop: asyncio.AbstractEventLoop
    status: int = 0
    headers: list[Header] = []
    fields: dict[bytes, bytes] = {}
    has_head: bool = False
    is_whole: bool = False
    failure: Failure | None = None
    chunks: list[bytes] = []
    unread_bytes: int = 0
    is_paused: bool = False
    sink: Callable[[bytes], bool] | None = None
    waiter: "asyncio.Future[bool] | None" = None
    """There while the reader waits and nobody has woken it."""

    def __repr__(self) -> str:
        state = "failed" if self.failure else "whole" if self.is_whole else "in its body" if self.has_head else "waiting"
        return f"<{type(self).__name__} {state}, status {self.status}>"

    async def head(self) -> bool:
        try:
            while not self.has_head:
                if self.failure is not None:
                    raise AttemptFailed(self.failure)
                if not await self._news():
                    return False
        except asyncio.CancelledError:
            self._give_up()
            raise
        return True

    async def read(self) -> bytes | None:
        chunks = self.chunks
        try:
            while not chunks:
                if self.failure is not None:
                    raise AttemptFailed(self.failure)
                if self.is_whole:
                    return b""
                if not await self._news():
                    return None
        except asyncio.CancelledError:
            self._give_up()
            raise
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.unread_bytes = 0
        if self.is_paused:
            self.is_paused = False
            self.resume()
        return data

    def poke(self) -> None:
        self.wake(False)

    def abort(self) -> None:
        if not self.is_whole:
            self.chunks.clear()
            self.fail(Kind.ABORTED, Source.PROXY, "given up")

    def fail(self, kind: Kind, source: Source, detail: str, sent: Sent = Sent.REQUEST) -> None:
        """End the exchange, and its connection with it. The first failure counts."""
        if self.failure is None and not self.is_whole:
            self.failure = Failure(kind, source, sent, detail=detail)
            self.drop()
            self.wake(True)

    def wake(self, is_news: bool) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(is_news)

    def resume(self) -> None:
        """The reader has caught up with a paused writer's half."""
        raise NotImplementedError

    def drop(self) -> None:
        """Close the connection of this failed exchange."""
        raise NotImplementedError

    def _news(self) -> "asyncio.Future[bool]":
        """What the reader awaits: whether something came."""
        assert self.waiter is None, "one reader at a time"
        # Not the running loop: to ask which that is costs a system call.
        self.waiter = waiter = self.loop.create_future()
        return waiter

    def _give_up(self) -> None:
        """The reader was cancelled."""
        self.waiter = None
        self.abort()
