"""Books that were changed behind the ledger's back: each way that adds up is seen all the same."""

import json

import pytest

from collector.ledger.audit import verify
from collector.service import Collector
from collector.store.contract import Store, Tx
from tests.collector.facts import Caller, Node, make_caller

pytestmark = pytest.mark.anyio
NAME = "records are what was taken in"


async def fill(collector: Collector) -> tuple[Caller, Node]:
    caller, node = await make_caller(collector), await Node(collector).boot()
    await node.acquire(caller, 50_000, 50_000)
    await node.link.ingest(node.batch([node.fact(seq, caller) for seq in (3, 4)]))
    await node.link.ingest(node.batch([node.fact(seq, caller) for seq in (1, 2, 3)]))
    return caller, node


def failing(store: Store) -> list[str]:
    return [check.name for check in store.read(verify) if not check.is_kept]


async def test_records_in_any_order_and_twice_have_one_fingerprint(collector: Collector, store: Store) -> None:
    """What the network does to batches changes nothing."""
    await fill(collector)
    assert failing(store) == []


async def test_record_changed_with_its_posting_is_seen(collector: Collector, store: Store, broken_checks: list[str]) -> None:
    """Rates, cost, posting, lease, account and sums, all changed alike: every sum adds up, and the record is not what came."""
    await fill(collector)

    def work(tx: Tx) -> None:
        row = tx.row("SELECT gen_id, payload FROM records WHERE seq = 1")
        assert row is not None
        payload = json.loads(row[1])
        payload |= {"cost_nano": 400, "rates": {"request": 400_000}}
        tx.run("UPDATE records SET cost_nano = 400, payload = ? WHERE gen_id = ?", json.dumps(payload), row[0])
        last = "(SELECT MAX(posting_id) FROM postings WHERE kind = 'settle')"
        tx.run(f"UPDATE postings SET amount_nano = amount_nano - 600 WHERE posting_id = {last}")
        tx.run("UPDATE leases SET settled_nano = settled_nano - 600")
        tx.run("UPDATE accounts SET spent_nano = spent_nano - 600")
        for table in ("usage_days", "usage_quarters"):
            tx.run(f"UPDATE {table} SET cost_nano = cost_nano - 600")

    store.write(work)
    assert failing(store) == [NAME]
    broken_checks.append(NAME)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE records SET payload = REPLACE(payload, '\"status\":200', '\"status\":500') WHERE seq = 2",
        "UPDATE records SET started_ms = started_ms + 1 WHERE seq = 4",
    ],
)
async def test_record_changed_beside_its_cost_is_seen(
    sql: str, collector: Collector, store: Store, broken_checks: list[str]
) -> None:
    """Also what no sum depends on."""
    await fill(collector)
    assert store.write(lambda tx: tx.run(sql)) == 1
    assert NAME in failing(store)
    broken_checks += failing(store)


async def test_sums_given_to_another_key_are_seen(collector: Collector, store: Store, broken_checks: list[str]) -> None:
    """The account's total is the same, and a key's limit would be another's."""
    caller, _ = await fill(collector)
    other = await make_caller(collector, credit_nano=0)
    assert other.account == caller.account
    store.write(lambda tx: tx.run("UPDATE usage_days SET key_id = ? WHERE key_id = ?", other.key_id, caller.key_id))
    found = failing(store)
    assert found
    broken_checks += found


async def test_cost_told_differently_from_the_one_charged_is_seen(
    collector: Collector, store: Store, broken_checks: list[str]
) -> None:
    """A record bears its cost twice; history shows the one and the ledger took the other."""
    _, node = await fill(collector)
    await node.link.ingest(node.batch([node.fact(5, (await make_caller(collector, credit_nano=0)), cost=700)]))
    sql = "UPDATE records SET payload = REPLACE(payload, '\"cost_nano\":700', '\"cost_nano\":701') WHERE seq = 5"
    assert store.write(lambda tx: tx.run(sql)) == 1
    assert {"every cost recomputes from its tokens and rates", NAME} <= set(failing(store))
    broken_checks += failing(store)
