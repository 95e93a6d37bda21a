"""Who is let in: keys that die locally, shares of look-ups, addresses of callers, and the log of refusals."""

import asyncio
import inspect
import os
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from starlette.types import Scope

from edge.auth.authenticator import Authenticator, Deployment
from edge.auth.client_address import FailedAuthentications, client_of
from edge.auth.key_cache import AT_ONCE_MAX, UNMARKED_SHARE, WAITING_MAX
from edge.clock import Clock
from edge.collector_client.http import httpx_errors
from edge.collector_client.session import CollectorSession
from edge.credit.credit import Credit
from edge.endpoints.account import READS_MAX, READS_SHARE, Authenticated
from edge.settings import PRIVATE_NETWORKS
from edge.tasks import Tasks
from routing.plan.refusal import Denied
from routing.wire.headers import Arrival
from tests.collectors import ScriptedCollector
from tests.memory_collector import MemoryCollector
from tests.patience import PATIENCE_S, until
from usage import key
from usage.protocol import Acquire, Acquired, Boot, Booted

pytestmark = pytest.mark.anyio
OURS = os.urandom(32)


def bearer(secret: bytes = b"") -> tuple[bytes, str]:
    """A new key in its header, and its digest."""
    made = key.mint(os.urandom(32), secret)[0].encode()
    return b"Bearer " + made, key.digest(made)


class House:
    """An authenticator in front of a collector that knows one account's keys and counts what it is asked."""

    def __init__(self, deployment: Deployment) -> None:
        self.in_memory = MemoryCollector()
        self.in_memory.open_account("acct", 10**9)
        epoch = self.in_memory.boot(Boot("n", "boot")).epoch
        self.tasks = Tasks()
        self.credit = Credit(CollectorSession("n", epoch, ScriptedCollector(self.in_memory)), self.tasks, wait_s=PATIENCE_S)
        self.asked: list[Acquire] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.authenticator = Authenticator(self.credit, deployment, Clock())
        ask = self.credit._session._collector.acquire

        async def acquire(message: Acquire) -> Acquired:
            self.asked.append(message)
            await self.gate.wait()
            return await ask(message)

        self.credit._session._collector.acquire = acquire  # type: ignore[method-assign]

    def add(self, secret: bytes = b"") -> bytes:
        header, digest = bearer(secret)
        self.in_memory.add_key(digest, "acct", header[15:21].decode())
        return header

    async def status(self, header: bytes) -> int:
        try:
            await self.authenticator.policy_of(Arrival(authorization=header))
        except Denied as denied:
            return denied.refusal.status
        return 200


@pytest.mark.parametrize("secret", [b"", os.urandom(32)])
async def test_invented_key_dies_locally(secret: bytes) -> None:
    """With a right checksum, or with another deployment's mark: the collector is not asked."""
    house = House(Deployment(OURS, takes_unmarked=False))
    for _ in range(100):
        assert await house.status(bearer(secret)[0]) == 401
    assert house.asked == []
    assert await house.status(house.add(OURS)) == 200


async def test_key_from_before_there_were_marks_is_served() -> None:
    """As long as there are some; and where the collector marks nothing at all."""
    for deployment in (Deployment(OURS, takes_unmarked=True), Deployment()):
        house = House(deployment)
        assert await house.status(house.add()) == 200
        assert await house.status(bearer()[0]) == 401


