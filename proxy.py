"""Tollway on one screen: settings → collector → node → routes. Run by `tollway serve`, or `granian --interface asgi proxy:app`.

Life of a request: edge/endpoints `Front` → edge/relay `Relay` (key, body, plan, reserve, intent) → `Attempts` → a forwarder.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib import import_module, util

from starlette.applications import Starlette

from edge import cli
from edge.collector_client.remote import remote_collector
from edge.data_folder import locked, node_name
from edge.endpoints.front import EXCEPTION_HANDLERS, Front
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
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
    settings = Settings.read()
    with locked(settings.data):
        async with collector_of(settings, name := node_name(settings)) as collector, edge.run(settings, name, collector) as state:
            yield state


app = Front(Starlette(routes=routes(edge), lifespan=lifespan, exception_handlers=EXCEPTION_HANDLERS), edge)


def main() -> int:
    return cli.run(sys.argv[1:], app, edge, lambda part: util.find_spec("collector") and import_module(f"collector.{part}"))


if __name__ == "__main__":
    sys.exit(main())
