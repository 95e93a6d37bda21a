"""What the routes of `proxy:app` answer from: this process's node and its collector, there from its start to its end.

Strategy: routes are listed when the module is imported, as in any Starlette application; what they need exists only once the
process runs. They hold this handle, and a server sends no request before `run` has yielded.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from edge.downstream import READER_TIMEOUT
from edge.downstream.admission import ADMISSION
from edge.endpoints.account import Authenticated, FlushFirst
from edge.endpoints.admin import admin
from edge.endpoints.cors import Origins
from edge.endpoints.unpaid import FairApp
from edge.node import Node
from edge.settings import Settings
from edge.write_batch import WRITE_BATCH
from routing.surfaces import SURFACES
from usage.protocol import CollectorClient

PAID = tuple((base + path, entry) for entry in SURFACES for path in entry.paths for base in entry.bases)
"""Path → surface, of all that is paid."""


class CollectorSide(Protocol):
    """A collector, embedded (`collector.embedded`) or elsewhere (`edge.collector_client.remote`)."""

    client: CollectorClient
    account: ASGIApp
    """Answers for accounts."""
    pages: ASGIApp | None
    """The dashboard, where it is served here."""


def paid_paths(node: Node) -> Mapping[str, ASGIApp]:
    """Who answers the paid requests at each path that has no parameter, without a router on their way."""
    return {path: node.paid(entry) for path, entry in PAID if "{" not in path}


class Edge:
    """`node` and `paid` are there while `run` is. `paid`: by path, who answers a paid request from the first byte on."""

    def __init__(self) -> None:
        self.node: Node | None = None
        self.paid: Mapping[str, ASGIApp] = {}
        self._account: ASGIApp | None = None
        self._pages: ASGIApp | None = None

    @asynccontextmanager
    async def run(self, settings: Settings, name: str, collector: CollectorSide) -> AsyncIterator[dict[str, Any]]:
        """Serve as node `name`. Yields what the server is to use: how it writes, whom it lets in, how long a reader may wait."""
        self.node = node = Node(settings, name, collector.client)
        self.paid = paid_paths(node)
        fresh = FlushFirst(collector.account, node.flush)
        account = Authenticated(fresh, lambda: node.authenticator, node.failed_authentications)
        address_of = node.failed_authentications.client_of
        self._account = FairApp(account, node.starts, address_of)
        self._pages = None if collector.pages is None else FairApp(collector.pages, node.starts, address_of)
        async with admin(node, settings):
            limits = node.table.limits
            try:
                await node.start()
                yield {
                    WRITE_BATCH: node.write_batch,
                    READER_TIMEOUT: lambda: limits.now.reader_timeout_s,
                    ADMISSION: node.admission,
                }
            finally:
                # Also when the server fails: leased credit that is not returned is the account's, and away until recovery.
                await node.stop()

    @property
    def running(self) -> Node:
        """The node, asked for by a request."""
        assert self.node is not None, "a request came before the process had started"
        return self.node

    def origins(self) -> Origins:
        """Of the browsers that may call, now."""
        return self.node.table.config.cors_origins if self.node is not None else ()

    def is_leaving(self) -> bool:
        """Whether the process wants to stop."""
        return self.node is not None and self.node.drain.is_leaving

    async def account(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What is asked of an account."""
        assert self._account is not None
        await self._account(scope, receive, send)

    async def pages(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whatever has no route of its own: a page of the dashboard, or nothing (HTTPException 404)."""
        if self._pages is None:
            raise HTTPException(404)
        await self._pages(scope, receive, send)
