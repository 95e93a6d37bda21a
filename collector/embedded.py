"""A collector in the process of an edge: the same books, without a network between.

Its pages and its API are loaded when they are first asked for (`collector.lazy`).
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.routing import Router
from starlette.types import ASGIApp

from collector.demo import DEMO_ACCOUNT
from collector.lazy import account_app, pages
from collector.settings import open_books, open_collector
from collector.store.contract import StoreUnavailable
from collector.store.schema import SchemaTooNew
from usage.protocol import CollectorClient

Greet = Callable[[str, str], None]


class CannotEmbed(Exception):
    """The embedded collector cannot start; one sentence for the operator says why."""


class EmbeddedSide:
    """What the edge around it has of it."""

    def __init__(self, client: CollectorClient, account: ASGIApp, pages: ASGIApp) -> None:
        self.client = client
        self.account = account
        self.pages: ASGIApp | None = pages


def check_books() -> None:
    """Whether the environment names books that can be opened. CannotEmbed."""
    try:
        open_books(os.environ).close()
    except (StoreUnavailable, SchemaTooNew, ValueError) as error:
        raise CannotEmbed(f"the embedded collector cannot start: {error}") from None


@asynccontextmanager
async def embedded_collector(name: str, greet: Greet, is_leaving: Callable[[], bool]) -> AsyncIterator[EmbeddedSide]:
    """The collector for the node `name`. `greet` is told the demo account's key and login link when they were made just now."""
    collector = open_collector(os.environ)
    key = await collector.ensure_demo()
    if key is not None:
        greet(key, await collector.make_login_link(DEMO_ACCOUNT))
    collector.watch()
    found = Router(pages(collector, is_leaving), redirect_slashes=False)
    yield EmbeddedSide(collector.for_node(name), account_app(collector), found)
    await collector.shut_down()
