"""Invented credentials are refused by the collector by their mark, before the store is asked for anything."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.accounts.accounts import create_account
from collector.accounts.authorization import Grant, challenge_of, issue_code
from collector.accounts.keys import KeyTerms, create_key
from collector.accounts.marks import CODE, KINDS, LINK, SESSION, ExpiringSecret
from collector.accounts.roles import CredentialTerms, create_credential
from collector.app import create_app
from collector.dashboard.access import ATTEMPTS_MAX, COOKIE
from collector.dashboard.sessions import Visitor, make_link, open_session
from collector.service import Collector
from collector.store.contract import Tx
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Clock
from usage.key import ENTROPY_BYTES, digest, mint

pytestmark = pytest.mark.anyio
OTHER = b"another deployment's secret"
TERMS = KeyTerms()
VERIFIER = "v" * 43
OLD = "A_-" * 14 + "z"
"""The shape of secrets that expire, from before there were marks."""
OPENS = {LINK: 303, SESSION: 200, CODE: 200}
REFUSES = {LINK: 401, SESSION: 303, CODE: 403}
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


class CountedCollector:
    def __init__(self, folder: Path) -> None:
        store = Counted.open(folder / "collector.db")
        assert isinstance(store, Counted)
        self.store: Counted = store
        self.clock = Clock()
        self.collector = Collector(self.store, self.clock)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(create_app(self.collector)), base_url="http://collector")

    async def ask(self, key: str, path: str = "/api/v1/credits", method: str = "GET") -> int:
        return (await self.http.request(method, path, headers={"authorization": f"Bearer {key}"})).status_code

    async def sign_in(self, key: str) -> int:
        headers = {"sec-fetch-site": "same-origin"}
        return (await self.http.post("/dashboard/login", data={"key": key}, headers=headers)).status_code

    async def make(self, kind: ExpiringSecret) -> str:
        """A real secret of this kind, for the account `acct`."""

        def work(tx: Tx, now: int) -> str:
            create_account(tx, "acct", now)
            if kind == LINK:
                return make_link(tx, "acct", "read", now)
            if kind == SESSION:
                return open_session(tx, Visitor("acct", "read", "test", "192.0.2.1", "a browser"), now)[0]
            return issue_code(tx, Grant("acct", challenge_of(VERIFIER)), now)

        return await self.collector.write(work)

    async def open(self, kind: ExpiringSecret, secret: str) -> int:
        """Try it where it opens something; the status."""
        self.http.cookies.clear()
        headers = {"sec-fetch-site": "same-origin"}
        if kind == LINK:
            answer = await self.http.post(f"/dashboard/login/{secret}", data={"-": ""}, headers=headers)
        elif kind == SESSION:
            answer = await self.http.get("/dashboard/keys", headers={"cookie": f"{COOKIE}={secret}"})
        else:
            answer = await self.http.post("/v1/auth/keys", json={"code": secret, "code_verifier": VERIFIER})
        return answer.status_code


@pytest.fixture
async def counted(tmp_path: Path) -> AsyncIterator[CountedCollector]:
    made = CountedCollector(tmp_path)
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
async def test_invented_credential_costs_no_transaction(counted: CountedCollector, prefix: str, method: str, path: str) -> None:
    """By its prefix whatever it is, with a right checksum and no mark, or another one's: 401 without a look at the store."""
    real = await counted.collector.write(lambda tx, now: create_key(tx, "acct", TERMS, now)[0])
    assert await counted.ask(real) == 200
    before = counted.store.calls
    for deployment in (b"", OTHER):
        for _ in range(20):
            assert await counted.ask(mint(os.urandom(ENTROPY_BYTES), deployment, prefix)[0], path, method) == 401
    assert counted.store.calls == before


