"""One request and its response as ASGI has them: what the application receives, and what becomes of what it sends.

Rule: a response is framed by its content-length, else by chunks, else (HTTP/1.0) by the end of the connection. One that does not
keep to what it announced ends the connection, so that the caller can tell.
Limits: a body waits unread up to `UNREAD_BYTES_MAX` and one read of the socket; then the caller waits.
"""

import asyncio
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Protocol

import msgspec
from starlette.types import Message

from edge.write_batch import WriteBatch

UNREAD_BYTES_MAX = 131_072
JOIN_BYTES_MAX = 65_536
"""Below this the parts of a write are joined; above, a copy costs more than a second system call."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_BODILESS = frozenset((204, 304))
_GONE: Message = {"type": "http.disconnect"}
Headers = Sequence[tuple[bytes, bytes]]


class Misframed(Exception):
    """The application's response is not what it announced: a bug of ours. The connection is closed."""


class Host(Protocol):
    """The server that a request came to, as far as its response needs it (`edge.downstream.server`)."""

    loop: asyncio.AbstractEventLoop
    write_batch: WriteBatch
    date: bytes
    is_stopping: bool


class Channel(Protocol):
    """The connection that a request came on, as far as it acts on it (`edge.downstream.connection`)."""

    transport: asyncio.Transport
    drained: "asyncio.Future[None] | None"
    hangs_up: bool

    @property
    def server(self) -> Host: ...

    def write(self, data: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def answered(self, request: "Request") -> None:
        """The response is written."""

    def ended(self, request: "Request") -> None:
        """The application has returned."""


class Request(msgspec.Struct, eq=False):
    """`is_complete`: all of it was read. `is_answered`: the response is written. `is_gone`: nobody listens any more."""

    connection: Channel
    is_head: bool
    is_old: bool
    """HTTP/1.0: no chunks."""
    keeps_alive: bool
    expects_continue: bool
    is_complete: bool = False
    unread: bytes | bytearray = b""
    """Of the body: what came and was not received yet. In one piece, for many small ones would take several times their size."""
    has_begun: bool = False
    is_answered: bool = False
    is_gone: bool = False
    on_leave: Callable[[], None] | None = None
    task: "asyncio.Task[None] | None" = None
    fed_bytes: int = 0
    """Of the body, that came so far."""
    _has_body: bool = True
    _takes_chunks: bool = False
    """A chunked response has begun, has not ended, and somebody listens."""
    _is_delivered: bool = False
    _left_bytes: int | None = None
    _start: Message | None = None
    _waiter: "asyncio.Future[None] | None" = None

    # What the connection calls.

    @property
    def says_no_more(self) -> bool:
        """Nothing follows what its connection has sent, and perhaps nobody listens."""
        return self.connection.hangs_up

    @property
    def is_full(self) -> bool:
        """More of the body waits than should."""
        return len(self.unread) > UNREAD_BYTES_MAX

    @property
    def is_streaming(self) -> bool:
        """A response without a length has begun and is not whole."""
        return self.has_begun and not self.is_answered and self._left_bytes is None

    def feed(self, data: bytes) -> None:
        """More of the body."""
        self.fed_bytes += len(data)
        unread = self.unread
        if not unread:
            self.unread = data
        elif isinstance(unread, bytearray):
            unread += data
        else:
            self.unread = bytearray(unread) + data
        if len(self.unread) > UNREAD_BYTES_MAX:
            self.connection.pause_reading()
        if self._waiter is not None:
            self._wake()

    def complete(self) -> None:
        """The body has come to its end."""
        self.is_complete = True
        if self._waiter is not None:
            self._wake()

    def leave(self) -> None:
        """The caller has gone."""
        self.is_gone = True
        self._takes_chunks = False
        if self.on_leave is not None:
            self.on_leave()
        if self._waiter is not None:
            self._wake()

    def forget_task(self) -> None:
        """The application has returned. What ended it may refer to us, by its traceback."""
        self.task = None

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What the application calls.

    async def receive(self) -> Message:
        """The next part of the body; behind its end, `http.disconnect` once the caller has gone or has its answer."""
        while True:
            if self.is_gone or (self._is_delivered and self.is_answered):
                return _GONE
            if self.is_answered and self.expects_continue:
                return _GONE  # whether its body follows cannot be known
            if not self._is_delivered and (self.unread or self.is_complete):
                return {"type": "http.request", "body": self._take(), "more_body": not self.is_complete}
            if self.expects_continue and not self._is_delivered and not self.has_begun:
                self.expects_continue = False
                self.connection.write(CONTINUE)
            self._waiter = self.connection.server.loop.create_future()
            await self._waiter

    def _take(self) -> bytes:
        unread, self.unread = self.unread, b""
        self._is_delivered = self.is_complete
        if len(unread) > UNREAD_BYTES_MAX:
            self.connection.resume_reading()
        return unread if isinstance(unread, bytes) else bytes(unread)

    async def send(self, message: Message) -> None:
        """Returns when the connection takes more. What is sent to a caller who has gone is nothing."""
        connection = self.connection
        if self._takes_chunks and message.get("more_body", False):
            body: bytes = message.get("body", b"")
            if body:
                connection.server.write_batch.write(connection.transport, b"%x\r\n%b\r\n" % (len(body), body))
            if connection.drained is not None:
                await connection.drained
            return
        if self.is_gone or self.is_answered:
            return
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._write(message.get("body", b""), message.get("more_body", False))
        if connection.drained is not None and not self.is_answered:
            await connection.drained

    def _write(self, body: bytes, more: bool) -> None:
        """What is not the middle of a chunked response."""
        head = self._begin(len(body), more) if self._start is not None else b""
        tail = b""
        if self._left_bytes is not None:
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (self._left_bytes and not more):
                raise Misframed(f"content-length is missed by {-self._left_bytes} bytes")
        elif self._takes_chunks:
            if body:
                head = b"%b%x\r\n" % (head, len(body))
                tail = b"\r\n"
            if not more:
                tail += LAST_CHUNK
        if not self._has_body:
            self.connection.write(head)
        elif len(body) < JOIN_BYTES_MAX:
            self.connection.server.write_batch.write(self.connection.transport, b"%b%b%b" % (head, body, tail))
        else:
            for part in (head, body, tail):
                if part:
                    self.connection.write(part)
        if not more:
            self.is_answered = True
            self._takes_chunks = False
            self.connection.answered(self)

    def _begin(self, body_bytes: int, more: bool) -> bytes:
        """The head of the response, and how its body will be framed."""
        assert self._start is not None
        status, headers = self._start["status"], self._start.get("headers", ())
        self._start = None
        self.has_begun = True
        self._has_body = status not in _BODILESS and not self.is_head
        named = dict(headers)
        told = named.get(b"content-length")
        length = None if told is None else int(told)
        kept = headers
        if b"connection" in named:
            self.keeps_alive = self.keeps_alive and named[b"connection"].lower() != b"close"
            kept = [header for header in headers if header[0] != b"connection"]
        if self._has_body:
            if length is not None:
                pass
            elif not more:
                length = body_bytes
                kept = [*kept, (b"content-length", b"%d" % length)]
            elif not self.is_old:
                self._takes_chunks = True
                kept = [*kept, (b"transfer-encoding", b"chunked")]
            else:
                self.keeps_alive = False
            self._left_bytes = length
        if self.connection.server.is_stopping or (self.expects_continue and not self.is_complete):
            self.keeps_alive = False
        if not self.keeps_alive:
            kept = [*kept, (b"connection", b"close")]
        elif self.is_old:
            kept = [*kept, (b"connection", b"keep-alive")]
        start = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        return b"%b%b%b\r\n" % (start, self.connection.server.date, _spell(kept))


def _spell(headers: Headers) -> bytes:
    """Header lines."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
        raise Misframed("a header of the response has a line break in it")
    return lines
