"""Ids of generations and requests: time-ordered, unguessable, 26 characters of Crockford's base 32 (as in ULID: 48 bits of time,
80 of chance)."""

import os
import time

from edge.clock import Clock

_CROCKFORD = b"0123456789abcdefghjkmnpqrstvwxyz"
_OF_BYTE = _CROCKFORD * 8
"""A character for each byte, all equally often."""
_PAIRS = [first + second for first in _CROCKFORD.decode() for second in _CROCKFORD.decode()]
_CHANCE_CHARS = 16
LOW_BITS = 20
_POOL_BYTES = 4_096


class IdGenerator:
    """Draws randomness from the kernel in blocks and spells the time once per millisecond, so that an id costs two slices; and
    its slow characters once in a quarter of an hour."""

    __slots__ = ("_at", "_high", "_high_ms", "_now_ms", "_pool", "_time", "clock")

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self._pool = ""
        self._at = 0
        self._now_ms = self._high_ms = -1
        self._time = self._high = ""

    def draw(self) -> str:
        """A new id of 26 characters."""
        now_ms = (time.time_ns() + self.clock.offset_ns) // 1_000_000
        if now_ms != self._now_ms:
            self._now_ms = now_ms
            if now_ms >> LOW_BITS != self._high_ms:
                self._high_ms = now_ms >> LOW_BITS
                self._high = _spell(now_ms)[:-4]
            self._time = self._high + _spell_low(now_ms)
        at = self._at
        if at == len(self._pool):
            self._pool = os.urandom(_POOL_BYTES).translate(_OF_BYTE).decode()
            at = 0
        self._at = at + _CHANCE_CHARS
        return self._time + self._pool[at : at + _CHANCE_CHARS]


def _spell_low(now_ms: int) -> str:
    """The last four characters of the time."""
    return _PAIRS[now_ms >> 10 & 1023] + _PAIRS[now_ms & 1023]


def _spell(now_ms: int) -> str:
    return "".join([chr(_CROCKFORD[(now_ms >> shift) & 31]) for shift in range(45, -1, -5)])
