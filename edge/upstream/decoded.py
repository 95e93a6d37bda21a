"""An exchange whose body comes in a content coding that nobody asked for, as one whose body is plain.

Rule: a few bytes may stand for many, so others have the loop between any two pieces, and what says too little is no body
(`routing.wire.quiet`).
Limits: its body is read, not poured: what is not the rule need not be fast.
"""

import asyncio
from collections.abc import Callable

from edge.upstream import Exchange, Header
from routing.failures.failure import AttemptFailed, Failure, Kind, Sent, Source
from routing.wire.content_coding import DecodedTooLarge, Decoder, Undecodable
from routing.wire.quiet import QUIET_BYTES_MAX, is_too_fine


class DecodedExchange:
    """See `edge.upstream.Exchange`. `first` is what was read of the body already."""

    def __init__(self, exchange: Exchange, coding: bytes, bytes_max: int, first: bytes = b"") -> None:
        self._exchange = exchange
        self._decoder = Decoder(coding, bytes_max)
        self._decoder.put(first)
        self._barren_bytes = self._pieces = self._size = 0
        self.status = exchange.status
        self.headers: list[Header] = [(name, value) for name, value in exchange.headers if name != b"content-encoding"]
        self.fields = dict(self.headers)
        self.sink: Callable[[bytes], bool] | None = None
        self.is_whole = False

    async def head(self) -> bool:
        return True

    async def read(self) -> bytes | None:
        if self.is_whole:
            return b""
        try:
            await asyncio.sleep(0)
            while not (data := self._decoder.take()):
                coded = await self._exchange.read()
                if coded is None:
                    return None
                self._decoder.put(coded)
                self._barren_bytes += len(coded)
                if self._barren_bytes > QUIET_BYTES_MAX:
                    raise Undecodable(f"{self._barren_bytes} coded bytes with nothing in them")
                if not coded:
                    return self._end()
        except asyncio.CancelledError:
            self.abort()
            raise
        except (Undecodable, DecodedTooLarge) as problem:
            raise self._failed(problem) from problem
        self._barren_bytes = 0
        self._pieces += 1
        self._size += len(data)
        if is_too_fine(self._pieces, self._size):
            raise self._failed(Undecodable(f"{self._size} bytes in {self._pieces} pieces"))
        return data

    def _end(self) -> bytes:
        self._decoder.end()
        data = self._decoder.take()
        if not data:
            self._decoder.finish()
            self.is_whole = True
        return data

    def _failed(self, problem: Exception) -> AttemptFailed:
        self._exchange.abort()
        kind = Kind.TOO_LARGE if isinstance(problem, DecodedTooLarge) else Kind.PROTOCOL
        return AttemptFailed(Failure(kind, Source.UPSTREAM, Sent.REQUEST, detail=str(problem)))

    def poke(self) -> None:
        self._exchange.poke()

    def abort(self) -> None:
        self._exchange.abort()
