"""The collector, as one epoch of one node speaks to it: unique ids, bounded waits, and the moment it is fenced.

Rule: whatever goes wrong is Unreachable to the callers; no request could resolve a refusal. `fenced` is for good, `revoked`
until a poll is answered.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, TypeVar

from edge.telemetry.histogram import SECONDS, Histogram
from usage.limit import LimitReport
from usage.protocol import Acquire, Acquired, CollectorClient, Poll, Polled, Refused, Return, Unreachable

T = TypeVar("T")
CALL_S_MAX = 10.0


class CollectorSession:
    """Where one process asks for credit and gives it back."""

    def __init__(
        self, node: str, epoch: int, collector: CollectorClient, on_barred: Callable[[], None] | None = None, salt: str = ""
    ) -> None:
        """`on_barred` is called when one of `is_fenced` and `revoked` changes."""
        self.node = node
        self.epoch = epoch
        self._collector = collector
        self._on_barred = on_barred or (lambda: None)
        self._salt = salt or os.urandom(8).hex()
        self._count = 0
        self.is_fenced = False
        self.revoked = ""
        """What the collector said when it refused this node's token as a revoked one; empty while it does not."""
        self.calls_total = 0
        self.acquire_s = Histogram(SECONDS)
        """How long the collector took for a key or a grant, whatever it said."""

    def next_id(self) -> str:
        """An id nobody else uses, not even this epoch given out twice by a collector that was restored from a backup."""
        self._count += 1
        return f"{self._salt}-{self._count}"

    async def acquire(self, message: Acquire) -> Acquired:
        """Raises Unreachable."""
        self.calls_total += 1
        began_s = monotonic()
        try:
            return await self._answer(self._collector.acquire(message))
        finally:
            self.acquire_s.observe((monotonic() - began_s,))

    async def give_back(self, return_id: str, purse: str, amount_nano: int) -> None:
        """Raises Unreachable. A return that the collector refuses is settled when it closes the epoch."""
        self.calls_total += 1
        try:
            await self._answer(self._collector.give_back(Return(self.node, self.epoch, return_id, purse, amount_nano)))
        except Unreachable as problem:
            if not isinstance(problem.__cause__, Refused):
                raise

    async def poll(self, key_version: int, limits: tuple[LimitReport, ...] = ()) -> Polled:
        """Raises Unreachable."""
        polled = await self._answer(self._collector.poll(Poll(self.node, self.epoch, key_version, limits)))
        self._note_revoked("")
        return polled

    async def _answer(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(CALL_S_MAX):
                return await call
        except TimeoutError:
            raise Unreachable("the collector did not answer") from None
        except Refused as refused:
            if refused.code == "fenced" and not self.is_fenced:
                self.is_fenced = True
                self._on_barred()
            elif refused.code == "revoked":
                self._note_revoked(str(refused))
            raise Unreachable(f"the collector refused: {refused}") from refused

    def _note_revoked(self, said: str) -> None:
        if bool(said) != bool(self.revoked):
            self.revoked = said
            self._on_barred()
