"""Sums per quarter and day: equal to the records, however they come, and kept when records go. Both databases."""

from functools import partial
from typing import Any

import msgspec
import pytest

from collector.ingest import retention
from collector.ingest.rollups import QUARTER_MS, by_day, measures_of, sum_up
from collector.ledger.audit import verify
from collector.service import Collector
from collector.store import postgres, schema, sqlite
from collector.store.contract import MEASURES, Row, Store, Tx, placeholders
from collector.store.partitions import start_ms
from collector.store.postgres import PostgresStore
from collector.store.sqlite import SqliteStore
from tests.collector.facts import NOON_MS, Clock, Node, at_time, id_of, make_caller, make_fact
from usage.protocol import Batch
from usage.record import Tokens

pytestmark = pytest.mark.anyio
MONTH_MS = 31 * 86_400_000


def faults(store: Store) -> list[str]:
    return [fault for check in store.read(verify) for fault in check.faults]


async def test_quarters_hold_every_measure(collector: Collector) -> None:
    """Two records of one quarter, one of the next; and a batch that comes again changes nothing."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    tokens = Tokens(100, 40, cached=30, cache_write=5, reasoning=7)
    facts = [
        msgspec.structs.replace(
            at_time(make_fact(seq, caller, node.name, node.epoch, f"gen-{seq}", tokens=tokens), NOON_MS + (seq - 1) * 899_999),
            latency_ms=100 * seq,
            ttft_ms=10 * seq,
            end_reason="upstream_error" if seq == 2 else "completed",
        )
        for seq in (1, 2, 3)
    ]
    for _ in range(2):
        await node.link.ingest(node.batch(facts))
    columns = ", ".join(MEASURES)
    rows = collector.store.read(lambda tx: tx.rows(f"SELECT quarter, {columns} FROM usage_quarters ORDER BY quarter"))
    cost = facts[0].cost_nano
    assert rows == [
        (NOON_MS // QUARTER_MS, 2, 1, 200, 60, 10, 80, 14, 2 * cost, 300, 30),
        (NOON_MS // QUARTER_MS + 1, 1, 0, 100, 30, 5, 40, 7, cost, 300, 30),
    ]
    (day,) = collector.store.read(lambda tx: tx.rows(f"SELECT {columns} FROM usage_days"))
    assert day == tuple(map(sum, zip(*(row[1:] for row in rows), strict=True)))
    assert by_day(sum_up(facts)) == {
        ("acme", NOON_MS // 86_400_000, caller.key_id, "echo/small", "echo"): tuple(
            map(sum, zip(*map(measures_of, facts), strict=True))
        )
    }


def _raise(tx: Tx, table: str, column: str) -> None:
    tx.run(f"UPDATE {table} SET {column} = {column} + 1")


@pytest.mark.parametrize("column", MEASURES)
async def test_quarters_that_are_wrong_are_seen(collector: Collector, column: str, broken_checks: list[str]) -> None:
    """Any measure of any row, even if the day beside it is wrong in the same way."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    await node.link.ingest(node.batch([node.fact(1, caller)]))
    for table in ("usage_quarters", "usage_days"):
        collector.store.write(partial(_raise, table=table, column=column))
    assert any("its records make" in fault for fault in faults(collector.store))
    if column == "cost_nano":
        broken_checks.append("daily sums = quarterly sums = sum of records")
    broken_checks.append("every quarter's sums recompute from their records")


async def test_gen_id_is_checked_at_the_door(collector: Collector) -> None:
    """A record whose id is none, or of another time, is rejected by itself."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    good = node.fact(1, caller)
    changes: tuple[dict[str, Any], ...] = (
        {"gen_id": ""},
        {"gen_id": "gen-1"},
        {"gen_id": id_of("a").upper()},
        {"gen_id": id_of("a")[:-1] + "u"},
        {"gen_id": "gen-8" + id_of("a")[5:]},
        {"gen_id": id_of("a") + "\n"},
        {"gen_id": id_of("a", NOON_MS - 86_400_001)},
        {"gen_id": id_of("a", NOON_MS + 86_400_001)},
        {"gen_id": id_of("a", NOON_MS + 400 * 86_400_000), "started_ms": NOON_MS + 400 * 86_400_000},
    )
    bad = [msgspec.structs.replace(node.fact(seq, caller), **change) for seq, change in enumerate(changes, 2)]
    edge = [
        msgspec.structs.replace(node.fact(seq, caller), gen_id=id_of("b", NOON_MS + late))
        for seq, late in ((11, -86_400_000), (12, 86_400_000))
    ]
    ack = await node.link.ingest(node.batch([good, *bad, *edge]))
    assert [one.seq for one in ack.rejected] == [fact.seq for fact in bad]
    assert {one.reason.partition(" ")[0] for one in ack.rejected} == {"gen_id"}
    assert ack.acked_through == 12


async def test_records_dropped_by_retention_leave_their_sums(collector: Collector, clock: Clock) -> None:
    """Three months, the oldest dropped: balances, sums and `verify` as before; an old fact is rejected, a repeat too."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    facts = [at_time(node.fact(seq, caller, 1_000 + seq), NOON_MS - (seq % 3) * MONTH_MS) for seq in range(1, 31)]
    await node.link.ingest(node.batch(facts))
    query = "SELECT CAST(SUM(cost_nano) AS BIGINT), CAST(SUM(requests) AS BIGINT) FROM usage_quarters"
    before = collector.store.read(lambda tx: tx.row(query))
    cut = retention.cut_ms(30, clock.now_ms)
    assert cut == start_ms((2026, 10))
    said = collector.store.write(lambda tx: retention.prune(tx, cut))
    assert said.startswith("dropped 10 records from before 2026-10-01")
    assert collector.store.read(lambda tx: tx.row("SELECT COUNT(*) FROM records")) == (20,)
    assert collector.store.read(lambda tx: tx.row(query)) == before
    assert faults(collector.store) == []
    assert collector.store.write(lambda tx: retention.prune(tx, cut)).startswith("nothing")
    late = at_time(node.fact(31, caller), NOON_MS - 2 * MONTH_MS)
    ack = await node.link.ingest(node.batch([facts[1], late]))
    assert [one.reason for one in ack.rejected] == ["gen_id was drawn at a time that this store keeps no records of"] * 2
    assert collector.store.read(lambda tx: tx.row(query)) == before
    assert faults(collector.store) == []


