"""A dashboard over a collector on SQLite, asked without a network; a session is a cookie of the client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from collector.accounts.keys import KeyTerms
from collector.accounts.roles import Role
from collector.app import create_app
from collector.dashboard.access import COOKIE
from collector.dashboard.sessions import Visitor, open_session
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Clock

ORIGIN = "https://collector"


class Browser:
    """A client with the headers that a browser's same-origin request has."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(collector)), base_url=ORIGIN, headers={"sec-fetch-site": "same-origin"}
        )

    async def sign_in(self, account: str, role: Role = "management") -> str:
        """Put a new session into the cookies; its secret."""
        secret, _ = await self.collector.write(
            lambda tx, now: open_session(tx, Visitor(account, role, "test", "192.0.2.1", "a browser"), now)
        )
        self.use(secret)
        return secret

    def use(self, secret: str) -> None:
        """Have this session's cookie, whoever made it."""
        self.http.cookies.clear()
        self.http.cookies.set(COOKIE, secret)

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(path)

    async def post(
        self, path: str, fields: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        return await self.http.post(path, data=fields or {"-": ""}, headers=headers)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def browsing(path: Path, clock: Clock) -> AsyncIterator[Browser]:
    """With the accounts `alice` and `bob`, ten dollars and a key each."""
    collector = Collector(SqliteStore.open(path), clock)
    for account in ("alice", "bob"):
        await collector.add_credit(account, 10_000_000_000, f"first of {account}")
        await collector.create_key(account, KeyTerms(f"key of {account}"))
    made = Browser(collector)
    yield made
    await made.http.aclose()
    await collector.shut_down()


@pytest.fixture
async def browser(tmp_path: Path, clock: Clock) -> AsyncIterator[Browser]:
    async with browsing(tmp_path / "collector.db", clock) as made:
        yield made


@pytest.fixture
async def plain_browser(tmp_path: Path, clock: Clock) -> AsyncIterator[Browser]:
    """Another one over a collector of its own."""
    async with browsing(tmp_path / "plain.db", clock) as made:
        yield made
