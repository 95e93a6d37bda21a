"""Health of a provider, of one of its keys, or of one model behind one key: breaker and cool-down, as values.

Rule: only what was the provider's own doing counts. A request it refused as wrong (400, 413, 422) says nothing about its
health, and neither does a caller that left; otherwise one caller's bad requests would close a provider to all.
Rule: what could not be reached closes the provider; what answered badly closes that model behind that key, since models of one
provider fail apart.
Strategy: a few failures in a row open it for a time that doubles with each further one; then one trial at a time decides. A
rejected key opens at once, and so does a 429 that says when to come back. The mapping of healths holds only what is not well: an
empty mapping, the usual case, costs nothing.
Limits: times are seconds on the caller's monotonic clock; each process has its own view.
"""

from collections.abc import Mapping
from typing import Final, assert_never

import msgspec

from routing.failure import Failure, Kind, Source

FAILURES_MAX: Final = 5
"""So many failures in a row open the breaker."""
COOL_DOWN_S: Final = 2.0
COOL_DOWN_S_MAX: Final = 60.0
KEY_COOL_DOWN_S: Final = 60.0
KEY_COOL_DOWN_S_MAX: Final = 900.0
"""A rejected key is seldom accepted a minute later."""
TRIAL_S: Final = 10.0
"""A trial that has not ended by then makes room for the next."""

Changes = tuple[tuple[str, "Health | None"], ...]
"""Scope → its new health, None when it is well again: what to write into the mapping."""


class Scopes(msgspec.Struct, frozen=True):
    """Whose health one attempt depends on, from the widest to the narrowest."""

    provider: str
    key: str
    target: str
    """One model behind one key. All unlisted models of a provider share one, so that callers cannot make up new ones."""
    is_listed: bool = True

    @property
    def all(self) -> tuple[str, str, str]:
        return self.provider, self.key, self.target


class Health(msgspec.Struct, frozen=True):
    """`failures` in a row so far; closed to requests until `open_until_s`. `status` is the last failure's."""

    failures: int = 0
    open_until_s: float = 0.0
    status: int = 0

    def is_open(self, now_s: float) -> bool:
        """Whether nothing may be sent there now."""
        return now_s < self.open_until_s

    def is_half_open(self, now_s: float) -> bool:
        """Whether it was open and the next request is a trial."""
        return 0 < self.open_until_s <= now_s

    def after_success(self, now_s: float) -> "Health":
        """Well again, whatever there was."""
        return _WELL

    def after_trial(self, now_s: float) -> "Health":
        """A trial has begun: others wait for its end, but not for ever."""
        return Health(self.failures, now_s + TRIAL_S, self.status)

    def after_failure(self, failure: Failure, now_s: float) -> "Health":
        """One more failure in a row, which this scope is to blame for (see `blamed`)."""
        failures = self.failures + 1
        retry_s = min(failure.retry_after_s or 0.0, COOL_DOWN_S_MAX)
        if failure.status in (401, 402):
            cool_s = _doubled(KEY_COOL_DOWN_S, failures - 1, KEY_COOL_DOWN_S_MAX)
        elif failures >= FAILURES_MAX:
            cool_s = max(_doubled(COOL_DOWN_S, failures - FAILURES_MAX, COOL_DOWN_S_MAX), retry_s)
        elif failure.status == 429:
            cool_s = retry_s
        else:
            cool_s = 0.0
        open_until_s = max(now_s + cool_s, self.open_until_s) if cool_s else self.open_until_s
        return Health(failures, open_until_s, failure.status)


_WELL: Final = Health()


def _doubled(base_s: float, times: int, max_s: float) -> float:
    return min(base_s * (1 << min(times, 20)), max_s)


def blamed(scopes: Scopes, failure: Failure) -> str | None:
    """The scope whose doing the failure was; None when it was nobody's there."""
    if failure.source is not Source.UPSTREAM:
        return None
    match failure.kind:
        case Kind.STATUS | Kind.STREAM_ERROR:
            return _blamed_for_status(scopes, failure)
        case Kind.CONNECT | Kind.TLS | Kind.TIMEOUT_CONNECT:
            return scopes.provider
        case Kind.TIMEOUT_FIRST_BYTE | Kind.TIMEOUT_IDLE | Kind.BROKEN | Kind.PROTOCOL | Kind.TRUNCATED:
            return scopes.target
        case Kind.TIMEOUT_TOTAL | Kind.TOO_LARGE | Kind.ABORTED | Kind.INTERNAL | Kind.JOURNAL:
            return None
    assert_never(failure.kind)


def _blamed_for_status(scopes: Scopes, failure: Failure) -> str | None:
    """401 and 402 are about the key; 403 may be about what one caller asked for, so it closes no more than the target."""
    status = failure.status
    if status in (401, 402):
        return scopes.key
    if status in (404, 410):
        return scopes.target if scopes.is_listed else None
    is_theirs = status in (403, 408, 429) or status >= 500 or (failure.kind is Kind.STREAM_ERROR and not status)
    return scopes.target if is_theirs else None


def begin(health: Mapping[str, Health], scopes: Scopes, now_s: float) -> Changes:
    """What to note when an attempt is sent: a half-open scope now has its trial."""
    known = ((scope, health.get(scope)) for scope in scopes.all)
    return tuple((scope, each.after_trial(now_s)) for scope, each in known if each is not None and each.is_half_open(now_s))


def end(health: Mapping[str, Health], scopes: Scopes, failure: Failure | None, now_s: float) -> Changes:
    """What to note when an attempt has ended, well (None) or not.

    A failure that blames nobody changes nothing: a trial that ends so is repeated once its time is over.
    """
    if failure is None:
        return tuple((scope, None) for scope in scopes.all if scope in health)
    scope = blamed(scopes, failure)
    if scope is None:
        return ()
    return ((scope, health.get(scope, _WELL).after_failure(failure, now_s)),)
