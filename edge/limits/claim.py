"""What one request was admitted with: the debits that its settlement corrects, and the permits that it holds until it ends.

Rule: a claim belongs to one request. `settle` counts once, `end` may be told once or more often.
"""

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Protocol

import msgspec

from edge.limits.completions import Completions
from edge.limits.permits import PermitPool
from edge.limits.quota import Quota
from routing.plan.limits import Headers
from usage.limit import LimitTerms, Unit

PROVIDER = "provider:"


class LimitedScope(msgspec.Struct, eq=False):
    """The limits of one key, account or provider at this edge. `name` is `key:<id>`, `account:<name>` or `provider:<name>`."""

    name: str
    terms: LimitTerms
    requests: Quota | None
    tokens: Quota | None
    concurrent: PermitPool | None
    completions: Completions

    @property
    def quotas(self) -> list[Quota]:
        return [each for each in (self.requests, self.tokens) if each is not None]


def scope_of(name: str, terms: LimitTerms, known: LimitedScope | None, now_s: float) -> LimitedScope:
    """The limits of a scope; what was used under `known`, its last ones, counts on."""
    if known is not None and known.terms == terms:
        return known

    def quota(unit: Unit, old: Quota | None) -> Quota | None:
        limit = terms.of(unit)
        if limit is None:
            return None
        if old is None:
            return Quota(name, unit, limit, now_s, is_hard=terms.hard)
        old.limit, old.is_hard = limit, terms.hard
        return old

    permits = None
    if terms.concurrent_requests is not None:
        permits = known.concurrent if known is not None else None
        permits = permits or PermitPool(name, terms.concurrent_requests, now_s)
        permits.limit, permits.is_hard = terms.concurrent_requests, terms.hard
    return LimitedScope(
        name,
        terms,
        quota("requests", None if known is None else known.requests),
        quota("tokens", None if known is None else known.tokens),
        permits,
        known.completions if known is not None else Completions(),
    )


class Limiter(Protocol):
    """Whose claim it is."""

    def provider_scope(self, provider: str) -> LimitedScope | None: ...
    def take(self, claim: "LimitClaim", scope: LimitedScope, tokens: int, now_s: float) -> None: ...


HeaderSources = tuple[Callable[[float], Headers], ...]
"""What a caller is told at a time, by unit."""


class LimitClaim(msgspec.Struct, eq=False):
    """`debits`: of tokens, each with its slot, its amount, and what learns how long answers are. `tokens`: what the limit of
    another provider is debited, `provider` the one that is asked."""

    limiter: Limiter
    tokens: int
    provider: str
    scopes: tuple[LimitedScope, ...]
    debits: list[tuple[Quota, int, int, Completions]]
    header_sources: HeaderSources = ()

    def turn_to(self, provider: str) -> None:
        """Another provider is asked: its limits are used too. They were looked at when the request was admitted."""
        if provider != self.provider:
            self.provider = provider
            scope = self.limiter.provider_scope(provider)
            if scope is not None and scope not in self.scopes:
                self.limiter.take(self, scope, self.tokens, monotonic())

    def settle(self, prompt: int, completion: int) -> None:
        """Tokens that were used, instead of those that were debited."""
        if self.debits:
            now_s, used = monotonic(), prompt + completion
            for rate, slot, tokens, completions in self.debits:
                rate.correct(slot, used - tokens, now_s)
                if completion:
                    completions.observe(completion)
            self.debits.clear()

    def end(self) -> None:
        """The request is over: its permits are free, and what was debited without a settlement was not used."""
        if self.debits:
            self.settle(0, 0)
        for scope in self.scopes:
            if scope.concurrent is not None:
                scope.concurrent.release(self)

    def headers(self) -> Headers:
        """What is left to the caller."""
        return headers_of(self.header_sources, monotonic())


def header_sources_of(scopes: Sequence[LimitedScope]) -> HeaderSources:
    """Of each unit, the limit of the key or its account that has least left; a provider's is not the caller's to know."""
    by_unit = ([scope.requests for scope in scopes], [scope.tokens for scope in scopes])
    rates = [[rate for rate in found if rate is not None] for found in by_unit]
    return tuple(found[0].headers if len(found) == 1 else partial(_tightest, found) for found in rates if found)


def _tightest(rates: Sequence[Quota], now_s: float) -> Headers:
    return min(rates, key=lambda rate: rate.remaining(now_s)).headers(now_s)


def headers_of(header_sources: HeaderSources, now_s: float) -> Headers:
    """All that the caller is told of its limits."""
    return [header for headers in header_sources for header in headers(now_s)]
