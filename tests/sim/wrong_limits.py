"""Limits as others share them, and ours with one rule left out: what `tests/sim/limits.py` must see."""

from collector.limits.shared import Share, SharedLimit
from edge.limits.quota import Quota
from tests.sim.limits import Case, GreenStrict
from usage.limit import Gcra, LimitReport, LimitShare, burst_of


class WholeLimitEach(GreenStrict):
    """Every edge has the whole limit: N replicas admit N times as much."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.rates = [Gcra(case.limit, burst_of(case.limit)) for _ in range(case.edges)]

    def admit(self, edge: int, cost: int, now_s: float, *, is_away: bool) -> bool:
        after = self.rates[edge].after_admit(int(now_s * 1e9), cost)
        if after is not None:
            self.rates[edge] = after
        return after is not None

    def is_hopeful(self, edge: int, cost: int, now_s: float) -> bool:
        return False

    def is_low(self, edge: int) -> bool:
        return False


class DividedShares(WholeLimitEach):
    """The rate is divided anew among edges, by demand, each time they tell: small buckets never fill while shares move."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.seen = [1.0] * case.edges
        self.rates = [Gcra(max(case.limit // case.edges, 1), 1) for _ in range(case.edges)]

    def admit(self, edge: int, cost: int, now_s: float, *, is_away: bool) -> bool:
        self.seen[edge] += cost
        return super().admit(edge, cost, now_s, is_away=is_away)

    def hear(self, edge: int, share: LimitShare, asked_s: float) -> None:
        limit = max(int(self.case.limit * self.seen[edge] / sum(self.seen)), 1)
        self.seen[edge] = self.seen[edge] / 2 + 0.01
        self.rates[edge] = Gcra(limit, max(burst_of(limit) // 2, 1), int((asked_s + self.case.rtt_s) * 1e9))


class EscrowWhenEmpty(GreenStrict):
    """Tokens of one bucket, asked for when there are none and lost after three seconds."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.bucket = Gcra(case.limit, burst_of(case.limit))
        self.tokens: list[list[float]] = [[] for _ in range(case.edges)]

    def admit(self, edge: int, cost: int, now_s: float, *, is_away: bool) -> bool:
        alive = self.tokens[edge] = [until_s for until_s in self.tokens[edge] if until_s > now_s]
        if len(alive) < cost:
            return False
        del alive[:cost]
        return True

    def is_hopeful(self, edge: int, cost: int, now_s: float) -> bool:
        return False

    def is_low(self, edge: int) -> bool:
        return False

    def answer(self, edge: int, report: LimitReport, now_s: float) -> LimitShare:
        given = min(self.bucket.free(int(now_s * 1e9)), max(self.case.limit // 20, 1))
        self.bucket = self.bucket.after_correction(int(now_s * 1e9), given)
        return LimitShare("key:k", "requests", given, 3.0)

    def hear(self, edge: int, share: LimitShare, asked_s: float) -> None:
        self.tokens[edge] += [asked_s + share.ttl_s] * share.ceiling


class ForgetsAhead(SharedLimit):
    """The collector goes by what was used alone, not by what it has let others have ahead."""

    def _next(self, share: Share, want: int, used: int, now_s: float) -> int:
        return max(self.limit - used, 0)


class Ahead(GreenStrict):
    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.shared = ForgetsAhead(case.limit, -10.0)


class NeverLapses(Quota):
    """An edge that goes on spending under a ceiling whose time is over."""

    def may(self, cost: int, now_s: float, *, is_away: bool = False) -> bool:
        return self.spent + cost <= self.ceiling or super().may(cost, now_s, is_away=is_away)


class CorrectsInAnotherMinute(Quota):
    """What was not used comes free now, whenever it was debited."""

    def correct(self, slot: int, delta: int, now_s: float) -> None:
        now = int(now_s)
        if now != self._slot:
            self._turn(now)
        self._slots[now % len(self._slots)] += delta
        self.spent += delta
        self._corrected += delta
