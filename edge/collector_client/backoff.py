"""How long a collector that failed is left alone: longer after each failure in a row, with full jitter, and never for less than
it asked for itself.

Source: AWS Architecture Blog, "Exponential Backoff and Jitter" (full jitter).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

FIRST_S = 0.5
MOST_S = 60.0
RETRY_AFTER_MAX_S = 300.0

Pause = Callable[[float, asyncio.Event], Awaitable[None]]
"""(seconds, event): return when the event is set or the time is over."""


async def pause(delay_s: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(delay_s):
            await event.wait()
    except TimeoutError:
        pass


class Backoff:
    """`failures` in a row. `dice` is asked for a number from 0 to below 1; `pause` waits."""

    __slots__ = ("dice", "failures", "pause")

    def __init__(self, dice: Callable[[], float] = random.random, pause: Pause = pause) -> None:
        self.dice = dice
        self.pause = pause
        self.failures = 0

    def fail(self, retry_after_s: float | None = None) -> float:
        """One more failure, with which the collector may have said how long to wait; how long to wait."""
        self.failures += 1
        return self.dice() * min(MOST_S, FIRST_S * 2.0 ** min(self.failures - 1, 16)) + min(
            retry_after_s or 0.0, RETRY_AFTER_MAX_S
        )

    def recover(self) -> None:
        """It answered as it should."""
        self.failures = 0

    def another(self) -> "Backoff":
        """The same for something else that fails by itself."""
        return Backoff(self.dice, self.pause)
