"""The ticker over all requests: it cancels those that wait too long, for whoever it is.

Strategy: four looks a second at every request cost less than timers, which most requests would arm and disarm several times
without needing one. A request that is over sooner costs a set insertion. One that is older than half a tick gets its disconnect
watched.
Rule: a time in which this process did not run (a machine that stands still, a loop that is blocked) is nobody's silence: what was
sent meanwhile has not been read yet. It is left out of every clock.
Clocks: a body that comes and an answer that is taken have those of `[limits]`; a provider's first byte, idle and total time-outs
are its own (`routing.table.provider`) and armed by `RequestContext.await_provider`.
Limits: clocks are true to a quarter of a second.
"""

import asyncio
from time import monotonic

from edge.limits.live import LiveLimits
from edge.limits.overload import Overload
from edge.relay.context import RequestContext
from edge.relay.end_reason import CancelReason
from edge.tasks import Tasks

TICK_S = 0.25
"""Also how old the last progress mark of a stream may be when the process is killed: what came after it is our loss."""
PAUSE_S = 1.0
"""A look that is so late was held up by a pause; below it, by work of the loop."""
BODY_S_MAX = 600.0
"""What is claimed for a body has to come at a rate that fills it in this time, however large it is."""


class Watchdog:
    """`contexts` are the requests under way; `end` takes one out. A caller's clocks are those of `limits`, now."""

    def __init__(self, tasks: Tasks, limits: LiveLimits, overload: Overload | None = None) -> None:
        self._tasks = tasks
        self._limits = limits
        self._overload = overload or Overload()
        self.contexts: set[RequestContext] = set()
        self._emptied: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            due_s = monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self.check(due_s, monotonic())

    def check(self, due_s: float, now_s: float) -> None:
        """At all requests: a look that was due then and takes place now."""
        late_s = now_s - due_s
        self._overload.tick(late_s)
        for context in tuple(self.contexts):
            if late_s > PAUSE_S:
                context.excuse(late_s, now_s)
            self.look_at(context, now_s)

    def look_at(self, context: RequestContext, now_s: float) -> None:
        """Cancel it if one of its clocks has run out. `now` is a monotonic clock in seconds."""
        if context.is_reading_body:
            self._look_at_body(context, now_s)
            return
        if not context.is_watched and now_s - context.started_s >= TICK_S / 2:
            context.watch(self._tasks.spawn)
        if context.has_progress:
            context.catch_up(now_s)
        if context.mark is not None:
            context.mark()
        if context.sending_since_s:
            if now_s - context.sending_since_s > self._limits.now.reader_timeout_s:
                context.cancel(CancelReason.READER_TOO_SLOW)
        elif context.exchange is not None:
            self._look_at_provider(context, now_s)
        elif context.keep_alive is not None and self._is_comment_due(context, now_s) and context.cancel_reason is None:
            # It dials, or a large request goes up: nobody but its own task waits there, and that one cannot be woken.
            self._tasks.spawn("comment", context.keep_alive())

    def _look_at_body(self, context: RequestContext, now_s: float) -> None:
        """Each `body_timeout_s` has to bring something: not the average since the beginning, which a quick start pays for."""
        waited_s, limits = now_s - context.progress_s, self._limits.now
        if waited_s < limits.body_timeout_s:
            return
        rate_min = max(limits.body_rate_min, context.body_bytes / BODY_S_MAX)
        if context.received_bytes - context.progress_bytes < waited_s * rate_min:
            context.cancel(CancelReason.BODY_TOO_SLOW)
        context.note_progress(now_s)

    def _look_at_provider(self, context: RequestContext, now_s: float) -> None:
        if now_s >= context.deadline_s:
            context.cancel(CancelReason.TOTAL)
        elif now_s >= context.first_token_by_s:
            context.cancel(CancelReason.FIRST_TOKEN)
        elif now_s - context.heard_s > context.silence_s_max:
            context.cancel(context.silence_reason)
        elif self._is_comment_due(context, now_s) and context.exchange is not None:
            context.exchange.poke()

    def _is_comment_due(self, context: RequestContext, now_s: float) -> bool:
        return now_s - context.sent_s >= self._limits.now.keepalive_comment_s

    def end(self, context: RequestContext) -> None:
        """The request is over; forget it and its watcher."""
        self.contexts.discard(context)
        context.unwatch()
        if self._emptied is not None and not self.contexts and not self._emptied.done():
            self._emptied.set_result(None)

    def cut_all(self) -> None:
        """This process leaves, and what still runs has to end now."""
        for context in tuple(self.contexts):
            context.cancel_again(CancelReason.DRAINING)

    async def wait_until_empty(self, timeout_s: float) -> None:
        """Return when no request is left, or the time is over."""
        if self.contexts:
            self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._emptied}, timeout=timeout_s)
