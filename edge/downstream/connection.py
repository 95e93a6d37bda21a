"""One caller's connection: bytes to requests, one after another, and what is no request.

Rule: what cannot be read without doubt is answered 400 and the connection closed; nothing that follows it is looked at.
Strategy: llhttp in its strict mode finds the ends of requests; what it lets pass and we do not is judged in its callbacks.
Limits: a head of 64 KiB, and the same for whatever else is not body (chunk extensions, trailers). A caller may send its next
requests early; they wait, and no more is read while they do.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote_to_bytes

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from starlette.types import Scope

from edge.downstream import CALLER
from edge.downstream.familiar import Heads
from edge.downstream.request import Request
from edge.downstream.wrong import HEAD_BYTES_MAX, Wrong, refusal

if TYPE_CHECKING:
    from edge.downstream.server import Server

VERSIONS = ("1.1", "1.0")
"""The parser also reads 0.9, which has no headers, and 2.0, which has none of its own."""
ASGI = {"version": "3.0", "spec_version": "2.4"}


class Connection(asyncio.Protocol):
    """`waits_since_s`: since when a head is awaited, whole or from its first byte; None while a request is under way.
    `unsent_bytes`: of answers, that the caller did not take by the last sweep, and since when there are so many."""

    __slots__ = (
        "_due_bytes",
        "_expects_continue",
        "_headers",
        "_heads",
        "_parser",
        "_peers",
        "_quiet_bytes",
        "_reading",
        "_scope",
        "_target",
        "_url",
        "_waiting",
        "drained",
        "has_part_of_head",
        "is_closing",
        "is_reading_paused",
        "request",
        "server",
        "transport",
        "unsent_bytes",
        "unsent_since_s",
        "waits_since_s",
    )

    transport: asyncio.Transport

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.request: Request | None = None
        """Being answered."""
        self._reading: Request | None = None
        """Whose body is being read: the one being answered, or the last one waiting."""
        self._waiting: deque[tuple[Request, Scope]] = deque()
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._url = b""
        self._target = b""
        """Of the request that was read last."""
        self._heads = Heads()
        self._scope: Scope | None = None
        """What the parser made of the bytes it is being given."""
        self._expects_continue = False
        self._due_bytes = 0
        """Of a body that does not go through the parser."""
        self._quiet_bytes = 0
        self.drained: asyncio.Future[None] | None = None
        self.is_closing = False
        self.is_reading_paused = False
        self.has_part_of_head = False
        self.waits_since_s: float | None = server.loop.time()
        self.unsent_bytes = 0
        self.unsent_since_s = 0.0

    def __repr__(self) -> str:
        state = "closing" if self.is_closing else "idle" if self.request is None else "busy"
        return f"<Connection {state}, {len(self._waiting)} waiting>"

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._peers = (_address(transport.get_extra_info("peername")), _address(transport.get_extra_info("sockname")))
        if not self.server.admit(self):
            self.refuse(503)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if self.is_closing or parser is None:
            return
        if self._due_bytes:
            data = self._go_on(data)
            if not data:
                return
        if self.request is None:
            found = self._heads.find(data)
            if found is not None:
                self._begin_familiar(*found)
                return
            if not self.has_part_of_head:
                self.has_part_of_head = True
                self.waits_since_s = self.server.loop.time()
        self._quiet_bytes += len(data)
        wrong = self._parse(parser, data)
        if wrong and not self.is_closing:
            self.refuse(wrong)
        self._heads.note(data, self._scope, self._reading is None)
        self._scope = None

    def _begin_familiar(self, scope: Scope, body: bytes, due_bytes: int) -> None:
        """A request whose head is the last one's; the parser sees nothing of it."""
        request = Request(self, False, False, True, False, not due_bytes, [body] if body else [], self._heads.last)
        scope["extensions"] = {CALLER: request}
        self._due_bytes = due_bytes
        if due_bytes:
            self._reading = request
        self._begin(request, scope)

    def _go_on(self, data: bytes) -> bytes:
        """More of the body of such a request; returns what is behind its end."""
        reading, due_bytes = self._reading, self._due_bytes
        assert reading is not None
        body = data[:due_bytes]
        self._due_bytes -= len(body)
        reading.feed(body)
        if not self._due_bytes:
            self._reading = None
            reading.complete()
        return data[due_bytes:]

    def _parse(self, parser: HttpRequestParser, data: bytes) -> int:
        """The status of what is wrong with it, or 0."""
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            # There is nothing here to change to: the request is answered as if it had not asked, and is the last one.
            self._hear_no_more()
        except HttpParserError as error:
            cause = error.__context__
            return cause.status if isinstance(cause, Wrong) else 400
        return 431 if self._quiet_bytes > HEAD_BYTES_MAX else 0

    def eof_received(self) -> None:
        """A caller that says no more is taken to have left, as granian and nginx take it."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closing = True
        self.waits_since_s = None
        self.server.forget(self)
        self._parser = None  # it refers to us
        if self.request is not None:
            self.request.leave()
        self._waiting.clear()
        self.resume_writing()

    def pause_writing(self) -> None:
        if self.drained is None:
            self.drained = self.server.loop.create_future()

    def resume_writing(self) -> None:
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        if self.request is None and self.is_reading_paused and not self.is_closing:
            self._begin_next()

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reading is not None:
            return  # a trailer
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._headers.append((name, value.rstrip()))

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        assert parser is not None
        if self._quiet_bytes > HEAD_BYTES_MAX and sum(len(n) + len(v) + 4 for n, v in headers) + len(self._url) > HEAD_BYTES_MAX:
            raise Wrong(431)
        version = parser.get_http_version()
        if version not in VERSIONS:
            raise Wrong(400)
        path, raw_path, query = _target(self._url)
        method = parser.get_method().decode("ascii")
        client, server = self._peers
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
        }
        is_old = version == "1.0"
        request = Request(self, method == "HEAD", is_old, parser.should_keep_alive(), self._expects_continue and not is_old)
        scope["extensions"] = {CALLER: request}
        self._headers, self._target, self._url, self._expects_continue = [], self._url, b"", False
        self._reading = request
        self._scope = scope if request.keeps_alive and not is_old else None
        if self.request is None:
            self._begin(request, scope)
        else:
            self._waiting.append((request, scope))
            self.pause_reading()

    def on_body(self, body: bytes) -> None:
        self._quiet_bytes = 0
        assert self._reading is not None
        self._reading.feed(body)

    def on_message_complete(self) -> None:
        self._quiet_bytes = 0
        reading, self._reading = self._reading, None
        assert reading is not None
        reading.complete()

    # One request after another.

    def _begin(self, request: Request, scope: Scope) -> None:
        self.request = request
        self.waits_since_s = None
        self.has_part_of_head = False
        request.task = self.server.run(request, scope)

    def answered(self, request: Request) -> None:
        """Its response is written. The next one begins at once if this one was read to its end."""
        if request.is_complete:
            self._release(request)

    def ended(self, request: Request) -> None:
        """The application is done with it, well or not."""
        if self.request is not request or self.is_closing:
            return
        if not request.is_answered:
            self._cut()
        elif request.is_complete:
            self._release(request)
        else:
            self.linger()

    def _release(self, request: Request) -> None:
        if self.request is not request:
            return
        self.request = None
        if not request.keeps_alive or self.server.is_stopping:
            self.close()
        elif self.drained is None:
            self._begin_next()
        else:
            # Whoever asks on and on and reads no answer would fill the memory with them.
            self.pause_reading()

    def _begin_next(self) -> None:
        """The one before is answered, and the answer taken as far as that can be seen."""
        if self._waiting:
            self._begin(*self._waiting.popleft())
        else:
            self.waits_since_s = self.server.loop.time()
            self.has_part_of_head = bool(self._url)
        if self.is_reading_paused:
            self.resume_reading()

    # What requests and the server call.

    def write(self, data: bytes) -> None:
        self.server.turn.write(self.transport, data)

    def pause_reading(self) -> None:
        if not self.is_reading_paused and not self.is_closing:
            self.is_reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.is_reading_paused and not self._waiting:
            self.is_reading_paused = False
            self.transport.resume_reading()

    def refuse(self, status: int) -> None:
        """What was sent is no request, or no end of one: say so where an answer is awaited, and close."""
        broken, self._reading = self._reading, None
        if broken is not None and broken is not self.request:
            self._waiting.pop()
        if self.request is not None and broken is not self.request:
            self._hear_no_more()
            return
        if broken is not None:
            if broken.has_begun:
                self._cut()
                return
            broken.leave()
        self.write(refusal(status, self.server.date, self._url or self._target))
        self.linger()

    def _hear_no_more(self) -> None:
        """What was read whole is answered, and nothing more is read."""
        self.pause_reading()
        last = self._waiting[-1][0] if self._waiting else self.request
        if last is not None:
            last.keeps_alive = False

    def linger(self) -> None:
        """Say no more, and take what still comes for a moment: to close at once would reset the answer away."""
        self.is_closing = True
        self.waits_since_s = self.server.loop.time()
        self.resume_reading()
        self.server.turn.end()
        self.transport.write_eof()

    def _cut(self) -> None:
        """What was said is sent, and is seen not to be the whole."""
        self.server.turn.end()
        self.transport.abort()

    def close(self) -> None:
        """Close when everything written has gone out."""
        self.is_closing = True
        self.server.turn.end()
        self.transport.close()


def _target(url: bytes) -> tuple[str, bytes, bytes]:
    """(path, path as sent, query) of a request target in any of its forms."""
    raw_path, query = url, b""
    if url[:1] != b"/" or b"?" in url or b"#" in url:
        try:
            parts = parse_url(url)
        except HttpParserError:
            raise Wrong(400) from None
        raw_path, query = parts.path or b"/", parts.query or b""
    if b"%" not in raw_path and raw_path.isascii():
        return raw_path.decode("ascii"), raw_path, query
    return unquote_to_bytes(raw_path).decode("utf-8", "replace"), raw_path, query


def _address(name: object) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
