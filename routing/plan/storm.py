"""Bounds on what we add to a provider's trouble: a share of repetitions, and a throttle of our own in storms of refusals.

Rule: only what goes again to the same target with the same key is a repetition; moving to another one is not, and is never kept
from a caller. Source: Envoy's retry budget; the client-side throttle of Google's SRE book, chapter "Handling Overload":
p = max(0, (requests - 2 * accepts) / (requests + 1)).
Limits: counts halve every HALF_LIFE_S; an account's use of a target is in the throttle's books from its first refusal until it is
well again.
"""

from typing import Final

import msgspec

from routing.failures.cause import Cause
from routing.failures.failure import Failure, Kind, Sent, Source

REPEATS_MIN: Final = 3
HALF_LIFE_S: Final = 30.0
REQUESTS_MIN: Final = 10.0
"""Fewer say nothing."""
FACTOR: Final = 2.0
SHED_MAX: Final = 0.9


def may_repeat_now(asking: int, repeating: int, share: float) -> bool:
    """Whether one more repetition may go to a provider with so many requests, and repetitions among them, under way."""
    return repeating < max(REPEATS_MIN, share * asking)


def is_refusal_of_load(failure: Failure) -> bool:
    """Whether the provider says that it has too much to do."""
    return failure.is_answer and failure.cause in (Cause.RATE_LIMITED, Cause.OVERLOADED)


class Storm(msgspec.Struct, frozen=True):
    """What one target has been asked by one account, and has accepted of it, lately, as of `at_s`."""

    requests: float
    accepts: float
    at_s: float

    def after(self, now_s: float, *, accepted: bool) -> "Storm":
        kept: float = 0.5 ** (max(now_s - self.at_s, 0.0) / HALF_LIFE_S)
        return Storm(self.requests * kept + 1, self.accepts * kept + accepted, now_s)

    @property
    def is_over(self) -> bool:
        return self.accepts > self.requests * 0.9

    def shed(self, now_s: float) -> float:
        """The part of requests that is not even sent; never all, or the end of a storm would not be seen."""
        kept: float = 0.5 ** (max(now_s - self.at_s, 0.0) / HALF_LIFE_S)
        requests, accepts = self.requests * kept, self.accepts * kept
        if requests < REQUESTS_MIN:
            return 0.0
        return min(max(0.0, (requests - FACTOR * accepts) / (requests + 1)), SHED_MAX)


def shed_failure(last: Failure) -> Failure:
    """What a request that was not sent ends with: as the last one that was."""
    return Failure(
        Kind.STATUS, Source.UPSTREAM, Sent.NOTHING, last.status or 503, last.retry_after_s or 1.0, told_cause=last.told_cause
    )
