"""One HTTP/1.1 response as it comes in: what the connection feeds and the parser finds.

Strategy: a parser per response (0.5 us to make) fills the reader's inbox; what it cannot judge is judged in its callbacks.
Limits: a head of 64 KiB and 128 headers (Granian's and nginx's order of magnitude); the same 64 KiB for anything else that is
not body: interim responses, chunk extensions, trailers. At most about 128 KiB and one read of the socket wait unread.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from httptools import HttpParserError, HttpResponseParser

from edge.upstream import Header
from edge.upstream.response_buffer import ResponseBuffer
from routing.failures.failure import Kind, Source
from routing.wire.quiet import is_too_fine

HEAD_BYTES_MAX = 65_536
HEADERS_MAX = 128
UNREAD_BYTES_MAX = 131_072
_FRAMED = frozenset((b"content-length", b"transfer-encoding"))


class Carrier(Protocol):
    """The connection that a response comes in on, as far as the response acts on it (`edge.upstream.wire`)."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    is_writing: bool

    def release(self, is_reusable: bool, headers: list[Header]) -> None:
        """The response is complete."""

    def resume_writing(self) -> None:
        """Whoever writes the request looks again whether it is still wanted."""

    def close(self) -> None: ...


class WireExchange(ResponseBuffer):
    """The half that the connection and the parser write."""

    _connection: Carrier | None = None
    _parser: HttpResponseParser | None = None
    _is_cut_short: bool = False
    _is_reusable: bool = True
    _quiet_bytes: int = 0
    _crumbs: int = 0
    _crumbs_bytes: int = 0
    """Of reads that brought the body in several pieces."""
    on_body: Callable[[bytes], None] | None = None
    """Called by the parser."""

    @classmethod
    def on(cls, connection: Carrier) -> "WireExchange":
        """The exchange that what comes in on `connection` belongs to."""
        exchange = cls(connection.loop, _connection=connection)
        exchange.on_body = exchange.chunks.append
        exchange._parser = HttpResponseParser(exchange)
        return exchange

    @property
    def has_answer(self) -> bool:
        """Whether the rest of the request can no longer matter."""
        return self.is_whole or self.status >= 300

    # What the connection calls.

    def spoil(self) -> None:
        """The request was cut short: the connection cannot be used again, and a reset is as good an end as any."""
        self._is_reusable = False
        self._is_cut_short = True

    def feed(self, data: bytes) -> None:
        chunks, parser, had_head = self.chunks, self._parser, self.has_head
        unread = len(chunks)
        if not had_head:
            self._quiet_bytes += len(data)
        assert parser is not None
        try:
            parser.feed_data(data)
        except HttpParserError as error:
            if not self.is_whole:
                self.fail(Kind.PROTOCOL, Source.UPSTREAM, str(error.__context__ or error))
                return
            self._is_reusable = False
        if len(chunks) > unread:
            self._quiet_bytes = 0
            if len(chunks) > unread + 1 and not self.is_whole and self._is_too_fine(len(chunks) - unread, len(data)):
                return
            sink = self.sink
            if sink is not None and self.waiter is not None and sink(chunks[0] if len(chunks) == 1 else b"".join(chunks)):
                chunks.clear()
                return
        elif had_head:
            self._quiet_bytes += len(data)
        self._keep(len(data))

    def _is_too_fine(self, pieces: int, data_bytes: int) -> bool:
        """Whether it has failed, since its body comes in crumbs. Bytes as they came: some six beside each piece are its frame."""
        self._crumbs += pieces
        self._crumbs_bytes += data_bytes - 6 * pieces
        if not is_too_fine(self._crumbs, self._crumbs_bytes):
            return False
        self.fail(Kind.PROTOCOL, Source.UPSTREAM, f"{self._crumbs_bytes} bytes of body in {self._crumbs} pieces")
        return True

    def _keep(self, data_bytes: int) -> None:
        """What no sink took is the reader's."""
        if self.is_whole:
            self._finish()
        elif self._quiet_bytes > HEAD_BYTES_MAX:
            self.fail(Kind.PROTOCOL, Source.UPSTREAM, "too many bytes that are not body")
        if self.waiter is not None:
            self.wake(True)
        elif self._connection is not None:
            self.unread_bytes += data_bytes
            if self.unread_bytes > UNREAD_BYTES_MAX and not self.is_paused:
                self.is_paused = True
                self._connection.transport.pause_reading()

    def end(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        if self.is_whole or self.failure is not None:
            return
        is_unframed = self.has_head and not any(name in _FRAMED for name, _ in self.headers)
        if is_unframed and (exc is None or self._is_cut_short):
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
        if not self.has_head:  # else it is a trailer
            self.headers.append((name.lower(), value.rstrip()))  # llhttp strips only the left side

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise _Unacceptable("protocol switched unasked")
            if status < 100:
                raise _Unacceptable("no status")
            self.headers.clear()
            return
        headers = self.headers
        if len(headers) > HEADERS_MAX:
            raise _Unacceptable("too many headers")
        self.fields = fields = dict(headers)
        if b"transfer-encoding" in fields and any(n == b"transfer-encoding" and v.lower() != b"chunked" for n, v in headers):
            raise _Unacceptable("unknown transfer-encoding")
        if self._quiet_bytes > HEAD_BYTES_MAX and sum(len(n) + len(v) + 4 for n, v in headers) > HEAD_BYTES_MAX:
            raise _Unacceptable("head too large")
        self.status = status
        self.has_head = True
        connection = self._connection
        if connection is not None and connection.is_writing and self.has_answer:
            connection.resume_writing()

    def on_message_complete(self) -> None:
        if self.has_head:
            assert self._parser is not None
            self.is_whole = True
            self.sink = None
            self._is_reusable = self._is_reusable and self._parser.should_keep_alive()


class _Unacceptable(Exception):
    """Raised in a parser callback: well-formed, and still not what we take for a response."""
