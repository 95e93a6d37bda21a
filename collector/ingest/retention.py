"""How long raw records are kept: dropping those of whole months, and remembering what was dropped.

Rule: sums, postings and balances stay; what goes is the single generation. What a node's and an account's dropped records were in
number and cost is kept in `pruned`, so that `verify` still adds up to the nano-dollar. Rule: a record older than what is kept is
rejected when they come, because nobody could say any more whether it counts a second time.
"""

from collector.ledger.fingerprint import forget_records
from collector.store.contract import Tx
from collector.store.partitions import month_of, start_ms
from usage.gen_id import first_of
from usage.pricing import dollars


def records_from_ms(tx: Tx) -> int:
    """Generations drawn before this Unix time are not kept any more; 0 while nothing was dropped."""
    row = tx.row("SELECT value FROM counters WHERE name = 'records_from_ms'")
    assert row is not None
    from_ms: int = row[0]
    return from_ms


def cut_ms(keep_days: int, now_ms: int) -> int:
    """The start of the newest month such that everything before it is older than `keep_days`."""
    return start_ms(month_of(max(now_ms - keep_days * 86_400_000, 0)))


def prune(tx: Tx, before_ms: int) -> str:
    """Drop the records of all months before `before_ms`, the start of a month; a sentence for the operator."""
    assert before_ms == start_ms(month_of(before_ms))
    tx.row("SELECT value FROM counters WHERE name = 'records_from_ms'" + tx.lock)
    from_ms = records_from_ms(tx)
    if before_ms <= from_ms:
        return "nothing to drop: no record is that old"
    bound = first_of(before_ms)
    tx.freeze_records(bound)
    forget_records(tx, bound)
    row = tx.row("SELECT COUNT(*), CAST(COALESCE(SUM(cost_nano), 0) AS BIGINT) FROM records WHERE gen_id < ?", bound)
    assert row is not None
    tx.run(
        "INSERT INTO pruned (node, epoch, account, records, cost_nano)"
        " SELECT node, epoch, account, COUNT(*), SUM(cost_nano) FROM records WHERE gen_id < ? GROUP BY node, epoch, account"
        " ON CONFLICT (node, epoch, account) DO UPDATE SET records = pruned.records + excluded.records,"
        " cost_nano = pruned.cost_nano + excluded.cost_nano",
        bound,
    )
    tx.drop_records(bound)
    tx.run("UPDATE counters SET value = ? WHERE name = 'records_from_ms'", before_ms)
    year, month = month_of(before_ms)
    return f"dropped {row[0]} records from before {year}-{month:02d}-01 that cost {dollars(row[1])} dollars; their sums stay"
