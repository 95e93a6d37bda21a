"""What one request was admitted with: the debits that its settlement corrects, and the permits that it holds until it ends.

Rule: a claim belongs to one request. `settle` counts once, `end` may be told once or more often.
"""

from collections.abc import Sequence
from time import monotonic
from typing import Protocol

import msgspec

from edge.limits.completions import Completions
from edge.limits.permits import PermitPool
from edge.limits.quota import Quota
from routing.plan.limits import Headers, limit_headers
from usage.limit import PERIOD_S, LimitTerms

PROVIDER = "provider:"


class LimitedScope(msgspec.Struct, eq=False):
    """The limits of one key, account or provider at this edge. `name` is `key:<id>`, `account:<name>` or `provider:<name>`."""

    name: str
    terms: LimitTerms
    requests: Quota | None
    tokens: Quota | None
    concurrent: PermitPool | None
    completions: Completions
    is_providers: bool = False

    @property
    def quotas(self) -> list[Quota]:
        return [each for each in (self.requests, self.tokens) if each is not None]


class Limiter(Protocol):
    """Whose claim it is."""

    def provider_scope(self, provider: str) -> LimitedScope | None: ...
    def take(self, claim: "LimitClaim", scope: LimitedScope, tokens: int, now_s: float) -> None: ...


class LimitClaim(msgspec.Struct, eq=False):
    """`debits`: of tokens, each with its slot. `tokens`: what was debited for the request, `provider` the one that is asked."""

    limiter: Limiter
    tokens: int
    provider: str
    scopes: list[LimitedScope]
    debits: list[tuple[Quota, int, int]]

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
            now_s = monotonic()
            for quota, slot, tokens in self.debits:
                quota.correct(slot, prompt + completion - tokens, now_s)
            self.debits.clear()
            if completion:
                for scope in self.scopes:
                    scope.completions.observe(completion)

    def end(self) -> None:
        """The request is over: its permits are free, and what was debited without a settlement was not used."""
        self.settle(0, 0)
        for scope in self.scopes:
            if scope.concurrent is not None:
                scope.concurrent.give_back(self)

    def headers(self) -> Headers:
        """What is left to the caller."""
        return headers_of(self.scopes, monotonic())


def headers_of(scopes: Sequence[LimitedScope], now_s: float) -> Headers:
    """Of each unit, the limit of the caller's that has least left; a provider's is not the caller's to know."""
    found: Headers = []
    own = [scope for scope in scopes if not scope.is_providers]
    for quotas in ([scope.requests for scope in own], [scope.tokens for scope in own]):
        limits = [quota for quota in quotas if quota is not None]
        if limits:
            tight = min(limits, key=lambda quota: quota.remaining(now_s)) if len(limits) > 1 else limits[0]
            used = tight.used(now_s)
            found += limit_headers(tight.unit, tight.limit, max(tight.limit - used, 0), min(used / tight.limit, 1.0) * PERIOD_S)
    return found
