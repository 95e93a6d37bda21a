"""Runs the application in this process: granian's server on a uvloop, stopped in good order by SIGTERM or SIGINT.

Strategy: granian's embedded server instead of its process manager: one process, half the memory, a cold start without a second
interpreter. What restarts a dead process is the machine's supervisor, as for any service.
Limits: bounds on headers are granian's (it cuts silent or slow heads); bounds on bodies and readers are ours (`edge.passage`).
"""

import asyncio
import gc
import logging
import signal
import socket
from typing import Any

import uvloop
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server

HEADER_READ_TIMEOUT_MS = 10_000
CONNECTIONS_MAX = 65_536
log = logging.getLogger("tollway.serve")


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


async def _serve(app: Any, host: str, port: int) -> None:
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        backlog=4_096,
        backpressure=CONNECTIONS_MAX,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_READ_TIMEOUT_MS),
        log_level=LogLevels.error,
    )
    # What is loaded by now stays; requests make no cycles, so the collector need not look for them every 700 objects.
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.serve()


def serve(app: Any, host: str, port: int) -> None:
    """Serve until a signal says to stop."""
    check_port(host, port)
    uvloop.run(_serve(app, host, port))
