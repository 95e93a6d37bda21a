"""Moves a stream from the provider to the caller as it comes.

Rule: the settlement stands before the last byte goes out, because SDKs hang up the moment they see `[DONE]`.
Rule: after the head has gone out a failure is one chunk with `error`, then the end; `[DONE]` is never invented.
Strategy: once the head is out, what the connection brings is rewritten and sent from within its callback (`_pour`), without
waking this stream's task. Whatever is not that plain is the task's: the beginning, the end, failures, a caller that reads slowly;
what comes from outside (a caller who left, a clock) wakes it by a poke.
"""

import time
from collections.abc import Awaitable, Generator, Iterator
from time import monotonic
from typing import Any

import msgspec
from starlette.types import Send

from edge.attempts import Failed, failure_of
from edge.generation import Generation
from edge.passage import Passage
from edge.reply import Bounds
from edge.upstream import Exchange, UpstreamError
from routing.answer import Identity, error_event, failure_of_error, length_chunk
from routing.failure import Failure, Kind, Sent, Source
from routing.headers import to_downstream
from routing.provider_error import without_secrets
from routing.refusal import refusal_of
from routing.sse import TooLong
from routing.stream import StreamRewrite
from usage.record import EndReason

COMMENT = b": keep-alive\n\n"
LINGER_S = 1.0
"""How long a provider may take to close its stream after the end, before its connection is given up."""


def is_event_stream(exchange: Exchange) -> bool:
    """Whether the provider says so, or says nothing; a 200 that is no stream holds an error, or is one."""
    for name, value in exchange.headers:
        if name == b"content-type":
            return value.lower().startswith(b"text/event-stream")
    return True


