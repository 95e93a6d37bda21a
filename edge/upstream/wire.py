"""One connection to a provider: what its transport calls, and the writing of requests.

Rule: a connection is used again only when request and response are both complete, the response said so, and nothing followed it.
Every doubt closes it.
Strategy: no task and no timer. A small request is one write; a large body goes in pieces, each when the one before has left.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

from edge.upstream import Header
from edge.upstream.early_answer import EarlyAnswer
from edge.upstream.exchange import WireExchange
from edge.upstream.poller import Poller
from edge.write_batch import WriteBatch
from routing.failures.failure import Kind, Source

PIECE_BYTES = 65_536
_KEEPALIVE_TIMEOUT = re.compile(rb"(?i)\btimeout=(\d{1,9})")


class ConnectionOwner(Protocol):
    """Who keeps idle connections, and wants to know of lost ones. `write_batch`: what requests are written through."""

    write_batch: WriteBatch

    def park(self, connection: "UpstreamConnection") -> None: ...

    def forget(self, connection: "UpstreamConnection") -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """The transport's side: passes bytes to the exchange under way; idle, takes any sign of life for the end."""

    __slots__ = (
        "born_s",
        "drained",
        "early_answer",
        "exchange",
        "idle_limit_s",
        "idle_since_s",
        "is_lost",
        "is_writing",
        "loop",
        "on_first_release",
        "owner",
        "poller",
        "transport",
        "uses",
        "wrote_s",
    )

    transport: asyncio.Transport
    poller: Poller
    """Knows what the kernel knows and the loop has not told yet: of an idle connection, its end."""

    def __init__(self, owner: ConnectionOwner, loop: asyncio.AbstractEventLoop, idle_limit_s: float) -> None:
        self.owner = owner
        self.loop = loop
        self.idle_limit_s = idle_limit_s
        self.born_s = self.idle_since_s = self.wrote_s = loop.time()
        self.exchange: WireExchange | None = None
        self.drained: asyncio.Future[None] | None = None
        self.on_first_release: Callable[[], None] | None = None
        self.early_answer: EarlyAnswer | None = None
        self.is_lost = False
        self.is_writing = False
        self.uses = 0

    def __repr__(self) -> str:
        state = "lost" if self.is_lost else "idle" if self.exchange is None else "busy"
        return f"<Connection {state}, {self.uses} uses>"

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.poller = Poller(transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.close()
        else:
            exchange.feed(data)

    def eof_received(self) -> None:
        if self.exchange is not None:
            self.exchange.end(None)
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self.owner.forget(self)
        if self.early_answer is not None and exc is not None:
            self._salvage(self.early_answer)
        if self.exchange is not None:
            self.exchange.end(exc)
        self._close_early_answer()
        self.resume_writing()

    def pause_writing(self) -> None:
        if self.drained is None:
            self.drained = self.loop.create_future()

    def resume_writing(self) -> None:
        drained = self.drained
        if drained is not None:
            self.drained = None
            self.wrote_s = self.loop.time()
            if not drained.done():
                drained.set_result(None)

    # What exchanges call.

    def start(self, head: bytes, body: Sequence[bytes | memoryview]) -> WireExchange:
        """Begin an exchange by writing a small request, at the end of the turn."""
        self.uses += 1
        exchange = self.exchange = WireExchange.on(self)
        self.owner.write_batch.write(self.transport, b"".join((head, *body)), exchange)
        return exchange

    async def start_large(self, head: bytes, body: Sequence[bytes | memoryview]) -> WireExchange:
        """Begin an exchange by writing piece after piece, no faster than the provider takes them, until it answers."""
        self.uses += 1
        exchange = self.exchange = WireExchange.on(self)
        self.is_writing = True
        self.wrote_s = self.loop.time()
        with contextlib.suppress(OSError):
            self.early_answer = EarlyAnswer(self.transport)
        try:
            batch = self.owner.write_batch
            batch.write(self.transport, head, exchange)
            batch.end()
            for piece in pieces(body):
                if exchange.has_answer or self.is_lost:
                    exchange.spoil()
                    break
                self.transport.write(piece)
                if self.drained is not None:
                    await self.drained
        except asyncio.CancelledError:
            exchange.abort()
            raise
        finally:
            self.is_writing = False
        return exchange

    def release(self, is_reusable: bool, headers: list[Header]) -> None:
        """The exchange is complete."""
        self.exchange = None
        self._close_early_answer()
        if self.uses == 1:
            self._learn(headers)
        if is_reusable and not self.is_writing:
            self.owner.park(self)
        else:
            self.close()

    def give_up(self) -> None:
        """The pool is closing."""
        if self.exchange is not None:
            self.exchange.abort()
        self.close()

    def stall(self) -> None:
        """The provider takes no more of a large body."""
        if self.exchange is not None:
            self.exchange.fail(Kind.TIMEOUT_IDLE, Source.UPSTREAM, "the request body was not taken")

    def _learn(self, headers: list[Header]) -> None:
        """What the first response tells about the connection."""
        if self.on_first_release is not None:
            self.on_first_release()
            self.on_first_release = None
        for name, value in headers:
            if name == b"keep-alive" and (hint := _KEEPALIVE_TIMEOUT.search(value)):
                self.idle_limit_s = min(self.idle_limit_s, int(hint[1]) - 1.0)

    def close(self) -> None:
        """Close at once. Not `transport.close()`: that waits for unsent bytes and for the peer's TLS farewell."""
        self.exchange = None
        self.is_lost = True
        self._close_early_answer()
        self.transport.abort()
        self.resume_writing()

    def _salvage(self, early_answer: EarlyAnswer) -> None:
        for data in early_answer.remains():
            if self.exchange is not None:
                self.exchange.feed(data)

    def _close_early_answer(self) -> None:
        if self.early_answer is not None:
            self.early_answer.close()
            self.early_answer = None


def pieces(body: Sequence[bytes | memoryview]) -> Iterator[memoryview]:
    for part in body:
        view = memoryview(part)
        for start in range(0, len(view), PIECE_BYTES):
            yield view[start : start + PIECE_BYTES]
