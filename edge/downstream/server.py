"""Listens, keeps account of connections, and drives the application: its life, and one task per request.

Rule: newcomers do not queue up: libuv accepts one connection in a turn of the loop, so behind it those that wait are accepted, as
many as ACCEPTS_PER_TURN, and no more than SHARE_PER_TURN of the connections that there may be: those that are accepted and not
yet let in, and those that are closed for them, hold descriptors beyond the bound for a turn or two. Where none is left libuv
closes whoever waits, unheard.
Rule: no timer per connection. One sweep a second looks at every connection's clock.
Stopping: no new connections; the application is told, and waits for what it has begun; idle connections are closed at once, the
others with their answer.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from edge.data_folder import StartProblem
from edge.downstream import READER_TIMEOUT
from edge.downstream.admission import ADMISSION, Admission
from edge.downstream.connection import Connection
from edge.downstream.request import Request
from edge.tasks import start
from edge.write_batch import WRITE_BATCH, WriteBatch

HEAD_TIMEOUT_S = 10.0
"""From a head's first byte to its last."""
FIRST_BYTE_TIMEOUT_S = 10.0
"""From a new connection to its first byte; browsers that connect ahead of need send one sooner, or connect again."""
IDLE_TIMEOUT_S = 75.0
"""nginx's default; load balancers are expected to close first."""
LINGER_S = 2.0
READER_TIMEOUT_S = 30.0
"""Where the application does not say (`READER_TIMEOUT`). While an answer is being written, whoever writes it looks."""
READER_RATE_MIN = 1_024
"""Bytes a second that a caller has to take of an answer that is written: one byte a second is no progress."""
AHEAD_TOTAL_BYTES_MAX = 32 * 1024 * 1024
"""Of requests sent early, on all connections."""
ACCEPTS_PER_TURN = 256
SHARE_PER_TURN = 8
"""As a divisor."""
SWEEP_S = 1.0
LEFT_LOOK_S = 0.05
log = logging.getLogger("tollway.downstream")


class StartFailed(Exception):
    """The application did not start; its own log says why."""


