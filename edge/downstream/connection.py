"""One caller's connection: one request after another, what is no request, and how it ends.

Rule: what is no request is answered 400 and the connection closed.
Rule: a half-closed connection (EOF behind a whole request) gets its answer, RFC 9112 9.6. Whether the caller has left altogether
is found out by an interim answer, which a kernel whose socket is closed refuses.
Limits: a caller may send its next requests early: they wait as bytes, AHEAD_BYTES_MAX and one read of the socket.
"""

import asyncio
import socket
from typing import Protocol, cast

from starlette.types import Scope

from edge.downstream.admission import Admission
from edge.downstream.eof_probe import has_eof, has_refused, probe
from edge.downstream.http_error import refusal
from edge.downstream.reader import RequestReader
from edge.downstream.request import CONTINUE, Host, Request

AHEAD_BYTES_MAX = 65_536
"""Of later requests, while one is answered. Below it reading goes on, so that the caller's leaving is seen."""
HALF_CLOSED_CHECKS_S = (0.05, 0.25, 0.5)
"""When it is looked at whether a caller that sent EOF refused our interim answer; then with every sweep."""


class ConnectionHost(Host, Protocol):
    """The server that has accepted a connection (`edge.downstream.server`)."""

    admission: Admission
    is_closing: bool
    ahead_bytes: int
    ahead_bytes_max: int

    def admit(self, connection: "Connection") -> int:
        """0, or the status with which it is refused."""

    def forget(self, connection: "Connection") -> None: ...

    def run(self, request: Request, scope: Scope) -> "asyncio.Task[None]": ...