@pytest.mark.parametrize("prefix", INVENTED)
async def test_invented_key_at_the_sign_in_page_costs_no_transaction(counted: CountedCollector, prefix: str) -> None:
    """The page is open to the world, so it looks at the mark first too: 401, and the store is not asked."""
    real, _ = await counted.collector.write(lambda tx, now: create_credential(tx, "", CredentialTerms("operator"), now))
    assert await counted.sign_in(real) == 303
    before = counted.store.calls
    for deployment in (b"", OTHER):
        for _ in range(ATTEMPTS_MAX // 2):
            assert await counted.sign_in(mint(os.urandom(ENTROPY_BYTES), deployment, prefix)[0]) == 401
    assert counted.store.calls == before


@pytest.mark.parametrize("kind", KINDS)
async def test_invented_secret_that_expires_costs_no_transaction(counted: CountedCollector, kind: ExpiringSecret) -> None:
    """A sign-in link, a session's cookie, an application's code: of the right shape without our mark, of the shape from before
    there were marks, or of none; refused as ever, without a look at the store."""
    made, other = await counted.make(kind), await counted.make(next(one for one in KINDS if one != kind))
    assert await counted.open(kind, made) == OPENS[kind]
    before = counted.store.calls
    invented = [mint(os.urandom(ENTROPY_BYTES), deployment, kind.prefix)[0] for deployment in (b"", OTHER)]
    for secret in (*invented, other, OLD, made[:-1], "x" * 1_900):
        assert await counted.open(kind, secret) == REFUSES[kind]
    assert counted.store.calls == before


@pytest.mark.parametrize("kind", KINDS)
async def test_secret_from_before_there_were_marks_opens_until_it_expires(
    counted: CountedCollector, kind: ExpiringSecret
) -> None:
    """As long as there is one that has not expired, secrets of its shape are looked up."""
    secret = "code_" + OLD if kind == CODE else OLD
    await counted.make(kind)
    digest_of_old = hashlib.sha256(secret.encode()).hexdigest()
    await counted.collector.write(lambda tx, now: tx.run(f"UPDATE {kind.table} SET digest = ?, marked = 0", digest_of_old))
    assert await counted.open(kind, secret) == OPENS[kind]


async def test_webhook_with_an_invented_signature_costs_no_transaction(
    counted: CountedCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is open to the world, and what proves it is in the request: that is looked at first."""
    monkeypatch.setenv("TOLLWAY_STRIPE_WEBHOOK_SECRET", "whsec")
    before = counted.store.calls
    for signature in ("", "t=1,v1=00", f"t={counted.clock.now_ms // 1000},v1={'0' * 64}"):
        answer = await counted.http.post("/v1/webhooks/stripe", content=b"{}", headers={"stripe-signature": signature})
        assert answer.status_code == 400
    assert counted.store.calls == before


async def test_every_credential_that_was_made_is_taken(counted: CountedCollector) -> None:
    """Keys and account keys bear the mark."""
    key = await counted.collector.write(lambda tx, now: create_key(tx, "acct", TERMS, now)[0])
    read, _ = await counted.collector.write(lambda tx, now: create_credential(tx, "acct", CredentialTerms("read"), now))
    operator, _ = await counted.collector.write(lambda tx, now: create_credential(tx, "", CredentialTerms("operator"), now))
    assert [await counted.ask(one) for one in (key, read)] == [200, 200]
    assert await counted.ask(operator, "/api/v1/credits?account=acct") == 200


async def test_key_from_before_there_were_marks_is_taken_until_it_is_revoked(counted: CountedCollector) -> None:
    """As long as one can be used, a key without a mark is looked up; credentials never were without."""
    await counted.collector.write(lambda tx, now: create_key(tx, "acct", TERMS, now))
    old, key_id = mint(os.urandom(ENTROPY_BYTES))
    await counted.collector.write(lambda tx, now: create_key(tx, "acct", TERMS, now))
    await counted.collector.write(
        lambda tx, now: tx.run(
            "UPDATE keys SET digest = ?, key_id = ?, marked = 0 WHERE key_id = (SELECT MAX(key_id) FROM keys)",
            digest(old.encode()),
            key_id,
        )
    )
    assert await counted.ask(old) == 200
    before = counted.store.calls
    assert await counted.ask(mint(os.urandom(ENTROPY_BYTES), b"", "op_")[0]) == 401
    assert counted.store.calls == before
    await counted.collector.write(lambda tx, now: tx.run("UPDATE keys SET disabled = 1 WHERE key_id = ?", key_id))
    assert await counted.ask(old) == 401


async def test_store_that_has_marked_nothing_is_asked(counted: CountedCollector) -> None:
    """Nothing is known of a mark yet: a key is looked up, and is not there."""
    assert await counted.ask(mint(os.urandom(ENTROPY_BYTES))[0]) == 401
