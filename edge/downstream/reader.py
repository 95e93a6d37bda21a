"""Reads one connection's bytes: where a request begins and ends, and what is none.

Rule: what cannot be read without doubt is refused, and nothing that follows it is looked at.
Strategy: llhttp in its strict mode finds the ends of requests; what it lets pass and we do not is judged in its callbacks. A
request is parsed when the one before is answered: what comes earlier waits as bytes (`read_buffer`), never as requests.
The usual read, a whole head with its body, is cut behind its head and goes to the parser without being kept.
Rule: an offer to change the protocol (`Upgrade`) is ignored, as RFC 9110 7.8 allows, and the request is answered.
Limits: a head of 64 KiB, and the same for whatever else is not body (chunk extensions, trailers); CHUNKS_MAX.
"""

import re
from typing import Protocol
from urllib.parse import unquote_to_bytes

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from starlette.types import Scope

from edge.downstream import CALLER
from edge.downstream.http_error import HEAD_BYTES_MAX, BadRequest
from edge.downstream.read_buffer import EMPTY_LINE, ReadBuffer
from edge.downstream.request import Channel, Request

VERSIONS = ("1.1", "1.0")
"""The parser also reads 0.9, which has no headers, and 2.0, which has none of its own."""
ASGI = {"version": "3.0", "spec_version": "2.4"}
Headers = list[tuple[bytes, bytes]]
_CR = 13
CHUNKS_MAX = 16_384
CHUNK_BYTES_MIN = 64
"""A chunked body may have CHUNKS_MAX chunks, and one more for each CHUNK_BYTES_MIN of it: each costs what 500 bytes cost."""
CHUNKS_PER_TURN = 2_048
CHUNKED_PIECE_BYTES = 16_384
"""One read of the socket may hold 43,000 chunks, 70 ms of everybody's time: what is left of it comes in the next turn."""


_is_plain_path = re.compile(rb"/[A-Za-z0-9/._~-]*").fullmatch


class RequestOwner(Channel, Protocol):
    """The connection that is read, as far as the reader tells it (`edge.downstream.connection`)."""

    request: Request | None
    is_closing: bool
    peers: tuple[tuple[str, int] | None, tuple[str, int] | None]

    def begin_head(self) -> None:
        """The first byte of a request has come."""

    def begin(self, request: Request, scope: Scope) -> None:
        """A head is whole."""

    def refuse(self, status: int) -> None:
        """It is no request."""

    def go_on_soon(self) -> None:
        """More is left to be parsed than one turn should do."""


