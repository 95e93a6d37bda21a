"""An embedded collector's pages and account API, loaded with the first request for one of them.

Why: an edge starts to serve paid requests. Templates, charts and sixty operations would be a third of its start, and megabytes
that most edges never use. Loading happens in a thread, so that the requests under way go on.
"""

import asyncio
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.service import Collector
from usage.protocol.command import COMMAND_PATH

PAGES = "/dashboard"
ALSO_PAGES = ("/", "/auth")
"""Paths of pages that do not stand below PAGES."""


class LazyApp:
    """The application that `make` makes of a module, once it is asked for."""

    def __init__(self, module: str, make: Callable[[ModuleType], ASGIApp]) -> None:
        self._module = module
        self._make = make
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            module = await asyncio.to_thread(import_module, self._module)
            if self._app is None:  # it may have been made while we waited
                self._app = self._make(module)
        await self._app(scope, receive, send)


class LazyPages(BaseRoute):
    """The dashboard as one route, which knows no more of it than where it begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"] if scope["type"] == "http" else ""
        is_page = path in ALSO_PAGES or path == PAGES or path.startswith(PAGES + "/")
        return (Match.FULL if is_page else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def account_app(collector: Collector) -> ASGIApp:
    """What answers for accounts."""
    return LazyApp("collector.api.routes", lambda module: Router(module.routes(collector)))


def pages(collector: Collector, is_leaving: Callable[[], bool]) -> list[BaseRoute]:
    """The dashboard's routes, and the command line's. `is_leaving`: the process wants to stop, and open pages let it."""
    return [
        Route(COMMAND_PATH, LazyApp("collector.api.command", lambda module: Router(module.routes(collector)))),
        LazyPages(
            LazyApp(
                "collector.dashboard.routes",
                lambda module: Router(module.Site(collector, is_leaving=is_leaving).routes, redirect_slashes=False),
            )
        ),
    ]
