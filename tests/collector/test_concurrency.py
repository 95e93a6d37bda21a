"""Several collectors on one PostgreSQL: the same facts at once are charged once, and the last cent is granted once."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from collector.accounts import accounts
from collector.accounts import keys as account_keys
from collector.accounts.keys import KeyTerms
from collector.ingest import ingest
from collector.leasing import leasing
from collector.ledger.audit import verify
from collector.store.contract import Store, StoreUnavailable
from collector.store.postgres import PostgresStore
from tests.collector.facts import NOON_MS, Caller, absorbed_nano, available_nano, make_fact, spent_nano
from tests.patience import PATIENCE_S
from usage.key import digest
from usage.protocol import Ack, Acquire, Acquired, Batch, Boot
from usage.record import Rates

PROCESSES = 3


@pytest.fixture
def stores(postgres_url: str) -> Iterator[list[PostgresStore]]:
    opened = [PostgresStore.open(postgres_url) for _ in range(PROCESSES)]
    yield opened
    assert all(check.is_kept for check in opened[0].read(verify))
    for store in opened:
        store.close()


def set_up(store: Store, credit_nano: int) -> Caller:
    def work(tx: Any) -> Caller:
        accounts.add_credit(tx, "acme", credit_nano, "", NOON_MS)
        key = account_keys.create_key(tx, "acme", KeyTerms(), NOON_MS)[0]
        made = account_keys.find_key(tx, digest(key.encode()))
        assert made is not None
        return Caller(key, made.digest, made.key_id, "acme", made.purse)

    return store.write(work)


def boot(store: Store, node: str) -> int:
    return store.write(lambda tx: leasing.boot(tx, Boot(node, "b"), NOON_MS)).epoch


def acquire(store: Store, message: Acquire) -> Acquired:
    return store.write(lambda tx: leasing.acquire(tx, message, NOON_MS))


def take(store: Store, batch: Batch) -> Ack:
    return store.write(lambda tx: ingest.ingest(tx, batch, (), NOON_MS))


def at_once(works: Sequence[Callable[[], object]]) -> None:
    """Run all in threads that start together; the first error is raised."""
    gate, errors = threading.Barrier(len(works)), []

    def run(work: Callable[[], object]) -> None:
        gate.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_collectors_side_by_side_charge_the_same_batches_once(stores: list[PostgresStore]) -> None:
    """Two nodes' batches, every one sent to every collector at once, in different orders."""
    caller = set_up(stores[0], 10**9)
    nodes = ("fra-1", "ams-1")
    epochs = {name: boot(stores[0], name) for name in nodes}
    for name in nodes:
        acquire(stores[0], Acquire(name, epochs[name], f"g-{name}", caller.digest, 10**8, 1))
    batches = [
        Batch(
            name,
            epochs[name],
            tuple(
                make_fact(seq, caller, name, epochs[name], f"gen-{name if seq % 5 else 'shared'}-{seq}")
                for seq in range(first, first + 50)
            ),
        )
        for first in range(1, 301, 50)
        for name in nodes
    ]

    def send(store: Store, order: list[Batch]) -> Callable[[], None]:
        def work() -> None:
            for batch in order:
                take(store, batch)

        return work

    at_once([send(store, batches if at % 2 else batches[::-1]) for at, store in enumerate(stores)])
    generations = {record.gen_id: record.cost_nano for batch in batches for record in batch.records}
    assert len(generations) == 300 + 240
    assert spent_nano(stores[0]) == sum(generations.values())
    acks = [take(stores[1], batch) for batch in batches[-2:]]
    assert [ack.acked_through for ack in acks] == [300, 300]


def test_collectors_side_by_side_grant_the_last_cent_once(stores: list[PostgresStore]) -> None:
    """Credit for 37 requests, 90 acquires of one request at once over three nodes: 37 grants, never 38."""
    caller = set_up(stores[0], 37_000)
    granted: list[int] = []

    def ask(store: PostgresStore, name: str) -> Callable[[], None]:
        epoch = boot(store, name)

        def work() -> None:
            for number in range(30):
                message = Acquire(name, epoch, f"{name}-{number}", caller.digest, 1_000, 1_000)
                answer = acquire(store, message)
                if answer.granted:
                    granted.append(answer.granted.granted_nano)

        return work

    at_once([ask(store, f"node-{at}") for at, store in enumerate(stores)])
    assert granted == [1_000] * 37
    assert (available_nano(stores[0]), absorbed_nano(stores[0])) == (0, 0)


def test_grant_repeated_at_two_collectors_at_once_is_one_grant(stores: list[PostgresStore]) -> None:
    """The same grant_id to every collector: one debit."""
    caller = set_up(stores[0], 10**6)
    message = Acquire("fra-1", boot(stores[0], "fra-1"), "g", caller.digest, 1_000, 1)
    at_once([partial(acquire, store, message) for store in stores])
    assert available_nano(stores[0]) == 10**6 - 1_000


