"""A collector that is two: the one in memory, and the real collector's transactions on a database. Each message goes to both.

Rule: every answer is the same, and so is every balance; at the end the real collector's own audit finds nothing.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from collector.accounts import accounts
from collector.accounts import keys as account_keys
from collector.ingest import ingest
from collector.leasing import leasing, recall
from collector.ledger.audit import verify
from collector.store.contract import Tx
from collector.store.sqlite import SqliteStore
from tests.sim.invariants import Violation, WatchedCollector
from tests.sim.world import World
from usage.protocol import (
    Ack,
    Acquire,
    Acquired,
    Batch,
    Boot,
    Booted,
    Close,
    Closed,
    Policy,
    Poll,
    Polled,
    Refused,
    Return,
    Returned,
)

A = TypeVar("A")


class DifferentialCollector(WatchedCollector):
    """`store` is the database; it is closed and removed by `end`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="tollway-sim-")
        self.store = SqliteStore.open(Path(self.folder.name) / "collector.db")

    def restored_copy(self) -> WatchedCollector:
        """None is made: `DifferentialWorld` takes no backups."""
        return self

    def end(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def open_account(self, account: str, amount_nano: int) -> None:
        super().open_account(account, amount_nano)
        now_ms = self.clock_ms
        if amount_nano:
            self.store.write(lambda tx: accounts.add_credit(tx, account, amount_nano, "", now_ms))
        else:
            self.store.write(lambda tx: accounts.create_account(tx, account, now_ms))

    def add_key(self, digest: str, account: str, key_id: str, limit_nano: int | None = None) -> Policy:
        row = (digest, key_id, account, "", "", "", limit_nano, "none", 0, None, self.clock_ms)
        columns = ", ".join(account_keys.KEY_COLUMNS.split(", ")[: len(row)])
        sql = f"INSERT INTO keys ({columns}, version) VALUES ({', '.join('?' * len(row))}, 0)"
        self.store.write(lambda tx: tx.run(sql, *row))
        return super().add_key(digest, account, key_id, limit_nano)

    def boot(self, message: Boot) -> Booted:
        return self._both(message, super().boot, boot_plainly)

    def acquire(self, message: Acquire) -> Acquired:
        return self._both(message, super().acquire, leasing.acquire)

    def ingest(self, batch: Batch) -> Ack:
        return self._both(batch, super().ingest, lambda tx, message, now_ms: ingest.ingest(tx, message, (), now_ms))

    def give_back(self, message: Return) -> Returned:
        return self._both(message, super().give_back, leasing.take_back)

    def close(self, message: Close) -> Closed:
        return self._both(message, super().close, leasing.close)

    def poll(self, message: Poll) -> Polled:
        return self._both(message, super().poll, poll_once)

    def _both(self, message: Any, mine: Callable[[Any], A], real: Callable[[Tx, Any, int], A]) -> A:
        now_ms = self.clock_ms
        ours, theirs = attempt(lambda: mine(message)), attempt(lambda: self.store.write(lambda tx: real(tx, message, now_ms)))
        if isinstance(ours, Refused) and isinstance(theirs, Refused) and ours.code == theirs.code:
            raise ours
        if isinstance(ours, Refused) or isinstance(theirs, Refused) or ours != theirs:
            raise Violation(f"to {message} one says {ours!r}, the real one {theirs!r}")
        self._compare()
        return ours

    def _compare(self) -> None:
        sql = "SELECT account, available_nano, topped_nano, spent_nano, absorbed_nano FROM accounts"
        for account, *amounts in self.store.read(lambda tx: tx.rows(sql)):
            row = self.tables.accounts[account]
            if amounts != [row.available_nano, row.topped_nano, row.spent_nano, row.absorbed_nano]:
                raise Violation(f"{account} is {row} here and {amounts} in the database")

    def audit(self) -> None:
        """The collector's own word on its books."""
        for check in self.store.read(verify):
            if not check.is_kept:
                raise Violation(f"the audit says of {check.name}: {check.faults}")


def poll_once(tx: Tx, message: Poll, now_ms: int) -> Polled:
    """The read and the write of the service, in one."""
    polled, is_stale = recall.poll(tx, message, now_ms)
    if is_stale:
        recall.touch_epoch(tx, message, now_ms)
    return polled


def boot_plainly(tx: Tx, message: Boot, now_ms: int) -> Booted:
    """Without the deployment's own secret, which a collector in memory does not have."""
    return msgspec.structs.replace(leasing.boot(tx, message, now_ms), deployment="", takes_unmarked=True)


def attempt(call: Callable[[], A]) -> A | Refused:
    try:
        return call()
    except Refused as refused:
        return refused


class DifferentialWorld(World):
    """A database is not restored here: that has tests of its own."""

    collector_type: type[WatchedCollector] = DifferentialCollector

    def snapshot(self) -> None:
        super().snapshot()
        self.backup = None
