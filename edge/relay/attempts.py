"""Tries a plan's attempts in order until a provider answers, and no further than is honest.

Rule: whether another attempt may follow, and which, `routing.failures.failover` alone says. Rule: an attempt that failed used
nothing.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial
from math import inf
from time import monotonic
from typing import Protocol

from edge.providers.table import Table
from edge.relay.context import RequestContext
from edge.relay.end_reason import CancelReason, failure_of
from edge.relay.generation import Generation
from edge.upstream import Exchange
from edge.upstream.decoded import DecodedExchange
from routing.failures.cause import Cause
from routing.failures.failover import next_attempt
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.failures.provider_error import failure_of_answer
from routing.plan.plan import Attempt
from routing.request.invalid import Invalid
from routing.wire.content_coding import coding_of

ERROR_BODY_BYTES_MAX = 65_536
ERROR_BODY_S = 5.0
"""An error status decides by itself; its words are not waited for at the expense of the next target."""


class Forwarder(Protocol):
    """Who takes the answer of `generation` to the caller of `context`."""

    generation: Generation
    context: RequestContext

    is_open: bool
    """Whether the head of our response is out, so that no status can be told any more."""

    async def keep_alive(self) -> None:
        """Let the caller's connection have a sign of life, if it is time and it can be given one."""

    async def begin(self, exchange: Exchange) -> None:
        """Read a 2xx response up to the first part of an answer. AttemptFailed: there is none, and nothing of it has gone
        to the caller."""

    async def run(self) -> None:
        """The rest, to its end."""

    async def tell(self, failure: Failure) -> None:
        """The caller, whose head is out, is told of the failure that is settled."""


