"""Tollway on one screen: load, build, route, serve. `tollway serve` runs it, and so does `granian --interface asgi proxy:app`.

With TOLLWAY_COLLECTOR_URL unset the collector lives in this process (SQLite in TOLLWAY_DATA); with it set, this is an edge alone.
"""

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from edge.cli import greeting, run
from edge.data_folder import StartProblem, locked, node_name
from edge.downstream import READER_TIMEOUT
from edge.downstream.admission import ADMISSION
from edge.endpoints.account import Authenticated, FlushFirst, Forward
from edge.endpoints.admin import admin
from edge.endpoints.router import ApiRouter
from edge.endpoints.routes import paid, routes
from edge.node import Node
from edge.settings import Settings
from edge.write_batch import WRITE_BATCH
from usage.protocol import CollectorClient


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[dict[str, Any]]:
    settings = Settings.read()
    name = node_name(settings)
    with locked(settings.data):
        async with collector_of(settings, name) as (collector_client, account, pages):
            node = app.node = Node(settings, name, collector_client)
            fresh = Authenticated(FlushFirst(account, node.flush), lambda: node.authenticator, node.failed_authentications)
            app.serve(paid(node), [*routes(node, fresh), *pages], lambda: node.table.config.cors_origins)
            async with admin(node, settings):
                await node.start()
                reader_timeout_s = node.table.config.limits.reader_timeout_s
                yield {WRITE_BATCH: node.turn, READER_TIMEOUT: reader_timeout_s, ADMISSION: node.admission}
                await node.stop()


@asynccontextmanager
async def collector_of(settings: Settings, name: str) -> AsyncIterator[tuple[CollectorClient, ASGIApp, Sequence[BaseRoute]]]:
    """The collector: elsewhere over HTTP, or embedded. With it the application that answers for accounts, and the dashboard."""
    if settings.collector_url is not None:
        from edge.collector_client.enrolment import Enrolment
        from edge.collector_client.http import HttpCollectorClient

        link = HttpCollectorClient(settings.collector_url, "", enrolment=Enrolment.of(settings, name))
        forward = Forward(settings.collector_url)
        yield link, forward, ()
        await forward.aclose()
        await link.aclose()
        return
    from collector.lazy import account_app, pages
    from collector.leasing.grant import read_share
    from collector.service import DEMO_ACCOUNT, Collector
    from collector.sinks.settings import read_sinks

    collector = Collector(open_embedded(), share_percent=read_share(os.environ), sinks=read_sinks(os.environ))
    key = await collector.ensure_demo()
    if key is not None:
        sys.stdout.write(greeting(key, await collector.make_login_link(DEMO_ACCOUNT), settings.port))
        sys.stdout.flush()
    collector.watch()
    yield collector.for_node(name), account_app(collector), pages(collector, lambda: app.node and app.node.drain.is_leaving)
    await collector.shut_down()


def open_embedded() -> Any:
    """The store of the embedded collector. StartProblem: there is none to be had."""
    try:
        from collector.leasing.grant import read_share
        from collector.store.contract import StoreUnavailable
        from collector.store.opening import open_store
        from collector.store.schema import SchemaTooNew
    except ModuleNotFoundError:
        raise StartProblem("there is no collector in this installation: set TOLLWAY_COLLECTOR_URL to where one runs") from None
    try:
        read_share(os.environ)
        return open_store(os.environ)
    except (StoreUnavailable, SchemaTooNew, ValueError) as error:
        raise StartProblem(f"the embedded collector cannot start: {error}") from None


def prepare(settings: Settings) -> None:
    """StartProblem, SettingError: what would keep this process from serving, said before anything listens."""
    with locked(settings.data):
        node_name(settings)
        if settings.collector_url is None:
            open_embedded().close()


app = ApiRouter(lifespan)


def main() -> int:
    """The `tollway` command. The account commands are there where the collector is installed."""
    return run(sys.argv[1:], app, prepare, account_commands, doctor_of_books)


def account_commands(subparsers: Any) -> None:
    try:
        from collector.cli.commands import commands
    except ModuleNotFoundError:
        return
    commands(subparsers)


def doctor_of_books() -> Any:
    try:
        from collector.cli.doctor import look_at_books
    except ModuleNotFoundError:
        return None
    return look_at_books


if __name__ == "__main__":
    raise SystemExit(main())
