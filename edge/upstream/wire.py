"""One connection to a provider, speaking HTTP/1.1, and the exchanges that use it one after the other.

Rule: a connection is used again only when request and response are both complete, the response said so, and nothing followed it.
Every doubt closes it.
Strategy: the transport's callbacks feed a parser that lives as long as the response, and fills the reader's inbox. No task and
no timer.
Limits: a head of 64 KiB and 128 headers (Granian's and nginx's order of magnitude); the same 64 KiB for anything else that is
not body: interim responses, chunk extensions, trailers. At most about 128 KiB and one read of the socket wait unread.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

from httptools import HttpParserError, HttpResponseParser

from edge.upstream import Header
from edge.upstream.inbox import Inbox
from routing.failure import Kind, Source

HEAD_BYTES_MAX = 65_536
HEADERS_MAX = 128
UNREAD_BYTES_MAX = 131_072
PIECE_BYTES = 65_536
_KEEPALIVE_TIMEOUT = re.compile(rb"(?i)\btimeout=(\d{1,9})")


class Owner(Protocol):
    """Who keeps idle connections, and wants to know of lost ones."""

    def park(self, connection: "Connection") -> None: ...

    def forget(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """The transport's side: passes bytes to the exchange under way; idle, takes any sign of life for the end."""

    __slots__ = (
        "born_s",
        "drained",
        "exchange",
        "idle_limit_s",
        "idle_since_s",
        "is_lost",
        "is_writing",
        "loop",
        "on_first_release",
        "owner",
        "transport",
        "uses",
        "wrote_s",
    )

    transport: asyncio.Transport

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, idle_limit_s: float) -> None:
        self.owner = owner
        self.loop = loop
        self.idle_limit_s = idle_limit_s
        self.born_s = self.idle_since_s = self.wrote_s = loop.time()
        self.exchange: WireExchange | None = None
        self.drained: asyncio.Future[None] | None = None
        self.on_first_release: Callable[[], None] | None = None
        self.is_lost = False
        self.is_writing = False
        self.uses = 0

    def __repr__(self) -> str:
        state = "lost" if self.is_lost else "idle" if self.exchange is None else "busy"
        return f"<Connection {state}, {self.uses} uses>"

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

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
        if self.exchange is not None:
            self.exchange.end(exc)
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

    def start(self, head: bytes, body: Sequence[bytes | memoryview]) -> "WireExchange":
        """Begin an exchange by writing a small request at once."""
        self.uses += 1
        exchange = self.exchange = WireExchange(self)
        self.transport.write(b"".join((head, *body)))
        return exchange

    async def start_large(self, head: bytes, body: Sequence[bytes | memoryview]) -> "WireExchange":
        """Begin an exchange by writing piece after piece, no faster than the provider takes them, until it answers."""
        self.uses += 1
        exchange = self.exchange = WireExchange(self)
        self.is_writing = True
        self.wrote_s = self.loop.time()
        try:
            for piece in _pieces(head, body):
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
        self.transport.abort()
        self.resume_writing()


def _pieces(head: bytes, body: Sequence[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    yield head
    for part in body:
        view = memoryview(part)
        for start in range(0, len(view), PIECE_BYTES):
            yield view[start : start + PIECE_BYTES]


class WireExchange(Inbox):
    """The half that the connection and the parser write."""

    __slots__ = ("_connection", "_is_reusable", "_parser", "_quiet_bytes")

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection: Connection | None = connection
        self._is_reusable = True
        self._quiet_bytes = 0
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    @property
    def has_answer(self) -> bool:
        """Whether the rest of the request can no longer matter."""
        return self.is_whole or self.status >= 300

    # What the connection calls.

    def spoil(self) -> None:
        """The request was cut short: whatever the response says, the connection cannot be used again."""
        self._is_reusable = False

    def feed(self, data: bytes) -> None:
        self._quiet_bytes += len(data)
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            if not self.is_whole:
                self.fail(Kind.PROTOCOL, Source.UPSTREAM, str(error.__context__ or error))
                return
            self._is_reusable = False
        if self.is_whole:
            self._finish()
        elif self._quiet_bytes > HEAD_BYTES_MAX:
            self.fail(Kind.PROTOCOL, Source.UPSTREAM, "too many bytes that are not body")
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(True)
        elif self._connection is not None:
            self.unread_bytes += len(data)
            if self.unread_bytes > UNREAD_BYTES_MAX and not self.is_paused:
                self.is_paused = True
                self._connection.transport.pause_reading()

    def end(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        if self.is_whole or self.failure is not None:
            return
        if self.has_head and exc is None and not any(name in _FRAMED for name, _ in self.headers):
            self.is_whole = True
            self._is_reusable = False
            self._finish()
            self.wake(True)
        else:
            at = "in the body" if self.has_head else "before the head"
            self.fail(Kind.BROKEN, Source.UPSTREAM, f"connection lost {at}: {exc or 'end of file'}")

    def _finish(self) -> None:
        connection, self._connection, self._parser = self._connection, None, None
        assert connection is not None
        if self.is_paused:
            self.is_paused = False
            connection.transport.resume_reading()
        connection.release(self._is_reusable, self.headers)

    # What the inbox calls.

    def resume(self) -> None:
        if self._connection is not None:
            self._connection.transport.resume_reading()

    def drop(self) -> None:
        connection, self._connection, self._parser = self._connection, None, None
        if connection is not None:
            connection.close()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.is_whole:
            raise _Unacceptable("bytes after the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.has_head:
            return
        name = name.lower()
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise _Unacceptable("unknown transfer-encoding")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise _Unacceptable("protocol switched unasked")
            self.headers.clear()
            return
        if len(self.headers) > HEADERS_MAX:
            raise _Unacceptable("too many headers")
        if self._quiet_bytes > HEAD_BYTES_MAX and sum(len(n) + len(v) + 4 for n, v in self.headers) > HEAD_BYTES_MAX:
            raise _Unacceptable("head too large")
        self.status = status
        self.has_head = True
        connection = self._connection
        if connection is not None and connection.is_writing and self.has_answer:
            connection.resume_writing()

    def on_body(self, body: bytes) -> None:
        self._quiet_bytes = 0
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        if self.has_head:
            assert self._parser is not None
            self.is_whole = True
            self._is_reusable = self._is_reusable and self._parser.should_keep_alive()


_FRAMED = frozenset((b"content-length", b"transfer-encoding"))


class _Unacceptable(Exception):
    """Raised in a parser callback: well-formed, and still not what we take for a response."""
