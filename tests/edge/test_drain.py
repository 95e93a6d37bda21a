"""A drain on its own: what it counts as ended, and what as cut."""

import asyncio
from time import monotonic

import pytest

from edge.drain import Drain
from edge.limits.live import LiveLimits
from edge.relay.context import RequestContext
from edge.relay.watchdog import Watchdog
from edge.tasks import Tasks
from tests.edge.relay.test_body import Sender, context_of
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.anyio


class Runs:
    """Requests under way."""

    def __init__(self) -> None:
        self.watch = Watchdog(Tasks(), LiveLimits())

    def begin(self) -> RequestContext:
        context = context_of(Sender())
        self.watch.contexts.add(context)
        return context


async def test_request_that_ends_before_the_door_closes_has_ended_in_the_drain() -> None:
    """Between the signal and the listener's end a busy process lets many end; its last line counts them as ended."""
    runs = Runs()
    before = runs.begin()
    drain = Drain(runs.watch, 0.0, 0.0)
    drain.begin()
    runs.watch.end(before)
    await drain.finish_requests()
    assert (drain.ended, drain.cut) == (1, 0)


async def test_request_that_came_during_the_notice_counts_once() -> None:
    """Whether it ends or is cut, as those do that ran at the signal; asked twice, a drain counts nothing twice."""
    runs = Runs()
    early, stays = runs.begin(), runs.begin()
    drain = Drain(runs.watch, 0.0, 0.0)
    await drain.give_notice()
    runs.watch.end(early)
    late = runs.begin()
    drain.hurry()
    waits = asyncio.ensure_future(drain.finish_requests())
    await asyncio.sleep(0)
    runs.watch.end(late)
    runs.watch.end(stays)
    await waits
    await drain.finish_requests()
    assert (drain.ended, drain.cut) == (1, 2)


async def test_notice_lasts_as_long_as_told_unless_hurried() -> None:
    """The balancer has all of it to look; whoever is told a second time waits no more."""
    drain, began_s = Drain(Runs().watch, 0.05, 60.0), monotonic()
    await drain.give_notice()
    assert monotonic() - began_s >= 0.05
    drain = Drain(Runs().watch, 60.0, 60.0)
    drain.hurry()
    await asyncio.wait_for(drain.give_notice(), PATIENCE_S)
