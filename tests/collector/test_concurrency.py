"""Several collectors on one PostgreSQL: the same facts at once are charged once, and the last cent is granted once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from collector import accounts, ingest, leasing
from collector.accounts import KeyTerms
from collector.audit import verify
from collector.postgres import PostgresStore
from collector.store import Store
from tests.collector.facts import NOON_MS, Caller, absorbed_nano, available_nano, make_fact, spent_nano
from usage.key import digest
from usage.protocol import Ack, Acquire, Acquired, Batch, Boot

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
        key = accounts.create_key(tx, "acme", KeyTerms(), NOON_MS)
        made = accounts.find_key(tx, digest(key.encode()))
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
