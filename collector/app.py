"""A collector started on its own: the node protocol, the account API and the health endpoints as one ASGI app.

`/healthz`: the process lives. `/readyz`: the database takes what is written, which a full disk does not. `/metrics`: counters for
Prometheus, told on the private network alone: whoever comes through a proxy, which names the client it serves, finds nothing.
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
from collector.leasing.nodes import stranded
from collector.ledger.ledger import TERMS
from collector.service import Collector
from collector.settings import open_collector
from collector.sinks.outbox import backlogs
from collector.store.contract import Tx
from usage.pricing import dollars
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


async def exposition(collector: Collector) -> str:
    """Counters of this process, and what the named terms absorbed in the whole store, as Prometheus text."""
    lines = []
    for name, value in collector.counts.items():
        lines += [f"# TYPE tollway_collector_{name}_total counter", f"tollway_collector_{name}_total {value}"]
    lines += ["# TYPE tollway_collector_rejected_by_reason_total counter"]
    for kind, count in sorted(collector.rejected_by_kind.items()):
        lines.append(f'tollway_collector_rejected_by_reason_total{{reason="{kind}"}} {count}')
    terms, postings, stranded_nano = await collector.read(lambda tx, now: (_terms_nano(tx), _postings(tx), stranded(tx, now)))
    lines += ["# TYPE tollway_collector_stranded_dollars gauge", f"tollway_collector_stranded_dollars {dollars(stranded_nano)}"]
    lines += ["# TYPE tollway_collector_postings gauge", f"tollway_collector_postings {postings}"]
    lines += ["# TYPE tollway_collector_absorbed_dollars gauge"]
    lines += [f'tollway_collector_absorbed_dollars{{term="{term}"}} {dollars(terms.get(term, 0))}' for term in TERMS]
    lines += await _sink_lines(collector)
    return "\n".join(lines) + "\n"


async def _sink_lines(collector: Collector) -> list[str]:
    """How each sink is doing; nothing where there is none."""
    if not collector.sinks:
        return []
    names = [runner.sink.name for runner in collector.sinks]
    rows, now_ms = await collector.read(lambda tx, now: (backlogs(tx, names), now))
    figures: dict[str, dict[str, float]] = {
        "waiting_events gauge": {row.sink: row.waiting for row in rows},
        "oldest_seconds gauge": {row.sink: (now_ms - row.oldest_ms) / 1000 if row.oldest_ms else 0 for row in rows},
        "dead_events gauge": {row.sink: row.dead for row in rows},
        "skipped_events gauge": {row.sink: row.skipped for row in rows},
        "published_events_total counter": {runner.sink.name: runner.published for runner in collector.sinks},
    }
    lines = []
    for figure, values in figures.items():
        name = f"tollway_collector_sink_{figure.split()[0]}"
        lines.append(f"# TYPE {name} {figure.split()[1]}")
        lines += [f'{name}{{sink="{sink}"}} {value}' for sink, value in values.items()]
    return lines


def _terms_nano(tx: Tx) -> dict[str, int]:
    return dict(
        tx.rows(
            "SELECT debit, CAST(SUM(amount_nano) AS BIGINT) FROM postings WHERE debit IN ('overage', 'late', 'grace')"
            " GROUP BY debit"
        )
    )


def _postings(tx: Tx) -> int:
    row = tx.row("SELECT MAX(posting_id) FROM postings")
    return (row and row[0]) or 0
