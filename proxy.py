"""Tollway on one screen: load, build, route, serve. `tollway serve` runs it, and so does `granian --interface asgi proxy:app`.

With TOLLWAY_COLLECTOR_URL unset the collector lives in this process (SQLite in TOLLWAY_DATA); with it set, this is an edge alone.
"""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.account import Forward, Fresh
from edge.downstream import READER_TIMEOUT
from edge.endpoints import PREFIXES, not_found, routes
from edge.node import Node, node_name
from edge.ops import greeting, run
from edge.settings import Settings
from edge.turn import TURN
from usage.protocol import Centre

PAID_PATHS = tuple(prefix + "/chat/completions" for prefix in PREFIXES)
ACCOUNT_PATHS = ("/credits", "/key", "/generation", "/activity")


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[dict[str, Any]]:
    settings = Settings.read()
    name = node_name(settings)
    async with centre_of(settings, name) as (centre, account):
        node = Node(settings, name, centre)
        fresh = Fresh(account, node.flush)
        app.routes[:] = [
            *(Route(path, Chat(node), methods=["POST"]) for path in PAID_PATHS),
            *routes(node),
            *(Route(prefix + path, fresh, methods=["GET"]) for prefix in PREFIXES for path in ACCOUNT_PATHS),
        ]
        app.paid = dict.fromkeys(PAID_PATHS, node.chat)
        await node.start()
        yield {TURN: node.turn, READER_TIMEOUT: node.table.config.limits.reader_timeout_s}
        await node.stop()


class Chat:
    """The chat's way in for Starlette's router, which takes a bound method for something else than a raw ASGI endpoint."""

    def __init__(self, node: Node) -> None:
        self._chat = node.chat

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self._chat(scope, receive, send)


class App(Router):
    """Starlette's router, and before it one look-up for the paths that are asked for all the time."""

    paid: Mapping[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        chat = self.paid.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        return super().__call__(scope, receive, send) if chat is None else chat(scope, receive, send)


@asynccontextmanager
async def centre_of(settings: Settings, name: str) -> AsyncIterator[tuple[Centre, ASGIApp]]:
    """The collector: elsewhere over HTTP, or embedded. With it the application that answers for accounts."""
    if settings.collector_url is not None:
        from edge.collector_link import HttpCentre

        link, forward = HttpCentre(settings.collector_url, settings.node_token or ""), Forward(settings.collector_url)
        yield link, forward
        await forward.aclose()
        await link.aclose()
        return
    from collector.account_api import routes as account_routes
    from collector.service import Collector
    from collector.store import open_store

    collector = Collector(open_store(os.environ))
    key = await collector.ensure_demo()
    if key is not None:
        sys.stdout.write(greeting(key, settings.port))
        sys.stdout.flush()
    yield collector.for_node(name), Router(account_routes(collector))
    await collector.shut_down()


app = App(lifespan=lifespan, default=not_found)


def main() -> int:
    """The `tollway` command. The account commands are there where the collector is installed."""
    try:
        from collector.ops import commands
    except ModuleNotFoundError:
        return run(sys.argv[1:], app)
    return run(sys.argv[1:], app, commands)


if __name__ == "__main__":
    raise SystemExit(main())
