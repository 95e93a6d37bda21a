"""Moves a stream from the provider to the caller as it comes.

Rule: the settlement stands before the last byte goes out, because SDKs hang up the moment they see `[DONE]`.
Rule: after the head has gone out a failure is one chunk with `error`, then the end; `[DONE]` is never invented.
Rule: until the first part of an answer has come, its provider may still be exchanged for another; comments that had to be sent
before are no answer. After them a failure is told in the stream.
Strategy: once the head is out, what the connection brings is rewritten and sent from within its callback (`_pour`), without
waking this stream's task. Whatever is not that plain is the task's: the beginning, the end, failures, a caller that reads slowly;
what comes from outside (a caller who left, a clock) wakes it by a poke.
"""

import time
from math import inf
from time import monotonic

import msgspec

from edge.downstream.pending_send import PendingSend, start
from edge.limits.live import LiveLimits
from edge.relay.context import RequestContext
from edge.relay.end_reason import CancelReason, end_reason_of, failure_of
from edge.relay.generation import Generation
from edge.relay.response.provider_body import Body
from edge.upstream import Exchange
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.failures.provider_error import failure_of_error, reported_error, without_secrets
from routing.plan.refusal import refusal_of
from routing.rewrite.chat.answer import open_answer
from routing.rewrite.chat.reshape import events_of
from routing.rewrite.identity import Identity
from routing.surfaces import Machine
from routing.surfaces.adapter import Adapter
from routing.surfaces.openai.chat import machine as chat_machine
from routing.views.metadata import in_stream
from routing.wire.headers import to_downstream
from routing.wire.members import Members
from routing.wire.repair import BOM
from routing.wire.sse import TooLong
from usage.flavor import flavor_of
from usage.record import EndReason

COMMENT = b": keep-alive\n\n"
PRELUDE_BYTES_MAX = 65_536
"""Of a provider's own comments, that wait for the first part of its answer."""
LINGER_S = 1.0
"""How long a provider may take to close its stream after the end, before its connection is given up."""


