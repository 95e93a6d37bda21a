"""The gate: honest edges over a lossy link, and collectors that are wrong on purpose, each of which must be seen.

Edges here spend only what their lease holds, lose answers, repeat and reorder messages, crash, boot again, and recover
their journal. Then the right collector never absorbs a nano-dollar, charges each generation once and misses none.
"""

import random
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from collector.accounts import accounts
from collector.accounts import keys as account_keys
from collector.accounts.keys import KeyTerms
from collector.ingest import ingest, rollups
from collector.leasing import leasing
from collector.ledger import bookkeeping, ledger
from collector.ledger.audit import verify
from collector.ledger.ledger import LeaseKey
from collector.store.contract import Store
from collector.store.sqlite import SqliteStore, _SqliteTx
from tests.collector.facts import NOON_MS, Caller, available_nano, make_fact, spent_nano
from usage.key import digest
from usage.protocol import Acquire, Batch, Boot, Close, Refused, Return
from usage.record import Rates, UsageRecord


class Process:
    """One boot of an edge node: what it holds, what it has journaled, what it knows to be acknowledged."""

    def __init__(self, node: str, epoch: int) -> None:
        self.node, self.epoch = node, epoch
        self.free = self.acked = 0
        self.journal: list[UsageRecord] = []
        self.last: Any = None


class World:
    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.dice, self.now, self.count = store, random.Random(seed), NOON_MS, 0
        self.live: dict[str, Process] = {}
        self.dead: list[Process] = []
        self.charged: dict[str, int] = {}
        self.caller = store.write(self._make_caller)

    def _make_caller(self, tx: Any) -> Caller:
        accounts.add_credit(tx, "acme", 400_000, "", NOON_MS)
        key = account_keys.create_key(tx, "acme", KeyTerms(), NOON_MS)[0]
        made = account_keys.find_key(tx, digest(key.encode()))
        assert made is not None
        return Caller(key, made.digest, made.key_id, "acme", made.purse)

    def send(self, handle: Callable[..., Any], *message: Any) -> Any:
        """Over the link: perhaps twice; the answer perhaps lost (None)."""
        for _ in range(1 + (self.dice.random() < 0.3)):
            answer = self.store.write(lambda tx: handle(tx, *message, self.now))
        return None if self.dice.random() < 0.2 else answer

    def step(self) -> None:
        self.now += self.dice.choice((10, 1_000, 400_000))
        node = self.dice.choice(("fra-1", "ams-1"))
        process = self.live.get(node)
        if process is None or self.dice.random() < 0.04:
            self.boot(node)
            return
        self.dice.choice((self.acquire, self.spend, self.spend, self.ship, self.give_back, self.recover))(process)

    def boot(self, node: str) -> None:
        self.count += 1
        message, booted = Boot(node, f"boot-{self.count}"), None
        while booted is None:
            booted = self.send(leasing.boot, message)
        older = [p.epoch for p in [*self.dead, *self.live.values()] if p.node == node]
        assert all(booted.epoch > epoch for epoch in older)
        if node in self.live:
            self.dead.append(self.live[node])
        self.live[node] = Process(node, booted.epoch)

    def acquire(self, process: Process) -> None:
        """Ask, or ask again with the same grant_id when the answer was lost; an old process asks too, and must hear no."""
        self.count += 1
        if process.last is None:
            process.last = Acquire(process.node, process.epoch, f"g{self.count}", self.caller.digest, 9_000, 1_000)
        answer = self.send(leasing.acquire, process.last)
        if answer is not None:
            process.free += answer.granted.granted_nano if answer.granted else 0
            process.last = None
        for old in self.dead[-1:]:
            stale = Acquire(old.node, old.epoch, f"old{self.count}", self.caller.digest, 1_000, 1)
            with pytest.raises(Refused):
                self.store.write(partial(leasing.acquire, message=stale, now_ms=self.now))

    def spend(self, process: Process) -> None:
        cost = self.dice.randrange(1, 3_000)
        if cost <= process.free:
            self.count += 1
            process.free -= cost
            gen_id, seq = f"gen-{self.count}", len(process.journal) + 1
            fact = make_fact(seq, self.caller, process.node, process.epoch, gen_id, Rates(request=cost * 1_000))
            process.journal.append(fact)
            self.charged[gen_id] = cost

    def ship(self, process: Process) -> None:
        """At times out of order and with an early part missing: a reordering network."""
        rest = process.journal[process.acked :]
        first = self.dice.randrange(len(rest)) if rest and self.dice.random() < 0.3 else 0
        ack = self.send(ingest.ingest, Batch(process.node, process.epoch, tuple(rest[first : first + 20])), ())
        if ack is not None:
            assert ack.acked_through <= len(process.journal)
            process.acked = max(process.acked, ack.acked_through)

    def give_back(self, process: Process) -> None:
        if process.free:
            self.count += 1
            amount = self.dice.randrange(process.free + 1)
            process.free -= amount
            message, answer = Return(process.node, process.epoch, f"r{self.count}", "acme", amount), None
            while answer is None:
                answer = self.send(leasing.take_back, message)

    def recover(self, process: Process) -> None:
        """Recovery of a dead process: everything it journaled, then the close."""
        if self.dead:
            dead = self.dead[0]
            self.ship(dead)
            closed = self.send(leasing.close, Close(dead.node, dead.epoch, len(dead.journal)))
            if closed is not None and closed.closed:
                self.dead.pop(0)

    def check(self) -> None:
        """What an edge may still spend lies in its lease at the collector, so it can never be spent twice."""
        for process in self.live.values():
            lease = LeaseKey(process.node, process.epoch, "acme")
            open_nano, _ = self.store.read(partial(bookkeeping.open_lease, lease=lease))
            assert open_nano >= process.free

    def finish(self) -> None:
        self.dead += self.live.values()
        for process in self.dead:
            for _ in range(200):
                self.ship(process)
            last = Close(process.node, process.epoch, len(process.journal))
            closed = self.store.write(partial(leasing.close, message=last, now_ms=self.now))
            assert closed.closed
        broken = [check for check in self.store.read(verify) if not check.is_kept]
        assert not broken
        assert spent_nano(self.store) == sum(self.charged.values())
        assert available_nano(self.store) == 400_000 - sum(self.charged.values())


