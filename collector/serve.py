"""Runs the collector: one process, whose life is in its log, and whose troubles at the start are one line each.

Strategy: granian embedded rather than under its process manager, so that nothing is left serving when this process is killed;
what restarts a dead one is the machine's supervisor. SIGTERM and SIGINT end it after the answers that are under way.
"""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping

from collector.app import create_app
from collector.service import Collector
from collector.settings import open_collector
from collector.store.contract import StoreUnavailable
from collector.store.schema import SchemaTooNew

PORT_DEFAULT = 8100
HEAD_TIMEOUT_S = 10.0
"""From a head's first byte to its last."""
LISTENING_LOOK_S, LISTENING_LOOKS_MAX = 0.02, 500
log = logging.getLogger("tollway.collector")


class NoStart(Exception):
    """The collector cannot serve; one sentence says why."""


def serve(environ: Mapping[str, str] = os.environ) -> int:
    """Serve until told to stop; 1, after one line, when that is not possible."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    os.umask(0o077)  # what is written here is the books
    _raise_descriptors()
    try:
        host, port = environ.get("HOST") or "0.0.0.0", read_port(environ)
        check_port(host, port)
        collector = open_collector(environ)
    except (NoStart, StoreUnavailable, SchemaTooNew, ValueError) as problem:
        sys.stderr.write(f"tollway collector: {problem}\n")
        return 1
    asyncio.run(_serve(collector, host, port))
    log.info("stopped")
    return 0


def _raise_descriptors() -> None:
    """Open files up to the hard limit: each edge, page and database connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS says "unlimited" and means less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard) if soft != resource.RLIM_INFINITY else (soft, hard))


def read_port(environ: Mapping[str, str]) -> int:
    """PORT, 8100 by default. NoStart: it is no port number."""
    text = environ.get("PORT") or str(PORT_DEFAULT)
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 0 < int(text) < 65536:
        raise NoStart(f"PORT is {text[:40]!r}, which is no port number")
    return int(text)


def check_port(host: str, port: int) -> None:
    """NoStart: the address cannot be listened on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise NoStart(f"port {port} of {host} cannot be listened on ({error.strerror}); PORT names another") from None


async def _serve(collector: Collector, host: str, port: int) -> None:
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server.embed import Server

    app = create_app(collector)
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        http1_settings=HTTP1Settings(header_read_timeout=int(HEAD_TIMEOUT_S * 1000)),
        log_level=LogLevels.error,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, server, app.state.leave)
    await asyncio.gather(server.serve(), _say_listening(collector, host, port))


def _stop(server: "Server", leave: Callable[[], None]) -> None:  # type: ignore[name-defined]  # noqa: F821
    log.info("told to stop")
    leave()
    server.stop()


async def _say_listening(collector: Collector, host: str, port: int) -> None:
    """Once callers can connect, and not before."""
    there = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    for _ in range(LISTENING_LOOKS_MAX):
        try:
            _, writer = await asyncio.open_connection(there, port)
        except OSError:
            await asyncio.sleep(LISTENING_LOOK_S)
        else:
            writer.close()
            log.info("listens on http://%s:%d, books in %r", host, port, collector.store)
            return