class Attempts:
    """Asks the providers of `table`, one attempt after the other."""

    __slots__ = ("_table",)

    def __init__(self, table: Table) -> None:
        self._table = table

    async def find_answer(self, attempts: Sequence[Attempt], forward: Forwarder) -> None:
        """Return when an answer has begun in `forward`. AttemptFailed: with the last failure, when no further one is allowed.

        An attempt has answered with its first event, not with its status line: an error there costs nothing and moves on. How
        the answer ends is told to the table later (`Generation.report`).
        A target that the credit does not pay for is passed over; what is held pays for the first.
        """
        table, generation, context = self._table, forward.generation, forward.context
        account, observed, rates = generation.policy.account, table.observed, generation.accounting.limiter.provider_rates
        is_repeating = False
        began_s = asked_s = monotonic()
        context.start_total(began_s, attempts[0].provider.total_timeout_s)
        past: list[tuple[Attempt, Failure]] = []
        at = 0
        while True:
            attempt = attempts[at]
            is_repeat, is_repeating = is_repeating, False
            generation.turn_to(attempt)
            table.begin(attempt, account)
            if (limit_s := attempt.policy.first_token_timeout_s) is not None and generation.envelope.stream:
                context.expect_first_token(asked_s + limit_s if _is_followed(attempts, at) else inf)
            observed.begin_wait(attempt.provider.name)
            try:
                if observed.has_storms and (shed := observed.shed(attempt, account, random.random())) is not None:
                    raise AttemptFailed(shed)
                if rates.may_refuse:
                    # Not when it is admitted: what is refused after that has used nothing of the provider's.
                    rates.take(attempt, generation.meter.prompt_estimate, monotonic())
                exchange = await self._ask(attempt, forward, attempt.provider.stream_options)
                if not 200 <= exchange.status < 300:
                    exchange = await self._ask_without_options(exchange, attempt, forward)
                await forward.begin(exchange)
            except AttemptFailed as failed:
                past.append((attempt, failed.failure))
                following = await self._after_failure(attempts, at, past, forward, began_s)
                if following is None:
                    raise
                at, asked_s = following, monotonic()
                is_repeating = attempts[at] is attempt
            else:
                rates.observe(attempt, exchange.fields)
                if limit_s is not None:
                    context.expect_first_token(inf)
                generation.report_to(partial(table.end, attempt, asked_s, account))
                return
            finally:
                observed.end_wait(attempt.provider.name)
                if is_repeat:
                    observed.end_repeat(attempt)

    async def _after_failure(
        self, attempts: Sequence[Attempt], at: int, past: Sequence[tuple[Attempt, Failure]], forward: Forwarder, began_s: float
    ) -> int | None:
        """The index of what is tried next, when it is time for it; None where nothing may follow. `past`: what has failed, the
        attempt at `at` last. AttemptFailed: the request was ended meanwhile."""
        generation, context = forward.generation, forward.context
        attempt, failure = past[-1]
        self._record_failure(attempt, failure, generation, context, began_s)
        if context.cancel_reason is not None or context.has_left:
            return None
        following = await self._following(attempts, at, past, generation)
        if following is None:
            return None
        generation.accounting.metrics.retries[attempt.provider.name] += 1
        if attempts[following] is attempt:
            await self._wait_to_repeat(attempt, failure, forward)
        else:
            await forward.keep_alive()
        return following

    def _record_failure(
        self, attempt: Attempt, failure: Failure, generation: Generation, context: RequestContext, began_s: float
    ) -> None:
        """The attempt came to nothing: whom that concerns."""
        context.leave_provider()
        context.move_on()
        if failure.is_abandoned:
            generation.abandon()
        if failure.is_answer or not (failure.source is Source.CLIENT or context.has_left):
            generation.failed(monotonic())
        # From when the request came: what it tries again is still in flight with what came beside it.
        if failure.sent is not Sent.NOTHING or not failure.is_answer:
            self._table.end(attempt, began_s, generation.policy.account, failure)
        generation.accounting.metrics.failures[attempt.provider.name, failure.reason] += 1
        generation.note(failure)

    async def _following(
        self, attempts: Sequence[Attempt], at: int, past: Sequence[tuple[Attempt, Failure]], generation: Generation
    ) -> int | None:
        """The index of what is tried after the attempt at `at`. If that is the same again, its repetition has begun with it, and
        the budget of repetitions has room for it; without room, what else may follow has to be paid for as ever."""
        failed, following = attempts[at], next_attempt(attempts, at, past)
        while following is not None:
            attempt = attempts[following]
            if attempt is failed:
                if self._table.observed.begin_repeat(attempt):
                    return following
            elif await generation.suits(attempt) and await generation.cover(attempt):
                return following
            following = next_attempt(attempts, following, past)
        return None

    async def _wait_to_repeat(self, attempt: Attempt, failure: Failure, forward: Forwarder) -> None:
        """Give the provider time. AttemptFailed: the request was ended meanwhile."""
        context = forward.context
        try:
            await asyncio.sleep(max(random.uniform(0.05, 0.25), failure.retry_after_s or 0.0))
            if context.cancel_reason is not None:
                raise AttemptFailed(failure_of(context.cancel_reason, Sent.NOTHING))
            await forward.keep_alive()
        except BaseException:
            self._table.observed.end_repeat(attempt)
            raise

    async def _ask_without_options(self, exchange: Exchange, attempt: Attempt, forward: Forwarder) -> Exchange:
        """After an error status: asked again without `stream_options` if those were what was wrong, else AttemptFailed."""
        has_stream_options = attempt.provider.stream_options
        while True:
            forward.generation.failed(monotonic())
            body = await _error_body(exchange, forward.context)
            if exchange.status in (400, 422) and has_stream_options and b"stream_options" in body:
                has_stream_options = False
                forward.context.leave_provider()
                exchange = await self._ask(attempt, forward, has_stream_options)
                if 200 <= exchange.status < 300:
                    return exchange
                continue
            is_listed = attempt.model.is_listed
            raise AttemptFailed(failure_of_answer(exchange.status, exchange.headers, body, time.time(), is_listed=is_listed))

    async def _ask(self, attempt: Attempt, forward: Forwarder, has_stream_options: bool) -> Exchange:
        """One request written and its response head read."""
        table, generation, context = self._table, forward.generation, forward.context
        adapter = generation.adapter if generation.adapters else None
        if adapter is None:
            resolved = table.resolve(attempt)
        else:
            resolved = table.resolve(attempt, adapter.endpoint, is_stream=generation.envelope.stream)
        try:
            if adapter is not None:
                await generation.prepare(has_stream_options)
            body, extra_head = generation.request(has_stream_options)
        except Invalid as invalid:
            raise AttemptFailed(unaskable(invalid)) from invalid
        secrets = resolved.secrets
        if resolved.auth is not None:
            extra_head += await resolved.auth.lines(resolved.authority, resolved.path, body)
            secrets += resolved.auth.secrets
        length = sum(map(len, body))
        asked_s = monotonic()
        exchange: Exchange | None = None
        generation.asking(asked_s, secrets)
        try:
            if problem := generation.accounting.journal.order.before_request(resolved.upstream.write_batch):
                raise AttemptFailed(Failure(Kind.JOURNAL, Source.PROXY, Sent.NOTHING, detail=problem))
            head = b"%b%d\r\n%b%b\r\n" % (resolved.head, length, extra_head, generation.forwarded)
            exchange = await resolved.upstream.open(resolved.target, head, body)
            context.await_provider(exchange, asked_s, attempt.provider.first_byte_timeout_s, CancelReason.FIRST_BYTE)
            generation.asked()
            while not await exchange.head():
                if context.cancel_reason is not None:
                    raise AttemptFailed(failure_of(context.cancel_reason, Sent.REQUEST))
                await forward.keep_alive()
        except AttemptFailed:
            if exchange is not None:
                exchange.abort()
            raise
        coding = coding_of(exchange.headers) if b"content-encoding" in exchange.fields else b""
        return exchange if not coding else DecodedExchange(exchange, coding, table.limits.now.response_bytes_max)


def unaskable(invalid: Invalid) -> Failure:
    """The target cannot be asked for this. Whom that concerns is asked before (`Generation.suits`, and before the intent); found
    out behind the intent, it is an attempt that came to nothing, which is settled and told as any."""
    return Failure(
        Kind.STATUS,
        Source.UPSTREAM,
        Sent.NOTHING,
        400,
        detail=invalid.message,
        code=invalid.code,
        param=invalid.param,
        told_cause=Cause.INVALID,
    )


def _is_followed(attempts: Sequence[Attempt], at: int) -> bool:
    """Whether there is another target behind this one, to be asked in its place."""
    return any(each.scopes.target != attempts[at].scopes.target for each in attempts[at + 1 :])


async def _error_body(exchange: Exchange, context: RequestContext) -> bytes:
    """What a provider says beside its error status, as far as it is short."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(ERROR_BODY_S):
            while size < ERROR_BODY_BYTES_MAX:
                data = await exchange.read()
                if data == b"":
                    return b"".join(pieces)
                if data is None:
                    if context.cancel_reason is not None:
                        break
                    continue
                pieces.append(data)
                size += len(data)
    except (AttemptFailed, TimeoutError):
        pass
    exchange.abort()
    return b"".join(pieces)