def deadlocks(store: PostgresStore) -> int:
    """How many the server has seen so far in this database, once its processes have told."""
    row = store.read(
        lambda tx: tx.row("SELECT pg_stat_force_next_flush(), deadlocks FROM pg_stat_database WHERE datname = current_database()")
    )
    assert row is not None
    return int(row[1])


def renew_for(stores: Sequence[PostgresStore], seconds: float, nodes: int, purses: int) -> int:
    """`nodes` nodes renew the leases of the same `purses` accounts, each batch in an order of its own; how many batches."""
    callers = [set_up_account(stores[0], f"account-{number}") for number in range(purses)]
    epochs = {f"n{number}": boot(stores[0], f"n{number}") for number in range(nodes)}
    until_s, counts = time.monotonic() + seconds, dict.fromkeys(epochs, 0)

    def live(node: str, store: PostgresStore) -> None:
        dice = random.Random(node)
        while time.monotonic() < until_s:
            counts[node] += 1
            seq = counts[node]
            mine = dice.sample(callers, min(len(callers), 6))
            renew = tuple(Acquire(node, epochs[node], f"{node}-{seq}-{c.account}", c.digest, 50, 1) for c in mine)
            fact = make_fact(seq, dice.choice(callers), node, epochs[node], f"{node}-{seq}", Rates(request=5_000))
            take(store, Batch(node, epochs[node], (fact,), renew))

    at_once([partial(live, node, stores[number % len(stores)]) for number, node in enumerate(epochs)])
    return sum(counts.values())


def set_up_account(store: Store, account: str) -> Caller:
    def work(tx: Any) -> Caller:
        accounts.add_credit(tx, account, 10**12, "", NOON_MS)
        key = account_keys.create_key(tx, account, KeyTerms(), NOON_MS)[0]
        made = account_keys.find_key(tx, digest(key.encode()))
        assert made is not None
        return Caller(key, made.digest, made.key_id, account, made.purse)

    return store.write(work)


def test_nodes_that_renew_the_same_accounts_do_not_wait_for_each_other(stores: list[PostgresStore]) -> None:
    """Eight nodes, renewals in any order: not one deadlock. The long form is scripts/soak renewals."""
    before = deadlocks(stores[0])
    batches = renew_for(stores, 4.0, 8, 12)
    assert batches > 10
    assert deadlocks(stores[0]) == before


def test_locks_in_the_order_of_the_renewals_are_caught(stores: list[PostgresStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong variant: each account is locked when its renewal's turn comes. The server sees deadlocks."""
    monkeypatch.setattr(ingest, "accounts_of", lambda tx, renewals: set())
    before, until_s = deadlocks(stores[0]), time.monotonic() + 60
    while deadlocks(stores[0]) == before:
        with suppress(StoreUnavailable):  # tried again, and in vain
            renew_for(stores, 2.0, 8, 12)
        assert time.monotonic() < until_s, "never seen"


@pytest.mark.parametrize("state", ["40P01", "40001"])
def test_transaction_that_the_database_gives_up_is_tried_again(state: str, stores: list[PostgresStore]) -> None:
    """A deadlock and a serialization failure cost a retry from the beginning; too many of them are `unavailable`."""
    caller, failures, runs = set_up(stores[0], 1_000), 2, 0

    def work(tx: Any) -> int:
        nonlocal runs
        runs += 1
        accounts.add_credit(tx, "acme", 500, "", NOON_MS)
        if runs <= failures:
            tx.run(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}', MESSAGE = 'provoked'; END $$")
        return runs

    assert stores[0].write(work) == 3
    assert available_nano(stores[0], caller.account) == 1_500
    failures = 1_000
    with pytest.raises(StoreUnavailable, match="provoked"):
        stores[0].write(work)
    assert available_nano(stores[0], caller.account) == 1_500


def test_deadlock_is_resolved_by_a_retry(stores: list[PostgresStore]) -> None:
    """Two transactions take two accounts in opposite orders; the server ends one, which is tried again, and both are done."""
    for name in ("a", "b"):
        set_up_account(stores[0], name)
    before, gate = available_nano(stores[0], "a"), threading.Barrier(2)
    met: set[str] = set()

    def cross(store: PostgresStore, first: str, second: str) -> None:
        def work(tx: Any) -> None:
            accounts.add_credit(tx, first, 1, "", NOON_MS)
            if first not in met:
                met.add(first)
                gate.wait(PATIENCE_S)
            accounts.add_credit(tx, second, 1, "", NOON_MS)

        store.write(work)

    at_once([partial(cross, stores[0], "a", "b"), partial(cross, stores[1], "b", "a")])
    assert [available_nano(stores[0], name) for name in ("a", "b")] == [before + 2, before + 2]
