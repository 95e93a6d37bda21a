"""A route: the targets that serve what callers ask for by one name, in which order, and how patient we are with them.

Rule: conditions are a closed list of facts about the request and this machine, all of which must hold; there is no expression
language. Rule: a target that stands for the same thing is moved to whenever that can help; a fallback is another thing, and is
asked only for the reasons that the operator lists. Limits: prices and keys are the providers', not the route's.
"""

from typing import Final, Literal

import msgspec

REASONS: Final = ("unavailable", "limited", "exhausted", "gone", "too_long", "unsupported", "refused")
"""Why a fallback may be asked (`routing.failures.failover.reason_of`)."""
FALLBACK_ON: Final = frozenset(REASONS) - {"refused"}
"""What one model refuses on its content is another's to answer only where the operator says so."""
PARTS: Final = ("image", "audio", "file", "tools", "json")
"""What `when.has` can ask for."""
Balance = Literal["weighted", "cheapest", "fastest", "in_order"]
BALANCES: Final = ("weighted", "cheapest", "fastest", "in_order")

GROUPS: Final = {
    "eu": frozenset(["ams", "arn", "cdg", "fra", "mad", "otp", "waw"]),
    "uk": frozenset(("lhr",)),
    "us": frozenset(["atl", "bos", "den", "dfw", "ewr", "iad", "lax", "mia", "ord", "phx", "sea", "sjc"]),
    "ca": frozenset(("yul", "yyz")),
    "sa": frozenset(["bog", "eze", "gig", "gru", "scl"]),
    "asia": frozenset(["bom", "hkg", "nrt", "sin"]),
    "oceania": frozenset(("syd",)),
    "africa": frozenset(("jnb",)),
}
"""Fly's regions by where they are; any other name is a region by itself."""


class Breaker(msgspec.Struct, frozen=True):
    """`failures` in a row close a target for `cool_down_s`, doubled each further time; so does a share of `failure_rate` of at
    least ten requests within `window_s` (None: no share does). At most `closed_at_most` of a route's targets are left out for
    failures alone."""

    failures: int = 5
    cool_down_s: float = 2.0
    cool_down_s_max: float = 60.0
    closed_at_most: float = 0.5
    failure_rate: float | None = None
    window_s: float = 30.0


class RoutePolicy(msgspec.Struct, frozen=True):
    """How patient we are. `attempts_max` None: as the providers say. `first_token_timeout_s`: another target is asked when the
    first token has not come by then; what the one that was left may bill for it is the house's (`abandoned`)."""

    name: str = ""
    attempts_max: int | None = None
    first_token_timeout_s: float | None = None
    retry_budget: float = 0.2
    breaker: Breaker = Breaker()


DEFAULT_POLICY: Final = RoutePolicy()


class Situation(msgspec.Struct, frozen=True):
    """What `when` can ask about a request, and where and when it is asked. `conversation` names what belongs together."""

    region: str = ""
    has: frozenset[str] = frozenset()
    prompt_tokens: int = 0
    max_tokens: int = 0
    stream: bool = False
    hour_utc: int = 0
    conversation: str = ""


ANYWHERE: Final = Situation()


class When(msgspec.Struct, frozen=True):
    """All that is said must hold. `hours_utc` from the first to before the second, over midnight if that is smaller."""

    region: str | None = None
    has: frozenset[str] = frozenset()
    prompt_tokens_over: int | None = None
    max_tokens_over: int | None = None
    stream: bool | None = None
    hours_utc: tuple[int, int] | None = None

    def why_not(self, now: Situation) -> str:
        """What does not hold, as `when.region = eu, here iad`; empty when all does."""
        region = self.region
        if region is not None and now.region != region and now.region not in GROUPS.get(region, ()):
            return f"when.region = {region}, here {now.region or 'nowhere: TOLLWAY_REGION is not set'}"
        if not self.has <= now.has:
            return f"when.has = {', '.join(sorted(self.has))}, here {', '.join(sorted(now.has)) or 'none'}"
        if self.prompt_tokens_over is not None and now.prompt_tokens <= self.prompt_tokens_over:
            return f"when.prompt_tokens_over = {self.prompt_tokens_over}, here about {now.prompt_tokens}"
        if self.max_tokens_over is not None and now.max_tokens <= self.max_tokens_over:
            return f"when.max_tokens_over = {self.max_tokens_over}, here {now.max_tokens}"
        if self.stream is not None and now.stream is not self.stream:
            return f"when.stream = {str(self.stream).lower()}, here {str(now.stream).lower()}"
        if self.hours_utc is not None and not _is_within(now.hour_utc, *self.hours_utc):
            return f"when.hours_utc = {list(self.hours_utc)}, now {now.hour_utc}"
        return ""


def _is_within(hour: int, begin: int, end: int) -> bool:
    return begin <= hour < end if begin <= end else hour >= begin or hour < end


ALWAYS: Final = When()


class Choice(msgspec.Struct, frozen=True):
    """One target: the id of a model, its share where `balance` is weighted, and when it is one."""

    to: str
    weight: int = 1
    when: When = ALWAYS


class Route(msgspec.Struct, frozen=True):
    """`fallback` are ids of models, asked in their order behind the targets, for the reasons in `fallback_on`."""

    id: str
    choices: tuple[Choice, ...]
    fallback: tuple[str, ...] = ()
    fallback_on: frozenset[str] = FALLBACK_ON
    balance: Balance = "weighted"
    sticky_s: float = 0.0
    policy: RoutePolicy = DEFAULT_POLICY

    @property
    def model_ids(self) -> tuple[str, ...]:
        """All that it may lead to."""
        return tuple(dict.fromkeys((*(each.to for each in self.choices), *self.fallback)))

    @property
    def is_fixed(self) -> bool:
        """Whether every request has the same targets in the same order."""
        is_ordered = self.balance == "in_order" or len(self.choices) == 1
        return is_ordered and all(each.when is ALWAYS for each in self.choices)

    @property
    def asks_for_parts(self) -> bool:
        """Whether what a request is made of (`Situation.has`) decides about a target."""
        return any(each.when.has for each in self.choices)

    def weights(self, now: Situation) -> dict[str, int]:
        """The targets that are ones now, each once, with their shares."""
        shares: dict[str, int] = {}
        for each in self.choices:
            if each.when is ALWAYS or not each.when.why_not(now):
                shares[each.to] = shares.get(each.to, 0) + each.weight
        return shares


class DataTerms(msgspec.Struct, frozen=True):
    """What a provider does with what it is sent; None where it does not say."""

    trains: bool | None = None
    retains_days: int | None = None
    regions: tuple[str, ...] = ()
