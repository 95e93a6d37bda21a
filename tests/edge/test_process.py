"""What the routes hold on to, from the start of the process to its end, however that comes."""

import asyncio
from pathlib import Path
from time import monotonic

import pytest
from starlette.types import Message, Receive, Scope, Send

from collector.embedded import EmbeddedSide
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from edge.limits.fair_start import AT_ONCE, TURN_S
from edge.process import Edge
from edge.relay.response.own import send_whole
from edge.settings import Settings
from tests.collector.facts import make_caller
from tests.patience import until

pytestmark = pytest.mark.anyio


async def unasked(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError(scope)


@pytest.mark.parametrize("end", [None, RuntimeError("the server failed"), asyncio.CancelledError()])
async def test_process_returns_its_credit_however_it_ends(tmp_path: Path, end: BaseException | None) -> None:
    """What is leased is the account's money: a server that fails, or is cancelled, leaves none of it away until recovery."""
    (tmp_path / "providers.toml").write_text("")
    collector = Collector(SqliteStore.open(tmp_path / "collector.db"))
    caller = await make_caller(collector, credit_nano=1_000_000)
    environ = {"TOLLWAY_DATA": str(tmp_path / "data"), "TOLLWAY_PROVIDERS": str(tmp_path / "providers.toml")}
    settings = Settings.read(environ | {"TOLLWAY_ADMIN": "none"})
    edge, caught = Edge(), None

    def available() -> int:
        row = collector.store.read(lambda tx: tx.row("SELECT available_nano FROM accounts WHERE account = ?", "acme"))
        assert row is not None
        return int(row[0])

    try:
        async with edge.run(settings, "n1", EmbeddedSide(collector.for_node("n1"), unasked, unasked)):
            await until(lambda: edge.running.credit is not None)
            credit = edge.running.credit
            assert credit is not None
            policy = await credit.look_up(caller.digest)
            assert policy is not None
            assert (await credit.hold_cold(policy, 1_000, 1)).held_nano == 1_000
            credit.settle(policy.purse, 1_000, 0)
            assert available() < 1_000_000
            if end is not None:
                raise end
    except (RuntimeError, asyncio.CancelledError) as problem:
        caught = problem
    assert caught is end
    assert edge.running.left == ""
    assert available() == 1_000_000
    await collector.shut_down()


@pytest.mark.parametrize("kind", ["pages", "account"])
async def test_what_nobody_pays_for_waits_for_its_turn(tmp_path: Path, kind: str) -> None:
    """When the loop is late, another address does not wait behind one that floods."""
    (tmp_path / "providers.toml").write_text("")
    collector = Collector(SqliteStore.open(tmp_path / "collector.db"))
    environ = {"TOLLWAY_DATA": str(tmp_path / "data"), "TOLLWAY_PROVIDERS": str(tmp_path / "providers.toml")}
    settings = Settings.read(environ | {"TOLLWAY_ADMIN": "none"})
    edge, answered = Edge(), list[str]()

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await send_whole(send, 200, [], b"")

    async def ask(address: str) -> None:
        async def receive() -> Message:
            raise AssertionError

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered.append(address)

        scope: Scope = {"type": "http", "method": "GET", "path": "/v1/credits", "query_string": b"", "client": (address, 1)}
        scope["headers"] = [(b"host", b"edge.test")]
        await getattr(edge, kind)(scope, receive, send)

    async with edge.run(settings, "n1", EmbeddedSide(collector.for_node("n1"), page, page)):
        await until(lambda: edge.running.authenticator is not None)
        batch = edge.running.write_batch
        batch.is_due, batch.due_s = True, monotonic() - 2 * TURN_S
        await asyncio.gather(*(ask(address) for address in (*["flood"] * 5 * AT_ONCE, "other")))
        batch.is_due = False
    assert answered.index("other") <= 4
    assert len(answered) == 5 * AT_ONCE + 1
    await collector.shut_down()
