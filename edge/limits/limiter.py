"""Lets requests in within the limits of their key, their account and the provider that is asked; and asks the collector for more.

Rule: one call at admission (`admit`), one at settlement (`LimitClaim.settle`), one at the end (`LimitClaim.end`), and nothing in
between. Without any limit that applies, admission is one look. What is refused is refused at once, unless the collector may well
give what is missing: then one question is shared by all who wait, at most WAIT_S (`admit_cold`).
Rule: a limit in shadow refuses nothing; what it would have refused is counted.
Limits: what nobody used for FORGET_S is forgotten, once there is much of it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

import msgspec

from edge.limits.claim import PROVIDER, HeaderSources, LimitClaim, LimitedScope, header_sources_of, headers_of, scope_of
from edge.limits.permits import PermitPool
from edge.limits.provider_rates import ProviderRates
from edge.limits.quota import Quota
from edge.limits.reports import Reports
from routing.plan.limits import limited, unverifiable
from routing.plan.plan import Attempt
from routing.plan.refusal import Denied, Refusal
from routing.table.config import Config
from usage.limit import overlaid
from usage.protocol import Policy

WAIT_S: Final = 0.5
FORGET_S: Final = 120.0
SCOPES_KEPT: Final = 4_096


class BoundLimits(msgspec.Struct, frozen=True):
    """What applies to a key, as long as its policy and the table are the same."""

    policy: Policy
    config: Config
    scopes: tuple[LimitedScope, ...]
    header_sources: HeaderSources


class RateLimiter:
    """All limits of keys, accounts and providers at this edge. `clock` gives seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._config: Config | None = None
        self._is_for_all = False
        """Whether the table limits every key or account, or a provider."""
        self._bound: dict[str, BoundLimits] = {}
        self._scopes: dict[str, LimitedScope] = {}
        self._providers: dict[str, LimitedScope] = {}
        self.provider_rates = ProviderRates(clock)
        self.reports = Reports(clock)
        self.refused: Counter[tuple[str, str]] = Counter()
        """By scope's kind and limit."""
        self.shadowed: Counter[tuple[str, str]] = Counter()
        """Those that would have been refused, if the limit were not in shadow."""

    def __repr__(self) -> str:
        return f"<RateLimiter {len(self._scopes)} scopes, {len(self._providers)} providers>"

    # What applies.

    def applies(self, policy: Policy, config: Config) -> bool:
        """Whether there is anything to look at for this key."""
        if config is not self._config:
            self._follow(config)
        if self._is_for_all or policy.limits is not None or policy.account_limits is not None:
            return True
        return self.provider_rates.may_refuse and bool(self.provider_rates)

    def _follow(self, config: Config) -> None:
        """A table is in force: what it sets applies from now on, and what was used counts on."""
        self._config = config
        self._providers = {
            name: scope_of(f"{PROVIDER}{name}", provider.rate_limits, self._providers.get(name), self._clock())
            for name, provider in config.providers.items()
            if not provider.rate_limits.is_empty
        }
        limits = config.rate_limits
        self._is_for_all = bool(self._providers) or not (limits.key.is_empty and limits.account.is_empty)

    def provider_scope(self, provider: str) -> LimitedScope | None:
        """The limits that the table sets for a provider."""
        return self._providers.get(provider)

    def _bind(self, policy: Policy, config: Config) -> BoundLimits:
        """The limits of a key and its account, laid out once for each policy and table."""
        bound = self._bound.get(policy.key_id)
        if bound is not None and bound.policy is policy and bound.config is config:
            return bound
        defaults = config.rate_limits
        wanted = (
            (f"key:{policy.key_id}", overlaid(policy.limits, defaults.key)),
            (f"account:{policy.account}", overlaid(policy.account_limits, defaults.account)),
        )
        if len(self._bound) >= SCOPES_KEPT:
            self._forget()
        scopes = []
        for name, terms in wanted:
            if not terms.is_empty:
                self._scopes[name] = scope = scope_of(name, terms, self._scopes.get(name), self._clock())
                scopes.append(scope)
        bound = self._bound[policy.key_id] = BoundLimits(policy, config, tuple(scopes), header_sources_of(scopes))
        return bound

    def _forget(self) -> None:
        """What nobody uses; what is used is bound again when it is used next."""
        now_s = self._clock()
        self._bound.clear()
        for name, scope in tuple(self._scopes.items()):
            touched = [quota.touched_s for quota in scope.quotas]
            touched += [scope.concurrent.touched_s] if scope.concurrent is not None else []
            is_held = scope.concurrent is not None and scope.concurrent.holders
            if not is_held and now_s - max(touched) > FORGET_S:
                del self._scopes[name]

    # Admission.

    def admit(self, policy: Policy, config: Config, provider: str, prompt: int, completion_max: int) -> LimitClaim | None:
        """What a request to `provider` is admitted with, where nothing is near its limit. None: see `admit_cold`.

        `prompt` tokens and up to `completion_max` are what it may use.
        """
        bound = self._bound.get(policy.key_id)
        if bound is None or bound.policy is not policy or bound.config is not config:
            bound = self._bind(policy, config)
        if self._providers or self.provider_rates.may_refuse:
            return None
        now_s, debits = self._clock(), []
        # First all are looked at, then all are used. What has something to tell the collector is looked at more closely.
        for scope in bound.scopes:
            if (rate := scope.requests) is not None and (rate.spent >= rate.look_above or now_s >= rate.until_s):
                return None
            if (rate := scope.tokens) is not None:
                tokens = self._cost(scope, prompt, completion_max)
                if rate.spent + tokens > rate.look_above or now_s >= rate.until_s:
                    return None
                debits.append((rate, int(now_s), tokens, scope.completions))
            if (pool := scope.concurrent) is not None and (len(pool.holders) >= pool.look_above or now_s >= pool.until_s):
                return None
        claim = LimitClaim(self, prompt, provider, bound.scopes, debits, bound.header_sources)
        for rate, _, tokens, _ in debits:
            rate.take(tokens, now_s)
        for scope in bound.scopes:
            if scope.requests is not None:
                scope.requests.take(1, now_s)
            if scope.concurrent is not None:
                scope.concurrent.acquire(claim, now_s)
        return claim

    async def admit_cold(
        self, policy: Policy, config: Config, attempts: Sequence[Attempt], prompt: int, completion_max: int
    ) -> tuple[Sequence[Attempt], LimitClaim]:
        """The attempts that providers' limits leave, and what the request is admitted with, after asking if that may help.
        Denied: 429, or 503 for a hard limit that cannot be verified."""
        bound = self._bind(policy, config)
        scopes = bound.scopes
        costs = [self._cost(scope, prompt, completion_max) for scope in scopes]
        if scopes and (judged := self._judge(scopes, costs))[0] is not None:
            refusal = await self._refusal(scopes, costs, judged)
            if refusal is not None:
                raise Denied(self._counted(refusal), headers_of(bound.header_sources, self._clock()))
        if self._providers or self.provider_rates:
            attempts = await self._passable(attempts, prompt, completion_max)
            if scopes and (refusal := self._judge(scopes, costs)[0]) is not None:
                # Others came while a provider's limit was waited for.
                raise Denied(self._counted(refusal), headers_of(bound.header_sources, self._clock()))
        provider = attempts[0].provider.name
        own = self._providers.get(provider)
        cost = max(costs, default=0) or self._cost(own, prompt, completion_max) if own is not None or costs else prompt
        claim = LimitClaim(self, cost, provider, scopes, [], bound.header_sources)
        now_s = self._clock()
        for scope, tokens in zip(scopes, costs, strict=True):
            self._debit(claim, scope, tokens, now_s)
        if own is not None:
            self.take(claim, own, cost, now_s)
        return attempts, claim

    def take(self, claim: LimitClaim, scope: LimitedScope, tokens: int, now_s: float) -> None:
        """One more scope is debited, and its permit held."""
        claim.scopes += (scope,)
        self._debit(claim, scope, tokens, now_s)

    def _debit(self, claim: LimitClaim, scope: LimitedScope, tokens: int, now_s: float) -> None:
        reports, requests, rate, permits = self.reports, scope.requests, scope.tokens, scope.concurrent
        if requests is not None:
            requests.take(1, now_s, is_away=reports.is_away)
            if requests.spent > requests.look_above:
                reports.mark_used(requests)
        if rate is not None:
            claim.debits.append((rate, rate.take(tokens, now_s, is_away=reports.is_away), tokens, scope.completions))
            if rate.spent > rate.look_above:
                reports.mark_used(rate)
        if permits is not None:
            permits.acquire(claim, now_s)
            if len(permits.holders) > permits.look_above:
                reports.mark_used(permits)

    def _cost(self, scope: LimitedScope | None, prompt: int, completion_max: int) -> int:
        """Tokens to debit."""
        if scope is None or scope.terms.count == "worst":
            return prompt + completion_max
        return prompt + min(scope.completions.usual, completion_max)

    async def _refusal(
        self, scopes: Sequence[LimitedScope], costs: Sequence[int], judged: tuple[Refusal | None, bool]
    ) -> Refusal | None:
        """Why not, after asking if that may help; None: it is admitted."""
        refusal, is_hopeful = judged
        until_s = self._clock() + WAIT_S
        is_answered = False
        while refusal is not None and is_hopeful and not self.reports.is_away:
            try:
                async with asyncio.timeout(max(until_s - self._clock(), 0)):
                    await self.reports.answered.wait()
            except TimeoutError:
                # Nobody has answered anything: whoever comes next is not let wait for that again.
                self.reports.is_away = self.reports.is_away or not is_answered
                return self._judge(scopes, costs)[0]
            is_answered = True
            refusal, is_hopeful = self._judge(scopes, costs)
        return refusal

    def _judge(self, scopes: Sequence[LimitedScope], costs: Sequence[int]) -> tuple[Refusal | None, bool]:
        """(why not, whether the collector may well give all that is missing). What is short is noted, so that it is asked for."""
        now_s, reports = self._clock(), self.reports
        refusal: Refusal | None = None
        is_hopeful = True
        for scope, tokens in zip(scopes, costs, strict=True):
            for quota, cost in ((scope.requests, 1), (scope.tokens, tokens)):
                if quota is None or quota.may(cost, now_s, is_away=reports.is_away):
                    continue
                quota.refuse(min(cost, quota.limit), now_s)
                reports.mark_short(quota)
                is_hopeful = is_hopeful and cost <= quota.limit and quota.is_hopeful(cost, now_s)
                refusal = refusal or self._told(scope, self._short(quota, cost, now_s), is_hopeful=is_hopeful)
            permits = scope.concurrent
            if permits is not None and not permits.may(now_s, is_away=reports.is_away):
                permits.refuse(now_s)
                reports.mark_short(permits)
                is_hopeful = is_hopeful and permits.is_hopeful(now_s)
                refusal = refusal or self._told(scope, self._full(permits), is_hopeful=is_hopeful)
        return refusal, is_hopeful

    def _told(self, scope: LimitedScope, refusal: Refusal, *, is_hopeful: bool) -> Refusal | None:
        if not scope.terms.shadow or (is_hopeful and not self.reports.is_away):
            return refusal
        assert refusal.metadata is not None
        self.shadowed[refusal.metadata["scope"], refusal.metadata["limit"]] += 1
        return None

    def _short(self, quota: Quota, cost: int, now_s: float) -> Refusal:
        if self.reports.is_away and quota.is_hard:
            return unverifiable(quota.scope, quota.unit)
        remaining, reset_s = quota.remaining(now_s), quota.reset_s(now_s)
        return limited(quota.scope, quota.unit, quota.limit, remaining, reset_s, cost, quota.wait_s(cost, now_s))

    def _full(self, permits: PermitPool) -> Refusal:
        if self.reports.is_away and permits.is_hard:
            return unverifiable(permits.scope, permits.unit)
        return limited(permits.scope, permits.unit, permits.limit, permits.remaining(), 1.0, 1, 1.0)

    async def _passable(self, attempts: Sequence[Attempt], prompt: int, completion_max: int) -> Sequence[Attempt]:
        """Those whose provider's limits, ours and its own, leave room now. Denied: none."""
        kept: list[Attempt] = []
        refusal: Refusal | None = None
        known: dict[str, Refusal | None] = {}
        for attempt in attempts:
            name = attempt.provider.name
            problem = self.provider_rates.refusal(attempt, prompt, self._clock())
            if problem is None and (scope := self._providers.get(name)) is not None:
                if name not in known:
                    cost = [self._cost(scope, prompt, completion_max)]
                    known[name] = await self._refusal([scope], cost, self._judge([scope], cost))
                problem = known[name]
            if problem is None:
                kept.append(attempt)
            refusal = refusal or problem
        if not kept:
            assert refusal is not None
            raise Denied(self._counted(refusal))
        return kept

    def _counted(self, refusal: Refusal) -> Refusal:
        metadata = refusal.metadata or {}
        self.refused[metadata.get("scope", "provider"), metadata.get("limit", "its_own")] += 1
        return refusal
