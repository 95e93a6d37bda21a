"""Runs the application in this process, on a uvloop, stopped in good order by SIGTERM or SIGINT; SIGHUP reloads its table.

Rule: SIGTERM begins with a notice (the application is red and serves on), SIGINT of a person at a terminal does not. A second
signal hurries: nothing is waited for any more.

Strategy: our own server (`edge.downstream`) unless `TOLLWAY_SERVER=granian`. Granian runs embedded instead of under its process
manager: one process, half the memory. What restarts a dead process is the machine's supervisor, as for any service.
Limits: bounds on heads are the server's; bounds on bodies and readers are the relay's (`edge.relay.context`), whichever serves.
"""

import asyncio
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import uvloop
from starlette.types import ASGIApp

from edge.downstream.server import HEAD_TIMEOUT_S, IDLE_TIMEOUT_S, Server
from edge.drain import Drain
from edge.limits.capacity import connections_max, memory_bytes, raise_descriptors
from edge.limits.memory import return_large_blocks
from edge.settings import Settings
from edge.systemd import READY, STOPPING, notify
from edge.tasks import start

log = logging.getLogger("tollway.serve")
BACKLOG = 4_096
LISTENING_LOOK_S = 0.02
SWITCH_S = 0.002
"""How long another thread (the embedded collector's, the journal's) may keep the event loop from the interpreter; Python's own is
5 ms. Less costs more: each hand-over is two wake-ups, half a millisecond a hundredth of a request's price."""
Stop = Callable[[float], None]
"""Stop to listen; idle connections are served on for so many seconds."""
Listening = Callable[[], None]


class Drainable(Protocol):
    """What wants to leave in good order."""

    @property
    def drain(self) -> Drain: ...
    async def finish_requests(self) -> None: ...
    def reload(self) -> None: ...


class NodeOwner(Protocol):
    """Who runs the node (`edge.process.Edge`)."""

    @property
    def node(self) -> Drainable | None:
        """None until it has started."""


class PortTaken(Exception):
    """Something else listens where we should."""


@contextmanager
def port_held(host: str, port: int) -> Iterator[None]:
    """Be the only one of this machine's Tollways at `port` while the block runs. PortTaken: it cannot be listened on.

    Workers share their port by SO_REUSEPORT, and the kernel lets anybody of their user share it. So whoever serves holds a name
    beside it, which lives as long as its process does and is seen where the port is: on Linux, abstract names belong to the
    network's namespace, and no folder has to be the same. Looking whether the port is free is not enough: two that start in
    the same moment both find it so.
    Limits: one at an address and one at all addresses have two names; they are told apart once the first listens.
    """
    with socket.socket(socket.AF_UNIX) as name:
        if sys.platform == "linux":
            place = "" if host in ("", "0.0.0.0", "::") else f" {host}"
            try:
                name.bind(f"\0tollway port {port}{place}")
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise _taken(port, "another tollway serves there, or begins to") from None
                # Where no such names may be had, the port's own look is all there is.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise _taken(port, error.strerror or str(error)) from None
        yield


def _taken(port: int, why: str) -> PortTaken:
    return PortTaken(f"port {port} cannot be listened on ({why}): choose another with PORT=8001")


def _native(app: Any, settings: Settings, on_listening: Listening) -> tuple[Awaitable[None], Stop]:
    server = Server(app, connections_max(raise_descriptors(), memory_bytes()), on_listening)
    return server.serve(settings.host, settings.port, BACKLOG, settings.listen_fd), server.stop


def _granian(app: Any, settings: Settings, on_listening: Listening) -> tuple[Awaitable[None], Stop]:
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server

    host, port = settings.host, settings.port
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        backlog=BACKLOG,
        backpressure=connections_max(raise_descriptors(), memory_bytes()),
        http1_settings=HTTP1Settings(header_read_timeout=int(HEAD_TIMEOUT_S * 1000)),
        log_level=LogLevels.error,
    )

    async def serve() -> None:
        looking = start(_find_listening(host, port, on_listening), asyncio.get_running_loop())
        try:
            await server.serve()
        finally:
            looking.cancel()

    return serve(), lambda patience_s: server.stop()  # type: ignore[no-untyped-call]


