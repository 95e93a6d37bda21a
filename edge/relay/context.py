"""One request on its way through: who is waiting for what since when, and what ends it from outside.

Strategy: no timer and no task per request. One ticker (`Watchdog`) looks at every passage four times a second; one that is over
sooner costs a set insertion. A passage older than one tick gets its disconnect watch, because a server's `send()` may succeed
after the caller has gone.
Rule: an interrupt never runs the request's code from outside; it wakes the one task that does, by a poke or a cancellation.
Limits: clocks are true to a quarter of a second.
"""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any

import msgspec
from starlette.types import Receive

from edge.downstream import Caller
from edge.limits.overload import Overload
from edge.tasks import Tasks
from edge.upstream import Exchange
from routing.table.provider import Provider
from usage.flavor import Flavor

TICK_S = 0.25
"""Also how old the last progress mark of a stream may be when the process is killed: what came after it is our loss."""
BODY_S_MAX = 600.0
"""What is claimed for a body has to come at a rate that fills it in this time, however large it is."""


class Held(msgspec.Struct, eq=False):
    """By one account: its requests under way, and the bytes of their bodies. `edge.relay.body` counts."""

    account: str
    requests: int = 0
    body_bytes: int = 0


class RequestContext(msgspec.Struct, eq=False):
    """The clocks of one request, in seconds of `time.monotonic`.

    `verdict` says what ended it from outside: "" (nothing), "gone" (the caller left), "body" (the body came too slowly), "reader"
    (the caller stopped reading), "first_byte", "idle" or "total" (the provider was too slow), "draining" (this process leaves).
    `caller` is there where the server offers that (`edge.downstream`). `flavor` is the API that was called.
    """

    receive: Receive
    caller: Caller | None
    task: "asyncio.Task[Any] | None"
    started_s: float
    heard_s: float
    spoke_s: float
    flavor: Flavor = Flavor.OPENAI
    exchange: Exchange | None = None
    verdict: str = ""
    is_reading_body: bool = False
    is_watched: bool = False
    is_answered: bool = False
    has_left: bool = False
    held: Held | None = None
    """What its account takes of the edge, this request included; None before its key is known."""
    body_bytes: int = 0
    """Claimed for its body."""
    received_bytes: int = 0
    progress_bytes: int = 0
    progress_s: float = 0.0
    """How much of the body had come, and when, at the last look that found progress."""
    sending_since_s: float = 0.0
    deadline_s: float = inf
    silence_s_max: float = inf
    silence_kind: str = "first_byte"
    mark: Callable[[], None] | None = None
    watcher: "asyncio.Task[Any] | None" = None

    def await_provider(self, exchange: Exchange, now_s: float, silence_s_max: float, kind: str) -> None:
        """The provider has the word; `kind` is the verdict when it says nothing for `silence_s_max`."""
        self.exchange = exchange
        self.heard_s = now_s
        self.silence_s_max = silence_s_max
        self.silence_kind = kind

    def interrupt(self, verdict: str) -> None:
        """End it from outside; the first verdict stands."""
        if self.verdict:
            return
        self.verdict = verdict
        if self.exchange is not None and not self.sending_since_s:
            self.exchange.poke()
        elif self.task is not None:
            self.task.cancel()

    def drains(self, provider: Provider) -> bool:
        """The caller left, but this provider bills on regardless: read on within bounds, for exact usage."""
        if self.verdict != "gone" or provider.on_disconnect != "drain":
            return False
        self.verdict = ""
        self.has_left = True
        self.deadline_s = min(self.deadline_s, monotonic() + provider.drain_timeout_s)
        return True

    def leave(self) -> None:
        """The caller has gone."""
        self.interrupt("gone")

    async def watch_disconnect(self) -> None:
        """Wait for the caller to leave. Only after the body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.leave()


class Watchdog:
    """The ticker over all passages. `now` is a monotonic clock in seconds."""

    def __init__(
        self,
        tasks: Tasks,
        *,
        reader_timeout_s: float,
        body_timeout_s: float,
        body_rate_min: int,
        comment_s: float,
        overload: Overload | None = None,
    ) -> None:
        self._overload = overload or Overload()
        self._tasks = tasks
        self._reader_timeout_s = reader_timeout_s
        self._body_timeout_s = body_timeout_s
        self._body_rate_min = body_rate_min
        self._comment_s = comment_s
        self.passages: set[RequestContext] = set()
        self._emptied: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            due_s = monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            now_s = monotonic()
            self._overload.tick(now_s - due_s)
            for passage in tuple(self.passages):
                self.look_at(passage, now_s)

    def look_at(self, passage: RequestContext, now_s: float) -> None:
        if passage.is_reading_body:
            self._look_at_body(passage, now_s)
            return
        if not passage.is_watched and now_s - passage.started_s >= TICK_S / 2:
            self._attend(passage)
        if passage.mark is not None:
            passage.mark()
        if passage.sending_since_s:
            if now_s - passage.sending_since_s > self._reader_timeout_s:
                passage.interrupt("reader")
        elif passage.exchange is not None:
            self._look_at_provider(passage, now_s)

    def _attend(self, passage: RequestContext) -> None:
        """From now on the caller's leaving is heard."""
        passage.is_watched = True
        caller = passage.caller
        if caller is None:
            passage.watcher = self._tasks.spawn("disconnect", passage.watch_disconnect())
        elif caller.is_gone:
            passage.leave()
        else:
            caller.on_leave = passage.leave

    def _look_at_body(self, passage: RequestContext, now_s: float) -> None:
        """Each `body_timeout_s` has to bring something: not the average since the beginning, which a quick start pays for."""
        waited_s = now_s - passage.progress_s
        if waited_s < self._body_timeout_s:
            return
        rate_min = max(self._body_rate_min, passage.body_bytes / BODY_S_MAX)
        if passage.received_bytes - passage.progress_bytes < waited_s * rate_min:
            passage.interrupt("body")
        passage.progress_bytes, passage.progress_s = passage.received_bytes, now_s

    def _look_at_provider(self, passage: RequestContext, now_s: float) -> None:
        if now_s >= passage.deadline_s:
            passage.interrupt("total")
        elif now_s - passage.heard_s > passage.silence_s_max:
            passage.interrupt(passage.silence_kind)
        elif now_s - passage.spoke_s >= self._comment_s and passage.exchange is not None:
            passage.exchange.poke()

    def end(self, passage: RequestContext) -> None:
        """The request is over; forget it and its watcher."""
        self.passages.discard(passage)
        if passage.watcher is not None:
            passage.watcher.cancel()
        elif passage.is_watched and passage.caller is not None:
            passage.caller.on_leave = None
        if self._emptied is not None and not self.passages and not self._emptied.done():
            self._emptied.set_result(None)

    def cut_all(self) -> None:
        """This process leaves, and what still runs has to end now."""
        for passage in tuple(self.passages):
            if passage.verdict == "draining" and passage.exchange is not None:
                passage.exchange.poke()
            passage.interrupt("draining")

    async def wait_until_empty(self, timeout_s: float) -> None:
        """Return when no passage is left, or the time is over."""
        if self.passages:
            self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._emptied}, timeout=timeout_s)
