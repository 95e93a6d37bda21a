"""Invented credentials die at the collector's own doors: by their mark, before the store is asked for anything."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.accounts.accounts import KeyTerms, create_key
from collector.accounts.roles import create_credential
from collector.app import create_app
from collector.dashboard.access import ATTEMPTS_MAX
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Clock
from usage.key import ENTROPY_BYTES, digest, mint

pytestmark = pytest.mark.anyio
OTHER = b"another deployment's secret"
TERMS = KeyTerms()
INVENTED = ("sk_live_", "sk_read_", "sk_mgmt_", "op_")


class Counted(SqliteStore):
    """A store that counts its transactions."""

    calls = 0

    def read(self, work: Any) -> Any:
        self.calls += 1
        return super().read(work)

    def write(self, work: Any) -> Any:
        self.calls += 1
        return super().write(work)


class Doors:
    def __init__(self, folder: Path) -> None:
        store = Counted.open(folder / "collector.db")
        assert isinstance(store, Counted)
        self.store: Counted = store
        self.collector = Collector(self.store, Clock())
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(create_app(self.collector)), base_url="http://collector")

    async def ask(self, key: str, path: str = "/api/v1/credits", method: str = "GET") -> int:
        return (await self.http.request(method, path, headers={"authorization": f"Bearer {key}"})).status_code

    async def sign_in(self, key: str) -> int:
        headers = {"sec-fetch-site": "same-origin"}
        return (await self.http.post("/dashboard/login", data={"key": key}, headers=headers)).status_code


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    made = Doors(tmp_path)
    yield made
    await made.http.aclose()
    await made.collector.shut_down()


@pytest.mark.parametrize("prefix", INVENTED)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/credits"),
        ("GET", "/v1/key"),
        ("POST", "/api/v1/keys"),
        ("GET", "/api/v1/analytics/meta"),
        ("POST", "/operator/v1/command"),
    ],
)
async def test_invented_credential_costs_no_transaction(doors: Doors, prefix: str, method: str, path: str) -> None:
    """By its prefix whatever it is, with a right checksum and no mark, or another one's: 401 without a look at the store."""
    real = await doors.collector.write(lambda tx, now: create_key(tx, "acct", TERMS, now))
    assert await doors.ask(real) == 200
    before = doors.store.calls
    for deployment in (b"", OTHER):
        for _ in range(20):
            assert await doors.ask(mint(os.urandom(ENTROPY_BYTES), deployment, prefix)[0], path, method) == 401
    assert doors.store.calls == before


@pytest.mark.parametrize("prefix", INVENTED)
async def test_invented_key_at_the_sign_in_page_costs_no_transaction(doors: Doors, prefix: str) -> None:
    """The page is open to the world, so it looks at the mark first too: 401, and the store is not asked."""
    real, _ = await doors.collector.write(lambda tx, now: create_credential(tx, "", "operator", "", now))
    assert await doors.sign_in(real) == 303
    before = doors.store.calls
    for deployment in (b"", OTHER):
        for _ in range(ATTEMPTS_MAX // 2):
            assert await doors.sign_in(mint(os.urandom(ENTROPY_BYTES), deployment, prefix)[0]) == 401
    assert doors.store.calls == before


async def test_every_credential_that_was_made_is_taken(doors: Doors) -> None:
    """Keys and account keys bear the mark."""
    key = await doors.collector.write(lambda tx, now: create_key(tx, "acct", TERMS, now))
    read, _ = await doors.collector.write(lambda tx, now: create_credential(tx, "acct", "read", "", now))
    operator, _ = await doors.collector.write(lambda tx, now: create_credential(tx, "", "operator", "", now))
    assert [await doors.ask(one) for one in (key, read)] == [200, 200]
    assert await doors.ask(operator, "/api/v1/credits?account=acct") == 200


async def test_key_from_before_there_were_marks_is_taken_until_it_is_revoked(doors: Doors) -> None:
    """As long as one can be used, a key without a mark is looked up; credentials never were without."""
    await doors.collector.write(lambda tx, now: create_key(tx, "acct", TERMS, now))
    old, key_id = mint(os.urandom(ENTROPY_BYTES))
    await doors.collector.write(lambda tx, now: create_key(tx, "acct", TERMS, now))
    await doors.collector.write(
        lambda tx, now: tx.run(
            "UPDATE keys SET digest = ?, key_id = ?, marked = 0 WHERE key_id = (SELECT MAX(key_id) FROM keys)",
            digest(old.encode()),
            key_id,
        )
    )
    assert await doors.ask(old) == 200
    before = doors.store.calls
    assert await doors.ask(mint(os.urandom(ENTROPY_BYTES), b"", "op_")[0]) == 401
    assert doors.store.calls == before
    await doors.collector.write(lambda tx, now: tx.run("UPDATE keys SET disabled = 1 WHERE key_id = ?", key_id))
    assert await doors.ask(old) == 401


async def test_store_that_has_marked_nothing_is_asked(doors: Doors) -> None:
    """Nothing is known of a mark yet: a key is looked up, and is not there."""
    assert await doors.ask(mint(os.urandom(ENTROPY_BYTES))[0]) == 401
