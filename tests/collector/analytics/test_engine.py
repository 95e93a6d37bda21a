"""The read engine against the facts themselves, counted one by one: every zone, period, group and filter, to the nano-dollar."""

import random
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from collector.analytics.calendar import PERIODS, bounds, zone
from collector.analytics.engine import run
from collector.analytics.paging import page
from collector.analytics.query import DIMENSIONS, Query, QueryProblem, QueryRow, Result
from collector.ingest.rollups import QUARTER_MS, measures_of
from collector.service import Collector
from tests.collector.analytics.test_calendar import ZONES
from tests.collector.facts import NOON_MS, Clock, Node, at_time, make_caller
from usage.protocol import Batch
from usage.record import UsageRecord

pytestmark = pytest.mark.anyio
DAY_MS = 86_400_000
SPAN_DAYS = 200
"""Across the clock changes of autumn 2026 in both hemispheres."""


@pytest.fixture
async def facts(collector: Collector) -> list[UsageRecord]:
    dice = random.Random(7)
    node = await Node(collector).boot()
    callers = [await make_caller(collector, account, 10**9) for account in ("acme", "acme", "acme", "other")]
    made = [
        msgspec.structs.replace(
            at_time(node.fact(seq, dice.choice(callers), dice.randrange(1, 10**6)), NOON_MS - dice.randrange(SPAN_DAYS * DAY_MS)),
            model=(model := f"{dice.choice('ab')}/{dice.randrange(3)}"),
            provider=model[0],
            latency_ms=dice.randrange(5_000),
            end_reason=dice.choice(("completed", "timeout", "cancelled")),
        )
        for seq in range(1, 3_001)
    ]
    await node.link.ingest(node.batch(made))
    return made


def counted(facts: Iterable[UsageRecord], query: Query, start: int, end: int) -> dict[Any, tuple[int, ...]]:
    """The table as it should be, from the facts: (start of the period, group) -> measures."""
    marks = bounds(query.every, start, end, zone(query.tz))
    found: dict[Any, tuple[int, ...]] = {}
    for fact in facts:
        quarter = fact.started_ms // QUARTER_MS
        if not start <= quarter < end or (query.account is not None and fact.account != query.account):
            continue
        if any(getattr(fact, column) not in values for column, values in query.filters):
            continue
        period = max(mark for mark in marks[:-1] if mark <= quarter)
        key = (period * QUARTER_MS, tuple(getattr(fact, DIMENSIONS[name]) for name in query.by))
        found[key] = tuple(map(int.__add__, found.get(key, (0,) * 10), map(int, measures_of(fact))))
    return found


def lines(table: Result) -> dict[Any, tuple[int, ...]]:
    return {(line.start_ms, line.group): msgspec.structs.astuple(line.sums) for line in table.lines}


async def test_table_is_what_the_facts_count_up_to(collector: Collector, facts: list[UsageRecord]) -> None:
    dice = random.Random(11)
    periods = ("", *PERIODS)
    for number in range(150):
        start = NOON_MS // QUARTER_MS - dice.randrange(SPAN_DAYS * 96)
        length = dice.choice((1, 90, 700, 96 * 30, SPAN_DAYS * 96))
        every = periods[number % len(periods)]
        if every in ("quarter", "hour"):
            length = min(length, 900)
        query = Query(
            dice.choice(("acme", "other", None)),
            start * QUARTER_MS,
            (start + length) * QUARTER_MS,
            dice.choice(ZONES),
            every,
            tuple(dice.sample(list(DIMENSIONS), dice.randrange(4))),
            models=dice.choice(((), ("a/1", "b/2", "none"))),
            providers=dice.choice(((), ("a",))),
        )
        table = collector.store.read(lambda tx, query=query: run(tx, query, NOON_MS))  # type: ignore[misc]
        expected = counted(facts, query, start, start + length)
        assert lines(table) == expected, query
        assert msgspec.structs.astuple(table.total) == tuple(sum(row[at] for row in expected.values()) for at in range(10))


