"""How many requests of one scope may be under way at once at this edge: permits, each held by its request.

Rule: a permit is held by the request itself, not counted: what is held is the set of those that run, so one that is given back
twice, or never taken, changes nothing, and none can leak while its request's end is told once.
Rule: this edge keeps no more permits than the collector gave and no fewer than run; what it does not need it gives back by saying
that it keeps fewer, before anybody else can be given them.
"""

from typing import Final

from usage.limit import LimitReport, LimitShare, Unit

SPARE_SHARE: Final = 4
"""A quarter of what runs, and one, is kept for who comes next."""
IDLE_S: Final = 10.0
RESET_S: Final = 1.0
"""What a caller is told when all permits are in use: nobody knows when a request ends."""


class PermitPool:
    """A limit on requests at once; `holders` are the requests that run."""

    __slots__ = (
        "_is_green",
        "_unmet",
        "holders",
        "is_hard",
        "limit",
        "look_above",
        "nodes",
        "permits",
        "scope",
        "touched_s",
        "unit",
        "until_s",
        "used_all",
    )

    def __init__(self, scope: str, limit: int, now_s: float, *, is_hard: bool = False) -> None:
        self.scope = scope
        self.unit: Unit = "concurrent"
        self.limit = limit
        self.is_hard = is_hard
        self.holders: set[object] = set()
        self.permits = 0
        self.look_above = -1
        """When more run, there is something to tell soon (`edge.limits.reports`)."""
        self.until_s = float("-inf")
        self.nodes = 1
        self.touched_s = now_s
        self.used_all = 0
        self._unmet = 0
        self._is_green = False
        """There is plenty, so what is not needed need not go back."""

    def __repr__(self) -> str:
        return f"<PermitPool {self.scope} {len(self.holders)} of {self.permits}, limit {self.limit}>"

    def may(self, now_s: float, *, is_away: bool = False) -> bool:
        running = len(self.holders)
        if now_s < self.until_s and running < self.permits:
            return True
        return is_away and not self.is_hard and running < max(self.limit // self.nodes, 1)

    def acquire(self, holder: object, now_s: float) -> None:
        """`holder` is the request; it holds its permit until `release`."""
        self.holders.add(holder)
        self.touched_s = now_s

    def refuse(self, now_s: float) -> None:
        self._unmet += 1
        self.touched_s = now_s

    def release(self, holder: object) -> None:
        """It has ended; once or more often is the same."""
        self.holders.discard(holder)

    @property
    def is_low(self) -> bool:
        """Whether more should be asked for now."""
        return self.permits < self.limit and len(self.holders) >= self.permits

    def is_hopeful(self, now_s: float) -> bool:
        """Whether the collector may well give another permit."""
        return now_s >= self.until_s or self.used_all < self.limit

    def remaining(self) -> int:
        return max(self.limit - max(self.used_all - self.permits, 0) - len(self.holders), 0)

    def report(self, now_s: float) -> LimitReport:
        """What is kept from now on, and how many would be useful."""
        running = len(self.holders)
        is_wanted = running > 0 or now_s - self.touched_s < IDLE_S
        want = min(running + max(running // SPARE_SHARE, 1) + self._unmet, self.limit) if is_wanted else 0
        if not now_s < self.until_s:
            self.permits = running
        elif not (self._is_green and is_wanted):
            self.permits = max(min(self.permits, want), running)
        self._unmet = 0
        self.look_above = self.permits - 1
        return LimitReport(self.scope, self.unit, self.limit, want=want, ceiling=self.permits)

    def apply_share(self, share: LimitShare, asked_s: float) -> None:
        """The answer to the last report; an older one's must not come here."""
        self.permits = max(share.ceiling, len(self.holders))
        self.until_s = asked_s + share.ttl_s
        self.nodes = max(share.nodes, 1)
        self.used_all = share.used
        self._is_green = share.is_green
        self.look_above = self.permits - 1

    def stop_reporting(self) -> None:
        """Nothing is told of it from now on: the next use is to be looked at."""
        self.look_above = -1

    def is_idle(self, now_s: float) -> bool:
        return not self.holders and not self.permits and now_s - self.touched_s >= IDLE_S
