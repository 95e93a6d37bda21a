"""One rate limit of one scope at this edge: what was admitted here, how far more may be, and what to tell the collector.

Rule: `spent` stays within `ceiling` while that lives (`usage.limit`). Without one, an edge that cannot ask admits its share of
the limit (`nodes` is how many shared it) by a rate of its own, or nothing if the limit is hard.
Rule: a correction belongs to the minute in which its debit was made: tokens that were debited and not used come free in that
minute and in no later one. What was used beyond the debit counts from now.
Limits: no clock here; `now_s` is monotonic. The minute is SLOTS slots of a second: an admission counts up to a second more.
Strategy: an admission writes two sums; what can be told from them (`recent`, demand) is told when it is asked for.
"""

from typing import Final

from routing.plan.limits import Headers, limit_headers
from usage.limit import PERIOD_S, Gcra, LimitReport, LimitShare, Unit, burst_of

SLOTS: Final = PERIOD_S + 1
AHEAD_S: Final = 1.5
"""So much of its own demand an edge likes to be able to admit."""
IDLE_S: Final = 10.0
"""Who has not asked for so long wants nothing ahead."""
DEMAND_WEIGHT: Final = 0.5


class Quota:
    """A limit on requests or tokens. `may`, then `take`, for each admission."""

    __slots__ = (
        "_before",
        "_corrected",
        "_demand",
        "_elsewhere",
        "_is_green",
        "_low",
        "_reported_debits",
        "_reported_recent",
        "_reported_s",
        "_slot",
        "_slots",
        "_start",
        "_unmet",
        "ceiling",
        "is_hard",
        "limit",
        "local",
        "look_above",
        "nodes",
        "scope",
        "spent",
        "touched_s",
        "unit",
        "until_s",
    )

    def __init__(self, scope: str, unit: Unit, limit: int, now_s: float, *, is_hard: bool = False) -> None:
        self.scope = scope
        self.unit: Unit = unit
        self.limit = limit
        self.is_hard = is_hard
        self.spent = self.ceiling = 0
        self.look_above = -1
        """When `spent` is above it, which is below the ceiling, there is something to tell soon (`edge.limits.reports`)."""
        self.until_s = float("-inf")
        self.nodes = 1
        self.local: Gcra | None = None
        self.touched_s = now_s
        self._slot = int(now_s)
        self._slots = [0] * SLOTS
        """What was used in each second of the minute but this one, which is `spent` beyond `_start`."""
        self._start = self._before = 0
        """Of `spent`, what was used before this second, and before this minute."""
        self._corrected = 0
        """Of `spent`, what is no debit."""
        self._elsewhere = 0
        self._is_green = False
        self._low = 0
        self._demand = 0.0
        self._unmet = 0
        self._reported_s = now_s
        self._reported_recent = self._reported_debits = 0

    def __repr__(self) -> str:
        return f"<Quota {self.scope} {self.unit} {self.recent}/{self.limit} ahead {self.ceiling - self.spent}>"

    @property
    def recent(self) -> int:
        """Units of the last minute here, as of the last admission or look."""
        return self.spent - self._before

    def may(self, cost: int, now_s: float, *, is_away: bool = False) -> bool:
        """Whether `cost` units may be admitted now. `is_away`: the collector cannot be asked."""
        if now_s < self.until_s:
            if self.spent + cost <= self.ceiling:
                return True
            if not is_away:
                return False
        return is_away and not self.is_hard and self._local(now_s).after_admit(int(now_s * 1e9), cost) is not None

    def take(self, cost: int, now_s: float, *, is_away: bool = False) -> int:
        """Admit; the slot that a correction has to name."""
        if is_away and not (now_s < self.until_s and self.spent + cost <= self.ceiling):
            local, now_ns = self._local(now_s), int(now_s * 1e9)
            self.local = local.after_admit(now_ns, cost) or local.after_correction(now_ns, cost)
        slot = int(now_s)
        if slot != self._slot:
            self._turn(slot)
        self.spent += cost
        return slot

    def refuse(self, cost: int, now_s: float) -> None:
        """`cost` units were wanted and could not be had."""
        self._unmet += cost
        self.touched_s = now_s

    def correct(self, slot: int, delta: int, now_s: float) -> None:
        """What was debited in `slot` used `delta` units more, or less (negative)."""
        now = int(now_s)
        if now != self._slot:
            self._turn(now)
        if delta < 0:
            if now - slot >= SLOTS:
                return  # that minute is over
            delta = -min(-delta, self._slots[slot % SLOTS] if slot != now else self.spent - self._start)
        else:
            slot = now
        if slot != now:
            self._slots[slot % SLOTS] += delta
            self._start += delta
        self.spent += delta
        self._corrected += delta

    def _turn(self, slot: int) -> None:
        self._slots[self._slot % SLOTS] = self.spent - self._start
        self._start = self.spent
        for each in range(self._slot + 1, min(slot, self._slot + SLOTS) + 1):
            self._before += self._slots[each % SLOTS]
            self._slots[each % SLOTS] = 0
        self._slot = slot

    def _local(self, now_s: float) -> Gcra:
        """The share that this edge takes when it cannot ask."""
        limit = max(self.limit // self.nodes, 1)
        if self.local is None or self.local.limit != limit:
            # What was admitted in this minute was admitted: the rate begins with that debt.
            now_ns = int(now_s * 1e9)
            self.local = Gcra(limit, burst_of(limit), now_ns)
            excess = self.recent - limit
            if excess > 0:
                self.local = self.local.after_correction(now_ns, excess)
        return self.local

    @property
    def is_low(self) -> bool:
        """Whether more should be asked for now."""
        return self.ceiling - self.spent < self._low

    def is_hopeful(self, cost: int, now_s: float) -> bool:
        """Whether the collector may well give `cost` units, so that asking is worth the wait."""
        return now_s >= self.until_s or self.used(now_s) + cost <= self.limit

    def used(self, now_s: float) -> int:
        """Units of the last minute, here and, as last heard, elsewhere."""
        slot = int(now_s)
        if slot != self._slot:
            self._turn(slot)
        return max(self._elsewhere + self.spent - self._before, 0)

    def remaining(self, now_s: float) -> int:
        return max(self.limit - self.used(now_s), 0)

    def reset_s(self, now_s: float) -> float:
        """Until it would be as if never used, if nothing more came."""
        return min(self.used(now_s) / self.limit, 1.0) * PERIOD_S

    def wait_s(self, cost: int, now_s: float) -> float:
        """How long the rate takes to free `cost` units, within a minute."""
        missing = max(self.used(now_s) + cost - self.limit, min(cost, self.limit))
        return min(missing * PERIOD_S / self.limit, float(PERIOD_S))

    def report(self, now_s: float) -> LimitReport:
        """What to tell the collector now."""
        self.used(now_s)
        elapsed_s = max(now_s - self._reported_s, 0.05)
        debits = self.spent - self._corrected
        if debits != self._reported_debits:
            self.touched_s = now_s
        seen = debits - self._reported_debits + self._unmet
        self._demand += (seen / elapsed_s - self._demand) * DEMAND_WEIGHT
        ahead = self._demand * AHEAD_S
        want = int(ahead) + self._unmet if now_s - self.touched_s < IDLE_S else 0
        if not (now_s < self.until_s):
            self.ceiling = self.spent
        elif not self._is_green:
            self.ceiling = min(self.ceiling, self.spent + want)
        self._unmet = 0
        self._reported_s, self._reported_recent, self._reported_debits = now_s, max(self.recent, 0), debits
        self.look_above = self.ceiling - self._low
        return LimitReport(self.scope, self.unit, self.limit, self.spent, self._reported_recent, want, self.ceiling)

    def apply_share(self, share: LimitShare, asked_s: float) -> None:
        """The collector's answer to the last report, which was sent at `asked_s`."""
        self.ceiling = share.ceiling
        self._is_green = share.is_green
        self.until_s = asked_s + share.ttl_s
        self.nodes = max(share.nodes, 1)
        self.local = None
        self._elsewhere = share.used - self._reported_recent
        self._low = (self.ceiling - self.spent) // 2 + 1
        self.look_above = self.ceiling - self._low

    def stop_reporting(self) -> None:
        """Nothing is told of it from now on: the next use is to be looked at."""
        self.look_above = -1

    def headers(self, now_s: float) -> Headers:
        """What callers are told of it."""
        slot = int(now_s)
        if slot != self._slot:
            self._turn(slot)
        return limit_headers(self.unit, self.limit, self._elsewhere + self.spent - self._before)

    def is_idle(self, now_s: float) -> bool:
        """Whether there is nothing to tell: nothing was admitted in the last minute, and nobody asks."""
        self.used(now_s)
        return not self.recent and now_s - self.touched_s >= IDLE_S
