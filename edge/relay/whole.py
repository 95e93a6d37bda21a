"""Moves a whole answer from the provider to the caller.

Rule: the settlement stands before the answer goes out. Rule: until then nothing has gone to the caller, so whatever goes wrong
can still be answered with a status, or by another provider.
"""

from time import monotonic

from edge.relay.context import CancelReason, RequestContext
from edge.relay.generation import Generation
from edge.relay.provider_body import Body
from edge.relay.responses import Bounds, Headers
from edge.upstream import Exchange
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.rewrite.answer import Identity, dressed, failure_of_error, open_answer, rewrite_answer
from routing.rewrite.reshape import answer_of
from routing.rewrite.stream import StreamRewrite
from routing.wire.headers import to_downstream
from routing.wire.repair import BOM, Reading
from routing.wire.sse import TooLong
from usage.flavor import Flavor

PIECE_BYTES = 262_144
"""Small beside a large answer, and large beside what a `send` costs."""


class BufferedForwarder:
    """One answer: `begin` with each provider's response until one has an answer, then `run`."""

    __slots__ = ("_answer", "_bounds", "_exchange", "context", "generation", "is_open")

    def __init__(self, generation: Generation, context: RequestContext, bounds: Bounds) -> None:
        self.generation = generation
        self.context = context
        self._bounds = bounds
        self._exchange: Exchange | None = None
        self._answer = b""
        self.is_open = False

    async def keep_alive(self) -> None:
        """There is nothing that could be sent before a whole answer."""

    async def begin(self, exchange: Exchange) -> None:
        """AttemptFailed: this response is no answer."""
        generation, context = self.generation, self.context
        if not exchange.is_whole:
            context.await_provider(exchange, monotonic(), generation.attempt.provider.idle_timeout_s, CancelReason.IDLE)
        try:
            body = Body(exchange, generation, context, self._bounds)
            shape, first = await body.begin()
            if shape == "stream":
                self._answer = await self._assembled(body, first)
            else:
                whole = (await body.rest(first)).removeprefix(BOM)
                self._answer = self._rewritten(whole, open_answer(whole))
        except BaseException:
            exchange.abort()
            raise
        self._exchange = body.exchange

    def _identity(self, flavor: Flavor) -> Identity:
        generation = self.generation
        provider, created_s = generation.attempt.provider.name, generation.started_ms // 1000
        return Identity(generation.gen_id, generation.envelope.model, flavor, provider, created_s)

    def _rewritten(self, body: bytes, reading: Reading) -> bytes:
        generation = self.generation
        generation.answered(monotonic(), reading.chunk.finish_reason, reading.chunk.upstream_id)
        return rewrite_answer(body, reading, self._identity(self.context.flavor), generation.meter)

    async def _assembled(self, body: Body, first: bytes) -> bytes:
        """Of a provider that streams though a whole answer was asked for."""
        generation, context, bounds = self.generation, self.context, self._bounds
        rewrite = StreamRewrite(
            self._identity(Flavor.OPENAI),
            generation.meter,
            include_usage=True,
            created=generation.started_ms // 1000,
            line_bytes_max=bounds.line_bytes_max,
            choices=generation.envelope.choices,
        )
        pieces, size, data = [], 0, first
        try:
            while True:
                pieces.append(rewrite.feed(data) if data else rewrite.finish())
                size += len(pieces[-1])
                if rewrite.is_over:
                    break
                if size > bounds.response_bytes_max:
                    raise AttemptFailed(Failure(Kind.TOO_LARGE, Source.UPSTREAM, Sent.REQUEST))
                if not rewrite.is_framing:
                    context.heard()
                if rewrite.is_finished:
                    context.end_by(min(context.deadline_s, monotonic() + bounds.finish_s))
                rewrite.is_framing = False
                try:
                    data = await body.next()
                except AttemptFailed as problem:
                    if problem.failure.source is not Source.UPSTREAM or not rewrite.is_complete:
                        raise
                    # Behind a finish_reason there is nothing left to break but the provider's own goodbye.
                    context.outlive()
                    data = b""
        except TooLong as problem:
            raise AttemptFailed(Failure(Kind.TOO_LARGE, Source.UPSTREAM, Sent.REQUEST, detail=str(problem))) from problem
        if rewrite.error:
            raise AttemptFailed(failure_of_error(rewrite.error, Sent.REQUEST))
        if not (rewrite.is_complete and rewrite.has_begun):
            raise AttemptFailed(Failure(Kind.TRUNCATED, Source.UPSTREAM, Sent.REQUEST))
        body.exchange.abort()
        generation.answered(monotonic(), rewrite.finish_reason, rewrite.upstream_id)
        whole = answer_of(b"".join(pieces))
        return dressed(whole, open_answer(whole), self._identity(context.flavor), generation.meter)

    async def run(self) -> None:
        """Settle and send."""
        generation, context, exchange, answer = self.generation, self.context, self._exchange, self._answer
        assert exchange is not None
        if context.has_left:
            generation.settle("cancelled", 499, monotonic())
            return
        generation.settle("completed", exchange.status, monotonic())
        if self._bounds.is_strict:
            await generation.books.journal.durable()
        self.is_open = True
        context.answer()
        headers = to_downstream(
            exchange.headers, generation.gen_id.encode(), generation.request_id.encode(), generation.fit.ignored, is_stream=False
        )
        if context.caller is None or not context.caller.answer(exchange.status, headers, answer):
            await _send_whole(context, exchange.status, headers, answer)

    async def tell(self, failure: Failure) -> None:
        """Never: nothing goes out before the answer."""
        raise AssertionError(failure)


async def _send_whole(context: RequestContext, status: int, headers: Headers, body: bytes) -> None:
    """Piece by piece, so that a caller who takes none of them is noticed (`Watchdog`), whatever the server keeps to itself."""
    start = {"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"%d" % len(body))]}
    await context.send(start)
    for begin in range(0, len(body), PIECE_BYTES):
        end = begin + PIECE_BYTES
        await context.send_body(body[begin:end], more_body=end < len(body))
