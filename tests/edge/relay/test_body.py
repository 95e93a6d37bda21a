"""What requests may hold: claims at arrival, shares of accounts, clocks of progress, and the door that an overload shuts."""

import asyncio
import contextlib
from collections.abc import Iterable
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from edge.limits.live import LiveLimits
from edge.limits.overload import Overload
from edge.relay.body import BODY_SHARE, REQUESTS_MAX, Budget, CallerLeft, MemoryBudget, body_budget, read_body
from edge.relay.context import RequestContext
from edge.relay.end_reason import CancelReason
from edge.relay.watchdog import BODY_S_MAX, Watchdog
from edge.tasks import Tasks
from routing.plan.refusal import Denied
from routing.table.config import Limits

MIB = 1 << 20


def budget_of(bytes_max: int, requests_max: int = REQUESTS_MAX, overload: Overload | None = None) -> MemoryBudget:
    """One that holds just so much, on a machine that has more."""
    limits = LiveLimits(Limits(body_bytes_max=1, inflight_body_bytes_max=bytes_max))
    return MemoryBudget(limits, 1 << 40, requests_max, overload)


pytestmark = pytest.mark.anyio


class Sender:
    """A caller's body, message by message; behind them it says nothing, or has gone."""

    def __init__(self, *pieces: bytes, more: bool = False, leaves: bool = False) -> None:
        last = len(pieces) - 1
        self.messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": piece, "more_body": more or leaves or at < last} for at, piece in enumerate(pieces)
        ]
        if leaves:
            self.messages.append({"type": "http.disconnect"})

    async def receive(self) -> dict[str, Any]:
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)


async def nowhere(message: Message) -> None:
    """Nobody is answered here."""


def context_of(sender: Sender) -> RequestContext:
    now_s = monotonic()
    return RequestContext(sender.receive, nowhere, None, None, now_s, now_s, now_s)


async def start(in_flight: MemoryBudget, account: str, declared: int | None, *pieces: bytes) -> tuple[RequestContext, int]:
    """A request that declares so much and sends `pieces` of it; its context, and the status it is refused with, or 0."""
    sender = Sender(*pieces, more=True)
    context = context_of(sender)
    try:
        in_flight.enter(context, account, declared)
        async with asyncio.timeout(0.01):
            await read_body(sender.receive, context, in_flight, 32 * MIB, declared)
    except Denied as denied:
        return context, denied.refusal.status
    except TimeoutError:
        pass
    return context, 0


async def test_declared_length_is_claimed_at_arrival() -> None:
    """Of fifty bodies of 32 MiB at once seven are taken in, and the others know before they have sent anything."""
    in_flight = budget_of(256 * MIB)
    started = [await start(in_flight, "greedy", 32 * MIB, b"x") for _ in range(50)]
    assert [status for _, status in started] == [0] * 7 + [503] * 43
    assert in_flight.held_bytes == 7 * 32 * MIB
    other, status = await start(in_flight, "modest", 4 * MIB, b"x")
    assert status == 0, "what is left is for others"
    small, status = await start(in_flight, "greedy", 60_000, b"x")
    assert status == 0, "and for what takes next to nothing"
    for context, _ in (*started, (other, 0), (small, 0)):
        in_flight.leave(context)
    assert in_flight.held_bytes == in_flight.held_requests == 0


async def test_body_without_a_length_is_claimed_as_it_comes() -> None:
    """And refused with 413 or 503 as soon as it is too much."""
    in_flight = budget_of(64 * MIB)
    first, status = await start(in_flight, "a", None, bytes(30 * MIB), bytes(2 * MIB))
    assert (status, first.body_bytes) == (0, 32 * MIB)
    second, status = await start(in_flight, "a", None, bytes(20 * MIB), bytes(20 * MIB))
    assert status == 413
    in_flight.leave(second)
    assert (await start(in_flight, "a", None, *[bytes(8 * MIB)] * 4))[1] == 503


@pytest.mark.parametrize(
    "pieces", [[b"abc"], [b"a", b"b", b"c"], [b"", b"ab", b"", b"c", b""], [b"abc", b""], [bytes([x]) for x in b"abc"]]
)
async def test_body_is_what_came(pieces: Iterable[bytes]) -> None:
    """However it was cut."""
    sender, in_flight = Sender(*pieces), budget_of(MIB)
    context = context_of(sender)
    in_flight.enter(context, "a")
    assert await read_body(sender.receive, context, in_flight, 3, None) == b"abc"
    assert context.body_bytes == 3
    assert not context.is_reading_body


async def test_caller_who_leaves_amid_its_body() -> None:
    sender, in_flight = Sender(b"abc", leaves=True), budget_of(MIB)
    context = context_of(sender)
    in_flight.enter(context, "a")
    with pytest.raises(CallerLeft):
        await read_body(sender.receive, context, in_flight, 10, 10)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 60)), max_size=60))
def test_budget_is_never_full_for_others(claims: list[tuple[int, int]]) -> None:
    """Whatever the others hold, one who holds nothing gets a part of what is free; and all comes back."""
    budget = Budget(256, BODY_SHARE)
    granted = [(str(account), amount) for account, amount in claims if budget.claim(str(account), amount)]
    assert budget.held == sum(amount for _, amount in granted) <= budget.most
    free = budget.most - budget.held
    small = free * BODY_SHARE // (BODY_SHARE + 1)
    assert small == 0 or budget.claim("new", small)
    if small:
        budget.release("new", small)
    for account, amount in granted:
        budget.release(account, amount)
    assert budget.held == 0
    assert budget._by_account == {}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60_000_000)), max_size=60))
