"""What a planned request must have before it is sent: a place under its limits, and credit for its worst case.

Strategy: the relay asks the wallet itself, which mostly has enough, and passes by limits where there are none; what has to be
looked at closer, asked for, waited for or refused is done here.
"""

from collections.abc import Sequence

import msgspec

from edge.auth.authenticator import check, unverifiable
from edge.clock import Clock
from edge.credit.accounting import AccountingContext
from edge.limits.claim import LimitClaim
from edge.providers.table import Table
from routing.metering.meter import estimate_prompt
from routing.plan.credit import exhausted
from routing.plan.plan import Attempt
from routing.plan.refusal import Denied
from routing.plan.reserve import Reserve, reserve
from routing.request.envelope import Envelope
from usage.protocol import Policy


class Reserved(msgspec.Struct, frozen=True, gc=False):
    """`attempts`: from the first one on that is paid for; `need`: its bounds; `hold_nano`: nano-dollars that are held for it."""

    attempts: Sequence[Attempt]
    need: Reserve
    hold_nano: int


class Reservations:
    """Of the requests of one epoch."""

    __slots__ = ("_accounting", "_clock", "_table")

    def __init__(self, table: Table, accounting: AccountingContext, clock: Clock) -> None:
        self._table = table
        self._accounting = accounting
        self._clock = clock

    async def require_credit(self, policy: Policy) -> None:
        """A large body of an account that has nothing is not even read, unless something here costs nothing. Denied."""
        credit = self._accounting.credit
        if self._table.config.has_free_models or credit.has_some(policy.purse):
            return
        answer = await credit.hold_cold(policy, 1, 1)
        if answer.held_nano is not None:
            credit.settle(policy.purse, answer.held_nano, 0)
        elif answer.exhausted_by:
            raise Denied(exhausted(None, answer.available_nano, answer.exhausted_by))
        else:
            raise Denied(unverifiable(answer.retry_after_s, answer.reason))

    async def limit(
        self, policy: Policy, envelope: Envelope, attempts: Sequence[Attempt], need: Reserve
    ) -> tuple[Sequence[Attempt], Reserve, LimitClaim]:
        """The attempts that the limits leave, the bounds of the first one, and what it is admitted with. Denied. `need`: the
        bounds of the first one that is given."""
        limiter, config, first = self._accounting.limiter, self._table.config, attempts[0]
        prompt, most = estimate_prompt(envelope, first.model), need.completion_max
        claim = limiter.admit(policy, config, first.provider.name, prompt, most)
        if claim is None:
            attempts, claim = await limiter.admit_cold(policy, config, attempts, prompt, most)
        return attempts, need if attempts[0] is first else reserve(envelope, attempts[0].model), claim

    async def hold(self, policy: Policy, envelope: Envelope, attempts: Sequence[Attempt]) -> Reserved:
        """The first of the attempts that the credit pays for, and `full_nano` held for it, or what the credit gives above
        `least_nano`. Denied."""
        cheapest: Reserve | None = None
        asked: set[str] = set()
        for number, attempt in enumerate(attempts):
            if attempt.model.id in asked:
                continue
            asked.add(attempt.model.id)
            need = reserve(envelope, attempt.model)
            answer = await self._accounting.credit.hold_cold(policy, need.full_nano, need.least_nano)
            if answer.held_nano is not None:
                return Reserved(attempts[number:], need, answer.held_nano)
            if not answer.exhausted_by:
                check(self._accounting.credit.find(policy.digest) or policy, self._clock)  # it may have been revoked just now
                raise Denied(unverifiable(answer.retry_after_s, answer.reason))
            if cheapest is None or need.least_nano < cheapest.least_nano:
                cheapest = need
        raise Denied(exhausted(cheapest, answer.available_nano, answer.exhausted_by))
