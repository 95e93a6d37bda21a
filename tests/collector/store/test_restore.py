"""Backup and restore, tried: what an old snapshot does to money and to numbers."""

import os
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from collector.leasing.nodes import accept_gaps
from collector.ledger.audit import verify
from collector.service import Collector
from collector.store.contract import Store
from collector.store.postgres import PostgresStore
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Clock, Node, available_nano, make_caller, spent_nano
from usage.protocol import Refused

pytestmark = pytest.mark.anyio


def faults(store: Store) -> list[str]:
    return [fault for check in store.read(verify) for fault in check.faults]


async def test_restored_snapshot_takes_what_edges_still_have_and_shows_what_is_gone(tmp_path: Path) -> None:
    """Facts acknowledged after the snapshot are gone from edge and collector; the gap is seen, and the account stays above
    zero."""
    clock = Clock()
    live = Collector(SqliteStore.open(tmp_path / "live.db"), clock)
    caller = await make_caller(live, credit_nano=20_000)
    old = await Node(live).boot("a")
    await old.acquire(caller, 10_000, 10_000)
    await old.link.ingest(old.batch([old.fact(seq, caller) for seq in range(1, 4)]))
    live.store.backup(tmp_path / "snapshot.db")
    clock.now_ms += 60_000
    await old.link.ingest(old.batch([old.fact(seq, caller) for seq in range(4, 7)]))
    new = await Node(live, "ams-1").boot("b")
    await new.acquire(caller, 10_000, 10_000)
    await live.shut_down()

    clock.now_ms += 60_000
    restored = Collector(SqliteStore.open(tmp_path / "snapshot.db"), clock)
    again, unknown = Node(restored, epoch=old.epoch), Node(restored, "ams-1", new.epoch)
    assert (await again.link.ingest(again.batch([again.fact(7, caller)]))).acked_through == 3
    assert (await unknown.link.ingest(unknown.batch([unknown.fact(1, caller, 9_000)]))).acked_through == 1
    assert spent_nano(restored.store) == 3_000 + 1_000 + 9_000
    assert available_nano(restored.store) == 1_000
    assert faults(restored.store) == [f"node fra-1 epoch {old.epoch}: facts after 3 are missing, 1 later ones are here"]
    with pytest.raises(Refused, match="gets no more credit"):
        await unknown.acquire(caller, 10)
    assert (await Node(restored, "ams-1").boot("c")).epoch > new.epoch
    assert await restored.write(lambda tx, now: accept_gaps(tx, "fra-1", now)) == 3
    assert faults(restored.store) == []
    assert (await again.link.ingest(again.batch([again.fact(8, caller)]))).acked_through == 8
    await restored.shut_down()


async def test_postgres_dump_restores_to_the_same_books(postgres_server: Any, postgres_url: str, tmp_path: Path) -> None:
    """pg_dump and pg_restore, as docs/operations.md has it; the copy verifies and takes a fact twice without charging it."""
    collector = Collector(PostgresStore.open(postgres_url), Clock())
    caller, node = await make_caller(collector), await Node(collector).boot()
    await node.acquire(caller, 10_000)
    facts = node.batch([node.fact(seq, caller) for seq in range(1, 10)])
    await node.link.ingest(facts)
    line = collector.store.backup(tmp_path / "dump")
    assert line == f'pg_dump --format=custom --file={tmp_path / "dump"} "$TOLLWAY_DATABASE"'
    tools = {**os.environ, "PATH": f"{postgres_server.bin_path}:{os.environ['PATH']}", "TOLLWAY_DATABASE": postgres_url}
    schema = postgres_url.split("search_path%3D")[1].split("%20")[0]
    await anyio.run_process(["sh", "-c", line + f" --schema={schema}"], env=tools)
    await collector.shut_down()
    other = postgres_server.get_uri()
    with psycopg.connect(other, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
    await anyio.run_process(["pg_restore", "--dbname", other, str(tmp_path / "dump")], env=tools)
    restored = Collector(PostgresStore.open(postgres_url), Clock())
    assert (await Node(restored, epoch=node.epoch).link.ingest(facts)).acked_through == 9
    assert spent_nano(restored.store) == 9_000
    assert faults(restored.store) == []
    await restored.shut_down()