class RequestReader:
    """Belongs to one connection, which it tells of each request that begins (`begin`) and of what is none (`refuse`).

    `reading`: the request whose body is read. `has_part_of_head`: a head has begun and is not whole.
    """

    __slots__ = (
        "_body_left_bytes",
        "_buffer",
        "_chunks",
        "_connection",
        "_headers",
        "_is_line_read",
        "_is_resuming",
        "_parser",
        "_quiet_bytes",
        "_resume_head",
        "_spaces",
        "_target",
        "_url",
        "has_part_of_head",
        "reading",
    )

    def __init__(self, connection: RequestOwner) -> None:
        self._connection = connection
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._buffer = ReadBuffer()
        self.reading: Request | None = None
        self.has_part_of_head = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._url = self._target = b""
        self._spaces = 0
        self._is_line_read = False
        self._body_left_bytes = -1
        """Of a body whose length is known; negative for one in chunks."""
        self._chunks = 0
        self._resume_head = b""
        self._is_resuming = False
        self._quiet_bytes = 0

    @property
    def ahead_bytes(self) -> int:
        """What came and was not parsed."""
        return self._buffer.waiting_bytes

    @property
    def target(self) -> bytes:
        """Of the request that is being read, or was read last."""
        return self._url or self._target

    def drop(self) -> None:
        """Forget what was not parsed."""
        self._buffer.clear()

    def end(self) -> None:
        """Nothing is read any more. The parser and the connection refer to us: what refers in a circle is memory until the
        garbage collector comes, which is 60 MB for a burst of 10,000 connections."""
        self._buffer.clear()
        self._parser = self.reading = None
        del self._connection

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        buffer, connection = self._buffer, self._connection
        end = -1
        if self.reading is None and connection.request is None and not (self.has_part_of_head or buffer.waiting_bytes):
            end = data.find(EMPTY_LINE)
        if end > 0 and data[0] > _CR:
            # The usual case: a whole head, and its body or nothing behind it. Nothing waits before it, so it need not wait.
            end += len(EMPTY_LINE)
            head = data[:end]
            self._spaces = head.count(b" ", 0, head.find(b"\r"))
            self._quiet_bytes += end
            self._parse(head)
            data = data[end:]
            if not data or connection.is_closing:
                return
            if len(data) == self._body_left_bytes:
                self._body_left_bytes = 0
                self._quiet_bytes += len(data)
                self._parse(data)
                return
        buffer.append(data)
        self.read_on()

    def read_on(self, chunks_max: int = CHUNKS_PER_TURN) -> None:
        """Parse what has come, to the end of one request and no further while that is answered; and no more than so many chunks,
        the others in the next turn of the loop."""
        buffer, connection = self._buffer, self._connection
        enough = self._chunks + chunks_max
        while buffer.waiting_bytes and not connection.is_closing:
            if self.reading is None:
                if connection.request is not None:
                    return
                piece = buffer.take_through_empty_line(buffer.waiting_bytes)
                self._watch_head(piece)
            elif self._body_left_bytes >= 0:
                piece = buffer.take_body(self._body_left_bytes)
                self._body_left_bytes -= len(piece)
            elif self._chunks > enough:
                connection.go_on_soon()
                return
            else:
                piece = buffer.take_through_empty_line(CHUNKED_PIECE_BYTES)
                self._chunks += 1
            self._quiet_bytes += len(piece)
            self._parse(piece)

    def _watch_head(self, piece: bytes) -> None:
        """The head's clock begins with its first byte; and the spaces of the request line are counted."""
        if not self.has_part_of_head:
            self.has_part_of_head = True
            self._connection.begin_head()
        if not self._is_line_read:
            line = piece if self._spaces else piece.lstrip(b"\r\n")
            end = line.find(b"\r")
            self._is_line_read = end >= 0
            self._spaces += line.count(b" ", 0, end if end >= 0 else len(line))

    def _parse(self, piece: bytes) -> None:
        """Let the parser read it; what is wrong with it is refused."""
        assert self._parser is not None
        wrong = 0
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            self._resume()
        except HttpParserError as error:
            # In no variable: its traceback refers to this frame.
            wrong = error.__context__.status if isinstance(error.__context__, BadRequest) else 400
        if self._quiet_bytes > HEAD_BYTES_MAX:
            wrong = wrong or 431
        if wrong and not self._connection.is_closing:
            self._connection.refuse(wrong)

    def _resume(self) -> None:
        """There is nothing here to change to: read on as if that had not been offered. The parser has stopped behind the head, so
        another one is told how the body is framed and goes on from there."""
        self._parser = HttpRequestParser(self)
        head, self._resume_head = self._resume_head, b""
        if head:
            self._is_resuming = True
            self._parser.feed_data(head)
            self._is_resuming = False
            self._url = b""

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Of a trailer, too: those are dropped with the end of the message.
        self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        headers, self._headers = self._headers, []
        if self._is_resuming:
            return
        parser, connection, url = self._parser, self._connection, self._url
        assert parser is not None
        if self._quiet_bytes > HEAD_BYTES_MAX and sum(len(n) + len(v) + 4 for n, v in headers) + len(url) > HEAD_BYTES_MAX:
            raise BadRequest(431)
        version = parser.get_http_version()
        if version not in VERSIONS or self._spaces != 2 or connection.request is not None:
            raise BadRequest(400)
        is_old = version == "1.0"
        named = dict(headers)
        self._frame_body(headers, named, is_old)
        path, raw_path, query = _target(url)
        method = parser.get_method().decode("ascii")
        keeps_alive = parser.should_keep_alive() and method != "CONNECT"
        expects_continue = b"expect" in named and not is_old and (b"expect", b"100-continue") in _lowered(headers)
        request = Request(connection, method == "HEAD", is_old, keeps_alive, expects_continue)
        if self._body_left_bytes and parser.should_upgrade() and method != "CONNECT":
            self._resume_head = _resuming_head(self._body_left_bytes)
        client, server = connection.peers
        scope: Scope = {
            "type": "http",
            "asgi": ASGI,
            "http_version": version,
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": client,
            "server": server,
            "extensions": {CALLER: request},
        }
        self._target, self._url = url, b""
        self._spaces = 0
        self._is_line_read = self.has_part_of_head = False
        self.reading = request
        connection.begin(request, scope)

    def _frame_body(self, headers: Headers, named: dict[bytes, bytes], is_old: bool) -> None:
        """How much of what follows the head is its body, as far as that is known. The parser has checked it too, but lets codings
        pass that it does not undo, and looks at none of it where an upgrade is offered."""
        self._chunks = 0
        length = named.get(b"content-length")
        if b"transfer-encoding" in named:
            codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
            if is_old or length is not None or codings != [b"chunked"]:
                raise BadRequest(400)  # RFC 9112 6.1: HTTP/1.0 has none, and its framing is faulty, whatever follows
            self._body_left_bytes = -1
        elif length is None:
            self._body_left_bytes = 0
        else:
            if not length.isdigit() or (len(named) < len(headers) and [name for name, _ in headers].count(b"content-length") > 1):
                raise BadRequest(400)
            self._body_left_bytes = int(length)

    def on_chunk_header(self) -> None:
        self._chunks += 1
        reading = self.reading
        if self._chunks > CHUNKS_MAX and reading is not None and self._chunks > CHUNKS_MAX + reading.fed_bytes // CHUNK_BYTES_MIN:
            raise BadRequest(400)

    def on_body(self, body: bytes) -> None:
        self._quiet_bytes = 0
        assert self.reading is not None
        self.reading.feed(body)

    def on_message_complete(self) -> None:
        self._quiet_bytes = 0
        if self._resume_head:
            return  # the parser takes a request that offers an upgrade for one without a body
        if self._headers:
            self._headers = []
        reading, self.reading = self.reading, None
        assert reading is not None
        reading.complete()


def _lowered(headers: Headers) -> Headers:
    return [(name, value.lower()) for name, value in headers]


def _resuming_head(body_bytes: int) -> bytes:
    """A head that makes a parser expect a body framed like that of the request it is to go on with."""
    framing = b"content-length: %d" % body_bytes if body_bytes >= 0 else b"transfer-encoding: chunked"
    return b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing


def _target(url: bytes) -> tuple[str, bytes, bytes]:
    """(path, path as sent, query) of a request target in any of its forms."""
    if _is_plain_path(url):
        return url.decode("ascii"), url, b""
    raw_path, query = url, b""
    if url[:1] != b"/" or b"?" in url or b"#" in url:
        try:
            parts = parse_url(url)
        except HttpParserError:
            raise BadRequest(400) from None
        raw_path, query = parts.path or b"/", parts.query or b""
    if b"%" not in raw_path and raw_path.isascii():
        return raw_path.decode("ascii"), raw_path, query
    return unquote_to_bytes(raw_path).decode("utf-8", "replace"), raw_path, query
