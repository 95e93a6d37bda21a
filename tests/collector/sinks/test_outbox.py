"""The outbox and its runner, on both databases: each fact once in effect, none in the way of money."""

import json
from collections.abc import Sequence

import pytest

from collector.service import Collector
from collector.sinks import outbox
from collector.sinks.contract import SinkEvent, SinkRejected, Unavailable
from collector.sinks.runner import SinkRunner
from collector.store.contract import Store
from tests.collector.facts import Clock, Node, make_caller
from usage.protocol import Ack


class ListSink:
    """Keeps what it is given; refuses for good what `poison` names, and everything while `is_away`."""

    name = "list"

    def __init__(self) -> None:
        self.events: list[SinkEvent] = []
        self.poison: set[str] = set()
        self.is_away = False
        self.calls = 0

    def publish(self, events: Sequence[SinkEvent]) -> None:
        self.calls += 1
        if self.is_away:
            raise Unavailable("away")
        if any(event.event_id in self.poison for event in events):
            raise SinkRejected("a bad fact")
        self.events += events

    def close(self) -> None: ...

    @property
    def ids(self) -> list[str]:
        return [event.event_id for event in self.events]


async def ship(collector: Collector, count: int, name: str = "fra-1") -> tuple[list[str], Ack]:
    """So many new facts, taken by the collector; their ids, in the order of the batch."""
    node = Node(collector, name)
    await node.boot()
    caller = await make_caller(collector, credit_nano=10**12)
    await node.acquire(caller, 10**9)
    records = [node.fact(seq, caller) for seq in range(1, count + 1)]
    ack = await node.link.ingest(node.batch(records))
    return [record.gen_id for record in records], ack


@pytest.mark.anyio
async def test_facts_reach_a_sink_once_and_as_cloud_events(store: Store) -> None:
    """What was booked is told: all of it, nothing twice, with the counts and the cost of the record; the outbox is empty then."""
    sink, clock = ListSink(), Clock()
    collector = Collector(store, clock, sinks=[sink])
    ids, _ = await ship(collector, 7)
    (runner,) = collector.sinks
    assert runner.step()
    assert not runner.step()
    assert sorted(sink.ids) == sorted(ids)
    event = json.loads(sink.events[0].body)
    assert (event["specversion"], event["type"], event["subject"], event["id"]) == (
        "1.0",
        "tollway.generation",
        "acme",
        sink.ids[0],
    )
    assert event["data"]["cost"] == "0.000001"
    assert runner.published == 7
    assert store.read(outbox.backlogs) == []


@pytest.mark.anyio
async def test_batch_that_is_sent_again_is_told_once(store: Store) -> None:
    """A fact that the collector knows already is no news."""
    sink, clock = ListSink(), Clock()
    collector = Collector(store, clock, sinks=[sink])
    node = Node(collector)
    await node.boot()
    caller = await make_caller(collector, credit_nano=10**12)
    await node.acquire(caller, 10**9)
    record = node.fact(1, caller)
    for _ in range(3):
        await node.link.ingest(node.batch([record]))
    (runner,) = collector.sinks
    while runner.step():
        pass
    assert sink.ids == [record.gen_id]


@pytest.mark.anyio
async def test_sink_that_is_away_loses_nothing(store: Store) -> None:
    """Events wait, in order, and go when it is back; a claim that a dead process held comes free by itself."""
    sink, clock = ListSink(), Clock()
    collector = Collector(store, clock, sinks=[sink])
    sink.is_away = True
    ids, ack = await ship(collector, 5)
    assert ack.acked_through == 5
    (runner,) = collector.sinks
    for _ in range(3):
        with pytest.raises(Unavailable):
            runner.step()
    (backlog,) = store.read(outbox.backlogs)
    assert (backlog.waiting, backlog.dead) == (5, 0)
    assert store.write(lambda tx: outbox.claim(tx, "list", clock.now_ms)) is not None
    sink.is_away = False
    assert not runner.step()
    clock.now_ms += outbox.CLAIM_MS + 1
    assert runner.step()
    assert sorted(sink.ids) == sorted(ids)


@pytest.mark.anyio
async def test_fact_that_a_sink_refuses_is_a_dead_letter_of_its_own(store: Store) -> None:
    """Its neighbours pass; the refusal is shown, and can be tried again."""
    sink, clock = ListSink(), Clock()
    collector = Collector(store, clock, sinks=[sink])
    ids, _ = await ship(collector, 50)
    sink.poison = {ids[13], ids[37]}
    (runner,) = collector.sinks
    while runner.step():
        pass
    assert sorted(sink.ids) == sorted(set(ids) - sink.poison)
    (backlog,) = store.read(outbox.backlogs)
    assert (backlog.waiting, backlog.dead, backlog.problem) == (0, 2, "a bad fact")
    sink.poison = set()
    assert store.write(lambda tx: outbox.revive(tx, "list")) == 2
    while runner.step():
        pass
    assert sorted(sink.ids) == sorted(ids)


@pytest.mark.anyio
async def test_full_outbox_costs_no_money_and_is_made_up_by_replay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound facts are counted and not written; they are booked all the same, and a replay tells of them."""
    monkeypatch.setattr(outbox, "ROWS_MAX", 1)
    sink, clock = ListSink(), Clock()
    collector = Collector(store, clock, sinks=[sink])
    first, _ = await ship(collector, 3)
    (runner,) = collector.sinks
    runner.is_full = store.read(lambda tx: outbox.is_full(tx, "list"))
    assert runner.is_full
    second, ack = await ship(collector, 4, "iad-1")
    assert ack.acked_through == 4
    (backlog,) = store.read(outbox.backlogs)
    assert (backlog.waiting, backlog.skipped) == (3, 4)
    assert store.write(lambda tx: outbox.replay(tx, "list", 0, 2**62, clock.now_ms)) == 7
    while runner.step():
        pass
    assert set(sink.ids) == {*first, *second}
    (backlog,) = store.read(outbox.backlogs)
    assert (backlog.waiting, backlog.skipped) == (0, 0)


@pytest.mark.anyio
async def test_outbox_beside_the_transaction_would_be_caught(store: Store) -> None:
    """A wrong collector that tells its sinks first and books then: a batch that is refused would have been told."""
    sink, clock = ListSink(), Clock()
    collector = Collector(store, clock, sinks=[sink])
    node = Node(collector)
    await node.boot()
    caller = await make_caller(collector, credit_nano=10**12)
    await node.acquire(caller, 10**9)
    record = node.fact(1, caller)

    def wrong() -> None:
        from collector.ingest.ingest import _payload

        store.write(lambda tx: outbox.enqueue(tx, ["list"], [_payload(record)], clock.now_ms))
        raise RuntimeError("the process dies before it books")

    with pytest.raises(RuntimeError):
        wrong()
    told = [row.waiting for row in store.read(outbox.backlogs)]
    booked = store.read(lambda tx: tx.row("SELECT COUNT(*) FROM records"))
    assert booked is not None
    assert (sum(told), booked[0]) == (1, 0), "told, and not booked: what enqueueing within the transaction rules out"


def test_runner_survives_what_nobody_knew(store: Store) -> None:
    """An exception of a library ends a round, not the sink."""
    sink = ListSink()
    sink.publish = lambda events: 1 / 0  # type: ignore[assignment,method-assign]
    runner = SinkRunner(store, sink, Clock())
    store.write(lambda tx: outbox.enqueue(tx, ["list"], ["no record"], 0))
    assert runner._round() > 0
    assert "Error" in runner.problem
