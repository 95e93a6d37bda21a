"""Moves a whole answer from the provider to the caller.

Rule: the settlement stands before the answer goes out. Rule: until then nothing has gone to the caller, so whatever goes wrong
can still be answered with a status, or by another provider.
"""

from time import monotonic

from edge.limits.live import LiveLimits
from edge.relay.context import RequestContext
from edge.relay.end_reason import CancelReason
from edge.relay.generation import Generation
from edge.relay.response.own import Headers
from edge.relay.response.provider_body import Body
from edge.upstream import Exchange
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.failures.provider_error import reported_error
from routing.rewrite.chat.answer import dressed, open_answer, rewrite_answer
from routing.rewrite.chat.reshape import answer_of
from routing.rewrite.chat.stream import StreamRewrite
from routing.rewrite.identity import Identity
from routing.surfaces import Machine
from routing.surfaces.adapter import Adapter
from routing.views.metadata import as_header, in_object
from routing.wire.headers import to_downstream
from routing.wire.repair import BOM, Reading
from routing.wire.sse import TooLong
from usage.flavor import Flavor, flavor_of
from usage.pricing import dollars

ANSWERED = 200
"""Whichever 2xx the provider chose: what was read is a whole answer, and a 206 or 202 would say otherwise of it."""
PIECE_BYTES = 262_144
"""Small beside a large answer, and large beside what a `send` costs."""


