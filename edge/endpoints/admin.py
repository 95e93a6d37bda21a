"""The operator's own address: figures of the business and what is wrong, which callers have no business to read.

Rule: it is another listening socket (TOLLWAY_ADMIN), by default on the loopback interface alone; the callers' port says no more
than whether to send traffic. Strategy: our own server whichever serves the callers, on the same loop: it answers while the other
drains.
Limits: no credentials. Who may connect to it may read it, so it is kept within the machine or a private network.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from edge.downstream.server import Server
from edge.endpoints.control import control_routes
from edge.node import Node
from edge.settings import Settings
from edge.telemetry.exposition import OPEN, PLAIN, is_open_wanted, written
from edge.telemetry.figures import families

CONNECTIONS_MAX = 64
BACKLOG = 16
SLICE_LINES = 500
"""Of the exposition, between two looks at the sockets: about a millisecond."""
log = logging.getLogger("tollway.admin")


def routes(node: Node) -> list[Route]:
    """What an operator reads."""

    async def healthz(request: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def readyz(request: Request) -> Response:
        readiness = node.readiness()
        if "verbose" in request.query_params:
            facts = {**msgspec.json.decode(readiness.body()), "config": node.reloader.outcome}
            body = msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n"
            return Response(body, 200 if readiness.is_ready else 503, media_type="application/json")
        return Response(readiness.body(), 200 if readiness.is_ready else 503, media_type="application/json")

    async def metrics(request: Request) -> Response:
        return await scraped(node, request.headers.get("accept", ""))

    plain = (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics))
    return [*(Route(path, answer) for path, answer in plain), *control_routes(node)]


async def scraped(node: Node, accept: str) -> Response:
    """The figures, written a slice at a time, so that nobody's chunk waits for a scrape."""
    is_open = is_open_wanted(accept)
    parts: list[str] = []
    rest = SLICE_LINES
    for family in families(node):
        for line in written(family, is_open=is_open):
            parts.append(line)
            if len(parts) >= rest:
                rest = len(parts) + SLICE_LINES
                await asyncio.sleep(0)
    if is_open:
        parts.append("# EOF\n")
    return Response("".join(parts), headers={"content-type": OPEN if is_open else PLAIN})


@asynccontextmanager
async def admin(node: Node, settings: Settings) -> AsyncIterator[None]:
    """Listen while the block runs. An address that is taken costs the figures, not the service."""
    if settings.admin is None and settings.admin_fd is None:
        yield
        return
    host, port = settings.admin or ("", 0)
    server = Server(Router(routes(node), redirect_slashes=False), CONNECTIONS_MAX)
    serving = node.tasks.spawn("admin", _serve(server, host, port, settings.admin_fd))
    try:
        yield
    finally:
        server.stop()
        await asyncio.wait({serving}, timeout=1.0)


async def _serve(server: Server, host: str, port: int, fd: int | None) -> None:
    try:
        await server.serve(host, port, BACKLOG, fd)
    except OSError as error:
        log.error("no metrics: %s port %d cannot be listened on (%s); TOLLWAY_ADMIN names another", host, port, error.strerror)
