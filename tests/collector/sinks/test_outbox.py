"""The outbox and its runner, on both databases: each fact once in effect, none in the way of money."""

import json
from collections.abc import Sequence

import msgspec
import pytest

from collector.ingest import ingest as ingest_module
from collector.service import Collector
from collector.sinks import outbox
from collector.sinks.contract import SinkEvent, SinkRejected, Unavailable
from collector.sinks.runner import SinkRunner
from collector.store.contract import Store, Tx
from tests.collector.facts import Caller, Clock, Node, make_caller, make_fact
from usage.gen_id import first_of
from usage.protocol import Ack

_encode = msgspec.json.Encoder().encode
CALLER = Caller("", "d", "key-1", "acme", "acme")


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
    monkeypatch.setattr(outbox, "FACTS_PER_ROW", 3)
    told, last = 0, first_of(0)
    while last:
        part, last = store.write(lambda tx, after=last: outbox.replay_part(tx, "list", after, first_of(2**47), clock.now_ms))  # type: ignore[misc]
        told += part
    assert told == 7
    while runner.step():
        pass
    assert set(sink.ids) == {*first, *second}
    (backlog,) = store.read(outbox.backlogs)
    assert (backlog.waiting, backlog.skipped) == (0, 0)


@pytest.mark.anyio
@pytest.mark.parametrize("is_beside", [False, True], ids=["in the transaction", "beside it, which is wrong"])
async def test_batch_that_is_not_booked_is_not_told(store: Store, monkeypatch: pytest.MonkeyPatch, is_beside: bool) -> None:
    """The collector dies between the outbox and the end of the transaction: neither is there. An outbox written in a transaction
    of its own is seen to tell of what nobody booked."""
    sink, clock = ListSink(), Clock()
    collector = Collector(store, clock, sinks=[sink])
    node = Node(collector)
    await node.boot()
    caller = await make_caller(collector, credit_nano=10**12)
    await node.acquire(caller, 10**9)
    beside: list[tuple[list[str], list[str]]] = []

    def enqueue_beside(tx: Tx, sinks: list[str], payloads: list[str], now_ms: int) -> None:
        beside.append((sinks, payloads))

    def die(*_: object) -> None:
        raise RuntimeError("the process ends here")

    if is_beside:
        monkeypatch.setattr(ingest_module, "enqueue", enqueue_beside)
    monkeypatch.setattr(ingest_module, "keep_rejected", die)
    with pytest.raises(RuntimeError):
        await node.link.ingest(node.batch([node.fact(1, caller)]))
    for sinks, payloads in beside:
        store.write(lambda tx, sinks=sinks, payloads=payloads: outbox.enqueue(tx, sinks, payloads, 0))  # type: ignore[misc]
    booked = store.read(lambda tx: tx.row("SELECT COUNT(*) FROM records"))
    told = sum(row.waiting for row in store.read(outbox.backlogs))
    assert booked == (0,)
    assert told == (1 if is_beside else 0)


def test_row_that_is_no_record_holds_nobody_up(store: Store) -> None:
    """It is a dead letter with its reason; what is beside and behind it passes."""
    sink, clock = ListSink(), Clock()
    good = [_encode(make_fact(seq, CALLER, "fra-1", 7, f"fact-{seq}")).decode() for seq in range(3)]
    store.write(lambda tx: outbox.enqueue(tx, ["list"], [good[0], "no record", good[1]], 0))
    store.write(lambda tx: outbox.enqueue(tx, ["list"], [good[2]], 0))
    runner = SinkRunner(store, sink, clock)
    while runner.step():
        pass
    assert len(sink.events) == runner.published == 3
    (backlog,) = store.read(outbox.backlogs)
    assert (backlog.waiting, backlog.dead) == (0, 1)
    assert backlog.problem.startswith("not a usage record: ")


def test_runner_survives_what_nobody_knew(store: Store) -> None:
    """An exception of a library ends a round, not the sink."""
    sink = ListSink()
    sink.publish = lambda events: 1 / 0  # type: ignore[assignment,method-assign]
    runner = SinkRunner(store, sink, Clock())
    store.write(lambda tx: outbox.enqueue(tx, ["list"], [_encode(make_fact(1, CALLER, "fra-1", 7, "fact")).decode()], 0))
    assert runner._round() > 0
    assert "ZeroDivisionError" in runner.problem
