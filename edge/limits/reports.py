"""What this edge tells the collector of its limits, when, and what becomes of the answer.

Rule: reports ride on the batches and polls that go anyway; when a limit is low or somebody waits, a poll is sent early, at most
one in ASK_S. Rule: one message with reports is under way at a time, and only its answer counts: what is reported to be kept is
then what is there (`usage.limit`).
Limits: at most REPORTS_MAX limits at once, the others next time.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from edge.limits.permits import PermitPool
from edge.limits.quota import Quota
from usage.limit import LimitReport, LimitShare

ASK_S: Final = 0.2
LOST_S: Final = 2.0
"""A message that was not answered for so long is taken for lost."""
REPORTS_MAX: Final = 2_000


class Reports:
    """The limits that are in use. `collect` for each message that goes, then `apply` its answer, or `mark_lost`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._active: dict[Quota | PermitPool, None] = {}
        self._under_way: dict[tuple[str, str], Quota | PermitPool] | None = None
        self._asked_s = float("-inf")
        self._low = asyncio.Event()
        self.answered = asyncio.Event()
        """Set when the next answer comes, or is lost; then it is another one."""
        self.is_away = False
        """Whether the last message was not answered: nobody knows what others use."""
        self.asks_total = 0

    def __len__(self) -> int:
        return len(self._active)

    def mark_used(self, limit: Quota | PermitPool) -> None:
        """It was used, and is not among those that are reported, or low."""
        self._active[limit] = None
        if limit.is_low:
            self._low.set()

    def mark_short(self, limit: Quota | PermitPool) -> None:
        """It did not have what was wanted."""
        self._active[limit] = None
        self._low.set()

    @property
    def _is_under_way(self) -> bool:
        return self._under_way is not None and self._clock() - self._asked_s < LOST_S

    def collect(self) -> tuple[LimitReport, ...]:
        """What goes along with a message that is sent now; nothing while an answer is awaited."""
        if not self._active or self._is_under_way:
            return ()
        now_s = self._clock()
        told: dict[tuple[str, str], Quota | PermitPool] = {}
        reports = []
        for limit in tuple(self._active)[:REPORTS_MAX]:
            del self._active[limit]
            told[limit.scope, limit.unit] = limit
            reports.append(limit.report(now_s))
            if limit.is_idle(now_s):
                limit.stop_reporting()
            else:
                self._active[limit] = None  # at the end, so that each has its turn
        self._under_way, self._asked_s = told, now_s
        self.asks_total += 1
        return tuple(reports)

    def apply(self, taken: Sequence[LimitReport], shares: Sequence[LimitShare]) -> None:
        """The answer to a message that took these reports along; they may be none."""
        told = self._under_way
        if not taken or told is None:
            return
        self._under_way = None
        self.is_away = False
        for share in shares:
            limit = told.get((share.scope, share.unit))
            if limit is not None:
                limit.apply_share(share, self._asked_s)
                if limit not in self._active:
                    limit.stop_reporting()
        self._wake()

    def mark_lost(self, taken: Sequence[LimitReport]) -> None:
        """It was not answered."""
        if taken and self._under_way is not None:
            self._under_way, self.is_away = None, True
            self._wake()

    def _wake(self) -> None:
        answered, self.answered = self.answered, asyncio.Event()
        answered.set()

    async def run(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Have `ask` send a message early when a limit is low, until cancelled."""
        while True:
            await self._low.wait()
            await asyncio.sleep(max(self._asked_s + ASK_S - self._clock(), 0.0))
            if self._is_under_way:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOST_S):
                        await self.answered.wait()
                continue
            self._low.clear()
            await ask()
