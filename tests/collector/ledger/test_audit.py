"""`verify` says what is wrong with the books and where: each figure that was changed behind the ledger's back is named."""

import pytest

from collector.ledger.audit import verify
from collector.service import Collector
from collector.store.contract import Store
from tests.collector.facts import Node, make_caller

pytestmark = pytest.mark.anyio
GAPS = "seq is gap-free per node and epoch"
COSTS = "every cost recomputes from its tokens and rates"
SUMS = "sum of records = sum of charges, per account"
REPLAY = "tables = replayed log"
POSTED = "topped up - spent = available + open leases, per account"
POSTING = (
    "INSERT INTO postings (at_ms, kind, debit, credit, amount_nano, account, node, epoch, purse, ref)"
    " VALUES (1, 'settle', '{debit}', '{credit}', 7, 'acme', 'fra-1', {epoch}, 'acme', 'x')"
)
CHANGES = {
    "record gone": ("DELETE FROM records WHERE seq = 2", GAPS, "1 of 3 acknowledged facts are not here"),
    "records that wait": ("UPDATE epochs SET ahead = 2", GAPS, "facts after 3 are missing, 2 later ones are here"),
    "acknowledged too much": ("UPDATE epochs SET acked_through = 9", GAPS, "6 of 9 acknowledged facts are not here"),
    "cost of a record": (
        "UPDATE records SET cost_nano = 900 WHERE seq = 2",
        COSTS,
        "charged 900, its tokens and rates make 1000",
    ),
    "cost without a charge": (
        "UPDATE records SET cost_nano = 900 WHERE seq = 2",
        SUMS,
        "records cost 2900, the log charged 3000",
    ),
    "charge without a record": (POSTING.format(debit="leased", credit="revenue", epoch="{epoch}"), SUMS, "revenue is 3007"),
    "balance": ("UPDATE accounts SET available_nano = available_nano + 5", REPLAY, "account acme: table"),
    "lease": ("UPDATE leases SET settled_nano = settled_nano - 5", REPLAY, "lease "),
    "spent": ("UPDATE accounts SET spent_nano = spent_nano + 5", POSTED, "account acme: 1000000 - 3005 is not"),
}


@pytest.mark.parametrize(("sql", "name", "fault"), CHANGES.values(), ids=CHANGES.keys())
async def test_books_that_were_changed_are_told_apart(
    sql: str, name: str, fault: str, collector: Collector, store: Store, broken_checks: list[str]
) -> None:
    """The check that fails is the one for it, and its fault has the figures."""
    caller, node = await make_caller(collector), await Node(collector).boot()
    await node.acquire(caller, 50_000, 50_000)
    await node.link.ingest(node.batch([node.fact(seq, caller) for seq in (1, 2, 3)]))
    assert all(check.is_kept for check in store.read(verify))
    assert store.write(lambda tx: tx.run(sql.replace("{epoch}", str(node.epoch)))) == 1
    broken = {check.name: check.faults for check in store.read(verify) if not check.is_kept}
    assert any(fault in each for each in broken[name]), broken
    broken_checks += broken
