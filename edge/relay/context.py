"""One request on its way through: who waits for what since when, what it holds of this edge, and what cancels it from outside.

Rule: everything that changes a request's state is a method here; no other module assigns to it (tests/test_ownership.py).
Rule: a cancellation never runs the request's code from outside. It wakes the one task that does, by a poke of the exchange it
waits for, or by cancelling the task.
Strategy: no timer and no task per request; one ticker (`edge.relay.watchdog`) looks at all. A chunk sets a flag, reads no clock.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from math import inf
from time import monotonic
from typing import Any

import msgspec
from starlette.types import Receive, Send

from edge.downstream import Caller
from edge.limits.capacity import AccountLoad
from edge.limits.claim import LimitClaim
from edge.relay.end_reason import CALLER_GONE, CancelReason
from edge.relay.idempotency import IdempotencyClaim
from edge.upstream import Exchange
from routing.table.provider import Provider
from routing.views.metadata import Explanation
from routing.wire.headers import Arrival


class RequestContext(msgspec.Struct, eq=False):
    """The clocks and claims of one request; times are seconds of `time.monotonic`. `caller` is there where the server offers that
    (`edge.downstream`). `path` was called."""

    receive: Receive
    send: Send
    caller: Caller | None
    task: "asyncio.Task[Any] | None"
    started_s: float
    heard_s: float
    """When the provider last sent a part of its answer, or was asked for one."""
    sent_s: float
    """When the caller was last sent anything."""
    path: str = "/"
    gen_id: str = ""
    request_id: str = ""
    """The caller's own, if it sent one that is well-formed."""
    explanation: Explanation | None = None
    """Where the caller wants to read how it was routed."""
    has_progress: bool = False
    """Whether a chunk went through since the last look, which sets both of these clocks."""
    exchange: Exchange | None = None
    """What is waited for, and so what a cancellation pokes."""
    cancel_reason: CancelReason | None = None
    """None while nothing ended it from outside; the first reason stands."""
    is_reading_body: bool = False
    has_body: bool = False
    """Whether all of its body is there: until then its caller may still be sending it."""
    is_watched: bool = False
    """Whether its caller's leaving is heard (`edge.relay.watchdog`)."""
    is_answered: bool = False
    """Whether a response head is out, so that no status can be told any more."""
    has_left: bool = False
    """The caller is gone, and the provider's answer is read on for its usage."""
    held: AccountLoad | None = None
    """What its account takes of the edge, this request included; None before its key is known."""
    limits: LimitClaim | None = None
    """What it was admitted with by limits, where any apply; it holds its permits until it ends."""
    idempotency: IdempotencyClaim | None = None
    body_bytes: int = 0
    """Claimed for its body."""
    received_bytes: int = 0
    progress_bytes: int = 0
    progress_s: float = 0.0
    """How much of the body had come, and when, at the last look that found progress."""
    sending_since_s: float = 0.0
    """When the `send` that is waited for began; 0 while none is."""
    deadline_s: float = inf
    silence_s_max: float = inf
    silence_reason: CancelReason = CancelReason.FIRST_BYTE
    first_token_by_s: float = inf
    """When another provider is asked; comments do not count."""
    mark: Callable[[], None] | None = None
    """Leaves a progress mark of what was counted so far, once per look."""
    watcher: "asyncio.Task[Any] | None" = None
    keep_alive: "Callable[[], Coroutine[Any, Any, None]] | None" = None
    """Sends a stream's caller a sign of life, while no provider is there yet whose exchange could be poked for it."""

    def arrive(self, arrival: Arrival) -> None:
        """Its head was read."""
        if arrival.request_id is not None:
            self.request_id = arrival.request_id
        if arrival.metadata:
            self.explanation = Explanation(arrival.metadata)

    # The request's body, and what it holds of the edge.

    def admit(self, held: AccountLoad, size: int) -> None:
        """It has a place, and so many bytes for its body; `held` is what its account takes of the edge with it."""
        self.held, self.body_bytes = held, size

    def limit(self, claim: LimitClaim) -> None:
        """It is admitted by the limits of its key, account and provider."""
        self.limits = claim

    def claim_idempotency(self, claim: IdempotencyClaim) -> None:
        """It is the one that is carried out under its Idempotency-Key."""
        self.idempotency = claim

    def claim(self, size: int) -> None:
        """So many more bytes are held for its body."""
        self.body_bytes += size

    def release(self) -> None:
        """It holds nothing any more."""
        self.held, self.body_bytes = None, 0

    def begin_body(self) -> None:
        """Its body is received from now on, and has to make progress."""
        self.is_reading_body = True
        self.progress_s = monotonic()

    def receive_bytes(self, size: int) -> None:
        """A part of the body has come."""
        self.received_bytes += size

    def end_body(self) -> None:
        """The body is there."""
        self.is_reading_body, self.has_body = False, True

    def note_progress(self, now_s: float) -> None:
        """The body's rate is judged from here on again."""
        self.progress_bytes, self.progress_s = self.received_bytes, now_s

    def refuse_body(self) -> None:
        """What still comes of the body is thrown away, at the caller's own pace; there is nobody to be watched."""
        self.is_reading_body, self.is_watched = False, True

    # The provider's side.

    def start_total(self, now_s: float, timeout_s: float) -> None:
        """All attempts together have so long from now on."""
        self.deadline_s = now_s + timeout_s

    def await_provider(self, exchange: Exchange, now_s: float, silence_s_max: float, reason: CancelReason) -> None:
        """The provider is waited for; `reason` cancels when it is silent for `silence_s_max`."""
        self.exchange = exchange
        self.heard_s = now_s
        self.silence_s_max = silence_s_max
        self.silence_reason = reason

    def expect_first_token(self, by_s: float) -> None:
        """Another provider is asked from then on; inf: no more."""
        self.first_token_by_s = by_s

    def move_on(self) -> None:
        """Another provider is asked in place of one that was too slow; a caller that has left meanwhile has left."""
        self.first_token_by_s = inf
        if self.cancel_reason is CancelReason.FIRST_TOKEN:
            self.cancel_reason = None
            if self.caller is not None and self.caller.is_gone:
                self.leave()

    def leave_provider(self) -> None:
        """No provider is waited for: a cancellation cancels the task."""
        self.exchange = None

    def decode(self, exchange: Exchange) -> None:
        """The same response goes on decoded."""
        self.exchange = exchange

    def heard(self) -> None:
        """The provider has sent a part of its answer: its idle time begins again."""
        self.heard_s = monotonic()

    def catch_up(self, now_s: float) -> None:
        """Chunks have come and gone since the last look. No clock is read for each: a quarter of a second is near enough."""
        self.has_progress = False
        self.heard_s = self.sent_s = now_s

    def end_by(self, deadline_s: float) -> None:
        """What still comes of an answer that has finished is not waited for beyond this."""
        self.deadline_s = deadline_s

    def count_progress(self, mark: Callable[[], None]) -> None:
        """A stream begins: `mark` is called at each look."""
        self.mark = mark

    # The caller's side.

    def comment_with(self, keep_alive: "Callable[[], Coroutine[Any, Any, None]]") -> None:
        """Its answer is a stream, so it can be told to wait from now on."""
        self.keep_alive = keep_alive

    def answer(self) -> None:
        """The response head goes out."""
        self.is_answered = True

    def pass_on(self, body: bytes) -> Awaitable[None]:
        """A part of the answer has come; the `send` that it goes out by."""
        self.has_progress = True
        return self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def send_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """As `send_body`: a server may have what begins an answer wait, too."""
        self.sent_s = self.sending_since_s = monotonic()
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        self.sending_since_s = 0.0

    async def send_body(self, body: bytes, more_body: bool) -> None:
        """Send, and let the watchdog know since when that waits for the caller to read."""
        self.sent_s = self.sending_since_s = monotonic()
        await self.send({"type": "http.response.body", "body": body, "more_body": more_body})
        self.sending_since_s = 0.0

    def begin_sending(self) -> None:
        """A `send` was started that waits for the caller (`edge.downstream.pending_send`)."""
        self.sending_since_s = monotonic()

    def end_sending(self) -> None:
        """It has come to its end."""
        self.sending_since_s = 0.0

    # What ends it.

    def excuse(self, pause_s: float, now_s: float) -> None:
        """This process did not run for `pause_s` until now: no clock counts that. One that began meanwhile begins now."""
        self.heard_s = min(self.heard_s + pause_s, now_s)
        self.progress_s = min(self.progress_s + pause_s, now_s)
        if self.sending_since_s:
            self.sending_since_s = min(self.sending_since_s + pause_s, now_s)
        self.deadline_s += pause_s
        self.first_token_by_s += pause_s

    def cancel(self, reason: CancelReason) -> None:
        """End it from outside; the first reason stands."""
        if self.cancel_reason is not None:
            return
        self.cancel_reason = reason
        if self.exchange is not None and not self.sending_since_s:
            self.exchange.poke()
        elif self.task is not None:
            self.task.cancel()

    def cancel_again(self, reason: CancelReason) -> None:
        """As `cancel`; and a poke that was lost, because nobody waited at that moment, is repeated."""
        if self.cancel_reason is reason and self.exchange is not None:
            self.exchange.poke()
        self.cancel(reason)

    def drains(self, provider: Provider) -> bool:
        """Whether the caller has left, but the provider is read on, within bounds, for exact usage: it bills on regardless."""
        if self.cancel_reason is not CancelReason.CALLER_LEFT or provider.on_disconnect != "drain":
            return False
        self.cancel_reason = None
        self.has_left = True
        self.deadline_s = min(self.deadline_s, monotonic() + provider.drain_timeout_s)
        return True

    def outlive(self) -> None:
        """The answer is complete: what cancelled it came too late to matter."""
        self.cancel_reason = None

    def leave(self) -> None:
        """The caller has gone."""
        self.cancel(CancelReason.CALLER_LEFT)

    @property
    def is_deserted(self) -> bool:
        """Whether nobody reads what would be answered."""
        return self.has_left or self.cancel_reason in CALLER_GONE

    def watch(self, spawn: "Callable[[str, Any], asyncio.Task[Any]]") -> None:
        """From now on the caller's leaving is heard, because a server's `send` may succeed after the caller has gone.
        `spawn` runs a watcher where the server has no callback for that."""
        self.is_watched = True
        caller = self.caller
        if caller is None:
            self.watcher = spawn("disconnect", self._watch_disconnect())
        elif caller.is_gone:
            self.leave()
        else:
            caller.on_leave = self.leave

    async def _watch_disconnect(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.leave()

    def unwatch(self) -> None:
        """The request is over; nobody has to hear of its caller, and what refers back to us in a circle is let go."""
        self.keep_alive = self.mark = self.exchange = self.task = None
        if self.watcher is not None:
            self.watcher.cancel()
        elif self.is_watched and self.caller is not None:
            self.caller.on_leave = None


def begin(receive: Receive, send: Send, caller: Caller | None, drawn_id: str, path: str) -> RequestContext:
    """Of a request that begins in this task. Who calls has no variable for the task, whose exception would refer back to it."""
    task, now_s = asyncio.current_task() if caller is None else caller.task, monotonic()
    return RequestContext(receive, send, caller, task, now_s, now_s, now_s, path, "gen-" + drawn_id, "req-" + drawn_id)
