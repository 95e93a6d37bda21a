"""What the routes hold on to, from the start of the process to its end, however that comes."""

import asyncio
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from collector.embedded import EmbeddedSide
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from edge.process import Edge
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