class Server:
    """One application on one listening socket."""

    def __init__(self, app: ASGIApp, connections_max: int, on_listening: Callable[[], None] = lambda: None) -> None:
        self.app = app
        self.loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        self.is_listening = False
        self.is_stopping = False
        """Every head from now on says that its connection is closed behind it."""
        self.is_closing = False
        """Connections are closed between requests, also those whose last answer promised otherwise."""
        self.date = b""
        self.write_batch = WriteBatch()
        self.reader_timeout_s = READER_TIMEOUT_S
        self._reader_timeout: Callable[[], float] = lambda: READER_TIMEOUT_S
        self.admission = Admission(connections_max)
        self.ahead_bytes = 0
        self.ahead_bytes_max = AHEAD_TOTAL_BYTES_MAX
        self._on_listening = on_listening
        self._stopped = asyncio.Event()
        self._patient_until_s = 0.0
        self._listening: list[socket.socket] = []
        self._is_accepting = False
        self._sweeper: asyncio.TimerHandle | None = None

    def stop(self, patience_s: float = 0.0) -> None:
        """Take no new connection, and end with what runs. For `patience_s` idle connections are served on, once each: a balancer
        that keeps them may be about to use one, and what it sends into one that is closed is lost."""
        self._patient_until_s = self.loop.time() + patience_s
        self._stopped.set()

    async def serve(self, host: str, port: int, backlog: int, fd: int | None = None) -> None:
        """Serve until `stop`, at `host` and `port` or on the listening socket `fd`. StartFailed: the application did not."""
        life = Lifespan(self.app)
        await life.start()
        self.write_batch = life.state.get(WRITE_BATCH, self.write_batch)
        self.write_batch.takes_answers = True
        self._reader_timeout = life.state.get(READER_TIMEOUT, self._reader_timeout)
        self.admission = life.state.get(ADMISSION, self.admission)
        self._sweep()
        listener = await self._listen(host, port, backlog, fd)
        self.is_listening = True
        self._on_listening()
        await self._stopped.wait()
        self.is_stopping = True
        listener.close()
        while self._listening:
            self._listening.pop().close()
        while self.connections and self.loop.time() < self._patient_until_s:  # noqa: ASYNC110 - forget() is hot
            await asyncio.sleep(LEFT_LOOK_S)
        self.is_closing = True
        for connection in tuple(self.connections):
            if connection.request is None:
                connection.close()
        await life.stop()
        for connection in tuple(self.connections):
            connection.close()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _listen(self, host: str, port: int, backlog: int, fd: int | None) -> asyncio.Server:
        create, make = self.loop.create_server, lambda: Connection(self)
        if fd is None:
            listener = await create(make, host, port, backlog=backlog, reuse_address=True)
        else:
            listener = await create(make, sock=socket.socket(fileno=fd), backlog=backlog)
        for one in listener.sockets:
            self._listening.append(copy := socket.socket(fileno=os.dup(one.fileno())))
            copy.setblocking(False)
        return listener

    def _accept_more(self) -> None:
        """Behind one that the loop has accepted."""
        self._is_accepting = False
        for listening in self._listening:
            for _ in range(min(ACCEPTS_PER_TURN, self.admission.connections_max // SHARE_PER_TURN)):
                try:
                    peer, _ = listening.accept()
                except OSError:
                    break
                start(self._adopt(peer), self.loop)

    async def _adopt(self, peer: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: Connection(self), peer)
        except OSError:
            peer.close()

    # What connections call.

    def admit(self, connection: Connection) -> int:
        """0, or the status with which it is refused."""
        self.connections.add(connection)
        if not self._is_accepting:
            self._is_accepting = True
            self.loop.call_soon(self._accept_more)
        return self.admission.admit(connection, self.loop.time())

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.admission.forget(connection)

    def run(self, request: Request, scope: Scope) -> "asyncio.Task[None]":
        """The task that answers `request`; it lets nothing out."""
        return start(self._run(request, scope), self.loop)

    async def _run(self, request: Request, scope: Scope) -> None:
        try:
            await self.app(scope, request.receive, request.send)
        except Exception:
            log.exception("the application failed")
            await self._apologise(request)
        finally:
            request.connection.ended(request)

    async def _apologise(self, request: Request) -> None:
        if not request.has_begun:
            await request.send({"type": "http.response.start", "status": 500, "headers": [(b"connection", b"close")]})
            await request.send({"type": "http.response.body", "body": b"", "more_body": False})

    def _sweep(self) -> None:
        self.date = b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()
        self.reader_timeout_s = self._reader_timeout()
        now_s = self.loop.time()
        for connection in tuple(self.connections):
            self.look_at(connection, now_s)
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def look_at(self, connection: Connection, now_s: float) -> None:
        """Has it been waited for too long?"""
        unsent_bytes = 0 if connection.request is not None else connection.transport.get_write_buffer_size()
        stuck_s = now_s - connection.unsent_since_s
        taken_bytes = connection.unsent_bytes - unsent_bytes
        if not unsent_bytes or taken_bytes < 0 or taken_bytes > stuck_s * READER_RATE_MIN:
            connection.unsent_bytes, connection.unsent_since_s = unsent_bytes, now_s
        elif stuck_s > self.reader_timeout_s:
            connection.transport.abort()
        if connection.waits_since_s is None:
            if connection.is_half_closed and connection.has_left():
                connection.transport.abort()
            return
        if unsent_bytes:
            connection.waits_since_s = now_s  # it is our answer that is waited for
        waited_s = now_s - connection.waits_since_s
        if connection.is_closing:
            if waited_s > LINGER_S:
                connection.transport.abort()
        elif connection.reader.has_part_of_head:
            if waited_s > HEAD_TIMEOUT_S:
                connection.refuse(408)
        elif (not connection.has_spoken and waited_s > FIRST_BYTE_TIMEOUT_S) or waited_s > IDLE_TIMEOUT_S:
            connection.close()


class Lifespan:
    """The application's `lifespan`, from its start to its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.state: dict[str, Any] = {}
        self._orders: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = start(self._run(), asyncio.get_running_loop())
        await self._send("startup")

    async def stop(self) -> None:
        await self._send("shutdown")

    async def _send(self, what: str) -> None:
        self._orders.put_nowait({"type": f"lifespan.{what}"})
        answer = await self._answers.get()
        if answer["type"] != f"lifespan.{what}.complete":
            raise StartFailed(answer.get("message", "") or f"the application failed at its {what}")

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._orders.get, self._answers.put)
        except StartProblem as problem:
            self._answers.put_nowait({"type": "lifespan.failed", "message": str(problem)})
        except Exception as problem:
            log.exception("the application's life ended")
            self._answers.put_nowait({"type": "lifespan.failed", "message": str(problem)})
