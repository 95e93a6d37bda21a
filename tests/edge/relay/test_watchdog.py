"""The look at a request: what runs out cancels it, and a time in which this process did not run is nobody's silence."""

from collections.abc import Callable
from time import monotonic
from typing import Any, cast

import pytest

from edge.limits.live import LiveLimits
from edge.relay.context import RequestContext
from edge.relay.end_reason import CancelReason
from edge.relay.watchdog import PAUSE_S, TICK_S, Watchdog
from edge.tasks import Tasks
from edge.upstream import Exchange
from tests.edge.relay.test_body import Sender, context_of

pytestmark = pytest.mark.anyio


class Silent:
    """An exchange that is waited for in vain."""

    def poke(self) -> None:
        pass


def wait_for_provider(context: RequestContext) -> None:
    context.await_provider(cast(Exchange, Silent()), monotonic(), 2.0, CancelReason.IDLE)


def wait_for_all(context: RequestContext) -> None:
    context.await_provider(cast(Exchange, Silent()), monotonic(), 1e9, CancelReason.IDLE)
    context.start_total(monotonic(), 2.0)


def wait_for_token(context: RequestContext) -> None:
    context.await_provider(cast(Exchange, Silent()), monotonic(), 1e9, CancelReason.IDLE)
    context.expect_first_token(monotonic() + 2.0)


def wait_for_body(context: RequestContext) -> None:
    context.begin_body()


def wait_for_reader(context: RequestContext) -> None:
    context.begin_sending()


CLOCKS: list[tuple[Callable[[RequestContext], None], CancelReason, float]] = [
    (wait_for_provider, CancelReason.IDLE, 2.0),
    (wait_for_all, CancelReason.TOTAL, 2.0),
    (wait_for_token, CancelReason.FIRST_TOKEN, 2.0),
    (wait_for_body, CancelReason.BODY_TOO_SLOW, 15.0),
    (wait_for_reader, CancelReason.READER_TOO_SLOW, 30.0),
]


@pytest.mark.parametrize(("wait", "reason", "limit_s"), CLOCKS)
async def test_pause_of_this_process_runs_out_no_clock(wait: Any, reason: CancelReason, limit_s: float) -> None:
    """What was sent meanwhile has not been read yet: after a machine stood still everybody has the time that was left before. A
    look in time, with as much gone by, ends the request."""
    tasks = Tasks()
    watch = Watchdog(tasks, LiveLimits())
    context = context_of(Sender())
    context.is_watched = True
    wait(context)
    watch.contexts.add(context)
    began_s = monotonic()
    watch.check(began_s + TICK_S, began_s + 600.0)
    assert context.cancel_reason is None
    watch.check(began_s + 600.0 + limit_s, began_s + 600.0 + limit_s + PAUSE_S / 2)
    assert context.cancel_reason is reason
    await tasks.drain(1.0)


async def test_request_that_began_in_a_pause_begins_at_its_end() -> None:
    """No clock stands in the future, where it would give more time than there is."""
    context = context_of(Sender())
    wait_for_provider(context)
    context.begin_sending()
    now_s = monotonic()
    context.excuse(600.0, now_s)
    assert max(context.heard_s, context.sending_since_s, context.progress_s) <= now_s
