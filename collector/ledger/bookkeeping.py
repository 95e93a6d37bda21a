"""Postings written to the store: the log grows, and the rows they touch change with it, in the same transaction.

Rule: nothing else writes `available_nano`, `granted_nano` or any other amount; so the tables are what the log adds up to.
Rule: whoever posts has locked the accounts with `lock_accounts` first, by name, all at once.
"""

from collections.abc import Iterable, Iterator

from collector.ledger.ledger import AccountRow, LeaseKey, LeaseRow, Posting, rebuild
from collector.store.contract import Tx, placeholders


def lock_accounts(tx: Tx, names: Iterable[str]) -> dict[str, int]:
    """Available nano-dollars of those accounts that exist; their rows stay ours until the transaction ends."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    rows = tx.rows(
        f"SELECT account, available_nano FROM accounts WHERE account IN ({placeholders(len(wanted))}) ORDER BY account" + tx.lock,
        *wanted,
    )
    return dict(rows)


def open_lease(tx: Tx, lease: LeaseKey) -> tuple[int, str]:
    """(credit still in the lease, its state); (0, "") if it was never granted. Leases change under their node's lock."""
    row = tx.row(
        "SELECT granted_nano - settled_nano - returned_nano, state FROM leases WHERE node = ? AND epoch = ? AND purse = ?",
        lease.node,
        lease.epoch,
        lease.purse,
    )
    return (row[0], row[1]) if row else (0, "")


def post(tx: Tx, postings: Iterable[Posting], now_ms: int) -> None:
    """Append to the log and apply: one row touched per account and lease, however many postings."""
    entries = list(postings)
    if not entries:
        return
    tx.run_many(
        "INSERT INTO postings (at_ms, kind, debit, credit, amount_nano, account, node, epoch, purse, ref)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (now_ms, p.kind, p.debit, p.credit, p.amount_nano, p.account)
            + ((p.lease.node, p.lease.epoch, p.lease.purse) if p.lease else (None, None, None))
            + (p.ref,)
            for p in entries
        ],
    )
    changes = rebuild(entries)
    for account in sorted(changes.accounts):
        _change_account(tx, account, changes.accounts[account])
    owner = {p.lease: p.account for p in entries}
    for lease in sorted(changes.leases):
        _change_lease(tx, lease, owner[lease], changes.leases[lease], now_ms)


def _change_account(tx: Tx, account: str, change: AccountRow) -> None:
    touched = tx.run(
        "UPDATE accounts SET available_nano = available_nano + ?, topped_nano = topped_nano + ?, spent_nano = spent_nano + ?,"
        " absorbed_nano = absorbed_nano + ? WHERE account = ?",
        change.available_nano,
        change.topped_nano,
        change.spent_nano,
        change.absorbed_nano,
        account,
    )
    assert touched == 1, f"account {account} vanished"


def _change_lease(tx: Tx, lease: LeaseKey, account: str, change: LeaseRow, now_ms: int) -> None:
    """A settlement or a return without a lease cannot happen: only a grant makes the row."""
    amounts = (change.granted_nano, change.settled_nano, change.returned_nano, now_ms)
    touched = tx.run(
        "UPDATE leases SET granted_nano = granted_nano + ?, settled_nano = settled_nano + ?, returned_nano = returned_nano + ?,"
        " touched_ms = ? WHERE node = ? AND epoch = ? AND purse = ?",
        *amounts,
        lease.node,
        lease.epoch,
        lease.purse,
    )
    if not touched:
        tx.run(
            "INSERT INTO leases (node, epoch, purse, account, granted_nano, settled_nano, returned_nano, touched_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            lease.node,
            lease.epoch,
            lease.purse,
            account,
            *amounts,
        )


def each_posting(tx: Tx) -> Iterator[Posting]:
    """The whole log, oldest first."""
    for kind, debit, credit, amount_nano, account, node, epoch, purse, ref in tx.each(
        "SELECT kind, debit, credit, amount_nano, account, node, epoch, purse, ref FROM postings ORDER BY posting_id"
    ):
        yield Posting(kind, debit, credit, amount_nano, account, LeaseKey(node, epoch, purse) if node is not None else None, ref)
