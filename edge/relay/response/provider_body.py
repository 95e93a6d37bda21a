"""A provider's body while nothing of the answer has gone to the caller: read in parts, told by its bytes, decoded if need be.

Rule: what a body is, its first bytes say; content-type and content-encoding are hearsay. Rule: white space and comments are signs
of life for the connection, not of an answer: they do not re-arm the idle clock.
"""

from collections.abc import Awaitable, Callable
from typing import Literal

from edge.limits.live import LiveLimits
from edge.relay.context import RequestContext
from edge.relay.end_reason import failure_of
from edge.relay.generation import Generation
from edge.upstream import Exchange
from edge.upstream.decoded import DecodedExchange
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.rewrite.chat.reshape import shape_of
from routing.wire.content_coding import GZIP_MAGIC
from routing.wire.quiet import QUIET_BYTES_MAX

BLANK_BYTES_MAX = 4_096
_GZIP_BYTE = GZIP_MAGIC[:1]


class Body:
    """One response's. `exchange` is the one to go on with: another one, where the bytes showed a coding that the head did not."""

    __slots__ = ("_blank_bytes", "_context", "_generation", "_is_over", "_keep_alive", "_limits", "exchange")

    def __init__(
        self,
        exchange: Exchange,
        generation: Generation,
        context: RequestContext,
        limits: LiveLimits,
        keep_alive: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.exchange = exchange
        self._generation = generation
        self._context = context
        self._limits = limits
        self._keep_alive = keep_alive
        self._is_over = False
        self._blank_bytes = 0

    async def next(self) -> bytes:
        """The next bytes, empty at the end. AttemptFailed: with what happened to the provider or the caller."""
        context = self._context
        while True:
            reason = context.cancel_reason
            if reason is not None and not context.drains(self._generation.attempt.provider):
                raise AttemptFailed(failure_of(reason, Sent.REQUEST))
            data = await self.exchange.read()
            if data is not None:
                self._is_over = not data
                return data
            if self._keep_alive is not None and context.cancel_reason is None:
                await self._keep_alive()

    async def begin(self, is_framed: bool = False) -> tuple[Literal["stream", "whole", ""], bytes]:
        """What it is, and its first bytes; "" when it has none but white space. `is_framed`: a stream comes in AWS' frames, which
        begin with their length."""
        head = await self.next()
        if is_framed and head[:1] == b"\0":
            self._context.heard()
            return "stream", head
        shape = shape_of(head) if head[:1] != _GZIP_BYTE else ""
        is_decoded = False
        while head and not shape:
            if head.startswith(GZIP_MAGIC) and not is_decoded:
                is_decoded = True
                self.exchange = DecodedExchange(self.exchange, b"", self._limits.now.response_bytes_max, head)
                self._context.decode(self.exchange)
                head = await self.next()
                shape = shape_of(head)
                continue
            more = await self.next()
            if not more:
                break
            self._count_blank(more)
            head = (head if len(head) < BLANK_BYTES_MAX else b"") + more
            shape = shape_of(head) if head != GZIP_MAGIC[:1] and (is_decoded or not head.startswith(GZIP_MAGIC)) else ""
        if shape:
            self._context.heard()
        return shape, head

    async def rest(self, first: bytes) -> bytes:
        """All of it, `first` included."""
        if self.exchange.is_whole or self._is_over:
            return first
        pieces, size = [first], len(first)
        while data := await self.next():
            pieces.append(data)
            size += len(data)
            if size > self._limits.now.response_bytes_max:
                raise AttemptFailed(Failure(Kind.TOO_LARGE, Source.UPSTREAM, Sent.REQUEST))
            if data.isspace():
                self._count_blank(data)
            else:
                self._context.heard()
                self._blank_bytes = 0
            if self.exchange.is_whole:
                break
        return b"".join(pieces)

    def _count_blank(self, data: bytes) -> None:
        """What has come since something was said. AttemptFailed: too much."""
        self._blank_bytes += len(data)
        if self._blank_bytes > QUIET_BYTES_MAX:
            detail = f"{self._blank_bytes} bytes of white space"
            raise AttemptFailed(Failure(Kind.TOO_LARGE, Source.UPSTREAM, Sent.REQUEST, detail=detail))