async def test_top_groups_and_the_others_add_up(collector: Collector, facts: list[UsageRecord]) -> None:
    """What is not in the top is one line per period, and nothing is missing."""
    query = Query("acme", NOON_MS - 90 * DAY_MS, NOON_MS, "Asia/Kolkata", "month", ("model",))
    whole = collector.store.read(lambda tx: run(tx, query, NOON_MS))
    top = collector.store.read(lambda tx: run(tx, msgspec.structs.replace(query, top=2), NOON_MS))
    assert top.has_other
    assert whole.total == top.total
    groups = {line.group for line in top.lines}
    assert len(groups) == 3
    assert None in groups
    spent: dict[Any, int] = {}
    for line in whole.lines:
        spent[line.group] = spent.get(line.group, 0) + line.sums.cost_nano
    best = sorted(spent, key=lambda group: -spent[group])[:2]
    assert groups - {None} == set(best)
    for start, _ in top.periods:
        at = [line for line in whole.lines if line.start_ms == start]
        others = sum(line.sums.cost_nano for line in at if line.group not in best)
        assert [line.sums.cost_nano for line in top.lines if line.start_ms == start and line.group is None] == [others]


async def test_pages_are_the_table_cut_up(collector: Collector, facts: list[UsageRecord]) -> None:
    query = Query("acme", NOON_MS - 60 * DAY_MS, NOON_MS, "UTC", "day", ("model", "key"))
    table = collector.store.read(lambda tx: run(tx, query, NOON_MS))
    for size in (1, 7, 1_000):
        seen: list[QueryRow] = []
        cursor = ""
        while True:
            part, cursor = page(table.lines, cursor, size)
            seen += part
            if not cursor:
                break
        assert tuple(seen) == table.lines
    for cursor in ("x", "!!", "e30", "\xff", "W10"):
        with pytest.raises(QueryProblem):
            page(table.lines, cursor, 5)


async def test_range_is_widened_to_quarters(collector: Collector, facts: list[UsageRecord]) -> None:
    table = collector.store.read(lambda tx: run(tx, Query("acme", NOON_MS + 1, NOON_MS + 2), NOON_MS))
    assert (table.start_ms, table.end_ms) == (NOON_MS, NOON_MS + QUARTER_MS)
    empty = collector.store.read(lambda tx: run(tx, Query("acme", NOON_MS, NOON_MS, every="day"), NOON_MS))
    assert (empty.lines, empty.periods) == ((), ())


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tz": "Mars"}, "tz"),
        ({"every": "fortnight"}, "every"),
        ({"by": ("colour",)}, "by"),
        ({"by": ("model", "model")}, "by"),
        ({"rank_by": "beauty"}, "rank_by"),
        ({"end_ms": -1}, "start"),
        ({"end_ms": 2**62}, "start"),
        ({"start_ms": 0, "every": "hour"}, "every"),
        ({"models": ("a\0",)}, "filters"),
        ({"top": -1}, "top"),
    ],
)
async def test_wrong_question_names_what_is_wrong(collector: Collector, change: dict[str, Any], param: str) -> None:
    query = msgspec.structs.replace(Query("acme", NOON_MS - DAY_MS, NOON_MS), **change)
    with pytest.raises(QueryProblem) as caught:
        collector.store.read(lambda tx: run(tx, query, NOON_MS))
    assert caught.value.param == param


async def test_complete_through_is_the_slowest_node(collector: Collector, clock: Clock) -> None:
    """A node that is gone holds it back until its epoch is closed or forfeited."""
    query = Query("acme", NOON_MS, NOON_MS)

    def complete() -> int | None:
        return collector.store.read(lambda tx: run(tx, query, clock.now_ms)).complete_through_ms

    assert complete() == NOON_MS
    first, second = await Node(collector, "a").boot(), await Node(collector, "b").boot()
    clock.now_ms += 60_000
    await first.link.ingest(Batch("a", first.epoch, complete_ms=NOON_MS + 60_000))
    assert complete() == NOON_MS
    await second.link.ingest(Batch("b", second.epoch, complete_ms=NOON_MS + 59_000))
    assert complete() == NOON_MS + 59_000