async def _find_listening(host: str, port: int, on_listening: Listening) -> None:
    """Granian does not say when it listens; whoever can connect knows."""
    there = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while True:
        try:
            _, writer = await asyncio.open_connection(there, port)
        except OSError:
            await asyncio.sleep(LISTENING_LOOK_S)
        else:
            writer.close()
            on_listening()
            return


class SignalHandlers:
    """What signals do. `closes_early`: the server can stop to listen while it still serves what it has. `patience_s`: for so long
    one that is replaced serves connections on that a balancer keeps."""

    def __init__(
        self,
        owner: NodeOwner,
        stop: Stop,
        *,
        closes_early: bool,
        on_leaving: Callable[[], None] = lambda: None,
        patience_s: float = 0.0,
    ) -> None:
        self._owner = owner
        self._stop = stop
        self._closes_early = closes_early
        self._on_leaving = on_leaving
        self._patience_s = patience_s
        self._task: asyncio.Task[None] | None = None

    @property
    def _node(self) -> Drainable | None:
        return self._owner.node

    def on_signal(self, *, has_notice: bool) -> None:
        node = self._node
        if node is None:
            self._stop(0.0)
        elif self._task is None:
            self._task = start(self._leave(node, has_notice), asyncio.get_running_loop())
        else:
            node.drain.hurry()

    def on_replaced(self) -> None:
        """Another process takes the callers of the same port from now on. Nobody has to notice that this one leaves, so it is not
        red meanwhile: a balancer's check that it has accepted already is about the machine."""
        if self._task is None:
            self._stop(self._patience_s)

    def on_reload(self) -> None:
        if self._node is not None:
            self._node.reload()

    def on_orphaned(self, supervisor_fd: int) -> None:
        """The pipe to the supervisor is closed: whoever starts another one shall not find this process serving beside it."""
        asyncio.get_running_loop().remove_reader(supervisor_fd)
        log.warning("the supervisor is gone")
        self.on_signal(has_notice=False)

    async def _leave(self, node: Drainable, has_notice: bool) -> None:
        self._on_leaving()
        try:
            node.drain.begin()
            if has_notice:
                await node.drain.give_notice()
            if not self._closes_early:
                await node.finish_requests()
        finally:
            self._stop(0.0)


async def _serve(app: ASGIApp, owner: NodeOwner, settings: Settings, on_listening: Listening) -> None:
    is_native = settings.server != "granian"
    serving, stop = (_native if is_native else _granian)(app, settings, on_listening)
    # What is loaded by now stays; requests make no cycles, so the collector need not look for them every 700 objects.
    gc.freeze()
    return_large_blocks()
    gc.set_threshold(10_000, 20, 50)
    sys.setswitchinterval(SWITCH_S)
    loop = asyncio.get_running_loop()
    leaving = SignalHandlers(
        owner,
        stop,
        closes_early=is_native,
        on_leaving=lambda: notify(settings.notify_socket, STOPPING),
        patience_s=IDLE_TIMEOUT_S,
    )
    loop.add_signal_handler(signal.SIGTERM, lambda: leaving.on_signal(has_notice=True))
    loop.add_signal_handler(signal.SIGINT, lambda: leaving.on_signal(has_notice=False))
    loop.add_signal_handler(signal.SIGHUP, leaving.on_reload)
    if settings.supervisor_fd is not None:
        loop.add_signal_handler(signal.SIGUSR2, leaving.on_replaced)
        loop.add_reader(settings.supervisor_fd, leaving.on_orphaned, settings.supervisor_fd)
    await serving


def serve(app: ASGIApp, owner: NodeOwner, settings: Settings, on_listening: Listening = lambda: None) -> None:
    """Serve until a signal says to stop. `on_listening` is called once, when callers can connect. PortTaken: nothing began."""
    is_worker = settings.listen_fd is not None

    def say() -> None:
        if not is_worker:
            notify(settings.notify_socket, READY)
        on_listening()

    with nullcontext() if is_worker else port_held(settings.host, settings.port):
        uvloop.run(_serve(app, owner, settings, say))
