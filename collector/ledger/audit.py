"""Every invariant of the books, checked on a live store and reported with its figures.

Rule: reads one snapshot and changes nothing. Rule: what is compared was computed twice, by different ways: the tables by running
updates and by replaying the log; the charges by postings and by records; each cost by the edge and again here.
"""

from collections.abc import Iterator

import msgspec

from collector.ingest.rejections import check_rejections
from collector.ledger.bookkeeping import each_posting
from collector.ledger.check import Check
from collector.ledger.fingerprint import check_fingerprints
from collector.ledger.ledger import REVENUE, AccountRow, LeaseKey, LeaseRow, Tables, rebuild, terms_nano
from collector.ledger.rollup_audit import check_rollups, pruned_nano
from collector.store.contract import Tx
from usage.pricing import cost_nano, dollars, is_cost
from usage.record import UsageRecord

_decode = msgspec.json.Decoder(UsageRecord).decode


def verify(tx: Tx) -> list[Check]:
    """All checks, in the order they are printed."""
    tables, log = _read_tables(tx), rebuild(each_posting(tx))
    return [
        _check_balances(tables),
        _check_posted(tables),
        _check_rebuild(tables, log),
        _check_books(log),
        *_check_records(tx, log),
        check_fingerprints(tx),
        _check_gaps(tx),
        _check_epochs(tx),
        *check_rollups(tx),
        check_rejections(tx),
        _named_terms(log),
    ]


def _read_tables(tx: Tx) -> Tables:
    accounts = {
        row[0]: AccountRow(*row[1:])
        for row in tx.each("SELECT account, available_nano, topped_nano, spent_nano, absorbed_nano FROM accounts")
    }
    leases = {
        LeaseKey(*row[:3]): LeaseRow(*row[3:])
        for row in tx.each("SELECT node, epoch, purse, granted_nano, settled_nano, returned_nano FROM leases")
    }
    return Tables(accounts, leases)


def _check_balances(tables: Tables) -> Check:
    faults = [f"account {name} has {row.available_nano} nano" for name, row in tables.accounts.items() if row.available_nano < 0]
    faults += [f"lease {key} holds {row.open_nano} nano" for key, row in tables.leases.items() if row.open_nano < 0]
    return Check(
        "no balance and no lease below zero", f"{len(tables.accounts)} accounts, {len(tables.leases)} leases", tuple(faults)
    )


def _check_posted(tables: Tables) -> Check:
    leased: dict[str, int] = {}
    for key, lease in tables.leases.items():
        account = key.purse.partition("/")[0]
        leased[account] = leased.get(account, 0) + lease.open_nano
    faults = [
        f"account {name}: {row.topped_nano} - {row.spent_nano} is not {row.available_nano} + {leased.get(name, 0)}"
        for name, row in tables.accounts.items()
        if row.topped_nano - row.spent_nano != row.available_nano + leased.get(name, 0) or row.spent_nano > row.topped_nano
    ]
    available = sum(row.available_nano for row in tables.accounts.values())
    return Check(
        "topped up - spent = available + open leases, per account",
        f"{dollars(available)} available, {dollars(sum(leased.values()))} leased",
        tuple(faults),
    )


def _check_rebuild(tables: Tables, log: Tables) -> Check:
    faults = [
        f"account {name}: table {tables.accounts.get(name)}, log {log.accounts.get(name)}"
        for name in sorted(tables.accounts.keys() | log.accounts.keys())
        if tables.accounts.get(name, AccountRow()) != log.accounts.get(name, AccountRow())
    ]
    faults += [
        f"lease {key}: table {tables.leases.get(key)}, log {log.leases.get(key)}"
        for key in sorted(tables.leases.keys() | log.leases.keys())
        if tables.leases.get(key) != log.leases.get(key)
    ]
    return Check("tables = replayed log", f"{len(log.accounts)} accounts, {len(log.leases)} leases replayed", tuple(faults))


def _check_books(log: Tables) -> Check:
    total = sum(log.books.values())
    figures = ", ".join(f"{book} {dollars(amount)}" for book, amount in sorted(log.books.items()))
    return Check("debits = credits", figures or "no postings", (f"the books add up to {total} nano",) if total else ())


def _each_record(tx: Tx) -> Iterator[tuple[str, str, int, str, int]]:
    yield from tx.each("SELECT gen_id, account, cost_nano, payload, seq FROM records")