async def test_complete_through_is_claimed_only_without_a_gap(collector: Collector, clock: Clock) -> None:
    """A node's claim is taken with the batch, never beyond our clock, never backwards, and not while facts are missing."""
    caller, node = await make_caller(collector), await Node(collector).boot()

    def claimed() -> Any:
        return collector.store.read(lambda tx: tx.rows("SELECT complete_ms FROM epochs"))

    async def send(seq: int, complete_ms: int) -> None:
        await node.link.ingest(Batch(node.name, node.epoch, (node.fact(seq, caller),), (), complete_ms))

    assert claimed() == [(NOON_MS,)]
    clock.now_ms += 10_000
    await send(1, NOON_MS + 9_000)
    assert claimed() == [(NOON_MS + 9_000,)]
    await send(2, NOON_MS + 1_000_000)
    assert claimed() == [(NOON_MS + 10_000,)]
    clock.now_ms += 10_000
    await send(4, NOON_MS + 19_000)
    assert claimed() == [(NOON_MS + 10_000,)]
    await send(3, 0)
    assert claimed() == [(NOON_MS + 10_000,)]
    await node.link.ingest(Batch(node.name, node.epoch, (), (), NOON_MS + 19_500))
    assert claimed() == [(NOON_MS + 19_500,)]


OLD = ("keys", "accounts", "epochs", "nodes", "leases", "grants", "records", "postings", "usage_days")


@pytest.mark.parametrize("name", ["sqlite", "postgres"])
async def test_store_of_the_first_release_is_brought_over(name: str, request: pytest.FixtureRequest, tmp_path: Any) -> None:
    """Its records are rolled up again to the nano-dollar, still count once, and new ones go beside them."""
    url = request.getfixturevalue("postgres_url") if name == "postgres" else ""

    def opened() -> Store:
        return PostgresStore.open(url) if url else SqliteStore.open(tmp_path / "collector.db")

    donor = Collector(SqliteStore.open(tmp_path / "donor.db"), Clock())
    caller, node = await make_caller(donor), await Node(donor).boot()
    facts = [
        msgspec.structs.replace(
            at_time(node.fact(seq, caller, 1_000 + seq), NOON_MS - seq * 3_600_000 * 24 * 9),
            model=f"echo/{seq % 3}",
            ttft_ms=seq,
            end_reason="timeout" if seq % 4 == 0 else "completed",
        )
        for seq in range(1, 20)
    ]
    await node.link.ingest(node.batch(facts))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        for module in (schema, sqlite, postgres):
            patched.setattr(module, "VERSION", 1)
        patched.setattr(postgres._PostgresTx, "make_months", lambda *_: None)
        old = opened()
        for table in OLD:
            columns = [column for column in _columns(old, table) if column != "posting_id"]
            rows = donor.store.read(partial(_read, table=table, columns=columns))
            old.write(partial(_fill, table=table, columns=columns, rows=rows))
        old.close()

    store = opened()
    assert faults(store) == []
    again = Collector(store, Clock())
    ack = await Node(again, epoch=node.epoch).link.ingest(node.batch([*facts, node.fact(20, caller)]))
    assert (ack.acked_through, ack.rejected) == (20, ())
    assert faults(store) == []
    query = "SELECT COUNT(*), CAST(SUM(requests) AS BIGINT), CAST(SUM(errors) AS BIGINT) FROM usage_quarters"
    assert store.read(lambda tx: tx.row(query)) == (20, 20, 4)
    await donor.shut_down()
    await again.shut_down()


def _read(tx: Tx, table: str, columns: list[str]) -> list[Row]:
    return tx.rows(f"SELECT {', '.join(columns)} FROM {table}")


def _fill(tx: Tx, table: str, columns: list[str], rows: list[Row]) -> None:
    tx.run_many(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({placeholders(len(columns))})", rows)


def _columns(store: Store, table: str) -> list[str]:
    if isinstance(store, SqliteStore):
        return [row[1] for row in store.read(lambda tx: tx.rows(f"PRAGMA table_info({table})"))]
    sql = "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = ?"
    return [row[0] for row in store.read(lambda tx: tx.rows(sql, table))]
