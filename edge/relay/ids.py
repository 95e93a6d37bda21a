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
_PAIR_BITS = 10
_POOL_BYTES = 4_096


class IdGenerator:
    """Draws randomness from the kernel in blocks, and spells all of the time but its last two characters once a second, so that
    an id costs a look-up and a slice."""

    __slots__ = ("_at", "_high", "_pool", "_second", "clock")

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self._pool = ""
        self._at = 0
        self._second = -1
        """Of 1,024 ms."""
        self._high = ""

    def draw(self) -> str:
        """A new id of 26 characters."""
        now_ms = (time.time_ns() + self.clock.offset_ns) // 1_000_000
        second, at = now_ms >> _PAIR_BITS, self._at
        if second != self._second:
            self._second, self._high = second, _spell(second)
        if at == len(self._pool):
            self._pool = os.urandom(_POOL_BYTES).translate(_OF_BYTE).decode()
            at = 0
        self._at = end = at + _CHANCE_CHARS
        return self._high + _PAIRS[now_ms & 1023] + self._pool[at:end]


def _spell(second: int) -> str:
    """All characters of the time but the last two."""
    return "".join([chr(_CROCKFORD[(second >> shift) & 31]) for shift in range(35, -1, -5)])
