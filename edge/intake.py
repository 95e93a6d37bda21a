"""Reads a request's body within its bounds: size, time, and the bytes that all requests together may hold.

Rule: memory is claimed before bytes are kept and given back whatever happens. Source of the bounds: `[limits]` in providers.toml.
"""

import asyncio

from starlette.types import Receive

from edge.passage import Passage
from routing.refusal import Refusal

DISCARD_BYTES_MAX = 64 * 1024 * 1024
DISCARD_S_MAX = 5.0


class Denied(Exception):
    """The request is answered with `refusal` and goes no further."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Gone(Exception):
    """The caller left before its request was complete."""


class InFlight:
    """The body bytes that are held for the whole process."""

    __slots__ = ("bytes_max", "held_bytes")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.held_bytes = 0

    def claim(self, size: int) -> None:
        if self.held_bytes + size > self.bytes_max:
            raise Denied(
                Refusal(503, "overloaded", "this edge is holding as many request bytes as it may; try again", retry_after_s=1.0)
            )
        self.held_bytes += size

    def release(self, size: int) -> None:
        self.held_bytes -= size


def too_large(bytes_max: int) -> Denied:
    return Denied(Refusal(413, "payload_too_large", f"the body is larger than the {bytes_max} bytes this edge takes"))


async def read_body(receive: Receive, passage: Passage, in_flight: InFlight, bytes_max: int, declared: int | None) -> bytes:
    """The whole body. Denied: too large, or no room; Gone: the caller left. `passage.body_bytes` is what must be released
    later."""
    if declared is not None and declared > bytes_max:
        raise too_large(bytes_max)
    whole = None if passage.caller is None else passage.caller.take_body()
    if whole is not None:
        _keep(passage, in_flight, len(whole), bytes_max)
        return whole
    pieces = []
    passage.is_reading_body = True
    while (message := await receive())["type"] == "http.request":
        body = message.get("body", b"")
        _keep(passage, in_flight, len(body), bytes_max)
        pieces.append(body)
        if not message.get("more_body", False):
            passage.is_reading_body = False
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    raise Gone


def _keep(passage: Passage, in_flight: InFlight, size: int, bytes_max: int) -> None:
    if passage.body_bytes + size > bytes_max:
        raise too_large(bytes_max)
    in_flight.claim(size)
    passage.body_bytes += size


async def discard_body(receive: Receive) -> None:
    """Take what a refused caller is still sending, and forget it: a connection closed under it would reset before it reads why.

    Bounded in bytes and time; a caller that goes on beyond them sees the reset.
    """
    size = 0
    try:
        async with asyncio.timeout(DISCARD_S_MAX):
            while size < DISCARD_BYTES_MAX:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                size += len(message.get("body", b""))
    except TimeoutError:
        return