class Connection(asyncio.Protocol):
    """`waits_since_s`: since when a head is awaited, whole or from its first byte; None while a request is under way.
    `has_spoken`: whether a byte ever came. `unsent_bytes`: of answers, that the caller has not taken, and since when it has
    taken too few."""

    __slots__ = (
        "_counted_bytes",
        "_goes_on",
        "drained",
        "hangs_up",
        "has_spoken",
        "is_closing",
        "is_half_closed",
        "is_reading_paused",
        "peers",
        "reader",
        "request",
        "server",
        "transport",
        "unsent_bytes",
        "unsent_since_s",
        "waits_since_s",
    )

    transport: asyncio.Transport

    def __init__(self, server: ConnectionHost) -> None:
        self.server = server
        self.request: Request | None = None
        """Being answered."""
        self.reader = RequestReader(self)
        self.peers: tuple[tuple[str, int] | None, tuple[str, int] | None] = (None, None)
        """The caller's address and ours."""
        self.drained: asyncio.Future[None] | None = None
        self.is_closing = False
        self.hangs_up = False
        """It is known to send no more."""
        self.is_half_closed = False
        self.is_reading_paused = False
        self.has_spoken = False
        self.waits_since_s: float | None = server.loop.time()
        self.unsent_bytes = 0
        self.unsent_since_s = 0.0
        self._counted_bytes = 0
        """Of those ahead, that the server has counted."""
        self._goes_on = False

    def __repr__(self) -> str:
        state = "closing" if self.is_closing else "idle" if self.request is None else "busy"
        return f"<Connection {state}, {self.reader.ahead_bytes} bytes ahead>"

    @property
    def address(self) -> str:
        """The peer's; empty where it has none."""
        return self.peers[0][0] if self.peers[0] else ""

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.peers = (_address(transport.get_extra_info("peername")), _address(transport.get_extra_info("sockname")))
        refused = self.server.admit(self)
        if refused:
            self.refuse(refused)

    def data_received(self, data: bytes) -> None:
        if self.is_closing:
            return
        reader = self.reader
        reader.feed(data)
        if not self.has_spoken:
            self.has_spoken = True
            if self.request is not None:
                self._look_whether_it_stays(self.request)
        if reader.ahead_bytes or self._counted_bytes:
            self._pace()

    def _look_whether_it_stays(self, request: Request) -> None:
        """A caller that has left while its connection waited to be accepted is not worked for."""
        peer: socket.socket | None = self.transport.get_extra_info("socket")
        if request.is_complete and peer is not None and has_eof(peer):
            self.hangs_up = True
            if not request.is_old:
                probe(peer)
            if has_refused(peer):
                request.leave()
                self.transport.abort()

    def eof_received(self) -> bool:
        """The caller sends no more. Its answer is delivered if it can be whole; a stream that runs is ended."""
        if self._counted_bytes and self.reader.reading is not None:
            self.reader.read_on(self._counted_bytes)  # the end of its body may be there
            self._pace()
        request = self.request
        if request is None:
            if not self.is_closing:
                self.close()
        elif self.is_closing or not request.is_complete or request.is_streaming:
            self.transport.abort()
        else:
            if not (self.hangs_up or request.is_old or request.has_begun):
                self.write(CONTINUE)
            self.hangs_up = self.is_half_closed = True
            self._look_whether_left(0)
            return True
        return False

    def _look_whether_left(self, at: int) -> None:
        if self.request is None:
            return
        if self.has_left():
            self.transport.abort()
        elif at < len(HALF_CLOSED_CHECKS_S):
            self.server.loop.call_later(HALF_CLOSED_CHECKS_S[at], self._look_whether_left, at + 1)

    def has_left(self) -> bool:
        """Whether the other end of a half-closed connection is closed altogether: it has refused what we sent."""
        return not self.transport.is_closing() and has_refused(self.transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closing = True
        self.waits_since_s = None
        self.reader.end()
        self._pace()
        self.server.forget(self)
        request, self.request = self.request, None
        if request is not None:
            request.leave()
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

    # One request after another.

    def begin_head(self) -> None:
        """The first byte of a head: its clock begins."""
        self.waits_since_s = self.server.loop.time()

    def begin(self, request: Request, scope: Scope) -> None:
        """A request was read, its head at least."""
        self.request = request
        self.waits_since_s = None
        self.server.admission.take_up(self)
        request.task = self.server.run(request, scope)

    def answered(self, request: Request) -> None:
        """Its response is written. The next one begins at once if this one was read to its end."""
        if request.is_complete:
            self._release(request)
        elif request.expects_continue:
            # Its body may follow or not: what comes next could be either.
            self.linger()

    def ended(self, request: Request) -> None:
        """The application is done with it, well or not."""
        request.forget_task()
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
        if not request.keeps_alive or self.server.is_closing:
            # Where more came than is read, a close would reset the answer away.
            (self.linger if self._counted_bytes or self.is_reading_paused else self.close)()
        elif self.drained is None:
            self._begin_next()
        else:
            # Whoever asks on and on and reads no answer would fill the memory with them.
            self.pause_reading()

    def _begin_next(self) -> None:
        """The one before is answered, and the answer taken as far as that can be seen."""
        self.waits_since_s = self.server.loop.time()
        if self._counted_bytes:
            self.reader.read_on()
            self._pace()
        if self.request is None and not self.is_closing:
            if self.is_half_closed:
                self.close()
                return
            self.server.admission.lay_down(self)
        if self.is_reading_paused:
            self.resume_reading()

    def go_on_soon(self) -> None:
        """There is more to read than this turn of the loop has time for."""
        if not self._goes_on:
            self._goes_on = True
            self.server.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        if self.is_closing:
            return
        self.reader.read_on()
        self._pace()
        self.resume_reading()

    # What requests and the server call.

    def write(self, data: bytes) -> None:
        self.server.write_batch.write(self.transport, data)

    def pause_reading(self) -> None:
        if not self.is_reading_paused and not self.is_closing:
            self.is_reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        request = self.request
        if self.is_reading_paused and self._counted_bytes <= AHEAD_BYTES_MAX and (request is None or not request.is_full):
            self.is_reading_paused = False
            if not self.is_half_closed:
                self.transport.resume_reading()

    def _pace(self) -> None:
        """What waits is bounded: for this caller by reading no more, for all together by closing behind the answer at hand."""
        server, ahead_bytes = self.server, self.reader.ahead_bytes
        server.ahead_bytes += ahead_bytes - self._counted_bytes
        self._counted_bytes = ahead_bytes
        if ahead_bytes <= AHEAD_BYTES_MAX:
            return
        self.pause_reading()
        if server.ahead_bytes > server.ahead_bytes_max and self.request is not None:
            self.request.keeps_alive = False
            self.reader.drop()
            self._pace()

    def refuse(self, status: int) -> None:
        """What was sent is no request, or no end of one: say so where an answer is awaited, and close."""
        broken, self.reader.reading = self.reader.reading, None
        if broken is not None:
            if broken.has_begun:
                self._cut()
                return
            broken.leave()
        self.write(refusal(status, self.server.date, self.reader.target))
        self.linger()

    def linger(self) -> None:
        """Say no more, and take what still comes for a moment: to close at once would reset the answer away."""
        self.is_closing = True
        self.waits_since_s = self.server.loop.time()
        self.reader.drop()
        self._pace()
        self.resume_reading()
        self.server.write_batch.end()
        self.transport.write_eof()

    def _cut(self) -> None:
        """What was said is sent, and is seen not to be the whole."""
        self.server.write_batch.end()
        self.transport.abort()

    def close(self) -> None:
        """Close when everything written has gone out."""
        self.is_closing = True
        self.server.write_batch.end()
        self.transport.close()


def _address(name: object) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