class Pump:
    """One stream. `run` returns when the caller has everything it will get."""

    __slots__ = (
        "_asked_s",
        "_bounds",
        "_completion_max",
        "_exchange",
        "_generation",
        "_handed",
        "_identity",
        "_is_open",
        "_meter",
        "_passage",
        "_prelude",
        "_problem",
        "_rewrite",
        "_send",
        "_sending",
    )

    def __init__(self, exchange: Exchange, generation: Generation, passage: Passage, send: Send, bounds: Bounds) -> None:
        self._exchange = exchange
        self._generation = generation
        self._passage = passage
        self._send = send
        self._bounds = bounds
        self._completion_max = generation.completion_max
        self._meter = generation.meter
        self._asked_s = monotonic()
        self._is_open = False
        self._prelude = b""
        self._handed: bytes | None = None
        self._problem: Exception | None = None
        self._sending: Begun | None = None
        provider = generation.attempt.provider.name
        self._identity = Identity(generation.gen_id, generation.envelope.model, passage.flavor, provider)
        self._rewrite = StreamRewrite(
            self._identity,
            generation.meter,
            include_usage=generation.envelope.include_usage,
            created=int(time.time()),
            line_bytes_max=bounds.line_bytes_max,
        )

    async def run(self) -> None:
        """Failed: only while nothing has gone to the caller."""
        generation, passage, exchange, rewrite = self._generation, self._passage, self._exchange, self._rewrite
        passage.await_provider(exchange, self._asked_s, generation.attempt.provider.idle_timeout_s, "idle")
        passage.mark = generation.mark
        generation.consumed = "metered"
        read, feed = exchange.read, rewrite.feed
        try:
            while True:
                exchange.sink = self._pour if self._is_open and not passage.has_left else None
                # A poke wakes who reads: what ended it from outside while something was sent is seen here.
                data = None if passage.verdict else await read()
                if passage.verdict and not passage.drains(generation.attempt.provider):
                    rewrite.feed(data or b"")
                    await self._fail(failure_of(passage.verdict, Sent.HEAD))
                    return
                if data is not None:
                    sent = feed(data) if data else rewrite.finish()
                elif self._handed is not None:
                    sent, self._handed = self._handed, None
                else:
                    await self._see_to_poke()
                    continue
                if rewrite.is_over:
                    await self._end(sent)
                    return
                if self._is_used_up():
                    await self._cut(sent)
                    return
                if sent:
                    await self._pass(sent)
                elif data and data[:1] != b":" and not data.isspace():
                    passage.heard_s = monotonic()
        except UpstreamError as problem:
            # Behind a finish_reason there is nothing left to break but the provider's own goodbye.
            await (self._end(rewrite.finish()) if rewrite.finish_reason else self._fail(problem.failure))
        except TooLong as problem:
            await self._fail(Failure(Kind.TOO_LARGE, Source.UPSTREAM, Sent.HEAD, detail=str(problem)))
        except BaseException:
            exchange.abort()
            raise
        finally:
            exchange.sink = None

    def _pour(self, data: bytes) -> bool:
        """The exchange's sink while nothing is amiss. An end and a comment are handed to the task, which a poke wakes."""
        rewrite = self._rewrite
        try:
            sent, is_for_task = rewrite.swap(data), False
            if not sent:
                sent = rewrite.scan(data)
                is_for_task = rewrite.is_over or sent.startswith(b":")
            if is_for_task or (self._completion_max < self._meter.deltas and self._is_used_up()):
                self._handed = sent
                self._exchange.poke()
            elif sent:
                passage = self._passage
                passage.heard_s = passage.spoke_s = monotonic()
                caller = passage.caller
                if caller is None or not caller.push(sent):
                    self._send_on(sent)
            elif data[:1] != b":" and not data.isspace():
                self._passage.heard_s = monotonic()
        except Exception as problem:
            self._problem = problem
            self._exchange.poke()
        return True

    def _send_on(self, sent: bytes) -> None:
        self._sending = begin(self._send({"type": "http.response.body", "body": sent, "more_body": True}))
        if self._sending is not None:
            self._passage.sending_since_s = self._passage.spoke_s
            self._exchange.poke()

    async def _see_to_poke(self) -> None:
        """Why the task was woken: something went wrong in `_pour`, the caller reads slowly, or it is time for a comment."""
        if self._problem is not None:
            raise self._problem
        if self._sending is None:
            await self._comment()
            return
        sending, self._sending = self._sending, None
        await sending
        self._passage.sending_since_s = 0.0

    def _is_used_up(self) -> bool:
        """Whether more was produced than was reserved for."""
        completion_max, meter = self._completion_max, self._meter
        return completion_max < meter.deltas and completion_max < meter.text_bytes // 6

    async def _pass(self, sent: bytes) -> None:
        passage = self._passage
        now_s = monotonic()
        # Comments are a sign of life for the caller, not an answer: they do not re-arm the idle clock.
        if not sent.startswith(b":"):
            passage.heard_s = now_s
        if passage.has_left:
            return
        if not self._is_open:
            if b"data:" not in sent and now_s - passage.spoke_s < self._bounds.comment_s:
                # No event yet, and the caller is not kept waiting: an error may still move on, or be told by a status.
                self._prelude += sent
                return
            sent = await self._open(now_s) + sent
        passage.spoke_s = passage.sending_since_s = now_s
        await self._send({"type": "http.response.body", "body": sent, "more_body": True})
        passage.sending_since_s = 0.0

    async def _open(self, now_s: float) -> bytes:
        """The head goes out with the first event, so that a provider that fails before it is answered with a status; and what
        came before that event, which is still to be sent."""
        self._is_open = self._passage.is_answered = True
        self._generation.ended(None)
        if not self._generation.first_byte_s:
            self._generation.first_byte_s = now_s
            self._generation.upstream_s += now_s - self._asked_s
        generation = self._generation
        headers = to_downstream(
            self._exchange.headers,
            generation.gen_id.encode(),
            generation.request_id.encode(),
            generation.fit.ignored,
            is_stream=True,
        )
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        prelude, self._prelude = self._prelude, b""
        return prelude

    async def _comment(self) -> None:
        now_s = monotonic()
        if now_s - self._passage.spoke_s >= self._bounds.comment_s and self._rewrite.is_at_boundary:
            heard_s = self._passage.heard_s
            await self._pass(COMMENT)
            self._passage.heard_s = heard_s

    async def _end(self, sent: bytes) -> None:
        rewrite = self._rewrite
        if rewrite.error:
            await self._fail(failure_of_error(rewrite.error, Sent.HEAD), sent)
        elif rewrite.finish_reason or rewrite.is_done:
            self._settle("cancelled" if self._passage.has_left else "completed")
            await self._finish(sent)
            await self._linger()
        else:
            await self._fail(Failure(Kind.TRUNCATED, Source.UPSTREAM, Sent.HEAD), sent)

    async def _cut(self, sent: bytes) -> None:
        """The reserve is used up: the answer ends here, with what it used."""
        self._settle("credit_limit")
        self._exchange.abort()
        await self._finish(sent + length_chunk(self._identity, self._generation.meter.usage_json(), self._rewrite.created))

    async def _fail(self, failure: Failure, sent: bytes = b"") -> None:
        self._exchange.abort()
        generation = self._generation
        if failure.source is Source.CLIENT or self._passage.has_left:
            self._settle("completed" if self._rewrite.is_done else "cancelled", status=499)
            return
        if not self._is_open and not (sent and generation.meter.deltas):
            # Nothing of an answer has come, so the caller can still be told by a status, and pays nothing.
            generation.consumed = "nothing"
            raise Failed(msgspec.structs.replace(failure, sent=Sent.REQUEST))
        failure = msgspec.structs.replace(without_secrets(failure, generation.secrets), sent=Sent.HEAD)
        generation.ended(failure)
        self._settle(end_reason_of(failure), error=failure.reason)
        provider = generation.attempt.provider.name
        event = error_event(self._identity, refusal_of(failure, provider), self._rewrite.created)
        await self._finish(sent + event)

    def _settle(self, end_reason: EndReason, status: int = 200, error: str = "") -> None:
        generation, rewrite = self._generation, self._rewrite
        generation.finish_reason = rewrite.finish_reason
        generation.upstream_id = rewrite.upstream_id
        now_s = monotonic()
        if self._passage.has_left:
            status = 499
        # Until its first byte and from it on, a stream goes at the provider's pace.
        generation.upstream_s += now_s - (generation.first_byte_s or self._asked_s)
        if not generation.first_byte_s and status != 499:
            generation.first_byte_s = now_s
        generation.settle(end_reason, status, now_s, error)

    async def _finish(self, sent: bytes) -> None:
        """The last frame."""
        if self._passage.has_left:
            return
        if self._bounds.is_strict:
            await self._generation.books.journal.durable()
        now_s = monotonic()
        if not self._is_open:
            sent = await self._open(now_s) + sent
        self._passage.sending_since_s = now_s
        await self._send({"type": "http.response.body", "body": sent, "more_body": False})
        self._passage.sending_since_s = 0.0

    async def _linger(self) -> None:
        """Let the provider close its stream, so that the connection can serve again."""
        self._exchange.sink = None
        passage = self._passage
        passage.verdict = ""
        passage.deadline_s = monotonic() + LINGER_S
        try:
            while await self._exchange.read() != b"":
                if passage.verdict:
                    break
        except UpstreamError:
            pass
        self._exchange.abort()


