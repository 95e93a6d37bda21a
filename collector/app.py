"""A collector started on its own: the node protocol, the account API and the health endpoints as one ASGI app.

`/healthz`: the process lives. `/readyz`: the database takes what is written, which a full disk does not. `/metrics`: counters for
Prometheus, served to the private network only: a request that came through a proxy, which names its client, gets 404.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from time import monotonic

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from collector.api import command
from collector.api import node as node_api
from collector.api.routes import routes as account_routes
from collector.dashboard.routes import Site
from collector.figures import exposition
from collector.service import Collector
from collector.settings import open_collector
from usage.protocol import Unreachable

FORWARDING = ("x-forwarded-for", "forwarded", "fly-client-ip", "x-real-ip", "via")
PROBE_S = 1.0


def create_app(collector: Collector) -> Starlette:
    """The app over an open collector, which it shuts down at its end. `app.state.leave()` ends the streams of open pages."""

    site = Site(collector, os.environ.get("TOLLWAY_EDGE_URL", "").rstrip("/"))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        collector.watch()
        yield
        await collector.shut_down()

    app = Starlette(routes=[*routes(collector), *site.routes], lifespan=lifespan)
    app.state.leave = site.leave
    return app


def from_environment() -> Starlette:
    """The factory that granian calls: the store is named by TOLLWAY_DATABASE or TOLLWAY_DATA."""
    return create_app(open_collector(os.environ))


def routes(collector: Collector) -> list[BaseRoute]:
    """Everything but the dashboard: the node protocol, the account API, commands, health and metrics."""

    async def is_alive(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    probe = Probe(collector)

    async def is_ready(request: Request) -> Response:
        problem = await probe.problem()
        return PlainTextResponse(f"{problem}\n", 503) if problem else PlainTextResponse("ready\n")

    async def metrics(request: Request) -> Response:
        if not is_direct(request):
            return PlainTextResponse("not found\n", 404)
        try:
            return PlainTextResponse(await exposition(collector), media_type="text/plain; version=0.0.4")
        except Unreachable as error:
            return PlainTextResponse(f"{error}\n", 503)

    health = [
        Route("/healthz", is_alive, methods=["GET"]),
        Route("/readyz", is_ready, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
    return [*node_api.routes(collector), *account_routes(collector), *command.routes(collector), *health]


def is_direct(request: Request) -> bool:
    """Whether a request comes from the machine or its private network, and not through a proxy that serves the world."""
    if any(name in request.headers for name in FORWARDING):
        return False
    try:
        return request.client is None or not ip_address(request.client.host).is_global
    except ValueError:
        return True


class Probe:
    """Whether the database takes a write. Within PROBE_S everybody hears the same, because each probe waits for the disk."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._asked_s = -PROBE_S
        self._problem = ""
        self._lock = asyncio.Lock()

    async def problem(self) -> str:
        """Why not; empty when it does."""
        async with self._lock:
            if monotonic() - self._asked_s >= PROBE_S:
                self._problem = await self._try()
                self._asked_s = monotonic()
            return self._problem

    async def _try(self) -> str:
        try:
            await self._collector.read(lambda tx, now: tx.row("SELECT COUNT(*) FROM counters"))
            await self._collector.write(
                lambda tx, now: tx.run(
                    "INSERT INTO counters (name, value) VALUES ('probed_ms', ?)"
                    " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    now,
                )
            )
        except Unreachable as error:
            return str(error)
        return ""
