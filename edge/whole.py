"""Moves a whole answer from the provider to the caller.

Rule: the settlement stands before the answer goes out. Rule: until then nothing has gone to the caller, so whatever goes wrong
can still be answered with a status.
"""

from time import monotonic

from starlette.types import Send

from edge.attempts import Failed, failure_of
from edge.generation import Generation
from edge.passage import Passage
from edge.reply import Bounds, Headers
from edge.upstream import Exchange, UpstreamError
from routing.answer import Identity, NotAnAnswer, open_answer, rewrite_answer
from routing.failure import Failure, Kind, Sent, Source
from routing.headers import to_downstream

PIECE_BYTES = 262_144
"""Small beside a large answer, and large beside what a `send` costs."""


async def forward_whole(exchange: Exchange, generation: Generation, passage: Passage, send: Send, bounds: Bounds) -> None:
    """A JSON answer. Failed: nothing has gone to the caller yet."""
    asked_s = monotonic()
    if not exchange.is_whole:
        passage.await_provider(exchange, asked_s, generation.attempt.provider.idle_timeout_s, "idle")
    generation.consumed = "prompt"
    try:
        body = await _read_whole(exchange, passage, generation, bounds)
        now_s = generation.first_byte_s = monotonic()
        generation.upstream_s += now_s - asked_s
        reading = open_answer(body)
        if generation.envelope.stream:
            raise NotAnAnswer(Failure(Kind.PROTOCOL, Source.UPSTREAM, Sent.REQUEST, detail="no event stream"))
    except NotAnAnswer as problem:
        generation.consumed = "nothing"
        raise Failed(problem.failure) from problem
    except BaseException:
        exchange.abort()
        raise
    generation.ended(None)
    generation.consumed = "metered"
    generation.finish_reason = reading.chunk.finish_reason
    generation.upstream_id = reading.chunk.upstream_id
    provider, created_s = generation.attempt.provider.name, generation.started_ms // 1000
    identity = Identity(generation.gen_id, generation.envelope.model, passage.flavor, provider, created_s)
    answer = rewrite_answer(body, reading, identity, generation.meter)
    if passage.has_left:
        generation.settle("cancelled", 499, monotonic())
        return
    generation.settle("completed", exchange.status, monotonic())
    if bounds.is_strict:
        await generation.books.journal.durable()
    passage.is_answered = True
    headers = to_downstream(
        exchange.headers, generation.gen_id.encode(), generation.request_id.encode(), generation.fit.ignored, is_stream=False
    )
    if passage.caller is None or not passage.caller.answer(exchange.status, headers, answer):
        await _send_whole(send, passage, exchange.status, headers, answer)


async def _send_whole(send: Send, passage: Passage, status: int, headers: Headers, body: bytes) -> None:
    """Piece by piece, so that a caller who takes none of them is noticed (`Watch`), whatever the server keeps to itself."""
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
    for start in range(0, len(body), PIECE_BYTES):
        end = start + PIECE_BYTES
        passage.sending_since_s = monotonic()
        await send({"type": "http.response.body", "body": body[start:end], "more_body": end < len(body)})
    passage.sending_since_s = 0.0


async def _read_whole(exchange: Exchange, passage: Passage, generation: Generation, bounds: Bounds) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        try:
            data = await exchange.read()
        except UpstreamError as problem:
            raise Failed(problem.failure) from problem
        if data is None:
            if passage.verdict and not passage.drains(generation.attempt.provider):
                raise Failed(failure_of(passage.verdict, Sent.REQUEST))
            continue
        pieces.append(data)
        size += len(data)
        if size > bounds.response_bytes_max:
            raise Failed(Failure(Kind.TOO_LARGE, Source.UPSTREAM, Sent.REQUEST))
        if not data or exchange.is_whole:
            return data if len(pieces) == 1 else b"".join(pieces)
        if not data.isspace():
            passage.heard_s = monotonic()
