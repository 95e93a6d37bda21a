"""A collector elsewhere: the node protocol over HTTP, and an account's requests passed on to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from edge.collector_client.enrolment import Enrolment
from edge.collector_client.http import HttpCollectorClient
from edge.endpoints.account import Forward
from edge.settings import Settings
from usage.protocol import CollectorClient


class RemoteCollectorSide:
    """What an edge has of it. There are no pages here: the collector serves its own."""

    def __init__(self, client: CollectorClient, account: ASGIApp) -> None:
        self.client = client
        self.account = account
        self.pages: ASGIApp | None = None


@asynccontextmanager
async def remote_collector(settings: Settings, name: str) -> AsyncIterator[RemoteCollectorSide]:
    """The collector at `settings.collector_url`, for the node `name`."""
    assert settings.collector_url is not None
    client = HttpCollectorClient(settings.collector_url, "", enrolment=Enrolment.of(settings, name))
    forward = Forward(settings.collector_url)
    yield RemoteCollectorSide(client, forward)
    await forward.aclose()
    await client.aclose()
