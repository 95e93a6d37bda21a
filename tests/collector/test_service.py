"""The collector as an object: the demo account, and a database that goes away and comes back."""

from pathlib import Path

import pytest

from collector.service import Collector
from collector.store.contract import Store
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Clock, Node, available_nano, make_caller
from usage.key import digest, is_well_formed
from usage.protocol import Acquire, Boot, Unreachable

pytestmark = pytest.mark.anyio


async def test_demo_is_made_once_on_an_empty_store_only(collector: Collector, store: Store) -> None:
    """Five dollars and a key that works; later starts print nothing."""
    key = await collector.ensure_demo()
    assert key is not None
    assert is_well_formed(key.encode())
    assert await collector.ensure_demo() is None
    assert available_nano(store, "demo") == 5_000_000_000
    answer = await collector.acquire(Acquire("n", 0, "", digest(key.encode())))
    assert answer.policy is not None
    assert (answer.policy.account, answer.available_nano) == ("demo", 5_000_000_000)


async def test_demo_is_not_made_beside_other_accounts(collector: Collector) -> None:
    assert await collector.create_account("acme")
    assert not await collector.create_account("acme")
    assert await collector.ensure_demo() is None


async def test_collector_with_a_database_that_went_away_is_unreachable_then_works(postgres_url: str) -> None:
    """Every connection is cut; a node hears Unreachable at most once per worker, and then its answer."""
    from collector.store.postgres import PostgresStore

    collector = Collector(PostgresStore.open(postgres_url), Clock())
    caller = await make_caller(collector)
    node = await Node(collector).boot()
    cutter = PostgresStore.open(postgres_url)
    cutter.read(
        lambda tx: tx.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    )
    cutter.close()
    refused = 0
    for _ in range(PostgresStore.workers + 1):
        try:
            granted = await node.acquire(caller, 1_000, 1, "g")
        except Unreachable:
            refused += 1
    assert 1 <= refused <= PostgresStore.workers
    assert granted.granted is not None
    await collector.shut_down()


async def test_collector_on_a_locked_file_is_unreachable_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that holds the file for too long: the node asks again, and gets the same epoch."""
    monkeypatch.setattr("collector.store.sqlite.BUSY_S", 0.05)
    collector = Collector(SqliteStore.open(tmp_path / "collector.db"), Clock())
    other = SqliteStore.open(tmp_path / "collector.db")
    other._writer.execute("BEGIN IMMEDIATE")
    link = collector.for_node("fra-1")
    with pytest.raises(Unreachable, match="locked"):
        await link.boot(Boot("fra-1", "b"))
    other._writer.execute("ROLLBACK")
    first = await link.boot(Boot("fra-1", "b"))
    assert await link.boot(Boot("fra-1", "b")) == first
    other.close()
    await collector.shut_down()
