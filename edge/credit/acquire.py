"""One call for credit that is under way, the waiters it serves, and what a waiter is told in the end."""

import asyncio

import msgspec

from usage.protocol import Unreachable


class HoldAnswer(msgspec.Struct, frozen=True):
    """What became of a reservation: held, or exhausted (`exhausted_by` says what), or else not to be had for now (`reason`).

    `available_nano` is what the purse could still pay for, here and at the collector together.
    """

    held_nano: int | None = None
    exhausted_by: str = ""
    available_nano: int = 0
    retry_after_s: float | None = None
    reason: str = ""


class PendingAcquire:
    """One call that is under way for a purse, and what its waiters need."""

    __slots__ = ("is_refused", "min_nano", "problem", "task", "want_nano")

    def __init__(self) -> None:
        self.want_nano = 0
        self.min_nano = 0
        self.is_refused = False
        self.problem: Unreachable | None = Unreachable("the call ended without an answer", 1.0)
        self.task: asyncio.Task[None]

    def join(self, want_nano: int, min_nano: int) -> None:
        """One more waits; counts only until the call is sent."""
        self.want_nano += want_nano
        self.min_nano = min(self.min_nano, min_nano) if self.min_nano else min_nano
