"""Ids that we mint: time-ordered, unguessable, 26 characters of Crockford's base 32 (as in ULID: 48 bits of time, 80 of
chance)."""

import os
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ".lower()
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_POOL_BYTES = 4_096


class Mint:
    """Draws randomness from the kernel in blocks, so that an id costs no system call."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def draw(self) -> str:
        """A new id of 26 characters."""
        at = self._at
        if at + 10 > len(self._pool):
            self._pool = os.urandom(_POOL_BYTES)
            at = 0
        self._at = at + 10
        number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(self._pool[at : at + 10], "big")
        pairs = _PAIRS
        return "".join([pairs[(number >> shift) & 1023] for shift in range(120, -1, -10)])