async def test_flood_of_unmarked_keys_leaves_room_for_marked_ones() -> None:
    """They wait in a queue of their own: a new key with the mark is looked up at once."""
    house = House(Deployment(OURS, takes_unmarked=True))
    house.gate.clear()
    flood = [house.tasks.spawn("flood", house.status(bearer()[0])) for _ in range(2 * WAITING_MAX)]
    await until(lambda: len(house.asked) == AT_ONCE_MAX // UNMARKED_SHARE)
    real = house.tasks.spawn("real", house.status(house.add(OURS)))
    await until(lambda: len(house.asked) == AT_ONCE_MAX // UNMARKED_SHARE + 1)
    house.gate.set()
    assert await real == 200
    assert set(await asyncio.gather(*flood)) == {401, 503}


def test_deployment_is_what_the_boot_told() -> None:
    """And nothing where it told none, or nonsense."""
    assert Deployment.of(Booted(1, deployment=OURS.hex(), takes_unmarked=False)) == Deployment(OURS, False)
    assert Deployment.of(Booted(1)) == Deployment.of(Booted(1, deployment="zz")) == Deployment()


def scope_of(path: str = "/v1/credits", query: bytes = b"", *headers: tuple[bytes, bytes]) -> Scope:
    named = [(b"host", b"edge.test"), *headers]
    return {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": named, "client": ("192.0.2.7", 5)}


async def ask(app: Authenticated, scope: Scope) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, None, send)  # type: ignore[arg-type]
    return int(sent[0]["status"])


async def test_account_is_read_with_a_key_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is flushed or forwarded for who has none; the refusal is logged with the address and without the key."""
    house = House(Deployment(OURS, takes_unmarked=False))
    reached = 0

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        nonlocal reached
        reached += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})

    failed = FailedAuthentications()
    guarded = Authenticated(app, lambda: house.authenticator, failed)
    invented, _ = bearer()
    for header in (None, b"Bearer x", b"Basic abc", b"Bearer \xff", invented):
        headers = () if header is None else ((b"authorization", header),)
        assert await ask(guarded, scope_of("/v1/credits", b"", *headers)) == 401
    two = ((b"authorization", house.add(OURS)),) * 2
    assert await ask(guarded, scope_of("/v1/credits", b"", *two)) == 401
    assert (reached, house.asked, failed.total) == (0, [], 6)
    lines = [record.message for record in caplog.records if record.name == "tollway.auth"]
    assert all("192.0.2.7" in line and "/v1/credits" in line for line in lines)
    assert invented.decode()[7:] not in "".join(lines)
    assert await ask(guarded, scope_of("/v1/credits", b"", (b"authorization", house.add(OURS)))) == 200
    assert await ask(guarded, scope_of("/v1/credits", b"id=" + b"'" * 30_000)) == 400
    assert await ask(Authenticated(app, lambda: None, failed), scope_of()) == 503


async def test_account_reads_a_share_at_once() -> None:
    """More are told 429, and another account is served."""
    house = House(Deployment())
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await gate.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    guarded = Authenticated(app, lambda: house.authenticator, FailedAuthentications())
    header = house.add()
    asks = [house.tasks.spawn("ask", ask(guarded, scope_of("/v1/key", b"", (b"authorization", header)))) for _ in range(40)]
    await until(lambda: sum(task.done() for task in asks) >= 30)
    gate.set()
    statuses = await asyncio.gather(*asks)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) == int(READS_MAX * READS_SHARE / (1 + READS_SHARE))


def test_client_is_the_peer_or_who_a_trusted_peer_names() -> None:
    """The last address of the header, from a trusted peer alone."""
    named = (b"x-forwarded-for", b"6.6.6.6, 203.0.113.9")
    scope = scope_of("/", b"", named)
    assert client_of(scope, None, PRIVATE_NETWORKS) == "192.0.2.7"
    assert client_of(scope, b"x-forwarded-for", PRIVATE_NETWORKS) == "192.0.2.7"
    assert client_of(scope, b"x-forwarded-for", (ip_network("192.0.2.0/24"),)) == "203.0.113.9"
    for nonsense in (b"", b"x", b"1.2.3.4\x1b[2J"):
        scope = scope_of("/", b"", (b"fly-client-ip", nonsense))
        assert client_of(scope, b"fly-client-ip", (ip_network("192.0.2.0/24"),)) == "192.0.2.7"
    assert client_of({**scope, "client": None}, None, ()) == ""


def test_errors_of_httpx_are_caught_by_families() -> None:
    """A new exception of the library is one of these, or this test says so."""
    defined = [thing for _, thing in inspect.getmembers(httpx, inspect.isclass) if issubclass(thing, Exception)]
    assert len(defined) > 20
    assert [error for error in defined if not issubclass(error, httpx_errors())] == []