class StreamForwarder:
    """One stream: `begin` with each provider's response until one has begun to answer, then `run`."""

    __slots__ = (
        "_completion_max",
        "_deadline_s",
        "_exchange",
        "_finished_deltas",
        "_first",
        "_handed",
        "_identity",
        "_is_running",
        "_limits",
        "_meter",
        "_problem",
        "_rewrite",
        "_sending",
        "context",
        "generation",
        "is_open",
    )

    _exchange: Exchange
    _identity: Identity
    _rewrite: Machine

    def __init__(self, generation: Generation, context: RequestContext, limits: LiveLimits) -> None:
        self.generation = generation
        self.context = context
        self._limits = limits
        self._completion_max = generation.completion_max
        self._meter = generation.meter
        self._deadline_s = inf
        self._finished_deltas = -1
        self._first = b""
        self._is_running = False
        self._handed: bytes | None = None
        self._problem: Exception | None = None
        self._sending: PendingSend | None = None
        self.is_open = False
        context.comment_with(self.keep_alive)

    def _make_identity(self) -> Identity:
        generation = self.generation
        provider = generation.attempt.provider.name
        return Identity(generation.gen_id, generation.envelope.model, flavor_of(self.context.path), provider)

    def _machine(self, adapter: Adapter | None = None) -> Machine:
        generation, created, line_bytes_max = self.generation, int(time.time()), self._limits.now.line_bytes_max
        adapter = adapter or generation.adapter
        envelope, meter = generation.envelope, generation.meter
        if adapter is None:
            return chat_machine(self._identity, meter, envelope, created, line_bytes_max)
        return adapter.machine(self._identity, meter, envelope, generation.memo, created, line_bytes_max)

    async def begin(self, exchange: Exchange) -> None:
        """AttemptFailed: this response has no answer; at most comments have gone to the caller."""
        generation, context = self.generation, self.context
        self._exchange = exchange
        self._completion_max = generation.completion_max
        self._identity = self._make_identity()
        self._rewrite = self._machine()
        context.await_provider(exchange, monotonic(), generation.attempt.provider.idle_timeout_s, CancelReason.IDLE)
        context.count_progress(generation.mark)
        generation.metered()
        try:
            self._first = await self._await_first()
        except TooLong as problem:
            exchange.abort()
            raise AttemptFailed(_too_long(problem)) from problem
        except BaseException:
            exchange.abort()
            raise

    async def _await_first(self) -> bytes:
        """What goes out first: all up to the first part of an answer. AttemptFailed, TooLong."""
        rewrite, context = self._rewrite, self.context
        body = Body(self._exchange, self.generation, context, self._limits, self.keep_alive)
        adapter = self.generation.adapter
        shape, head = await body.begin(adapter is not None and adapter.endpoint.framing == "eventstream")
        self._exchange = body.exchange
        if shape == "whole":
            # Whole, though a stream was asked for: the caller gets one.
            whole = (await body.rest(head)).removeprefix(BOM)
            if adapter is None:
                return rewrite.feed(events_of(whole, open_answer(whole)))
            going_on, events = adapter.streamed(whole, self._identity, self._meter, self.generation.memo)
            rewrite = self._rewrite = self._machine(going_on)
            sent = rewrite.feed(events)
            sent += b"" if rewrite.is_over else rewrite.finish()
        else:
            sent = rewrite.feed(head) if shape else rewrite.finish()
        while not (rewrite.has_begun or rewrite.is_done or rewrite.is_over or len(sent) > PRELUDE_BYTES_MAX):
            rewrite.is_framing = False
            data = await body.next()
            sent += rewrite.feed(data) if data else rewrite.finish()
            if not rewrite.is_framing:
                context.heard()
        if not self._meter.deltas:
            if rewrite.error:
                raise reported_error(rewrite.error)
            if (rewrite.is_done or rewrite.is_over) and not (rewrite.has_begun and rewrite.is_complete):
                raise AttemptFailed(Failure(Kind.TRUNCATED, Source.UPSTREAM, Sent.REQUEST))
        return sent

    async def run(self) -> None:
        """What has begun, to its end."""
        generation, context, exchange, rewrite = self.generation, self.context, self._exchange, self._rewrite
        read, feed = exchange.read, rewrite.feed
        self._is_running = True
        self._deadline_s = context.deadline_s
        sent: bytes | None = self._first
        generation.answered(monotonic())
        try:
            while True:
                if sent is not None:
                    if rewrite.is_over:
                        await self._end(sent)
                        return
                    if rewrite.is_finished:
                        self._await_end()
                    elif self._is_used_up():
                        await self._cut(sent)
                        return
                    if not rewrite.is_framing:
                        context.heard()
                    if sent:
                        await self._pass(sent)
                rewrite.is_notable = rewrite.is_framing = False
                exchange.sink = self._pour if self.is_open and not (context.has_left or rewrite.is_finished) else None
                # A poke wakes who reads: what ended it from outside while something was sent is seen here.
                data = None if context.cancel_reason is not None else await read()
                if context.cancel_reason is not None and not context.drains(generation.attempt.provider):
                    await self._interrupted(data)
                    return
                if data is not None:
                    sent = feed(data) if data else rewrite.finish()
                elif self._handed is not None:
                    sent, self._handed = self._handed, None
                else:
                    await self._see_to_poke()
                    sent = None
        except AttemptFailed as problem:
            # Behind a finish_reason there is nothing left to break but the provider's own goodbye.
            await (self._end(rewrite.finish()) if rewrite.is_complete else self._fail(problem.failure))
        except TooLong as problem:
            if rewrite.is_complete and not rewrite.error:
                exchange.abort()
                await self._complete(rewrite.finish())
            else:
                await self._fail(_too_long(problem))
        except BaseException:
            exchange.abort()
            raise
        finally:
            exchange.sink = None

    def _await_end(self) -> None:
        """The answer has finished: its usage and its goodbye are waited for, but not for long. Text behind it puts that off."""
        if self._meter.deltas != self._finished_deltas and not self.context.has_left:
            self._finished_deltas = self._meter.deltas
            self.context.end_by(min(self._deadline_s, monotonic() + self._limits.now.finish_timeout_s))

    async def _interrupted(self, data: bytes | None) -> None:
        """A clock has run out, or the caller has gone."""
        rewrite, reason = self._rewrite, self.context.cancel_reason
        assert reason is not None
        if data:
            rewrite.feed(data)
        if reason in (CancelReason.IDLE, CancelReason.TOTAL) and rewrite.is_complete and not rewrite.error:
            self._exchange.abort()
            await self._complete(rewrite.finish())
        else:
            await self._fail(failure_of(reason, Sent.HEAD))

    def _pour(self, data: bytes) -> bool:
        """The exchange's sink while nothing is amiss. An end and mere framing are handed to the task, which a poke wakes."""
        rewrite = self._rewrite
        try:
            sent, is_for_task = rewrite.swap(data), False
            if not sent:
                sent = rewrite.scan(data)
                is_for_task = rewrite.is_notable
            if is_for_task or (self._completion_max < self._meter.deltas and self._is_used_up()):
                self._handed = sent
                self._exchange.poke()
            elif sent:
                self._sending = start(self.context.pass_on(sent))
                if self._sending is not None:
                    self.context.begin_sending()
                    self._exchange.poke()
            else:
                self.context.heard()
        except Exception as problem:
            self._problem = problem
            self._exchange.poke()
        return True

    async def _see_to_poke(self) -> None:
        """Why the task was woken: something went wrong in `_pour`, the caller reads slowly, or it is time for a comment."""
        if self._problem is not None:
            raise self._problem
        if self._sending is None:
            await self.keep_alive()
            return
        sending, self._sending = self._sending, None
        await sending
        self.context.end_sending()

    def _is_used_up(self) -> bool:
        """Whether more was produced than was reserved for."""
        completion_max, meter = self._completion_max, self._meter
        return completion_max < meter.deltas and completion_max < meter.written_bytes // 6

    async def _pass(self, sent: bytes) -> None:
        if self.context.has_left:
            return
        if not self.is_open:
            await self._open()
        await self.context.send_body(sent, more_body=True)

    async def _open(self) -> None:
        """The head goes out with the first part of an answer, so that a provider that fails before it is answered with a status;
        or with the first comment, because balancers in front of us cut what is silent for a minute."""
        self.is_open = True
        self.context.answer()
        generation = self.generation
        told, fields = (self._exchange.headers, self._exchange.fields) if self._is_running else ([], {})
        gen_id, request_id = generation.gen_id.encode(), generation.request_id.encode()
        headers = to_downstream(told, fields, gen_id, request_id, generation.ignored, True)
        if (adapter := generation.adapter) is not None and adapter.id_header:
            headers.append((adapter.id_header, generation.request_id.encode()))
        headers.append(generation.timing())
        if generation.claim is not None:
            headers += generation.claim.headers()
        await self.context.send_head(200, headers)

    async def keep_alive(self) -> None:
        is_due = monotonic() - self.context.sent_s >= self._limits.now.keepalive_comment_s
        if is_due and (not self._is_running or self._rewrite.is_at_boundary):
            await self._pass(COMMENT)

    async def _end(self, sent: bytes) -> None:
        rewrite = self._rewrite
        if rewrite.error:
            await self._fail(failure_of_error(rewrite.error, Sent.HEAD), sent)
        elif rewrite.is_complete:
            await self._complete(sent)
            await self._linger()
        else:
            await self._fail(Failure(Kind.TRUNCATED, Source.UPSTREAM, Sent.HEAD), sent)

    async def _complete(self, sent: bytes) -> None:
        self._settle("cancelled" if self.context.has_left else "completed")
        await self._finish(sent, self.generation.metadata())

    async def _cut(self, sent: bytes) -> None:
        """The reserve is used up: the answer ends here, with what it used."""
        rewrite = self._rewrite
        self._settle("credit_limit")
        self._exchange.abort()
        await self._finish(sent + rewrite.cut(), self.generation.metadata())

    async def _fail(self, failure: Failure, sent: bytes = b"") -> None:
        self._exchange.abort()
        generation, rewrite = self.generation, self._rewrite
        if failure.source is Source.CLIENT or self.context.has_left:
            self._settle("completed" if rewrite.is_done else "cancelled", status=499)
            return
        failure = msgspec.structs.replace(without_secrets(failure, generation.secrets), sent=Sent.HEAD)
        generation.report(failure)
        self._settle(end_reason_of(failure), error=failure.reason)
        told = rewrite.fail(refusal_of(failure, generation.attempt.provider.name))
        await self._finish(sent + told, generation.metadata(failure.reason))

    async def tell(self, failure: Failure) -> None:
        """Only comments have gone out, and nothing but this follows."""
        self._identity = self._make_identity()
        explained = self.generation.explanation
        told = self._machine().fail(refusal_of(failure, self.generation.attempt.provider.name))
        await self._finish(told, None if explained is None else explained.of_failure())

    def _settle(self, end_reason: EndReason, status: int = 200, error: str = "") -> None:
        generation, rewrite = self.generation, self._rewrite
        generation.finished(rewrite.finish_reason, rewrite.upstream_id)
        now_s = monotonic()
        if self.context.has_left:
            status = 499
        generation.settle(end_reason, status, now_s, error)

    async def _finish(self, sent: bytes, metadata: Members | None = None) -> None:
        """The last frame."""
        if self.context.has_left:
            return
        if metadata is not None:
            sent = in_stream(sent, metadata)
        if (journal := self.generation.accounting.journal).is_strict:
            await journal.durable()
        if not self.is_open:
            await self._open()
        await self.context.send_body(sent, more_body=False)

    async def _linger(self) -> None:
        """Let the provider close its stream, so that the connection can serve again."""
        self._exchange.sink = None
        context = self.context
        context.outlive()
        context.end_by(monotonic() + LINGER_S)
        try:
            while await self._exchange.read() != b"":
                if context.cancel_reason is not None:
                    break
        except AttemptFailed:
            pass
        self._exchange.abort()


def _too_long(problem: TooLong) -> Failure:
    return Failure(Kind.TOO_LARGE, Source.UPSTREAM, Sent.REQUEST, detail=str(problem))