def run_world(folder: Path, seed: int) -> None:
    store = SqliteStore.open(folder / f"{seed}.db")
    store._writer.execute("PRAGMA synchronous = OFF")
    try:
        live_through(store, seed, 150)
    finally:
        store.close()


def live_through(store: Store, seed: int, steps: int) -> None:
    world = World(store, seed)
    for _ in range(steps):
        world.step()
        world.check()
    world.finish()


@pytest.mark.parametrize("seed", range(6))
def test_collector_over_a_lossy_link_charges_each_generation_once(tmp_path: Path, seed: int) -> None:
    """Nothing lost, doubled or absorbed, whatever the link and the crashes do."""
    run_world(tmp_path, seed)


def test_collector_on_either_database_lives_through_the_same_world(store: Store) -> None:
    """One longer run on each; `live_through` with more seeds and steps is what scripts/soak runs."""
    live_through(store, 77, 300)


def _insert_again(tx: _SqliteTx, rows: Sequence[Any]) -> set[str]:
    """No deduplication."""
    tx.run_many("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    return {row[0] for row in rows}


def _acked_across_a_gap(tx: Any, node: str, epoch: int, acked: int, ahead: int, seqs: set[int]) -> tuple[int, int]:
    """Acknowledged across a gap."""
    return max(seqs | {acked}), 0


def _acked_from_the_batch(tx: Any, node: str, epoch: int, acked: int, ahead: int, seqs: set[int]) -> tuple[int, int]:
    """An acknowledgement that goes back."""
    return (max(seqs) if seqs else 0), 0


def _give_back_at_expiry(tx: Any, message: Acquire, now_ms: int, share_percent: int) -> Any:
    """Leases flow back when their admission life is over, as if nobody could have spent them."""
    for node, epoch, purse, left in tx.rows(
        "SELECT node, epoch, purse, granted_nano - settled_nano - returned_nano FROM leases WHERE state = 'open'"
        " AND touched_ms < ?",
        now_ms - 900_000,
    ):
        bookkeeping.post(tx, ledger.give_back("acme", LeaseKey(node, epoch, purse), left, left, "expiry"), now_ms)
    return RIGHT_GRANT(tx, message, now_ms, share_percent)


def _close_without_facts(tx: Any, message: Close, now_ms: int) -> Any:
    """Closes whether or not the facts are there."""
    return RIGHT_CLOSE(tx, Close(message.node, message.epoch, 0), now_ms)


def _return_each_time(tx: Any, message: Return, now_ms: int) -> Any:
    """A repeated return counts again."""
    tx.run("DELETE FROM returns")
    return RIGHT_RETURN(tx, message, now_ms)


RIGHT_GRANT, RIGHT_CLOSE, RIGHT_RETURN = leasing.grant_credit, leasing.close, leasing.take_back

WRONG: dict[str, tuple[Any, str, Any]] = {
    "no deduplication": (_SqliteTx, "insert_records", _insert_again),
    "acknowledged across a gap": (ingest, "advance", _acked_across_a_gap),
    "acknowledgement goes back": (ingest, "advance", _acked_from_the_batch),
    "give-back at expiry": (leasing, "grant_credit", _give_back_at_expiry),
    "grants to an old epoch": (leasing, "is_fenced", lambda *_: False),
    "a repeated grant is a new one": (leasing, "_granted_before", lambda *_: None),
    "a repeated return counts again": (leasing, "take_back", _return_each_time),
    "closed before the facts are there": (leasing, "close", _close_without_facts),
    "sums forgotten": (ingest, "roll_up", lambda *_: None),
    "sums in the wrong quarter": (rollups, "QUARTER_MS", 900_001),
}


@pytest.mark.parametrize("variant", WRONG)
def test_collector_wrong_variant_is_caught(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate is alive: each wrong collector is seen within a few seeds."""
    where, name, wrong = WRONG[variant]
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises((AssertionError, sqlite3.IntegrityError, pytest.fail.Exception)):
        run_worlds(tmp_path, 12)


def run_worlds(folder: Path, count: int) -> None:
    for seed in range(count):
        run_world(folder, seed)