class BufferedForwarder:
    """One answer: `begin` with each provider's response until one has an answer, then `run`."""

    __slots__ = ("_answer", "_content_type", "_exchange", "_limits", "context", "generation", "is_open")

    def __init__(self, generation: Generation, context: RequestContext, limits: LiveLimits) -> None:
        self.generation = generation
        self.context = context
        self._limits = limits
        self._exchange: Exchange | None = None
        self._answer = b""
        self._content_type = ""
        """Of an answer that is no JSON."""
        self.is_open = False

    async def keep_alive(self) -> None:
        """There is nothing that could be sent before a whole answer."""

    async def begin(self, exchange: Exchange) -> None:
        """AttemptFailed: this response is no answer."""
        generation, context = self.generation, self.context
        if not exchange.is_whole:
            context.await_provider(exchange, monotonic(), generation.attempt.provider.idle_timeout_s, CancelReason.IDLE)
        try:
            body = Body(exchange, generation, context, self._limits)
            adapter = generation.adapter if generation.adapters else None
            is_framed = adapter is not None and adapter.endpoint.framing == "eventstream"
            shape, first = await body.begin(is_framed)
            if adapter is not None and (shape != "stream" or adapter.answers_bytes):
                self._answer = self._adapted(adapter, await body.rest(first), exchange)
            elif shape == "stream":
                self._answer = await self._assembled(body, first)
            else:
                whole = (await body.rest(first)).removeprefix(BOM)
                self._answer = self._rewritten(whole, open_answer(whole))
        except TooLong as problem:
            exchange.abort()
            raise AttemptFailed(Failure(Kind.TOO_LARGE, Source.UPSTREAM, Sent.REQUEST, detail=str(problem))) from problem
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
        return rewrite_answer(body, reading, self._identity(flavor_of(self.context.path)), generation.meter)

    def _adapted(self, adapter: Adapter, body: bytes, exchange: Exchange) -> bytes:
        """AttemptFailed."""
        generation = self.generation
        content_type = next((value for name, value in exchange.headers if name == b"content-type"), b"").decode("latin-1")
        body = body if adapter.answers_bytes else body.removeprefix(BOM)
        identity = self._identity(flavor_of(self.context.path))
        answer = adapter.whole(body, identity, generation.meter, generation.memo, content_type)
        generation.answered(monotonic(), answer.finish_reason, answer.upstream_id)
        self._content_type = answer.content_type
        return answer.body

    async def _assembled(self, body: Body, first: bytes) -> bytes:
        """Of a provider that streams though a whole answer was asked for. AttemptFailed, TooLong."""
        generation, context = self.generation, self.context
        rewrite = self._assembler()
        stream = await self._rewritten_stream(rewrite, body, first)
        if rewrite.error:
            raise reported_error(rewrite.error)
        if not (rewrite.is_complete and rewrite.has_begun):
            raise AttemptFailed(Failure(Kind.TRUNCATED, Source.UPSTREAM, Sent.REQUEST))
        body.exchange.abort()
        generation.answered(monotonic(), rewrite.finish_reason, rewrite.upstream_id)
        whole = answer_of(stream)
        if (adapter := generation.adapter) is not None:
            return adapter.assembled(whole, self._identity(flavor_of(context.path)), generation.meter, generation.memo)
        return dressed(whole, open_answer(whole), self._identity(flavor_of(context.path)), generation.meter)

    def _assembler(self) -> Machine:
        """What makes Chat of such a stream, with its usage."""
        generation, line_bytes_max = self.generation, self._limits.now.line_bytes_max
        created_s, identity = generation.started_ms // 1000, self._identity(Flavor.OPENAI)
        if (adapter := generation.adapter) is not None:
            return adapter.assembler(identity, generation.meter, generation.envelope, generation.memo, created_s, line_bytes_max)
        return StreamRewrite(
            identity,
            generation.meter,
            include_usage=True,
            created=created_s,
            line_bytes_max=line_bytes_max,
            choices=generation.envelope.choices,
        )

    async def _rewritten_stream(self, rewrite: Machine, body: Body, first: bytes) -> bytes:
        """All of the stream, put through `rewrite`. AttemptFailed, TooLong."""
        context, limits = self.context, self._limits.now
        pieces, size, data = [], 0, first
        while True:
            pieces.append(rewrite.feed(data) if data else rewrite.finish())
            size += len(pieces[-1])
            if rewrite.is_over:
                return b"".join(pieces)
            if size > limits.response_bytes_max:
                raise AttemptFailed(Failure(Kind.TOO_LARGE, Source.UPSTREAM, Sent.REQUEST))
            if not rewrite.is_framing:
                context.heard()
            if rewrite.is_finished:
                context.end_by(min(context.deadline_s, monotonic() + limits.finish_timeout_s))
            rewrite.is_framing = False
            try:
                data = await body.next()
            except AttemptFailed as problem:
                if problem.failure.source is not Source.UPSTREAM or not rewrite.is_complete:
                    raise
                # Behind a finish_reason there is nothing left to break but the provider's own goodbye.
                context.outlive()
                data = b""

    async def run(self) -> None:
        """Settle and send."""
        generation, context, exchange, answer = self.generation, self.context, self._exchange, self._answer
        assert exchange is not None
        if context.has_left:
            generation.settle("cancelled", 499, monotonic())
        else:
            generation.settle("completed", ANSWERED, monotonic())
        if (journal := generation.accounting.journal).is_strict and not context.has_left:
            await journal.durable()
        gen_id, request_id = generation.gen_id.encode(), generation.request_id.encode()
        headers = to_downstream(exchange.headers, exchange.fields, gen_id, request_id, generation.ignored, False)
        if generation.adapters and (adapter := generation.adapter) is not None:
            headers = self._own_headers(headers, adapter)
        if (metadata := generation.metadata()) is not None:
            if self._content_type:
                headers += as_header(metadata)
            else:
                answer = in_object(answer, metadata)
        if context.idempotency is not None:
            # Before it goes out: who is cut off while it does, or has left and was read on for, asks again.
            context.idempotency.keep(ANSWERED, headers, answer, monotonic())
        if context.has_left:
            return
        self.is_open = True
        context.answer()
        headers.append(generation.timing())
        if generation.claim is not None:
            headers += generation.claim.headers()
        await send_in_pieces(context, ANSWERED, headers, answer)

    def _own_headers(self, headers: Headers, adapter: Adapter) -> Headers:
        """Of an answer that is none of Chat's: the id under the name that its SDKs read; its type and cost where it has no room
        for them."""
        generation = self.generation
        if adapter.id_header:
            headers.append((adapter.id_header, generation.request_id.encode()))
        if not self._content_type:
            return headers
        kept = [(name, value) for name, value in headers if name != b"content-type"]
        cost = dollars(generation.meter.cost_nano()).encode()
        return [(b"content-type", self._content_type.encode("latin-1")), *kept, (b"x-tollway-cost", cost)]

    async def tell(self, failure: Failure) -> None:
        """Never: nothing goes out before the answer."""
        raise AssertionError(failure)


async def send_in_pieces(context: RequestContext, status: int, headers: Headers, body: bytes) -> None:
    """Piece by piece, so that a caller who takes none of them is noticed (`Watchdog`), whatever the server keeps to itself."""
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    if len(body) <= PIECE_BYTES:
        context.begin_sending()
        await context.send({"type": "http.response.start", "status": status, "headers": headers})
        await context.send({"type": "http.response.body", "body": body, "more_body": False})
        context.end_sending()
        return
    await context.send_head(status, headers)
    for begin in range(0, len(body), PIECE_BYTES):
        end = begin + PIECE_BYTES
        await context.send_body(body[begin:end], more_body=end < len(body))