def end_reason_of(failure: Failure) -> EndReason:
    """How the record names a failure."""
    match failure.kind:
        case Kind.TIMEOUT_CONNECT | Kind.TIMEOUT_FIRST_BYTE | Kind.TIMEOUT_IDLE | Kind.TIMEOUT_TOTAL:
            return "timeout"
        case Kind.TRUNCATED | Kind.BROKEN:
            return "truncated" if failure.sent is Sent.HEAD else "upstream_error"
        case Kind.ABORTED:
            return "cancelled" if failure.source is Source.CLIENT else "proxy_error"
        case Kind.INTERNAL | Kind.JOURNAL:
            return "proxy_error"
        case _:
            return "upstream_error"


class Begun:
    """A send that was begun without a task and waits for something; awaiting this ends it."""

    __slots__ = ("_first", "_steps")

    def __init__(self, first: Any, steps: Iterator[Any]) -> None:
        self._first = first
        self._steps = steps

    def __await__(self) -> Generator[Any, None, None]:
        yield self._first
        yield from self._steps


def begin(sending: Awaitable[None]) -> Begun | None:
    """Go on with `sending` until it waits; None when it is done, as granian's is while its buffer has room."""
    steps = iter(sending.__await__())
    for first in steps:
        return Begun(first, steps)
    return None
