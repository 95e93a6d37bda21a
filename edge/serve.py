"""Runs the application in this process, on a uvloop, stopped in good order by SIGTERM or SIGINT.

Strategy: our own server (`edge.downstream`) unless `TOLLWAY_SERVER=granian`. Granian runs embedded instead of under its process
manager: one process, half the memory. What restarts a dead process is the machine's supervisor, as for any service.
Limits: bounds on heads are the server's; bounds on bodies and readers are the relay's (`edge.passage`), whichever serves.
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from edge.capacity import connections_max, memory_bytes, raise_descriptors
from edge.downstream.server import HEAD_TIMEOUT_S, Server
from edge.settings import ServerName

BACKLOG = 4_096
SWITCH_S = 0.002
"""How long another thread (the embedded collector's, the journal's) may keep the event loop from the interpreter; Python's own is
5 ms. Less costs more: each hand-over is two wake-ups, half a millisecond a hundredth of a request's price."""
Stop = Callable[[], None]


class PortTaken(Exception):
    """Something else listens where we should."""


def check_port(host: str, port: int) -> None:
    """PortTaken unless `port` can be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(f"port {port} cannot be listened on ({error.strerror}): choose another with PORT=8001") from None


def _native(app: Any, host: str, port: int) -> tuple[Awaitable[None], Stop]:
    server = Server(app, connections_max(raise_descriptors(), memory_bytes()))
    return server.serve(host, port, BACKLOG), server.stop


def _granian(app: Any, host: str, port: int) -> tuple[Awaitable[None], Stop]:
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server

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
    return server.serve(), server.stop


async def _serve(app: Any, host: str, port: int, name: ServerName) -> None:
    serving, stop = (_granian if name == "granian" else _native)(app, host, port)
    # What is loaded by now stays; requests make no cycles, so the collector need not look for them every 700 objects.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    sys.setswitchinterval(SWITCH_S)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await serving


def serve(app: Any, host: str, port: int, name: ServerName = "native") -> None:
    """Serve until a signal says to stop."""
    check_port(host, port)
    uvloop.run(_serve(app, host, port, name))