def _check_records(tx: Tx, log: Tables) -> list[Check]:
    charged: dict[str, int] = dict(pruned_nano(tx))
    faults: list[str] = []
    count = 0
    for gen_id, account, cost, payload, _ in _each_record(tx):
        record = _decode(payload)
        count += 1
        charged[account] = charged.get(account, 0) + cost
        is_same = (record.gen_id, record.account, record.cost_nano) == (gen_id, account, cost)
        if not is_same or not is_cost(cost, record.tokens, record.rates):
            faults.append(f"{gen_id}: charged {cost}, its tokens and rates make {cost_nano(record.tokens, record.rates)}")
    unequal = [
        f"account {name}: records cost {charged.get(name, 0)}, the log charged {_charged(log, name)}"
        for name in sorted(charged.keys() | log.accounts.keys())
        if charged.get(name, 0) != _charged(log, name)
    ]
    total, revenue = sum(charged.values()), log.books.get(REVENUE, 0)
    if total != revenue:
        unequal.append(f"records cost {total}, revenue is {revenue}")
    return [
        Check("every cost recomputes from its tokens and rates", f"{count} records", tuple(faults)),
        Check("sum of records = sum of charges, per account", f"{dollars(total)} dollars", tuple(unequal)),
    ]


def _charged(log: Tables, account: str) -> int:
    row = log.accounts.get(account, AccountRow())
    return row.spent_nano + row.absorbed_nano


def _check_gaps(tx: Tx) -> Check:
    """seq 1 … acked_through were all here (as records, dropped ones too, repeats, rejections or accepted losses), and nothing
    waits above a gap."""
    seen: dict[tuple[str, int], int] = {}
    for node, epoch, count in tx.each(
        "SELECT s.node, s.epoch, COUNT(DISTINCT s.seq) FROM (SELECT node, epoch, seq FROM records"
        " UNION ALL SELECT node, epoch, seq FROM repeats UNION ALL SELECT node, epoch, seq FROM rejections WHERE seq > 0) s"
        " JOIN epochs e ON e.node = s.node AND e.epoch = s.epoch WHERE s.seq <= e.acked_through GROUP BY s.node, s.epoch"
    ):
        seen[node, epoch] = count
    for node, epoch, count in tx.each("SELECT node, epoch, CAST(SUM(records) AS BIGINT) FROM pruned GROUP BY node, epoch"):
        seen[node, epoch] = seen.get((node, epoch), 0) + count
    faults, total = [], 0
    rows = tx.rows("SELECT node, epoch, acked_through, ahead, lost FROM epochs ORDER BY node, epoch")
    for node, epoch, acked, ahead, lost in rows:
        total += acked
        missing = acked - lost - seen.get((node, epoch), 0)
        if missing > 0:
            faults.append(f"node {node} epoch {epoch}: {missing} of {acked} acknowledged facts are not here")
        if ahead:
            faults.append(f"node {node} epoch {epoch}: facts after {acked} are missing, {ahead} later ones are here")
    return Check("seq is gap-free per node and epoch", f"{total} facts acknowledged in {len(rows)} epochs", tuple(faults))


def _check_epochs(tx: Tx) -> Check:
    faults = [
        f"node {node}: newest epoch {newest}, but epoch {epoch} was granted {granted} nano as the newest"
        for node, newest, epoch, granted in tx.rows(
            "SELECT n.node, n.newest_epoch, l.epoch, l.granted_nano FROM nodes n JOIN leases l ON l.node = n.node"
            " WHERE l.epoch > n.newest_epoch"
        )
    ]
    faults += [
        f"node {node} epoch {epoch} is {state}, its lease of {purse} still holds {left} nano"
        for node, epoch, state, purse, left in tx.rows(
            "SELECT e.node, e.epoch, e.state, l.purse, l.granted_nano - l.settled_nano - l.returned_nano FROM epochs e"
            " JOIN leases l ON l.node = e.node AND l.epoch = e.epoch WHERE e.state <> 'open'"
            " AND (l.state = 'open' OR l.granted_nano - l.settled_nano - l.returned_nano <> 0)"
        )
    ]
    row = tx.row("SELECT COUNT(*) FROM epochs WHERE state = 'open'")
    assert row is not None
    return Check("leases only up to the newest epoch, none open in an ended one", f"{row[0]} open epochs", tuple(faults))


def _named_terms(log: Tables) -> Check:
    figures = ", ".join(f"{term} {dollars(amount)}" for term, amount in terms_nano(log).items())
    return Check("what the named terms absorbed", figures)