def test_bodies_never_fill_the_edge_for_others(claims: list[tuple[int, int]]) -> None:
    """Whatever the others hold, who holds nothing gets a part of what is free; and all comes back, places and bytes."""
    in_flight = budget_of(256 * MIB, requests_max=200)
    kept: list[RequestContext] = []
    for account, size in claims:
        context = context_of(Sender())
        in_flight.enter(context, str(account))
        kept.append(context)
        with contextlib.suppress(Denied):
            in_flight.keep(context, size)
    assert in_flight.held_bytes == sum(context.body_bytes for context in kept) <= 256 * MIB
    assert in_flight.held_requests == len(kept)
    free = 256 * MIB - in_flight.held_bytes
    kept.append(context_of(Sender()))
    in_flight.enter(kept[-1], "new")
    in_flight.keep(kept[-1], free * BODY_SHARE // (BODY_SHARE + 1))
    for context in kept:
        in_flight.leave(context)
        in_flight.leave(context)
    assert in_flight.held_bytes == in_flight.held_requests == 0
    assert in_flight._by_account == {}


@pytest.mark.parametrize(
    ("inflight", "body", "memory", "budget"),
    [
        (256 * MIB, 32 * MIB, 8 << 30, 256 * MIB),
        (256 * MIB, 32 * MIB, 512 * MIB, 128 * MIB),
        (32 * MIB, 32 * MIB, 8 << 30, -(-32 * MIB * 8 // 7)),
    ],
)
def test_budget_keeps_to_the_memory_and_takes_the_largest_body(inflight: int, body: int, memory: int, budget: int) -> None:
    assert body_budget(inflight, body, memory) == budget
    assert Budget(budget, BODY_SHARE).claim("a", body)


async def test_account_has_its_share_of_requests() -> None:
    """Half of what there is; then 429 with Retry-After, and others are served."""
    in_flight = budget_of(MIB, requests_max=10)
    contexts = [context_of(Sender()) for _ in range(6)]
    for context in contexts[:5]:
        in_flight.enter(context, "greedy")
    with pytest.raises(Denied) as denied:
        in_flight.enter(contexts[5], "greedy")
    assert (denied.value.refusal.status, denied.value.refusal.retry_after_s) == (429, 1.0)
    in_flight.enter(contexts[5], "other")


def look(context: RequestContext, watch: Watchdog, after_s: float) -> CancelReason | None:
    watch.look_at(context, context.progress_s + after_s)
    return context.cancel_reason


def watched(received: int, claimed: int) -> tuple[RequestContext, Watchdog]:
    context = context_of(Sender())
    context.begin_body()
    context.receive_bytes(received)
    context.claim(claimed)
    return context, Watchdog(Tasks(), LiveLimits())


def test_body_that_lacks_one_byte_is_given_up() -> None:
    """A quick beginning pays for nothing: the next 15 seconds have to bring something (by the average, 9.1 hours were given)."""
    context, watch = watched(32 * MIB - 1, 32 * MIB)
    assert look(context, watch, 14.9) is None
    assert look(context, watch, 15.1) is None
    assert look(context, watch, 15.1) is CancelReason.BODY_TOO_SLOW


def test_body_that_comes_at_its_rate_is_waited_for() -> None:
    """For as long as it takes."""
    context, watch = watched(0, 100_000)
    for _ in range(6):
        context.receive_bytes(15_600)
        assert look(context, watch, 15.1) is None
    context.receive_bytes(15_000)
    assert look(context, watch, 15.1) is CancelReason.BODY_TOO_SLOW


def test_body_that_claims_much_has_to_come_faster() -> None:
    """What would take longer than ten minutes is not waited for, whatever the smallest rate is."""
    context, watch = watched(0, 32 * MIB)
    context.receive_bytes(int(32 * MIB / BODY_S_MAX * 15.2))
    assert look(context, watch, 15.1) is None
    context.receive_bytes(20_000)
    assert look(context, watch, 15.1) is CancelReason.BODY_TOO_SLOW


def test_overload_by_lag_is_one_that_lasts(caplog: pytest.LogCaptureFixture) -> None:
    """One late tick shuts nobody out; several do, until they have been forgotten. Each change is logged once."""
    overload = Overload()
    overload.tick(60.0)  # the machine stood still
    assert not overload.reason
    for _ in range(5):
        overload.tick(2.0 * Limits().loop_lag_max_s)
    assert overload.reason
    with pytest.raises(Denied) as denied:
        budget_of(MIB, overload=overload).enter(context_of(Sender()), "a")
    assert (denied.value.refusal.status, denied.value.refusal.retry_after_s) == (503, 1.0)
    for _ in range(5):
        overload.tick(0.0)
    assert not overload.reason
    assert len([record for record in caplog.records if "new paid work" in record.message]) == 1


def test_overload_by_memory() -> None:
    """Before the machine kills the process."""
    resident = [0]
    overload = Overload(100, lambda: resident[0])
    for size, is_over in ((80, False), (86, True), (84, False)):
        resident[0] = size
        overload.tick(0.0)
        assert bool(overload.reason) == is_over


def test_lag_that_sheds_is_the_operators_choice() -> None:
    """50 ms on a machine that does nothing else; a second where others share it."""
    strict, usual = Overload(limits=LiveLimits(Limits(loop_lag_max_s=0.05))), Overload()
    for overload in (strict, usual):
        for _ in range(8):
            overload.tick(0.08)
    assert strict.reason
    assert not usual.reason
