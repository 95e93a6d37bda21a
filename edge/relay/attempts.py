"""Tries a plan's attempts in order until a provider answers, and no further than is honest.

Rule: whether another attempt may follow, and which, `routing.failures.failover` alone says. Rule: an attempt that failed used
nothing.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Protocol

from edge.providers.table import Lane, Table
from edge.relay.context import RequestContext
from edge.relay.generation import Generation
from edge.upstream import Exchange, UpstreamError
from edge.upstream.decoded import DecodedExchange
from routing.failures.failover import next_attempt
from routing.failures.failure import Failure, Kind, Sent, Source
from routing.failures.provider_error import failure_of_answer
from routing.plan.plan import Attempt
from routing.request.body import rewrite
from routing.wire.content_coding import coding_of

ERROR_BODY_BYTES_MAX = 65_536
ERROR_BODY_S = 5.0
"""An error status decides by itself; its words are not waited for at the expense of the next target."""
_VERDICTS = {
    "first_byte": Kind.TIMEOUT_FIRST_BYTE,
    "idle": Kind.TIMEOUT_IDLE,
    "total": Kind.TIMEOUT_TOTAL,
    "gone": Kind.ABORTED,
    "reader": Kind.ABORTED,
    "draining": Kind.ABORTED,
}
_SOURCES = {"gone": Source.CLIENT, "reader": Source.CLIENT, "draining": Source.PROXY}


class Failed(Exception):
    """No provider answered, and nothing has gone to the caller yet; `failure` is the last one's."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


def failure_of(verdict: str, sent: Sent) -> Failure:
    """The failure that an interrupt from outside amounts to."""
    return Failure(_VERDICTS[verdict], _SOURCES.get(verdict, Source.UPSTREAM), sent)


class Forward(Protocol):
    """Who takes the answer to the caller."""

    is_open: bool
    """Whether the head of our response is out, so that no status can be told any more."""

    async def keep_alive(self) -> None:
        """Let the caller's connection have a sign of life, if it is time and it can be given one."""

    async def begin(self, exchange: Exchange) -> None:
        """Read a 2xx response up to the first part of an answer. Failed: there is none; nothing of it has gone to the caller."""

    async def run(self) -> None:
        """The rest, to its end."""

    async def tell(self, failure: Failure) -> None:
        """The caller, whose head is out, is told of the failure that is settled."""


async def find_answer(
    table: Table,
    attempts: Sequence[Attempt],
    generation: Generation,
    passage: RequestContext,
    extra_head: bytes,
    forward: Forward,
) -> None:
    """Return when an answer has begun in `forward`. Failed: with the last failure, when no further attempt is allowed.

    An attempt has answered with its first event, not with its status line: an error there costs nothing and moves on. How the
    answer ends is noted then (`Generation.ended`).
    A target that the credit does not pay for is passed over; what is held pays for the first.
    """
    account = generation.policy.account
    began_s = asked_s = monotonic()
    past: list[tuple[Attempt, Failure]] = []
    at: int | None = 0
    while at is not None:
        attempt = attempts[at]
        generation.turn_to(attempt)
        table.begin(attempt, account)
        try:
            exchange = await _ask(table, attempt, generation, passage, extra_head, attempt.provider.stream_options, forward)
            if not 200 <= exchange.status < 300:
                exchange = await _make_up(exchange, table, attempt, generation, passage, extra_head, forward)
            generation.ended = partial(table.end, attempt, began_s=asked_s, account=account)
            await forward.begin(exchange)
        except Failed as failed:
            # From when the request came: what it tries again is still in flight with what came beside it.
            table.end(attempt, failed.failure, began_s, account)
            past.append((attempt, failed.failure))
            at = None if passage.verdict or passage.has_left else next_attempt(attempts, at, past)
            while at is not None and not await generation.cover(attempts[at]):
                at = next_attempt(attempts, at, past)
            if at is None:
                raise
            generation.books.metrics.retries[attempt.provider.name] += 1
            if attempts[at] is attempt:
                await asyncio.sleep(max(random.uniform(0.05, 0.25), failed.failure.retry_after_s or 0.0))
                if passage.verdict:
                    raise Failed(failure_of(passage.verdict, Sent.NOTHING)) from failed
            await forward.keep_alive()
            asked_s = monotonic()
        else:
            generation.ended(None)
            return
    raise AssertionError("a plan has at least one attempt")


async def _make_up(
    exchange: Exchange,
    table: Table,
    attempt: Attempt,
    generation: Generation,
    passage: RequestContext,
    extra_head: bytes,
    forward: Forward,
) -> Exchange:
    """After an error status: asked again without `stream_options` if those were what was wrong, else Failed."""
    has_stream_options = attempt.provider.stream_options
    while True:
        body = await _error_body(exchange, passage)
        if exchange.status in (400, 422) and has_stream_options and b"stream_options" in body:
            has_stream_options = False
            exchange = await _ask(table, attempt, generation, passage, extra_head, has_stream_options, forward)
            if 200 <= exchange.status < 300:
                return exchange
            continue
        is_listed = attempt.model.is_listed
        raise Failed(failure_of_answer(exchange.status, exchange.headers, body, time.time(), is_listed=is_listed))


async def _ask(
    table: Table,
    attempt: Attempt,
    generation: Generation,
    passage: RequestContext,
    extra_head: bytes,
    has_stream_options: bool,
    forward: Forward,
) -> Exchange:
    """One request written and its response head read."""
    lane: Lane = table.lane(attempt)
    generation.secrets = lane.secrets
    body = rewrite(
        generation.envelope,
        attempt.model.name,
        cap=generation.cap,
        cap_max=attempt.model.max_output_tokens,
        cap_field=attempt.model.max_tokens_field or attempt.provider.max_tokens_field,
        has_stream_options=has_stream_options,
        fit=generation.fit,
    )
    length = sum(map(len, body))
    asked_s = monotonic()
    exchange: Exchange | None = None
    passage.exchange = None
    try:
        if not lane.upstream.commits and (problem := generation.books.journal.commit()):
            raise UpstreamError(Failure(Kind.JOURNAL, Source.PROXY, Sent.NOTHING, detail=problem))
        exchange = await lane.upstream.open(lane.target, b"%b%d\r\n%b\r\n" % (lane.head, length, extra_head), body)
        passage.await_provider(exchange, asked_s, attempt.provider.first_byte_timeout_s, "first_byte")
        generation.consumed = "prompt"
        while not await exchange.head():
            if passage.verdict:
                raise Failed(failure_of(passage.verdict, Sent.REQUEST))
            await forward.keep_alive()
    except UpstreamError as error:
        generation.consumed = "nothing"
        raise Failed(error.failure) from error
    except Failed:
        assert exchange is not None
        exchange.abort()
        raise
    finally:
        generation.upstream_s += monotonic() - asked_s
    generation.consumed = "nothing"
    coding = coding_of(exchange.headers)
    return exchange if not coding else DecodedExchange(exchange, coding, table.config.limits.response_bytes_max)


async def _error_body(exchange: Exchange, passage: RequestContext) -> bytes:
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
                    if passage.verdict:
                        break
                    continue
                pieces.append(data)
                size += len(data)
    except (UpstreamError, TimeoutError):
        pass
    exchange.abort()
    return b"".join(pieces)
