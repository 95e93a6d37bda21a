"""What one limit has left for each of the nodes that share it. Pure: the time is an argument.

Rule (rates): what all nodes used in the last minute, as they report it, and what they may still use under their ceilings, is
never above the limit and a tenth. So no node can admit what another was given, whatever is lost, late or repeated.
Strategy: below STRICT_PERCENT of the limit ("green") a node gets more than it asks for, so that a sudden crowd is not refused
below the limit. Above, it gets what it wants ahead, out of one bucket of the limit's rate: that shares by demand, and a limit
that is used up comes back evenly, not in one burst a minute later.
Rule (permits): the sum of what is given is never above the limit; only a node that says it keeps fewer has fewer.
Rule: while processes report different limits for one scope, as when tables are replaced one edge after another, the least of them
holds for all, and what was used counts on.
Limits: soft state. After a restart everybody's use is unknown until it is reported: for LEARNING_S nobody gets more than a small
part. A node that is silent counts with its last report for a minute, or until its permits' life is over.
"""

from typing import Final

import msgspec

from usage.limit import LIMIT_MAX, PERIOD_S, WINDOW_PERCENT, Gcra, LimitReport, LimitShare, burst_of

STRICT_PERCENT: Final = 70
GREEN_PERCENT: Final = 15
"""Of the limit, over all nodes: what they have ahead while it is green."""
AHEAD_PERCENT: Final = 25
"""Of the limit, over all nodes: what they may have ahead while it is strict."""
TTL_S: Final = 10.0
PERMIT_TTL_S: Final = 60.0
LEARNING_S: Final = 3.0
LEARNING_PERCENT: Final = 10
NODE_S: Final = PERIOD_S + TTL_S
"""A node that was silent for so long shares no more."""

Process = tuple[str, int]
"""Node and epoch."""


class Share(msgspec.Struct):
    """What one process has of a limit."""

    spent: int = 0
    recent: int = 0
    ceiling: int = 0
    until_s: float = 0.0
    seen_s: float = 0.0
    limit: int = LIMIT_MAX
    """What it takes the limit to be."""

    def ahead(self, now_s: float) -> int:
        """Units it may still use."""
        return max(self.ceiling - self.spent, 0) if now_s < self.until_s else 0


class SharedLimit:
    """One limit of one scope. `answer` each report."""

    __slots__ = ("_bucket", "limit", "shares", "started_s")

    def __init__(self, limit: int, started_s: float) -> None:
        self.limit = limit
        self.started_s = started_s
        self.shares: dict[Process, Share] = {}
        self._bucket = Gcra(limit, burst_of(limit))

    def answer(self, process: Process, report: LimitReport, now_s: float) -> LimitShare:
        """Take what a process reports, and give it what it may use next."""
        self._forget(now_s)
        share = self.shares.setdefault(process, Share())
        share.seen_s, share.limit = now_s, report.limit
        self._agree(min(each.limit for each in self.shares.values()))
        if report.unit == "concurrent":
            return self._permits(share, report, now_s)
        kept = max(report.ceiling, report.spent) if now_s < share.until_s else report.spent
        if kept < share.ceiling:
            # It gives back what it does not need, or never heard of it.
            self._bucket = self._bucket.after_correction(int(now_s * 1e9), kept - share.ceiling)
        share.spent, share.recent, share.ceiling = report.spent, report.recent, kept
        used = sum(each.recent for each in self.shares.values())
        share.ceiling += self._next(share, report.want, used, now_s)
        share.until_s = now_s + TTL_S
        return LimitShare(report.scope, report.unit, share.ceiling, TTL_S, used, len(self.shares), used * 100 < self._strict)

    def _agree(self, limit: int) -> None:
        """The limit that holds. The pace goes on from where it is: a change is no new burst."""
        if limit != self.limit:
            self.limit = limit
            self._bucket = Gcra(limit, burst_of(limit), self._bucket.tat_ns)

    @property
    def _strict(self) -> int:
        return self.limit * STRICT_PERCENT

    def _next(self, share: Share, want: int, used: int, now_s: float) -> int:
        """Units by which the ceiling rises."""
        ahead = sum(each.ahead(now_s) for each in self.shares.values())
        own = share.ahead(now_s)
        free = max(self.limit * WINDOW_PERCENT // 100, self.limit) - used - ahead
        missing = min(want - own, free)
        if now_s - self.started_s < LEARNING_S:
            return max(min(missing, max(self.limit * LEARNING_PERCENT // 100 // len(self.shares), 1) - own), 0)
        if used * 100 < self._strict:
            plenty = max(self.limit * GREEN_PERCENT // 100 // len(self.shares), 1) - own
            return max(min(max(missing, plenty), free), 0)
        # What one request costs may be more than the usual room; what it is given piece by piece stays until it is enough.
        room = max(self.limit * AHEAD_PERCENT // 100, want, 1) - ahead
        now_ns = int(now_s * 1e9)
        given = min(missing, room, self._bucket.free(now_ns))
        if given <= 0:
            return 0
        self._bucket = self._bucket.after_correction(now_ns, given)
        return given

    def _permits(self, share: Share, report: LimitReport, now_s: float) -> LimitShare:
        share.ceiling, share.until_s = report.ceiling, now_s + PERMIT_TTL_S
        given = sum(each.ceiling for each in self.shares.values() if now_s < each.until_s)
        is_learning = now_s - self.started_s < LEARNING_S
        most = max(self.limit // (2 * len(self.shares)), 1) if is_learning else self.limit
        is_green = given * 100 < self._strict and report.want > 0
        want = max(report.want, self.limit * GREEN_PERCENT // 100 // len(self.shares)) if is_green else report.want
        more = max(min(min(want, most) - share.ceiling, self.limit - given), 0)
        share.ceiling += more
        nodes = len(self.shares)
        return LimitShare(report.scope, report.unit, share.ceiling, PERMIT_TTL_S, given + more, nodes, is_green)

    def _forget(self, now_s: float) -> None:
        silent = [process for process, share in self.shares.items() if now_s - share.seen_s > NODE_S]
        for process in silent:
            del self.shares[process]

    def drop(self, process: Process) -> None:
        """The process has ended: what it had ahead and its permits are free, what it used was used."""
        share = self.shares.get(process)
        if share is not None:
            share.ceiling, share.until_s, share.limit = 0, 0.0, LIMIT_MAX
