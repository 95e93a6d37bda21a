"""Who asks, for an explanation: what the collector tells edges of a key or an account, and what that makes of a request.

Rule: the same functions decide as for a request. Limits: what others use of a rate at this moment is known to running edges
alone, so only a request that can never be admitted is told as refused.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from routing.metering.meter import estimate_prompt
from routing.plan.credit import exhausted
from routing.plan.limits import limited
from routing.plan.refusal import Refusal
from routing.plan.reserve import Reserve, reserve
from routing.plan.row import Attempt
from routing.request.envelope import Envelope
from routing.table.config import Config
from usage.limit import LimitTerms, overlaid
from usage.pricing import dollars
from usage.protocol import Policy


class ExplainedCaller(msgspec.Struct, frozen=True):
    """`spendable_nano` dollars are bounded by `credits`, or by the key's own `key_limit`."""

    policy: Policy
    spendable_nano: int
    bounded_by: str = "credits"

    def told(self, config: Config) -> dict[str, Any]:
        """The caller as an object, with the table's default limits where none are set."""
        policy = self.policy
        return {
            "account": policy.account,
            "key": policy.key_id or None,
            "models": list(policy.models) or "all",
            "disabled": policy.disabled,
            "expires_ms": policy.expires_ms,
            "limits": {scope: msgspec.to_builtins(terms) for scope, terms in self._limits(config)},
            "spendable": dollars(self.spendable_nano),
            "bounded_by": self.bounded_by,
        }

    def line(self, config: Config) -> str:
        """The same in a line."""
        policy = self.policy
        who = f"key {policy.key_id} of account {policy.account}" if policy.key_id else f"account {policy.account}"
        models = f"models {', '.join(policy.models)}" if policy.models else "every model"
        limits = "".join(
            f", {value} {unit.replace('_', ' ')} by {scope}"
            for scope, terms in self._limits(config)
            for unit, value in msgspec.to_builtins(terms).items()
            if isinstance(value, int) and not isinstance(value, bool)
        )
        return f"as {who}: {models}{limits}, {dollars(self.spendable_nano)} dollars to spend"

    def _limits(self, config: Config) -> list[tuple[str, LimitTerms]]:
        defaults = config.rate_limits
        found = [("key", overlaid(self.policy.limits, defaults.key))] if self.policy.key_id else []
        found.append(("account", overlaid(self.policy.account_limits, defaults.account)))
        return [(scope, terms) for scope, terms in found if not terms.is_empty]

    def admitted(
        self, config: Config, attempts: Sequence[Attempt], envelope: Envelope | None
    ) -> tuple[Sequence[Attempt], Refusal | None]:
        """The attempts from the first on that this caller can pay for, or why there are none. Without a request's body nothing is
        known of its price but whether there is one."""
        if envelope is None:
            has_free = any(not attempt.rates.input and not attempt.rates.output for attempt in attempts)
            is_over = self.spendable_nano <= 0 and not has_free
            return attempts, exhausted(None, self.spendable_nano, self.bounded_by) if is_over else None
        refusal = self._too_large(config, attempts[0], envelope)
        if refusal is not None:
            return attempts, refusal
        cheapest: Reserve | None = None
        for number, attempt in enumerate(attempts):
            need = reserve(envelope, attempt.model)
            if need.least_nano <= self.spendable_nano:
                return attempts[number:], None
            if cheapest is None or need.least_nano < cheapest.least_nano:
                cheapest = need
        return attempts, exhausted(cheapest, self.spendable_nano, self.bounded_by)

    def _too_large(self, config: Config, attempt: Attempt, envelope: Envelope) -> Refusal | None:
        prompt = estimate_prompt(envelope, attempt.model)
        for scope, terms in self._limits(config):
            worst = reserve(envelope, attempt.model).completion_max if terms.count == "worst" else 0
            allowed = terms.tokens_per_minute
            if allowed is not None and not terms.shadow and prompt + worst > allowed:
                return limited(f"{scope}:", "tokens", allowed, allowed, 0.0, prompt + worst, 0.0)
        return None
