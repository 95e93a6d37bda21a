"""Tollway on one screen: settings → collector → node → routes. Run by `tollway serve`, or `granian --interface asgi proxy:app`.

Life of a request: `Front` finds its path; `Relay` (edge/relay/relay.py) authenticates, decodes, plans, reserves credit and writes
the intent; `Attempts` asks providers until one answers; a forwarder passes the answer on, and settles it before its last byte.
"""

import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

from starlette.applications import Starlette

from edge import cli
from edge.collector_client.remote import remote_collector
from edge.data_folder import locked, node_name
from edge.endpoints.front import IN_WORDS, Front
from edge.endpoints.routes import routes
from edge.process import CollectorSide, Edge
from edge.settings import Settings

edge = Edge()


def collector_of(settings: Settings, name: str) -> AbstractAsyncContextManager[CollectorSide]:
    """Elsewhere over HTTP where TOLLWAY_COLLECTOR_URL says so, else in this process, with SQLite in TOLLWAY_DATA."""
    if settings.collector_url is not None:
        return remote_collector(settings, name)
    from collector.embedded import embedded_collector

    return embedded_collector(name, partial(cli.greet, settings.port), edge.is_leaving)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    settings = Settings.read()
    with locked(settings.data):
        name = node_name(settings)
        async with collector_of(settings, name) as collector, edge.run(settings, name, collector) as server_parts:
            yield server_parts


app = Front(Starlette(routes=routes(edge), lifespan=lifespan, exception_handlers=IN_WORDS), edge)


def main() -> int:
    return cli.run(sys.argv[1:], app, edge, lambda part: find_spec("collector") and importlib.import_module(f"collector.{part}"))
