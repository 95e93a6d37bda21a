"""Limits as values: what a key, an account or a provider may use, a rate's arithmetic, and what edges and collector say of them.

Rule: a rate is a number of units in any minute. An edge admits under a ceiling that the collector raised beforehand, so admission
asks nobody; the collector raises ceilings only so far that what was used in the last minute and what may still be used under all
of them together is within the limit and a tenth (`WINDOW_PERCENT`).
Rule: a ceiling is absolute (units since the process began), like a flow-control window: an answer that is lost changes nothing.
An edge has one report under way and takes the answer to that one alone, so what it reports to keep is what it has. A ceiling
lapses after `ttl_s`, which the edge counts from when it asked, so always before the collector does.
Limits: time is integer nanoseconds of one monotonic clock in `Gcra`; amounts are integers. Money is limited by purses.
Sources: GCRA is ITU-T I.371; ceilings are QUIC's MAX_DATA (RFC 9000, 4.1); leases with a safe capacity are Doorman's.
"""

from typing import Final, Literal

import msgspec

PERIOD_S: Final = 60
PERIOD_NS: Final = PERIOD_S * 1_000_000_000
LIMIT_MAX: Final = 10**12
"""More than this is no limit."""
WINDOW_PERCENT: Final = 110
"""Of the limit: what may be admitted in any 60 s, over all edges that can be reached."""
BURST_PERCENT: Final = 10
"""Of the limit: what the paced grants of a busy limit may run ahead."""

Unit = Literal["requests", "tokens", "concurrent"]
UNITS: Final[tuple[Unit, ...]] = ("requests", "tokens", "concurrent")
NAMES: Final[dict[Unit, str]] = {
    "requests": "requests_per_minute",
    "tokens": "tokens_per_minute",
    "concurrent": "concurrent_requests",
}
"""What an operator calls the limit on a unit; also the member of `LimitTerms`."""


class LimitTerms(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one key, account or provider may use; None: as much as it likes.

    `hard`: when the collector cannot say what others use, refuse; else each edge goes on with its share. `shadow`: count and
    tell, do not refuse. `count`: a request whose answer may be long is debited what such answers usually have ("expected"), or
    all that it asks for ("worst"); either way it is corrected when the answer is settled. `models`: of an account, what its keys
    may use at most.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    hard: bool = False
    shadow: bool = False
    count: Literal["expected", "worst"] = "expected"
    models: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is limited but the models."""
        return self.requests_per_minute is None and self.tokens_per_minute is None and self.concurrent_requests is None

    def of(self, unit: Unit) -> int | None:
        """The limit on a unit."""
        found: int | None = getattr(self, NAMES[unit])
        return found

    def problem(self) -> str:
        """What cannot be meant, in a sentence; empty when all is well."""
        for name in NAMES.values():
            value = getattr(self, name)
            if value is not None and not 1 <= value <= LIMIT_MAX:
                return f"{name} is {value}; from 1 to {LIMIT_MAX} are expected, or null for no limit"
        if any(not model or "," in model or len(model) > 256 for model in self.models):
            return "each of the models is a model id, or a prefix ending in '*'"
        return ""


NO_MODEL: Final = ("-",)
"""Allows nothing: no model has this id."""


def narrowed(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The models that two lists of ids and prefixes (ending in `*`) both allow; an empty one allows all."""
    if not one or not other:
        return one or other
    found = dict.fromkeys(both for a in one for b in other if (both := _both(a, b)))
    return tuple(found) or NO_MODEL


def _both(one: str, other: str) -> str:
    """The narrower of two patterns, if one is within the other."""
    for narrow, wide in ((one, other), (other, one)):
        if narrow == wide or (wide.endswith("*") and narrow.removesuffix("*").startswith(wide[:-1])):
            return narrow
    return ""


NO_LIMITS: Final = LimitTerms()


def overlaid(own: LimitTerms | None, default: LimitTerms) -> LimitTerms:
    """What is set for one, and the operator's default for all where nothing is."""
    if own is None or own == NO_LIMITS:
        return default
    named = {name: getattr(default, name) if (value := getattr(own, name)) is None else value for name in NAMES.values()}
    return LimitTerms(**named, hard=own.hard, shadow=own.shadow, count=own.count)


class Gcra(msgspec.Struct, frozen=True, gc=False):
    """A rate of `limit` units a minute with `burst` units at once, as one timestamp: when it would be as if never used.

    A cost above the burst is admitted when nothing is used, and then paid off: otherwise it never could be.
    """

    limit: int
    burst: int
    tat_ns: int = 0

    def cost_ns(self, cost: int) -> int:
        """How long the rate takes to pay for `cost` units; rounded up, so a limit is never exceeded by rounding."""
        return -(-cost * PERIOD_NS // self.limit)

    def after_admit(self, now_ns: int, cost: int) -> "Gcra | None":
        """None: it does not admit `cost` units now."""
        start_ns = self.tat_ns if self.tat_ns > now_ns else now_ns
        if start_ns + self.cost_ns(min(cost, self.burst)) - now_ns > self.cost_ns(self.burst):
            return None
        return Gcra(self.limit, self.burst, start_ns + self.cost_ns(cost))

    def after_correction(self, now_ns: int, delta: int) -> "Gcra":
        """What was admitted used `delta` units more (or less, negative) than was debited; the rate may then be in debt."""
        change_ns = self.cost_ns(delta) if delta >= 0 else -self.cost_ns(-delta)
        return Gcra(self.limit, self.burst, max(max(self.tat_ns, now_ns) + change_ns, now_ns))

    def free(self, now_ns: int) -> int:
        """Units that would be admitted now, never negative."""
        ahead_ns = max(self.tat_ns - now_ns, 0)
        return max((self.cost_ns(self.burst) - ahead_ns) * self.limit // PERIOD_NS, 0)

    def wait_ns(self, now_ns: int, cost: int) -> int:
        """Until `cost` units would be admitted; 0 now."""
        start_ns = max(self.tat_ns, now_ns)
        return max(start_ns + self.cost_ns(min(cost, self.burst)) - self.cost_ns(self.burst) - now_ns, 0)


def burst_of(limit: int) -> int:
    """What may come at once beyond an even rate, of a limit per minute; 1 at least."""
    return max(limit * BURST_PERCENT // 100, 1)


class LimitReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one process says of its use of one limit.

    `scope`: `key:<id>`, `account:<name>` or `provider:<name>`. `spent`: units admitted since the process began, corrections
    included; `recent`: those of the last minute. `want`: units that it would like to be able to admit from now on. `ceiling`:
    what it keeps of what it was given; below what it had, the rest goes back. For `concurrent`: `ceiling` is how many permits it
    keeps, those of running requests included, `want` how many it would like.
    """

    scope: str
    unit: Unit
    limit: int
    spent: int = 0
    recent: int = 0
    want: int = 0
    ceiling: int = 0


class LimitShare(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a report: `spent` may rise to `ceiling` (`concurrent`: so many permits) within `ttl_s` of asking.

    `used`: units in the last minute over all nodes, as far as they have reported (`concurrent`: permits given). `nodes`: how many
    share it. `is_green`: there is plenty, so what is not needed need not go back.
    """

    scope: str
    unit: Unit
    ceiling: int
    ttl_s: float
    used: int = 0
    nodes: int = 1
    is_green: bool = False
