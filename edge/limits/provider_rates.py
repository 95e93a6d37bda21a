"""What providers say that they have left for us, by their `x-ratelimit-*` answers: a rate per unit of each model behind each key.

Rule: a provider's word replaces what we reckoned since its last one; other edges use the same key, and only the provider knows.
Rule: what is left of a provider's limit is no reason to refuse before it is used up: only then are its other keys, or others,
asked instead, and if there is nobody, the caller is told when to come again.
Rule: providers limit their models apart, so what one has left says nothing of another. Source: OpenAI's guide on rate limits.
Limits: as far as they are named as OpenAI names them (most do).
"""

from collections.abc import Callable
from time import monotonic, time
from typing import Final

from routing.failures.retry_after import reset_of
from routing.plan.plan import Attempt
from routing.plan.refusal import Refusal
from usage.limit import LIMIT_MAX, PERIOD_NS, Gcra

STATED_S_MAX: Final = 3_600.0
_UNITS: Final = (
    (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
)
_REMAINING: Final = frozenset(names[1] for names in _UNITS)
Known = tuple[Gcra | None, Gcra | None]
_NOTHING: Final[Known] = (None, None)


class ProviderRates:
    """By target: requests and tokens. Empty while nobody is near a limit, which is the usual case."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._known: dict[str, Known] = {}
        self.may_refuse = False
        """Whether anything is known at all; whether that still matters, `bool` says."""
        self._until_ns = 0
        """When all that is known will be as if never used."""

    def __bool__(self) -> bool:
        """Whether anybody may be near a limit. What nobody asks any more is forgotten, or all would be looked at for ever."""
        if self._known and self._until_ns <= self._clock() * 1e9:
            self._known.clear()
        self.may_refuse = bool(self._known)
        return self.may_refuse

    def observe(self, attempt: Attempt, fields: dict[bytes, bytes]) -> None:
        """An answer of a provider came; `fields` are its headers by name."""
        if _REMAINING.isdisjoint(fields):
            return
        now_s, now_unix_s = self._clock(), time()
        at = attempt.scopes.target
        known = tuple(_stated(fields, names, now_s, now_unix_s) for names in _UNITS)
        if known == _NOTHING:
            self._known.pop(at, None)
        else:
            self._keep(at, (known[0], known[1]))

    def refusal(self, attempt: Attempt, tokens: int, now_s: float) -> Refusal | None:
        """Why this target cannot be asked now."""
        known = self._known.get(attempt.scopes.target)
        if known is None:
            return None
        now_ns = int(now_s * 1e9)
        waits = [rate.wait_ns(now_ns, cost) for rate, cost in zip(known, (1, tokens), strict=True) if rate is not None]
        wait_s = max(waits, default=0) / 1e9
        if wait_s <= 0:
            return None
        message = f"the provider of {attempt.model.id} has nothing left of its own limit for this proxy"
        return Refusal(429, "provider_rate_limited", message, retry_after_s=min(max(wait_s, 1.0), 60.0))

    def take(self, attempt: Attempt, tokens: int, now_s: float) -> None:
        """It is asked: what it said to have left is less now, until it says something else."""
        at = attempt.scopes.target
        known = self._known.get(at)
        if known is None:
            return
        now_ns = int(now_s * 1e9)
        after = [
            None if rate is None else rate.after_correction(now_ns, cost) for rate, cost in zip(known, (1, tokens), strict=True)
        ]
        if all(rate is None or rate.tat_ns <= now_ns for rate in known):
            del self._known[at]  # as if never used
        else:
            self._keep(at, (after[0], after[1]))

    def _keep(self, at: str, known: Known) -> None:
        self._known[at] = known
        self.may_refuse = True
        self._until_ns = max((self._until_ns, *(rate.tat_ns for rate in known if rate is not None)))


def _stated(fields: dict[bytes, bytes], names: tuple[bytes, bytes, bytes], now_s: float, now_unix_s: float) -> Gcra | None:
    """A provider's word as a rate: `remaining` now, all of it after `reset`. None: nothing is known, or nothing used."""
    try:
        limit, remaining = (int(fields[name]) for name in names[:2])
    except (KeyError, ValueError):
        return None
    reset_s = reset_of(fields.get(names[2], b""), now_unix_s)
    if reset_s is None or not 0 <= remaining < limit <= LIMIT_MAX or not 0 < reset_s <= STATED_S_MAX:
        return None
    per_minute = max(int((limit - remaining) * 60 / reset_s), 1)
    now_ns = int(now_s * 1e9)
    return Gcra(per_minute, limit, now_ns + (limit - remaining) * PERIOD_NS // per_minute)
