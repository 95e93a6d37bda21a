"""One paid generation: what was held for it, what it used, and its one settlement.

Rule: a generation that has an intent gets exactly one settlement, whatever happens, before the last byte goes to the caller. What
was consumed is charged: the provider's usage within its bounds, else our count, else (the caller left before the provider said
anything) the prompt's estimate.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from edge.credit.credit import Credit
from edge.journal import Intent, Journal
from edge.telemetry.metrics import Metrics
from routing.failures.failure import Failure
from routing.failures.redaction import Secret
from routing.metering.meter import Bill, Meter
from routing.plan.fit import AS_SENT, NO_FITS, Fit
from routing.plan.plan import Attempt
from routing.plan.reserve import allowance, bounds_of, reserve
from routing.request.envelope import Envelope, answered_by
from usage.protocol import Policy
from usage.record import EndReason, Rates, Tokens, UsageRecord

Consumed = Literal["nothing", "prompt", "metered"]


class AccountingContext:
    """Where a generation is written down: the journal, the credit it is paid from, the counters."""

    __slots__ = ("credit", "epoch", "journal", "metrics", "node")

    def __init__(self, node: str, epoch: int, journal: Journal, credit: Credit, metrics: Metrics) -> None:
        self.node = node
        self.epoch = epoch
        self.journal = journal
        self.credit = credit
        self.metrics = metrics


def _nobody(failure: Failure | None) -> None:
    """Nobody asks how it went."""


class Generation(msgspec.Struct, eq=False):
    """`consumed` is what a settlement at this moment would charge for; it only ever grows. `meter` counts for `attempt`, the one
    that is tried or answers."""

    books: AccountingContext
    gen_id: str
    request_id: str
    policy: Policy
    envelope: Envelope
    attempt: Attempt
    hold_nano: int
    completion_max: int
    started_s: float
    started_ms: int
    user_agent: str
    meter: Meter
    consumed: Consumed = "nothing"
    attempts: int = 0
    finish_reason: str = ""
    upstream_id: str = ""
    first_byte_s: float = 0.0
    upstream_s: float = 0.0
    is_settled: bool = False
    marked_tokens: int = 0
    cap: int | None = None
    """Completion tokens per choice to allow in the request that is sent, where the caller has no cap of its own."""
    fits: Mapping[str, Fit] = NO_FITS
    """What to change in the request for a model, by its id."""
    ended: Callable[[Failure | None], None] = _nobody
    """To be told how the attempt went: well (None) with the first event of an answer, and what broke behind it."""
    secrets: tuple[Secret, ...] = ()
    """What was sent to the provider that answers, and may not be told."""

    def begin(self) -> None:
        """Write the intent. JournalUnavailable: nothing may be sent."""
        model = self.attempt.model
        self.books.journal.intent(
            Intent(
                gen_id=self.gen_id,
                purse=self.policy.purse,
                account=self.policy.account,
                key_id=self.policy.key_id,
                model=self.envelope.model,
                provider=self.attempt.provider.name,
                upstream_model=model.name,
                rates=self.meter.expected_rates,
                hold_nano=self.hold_nano,
                prompt_estimate=self.meter.prompt_estimate,
                started_ms=self.started_ms,
                stream=self.envelope.stream,
                request_id=self.request_id,
            )
        )

    def forgo(self) -> None:
        """There is no intent, so there is nothing to settle: only the hold goes back."""
        self.is_settled = True
        self.books.credit.settle(self.policy.purse, self.hold_nano, 0)

    @property
    def fit(self) -> Fit:
        """What to change in the request for the attempt that is tried."""
        return self.fits.get(self.attempt.model.id, AS_SENT)

    async def cover(self, attempt: Attempt) -> bool:
        """Whether what is held pays for this attempt, after more was held if need be. The bounds are then the attempt's own."""
        if attempt.model.id == self.attempt.model.id:
            return True
        need = reserve(self.envelope, attempt.model)
        credit, purse = self.books.credit, self.policy.purse
        missing_nano = need.full_nano - self.hold_nano
        if missing_nano > 0:
            if credit.hold(purse, missing_nano):
                self.hold_nano += missing_nano
            elif need.least_nano > self.hold_nano:
                answer = await credit.hold_cold(self.policy, missing_nano, need.least_nano - self.hold_nano)
                if answer.held_nano is None:
                    return False
                self.hold_nano += answer.held_nano
        self.completion_max, self.cap = allowance(need, self.hold_nano)
        self.meter.bounds = bounds_of(need, self.completion_max)
        self.meter.hold_nano = self.hold_nano
        return True

    def turn_to(self, attempt: Attempt) -> None:
        """Another provider is tried; nothing was consumed at the last one."""
        self.attempts += 1
        if attempt is self.attempt:
            if self.attempts > 1:
                self.meter.forget()
            return
        self.attempt = attempt
        self.envelope = answered_by(self.envelope, attempt.model.id)
        provider = attempt.provider
        self.meter.turn_to(attempt.model.tariff, provider.usage_arithmetic, trusts_served_tier=provider.trusts_served_tier)

    def mark(self) -> None:
        """Leave a progress mark for recovery, if there is progress."""
        counted = self.meter.completion_counted
        if counted > self.marked_tokens:
            self.marked_tokens = counted
            self.books.journal.progress(self.gen_id, self.meter.tokens)

    def charge(self) -> Bill:
        """What a settlement now would charge.

        What is charged nothing carries rates that make nothing: the collector computes each cost again.
        """
        if self.consumed == "metered":
            return self.meter.bill()
        if self.consumed == "prompt":
            return self.meter.bill_prompt()
        return Bill(Tokens(), Rates(version=self.attempt.rates.version), 0, "estimated")

    def settle(self, end_reason: EndReason, status: int, now_s: float, error: str = "") -> None:
        """The hold becomes a charge. Only the first call counts."""
        if self.is_settled:
            return
        self.is_settled = True
        bill = self.charge()
        books, policy, attempt = self.books, self.policy, self.attempt
        record = UsageRecord(
            gen_id=self.gen_id,
            seq=books.journal.next_seq(),
            node=books.node,
            epoch=books.epoch,
            account=policy.account,
            key_id=policy.key_id,
            purse=policy.purse,
            model=self.envelope.model,
            provider=attempt.provider.name,
            upstream_model=attempt.model.name,
            tokens=bill.tokens,
            rates=bill.rates,
            cost_nano=bill.cost_nano,
            hold_nano=self.hold_nano,
            started_ms=self.started_ms,
            status=status,
            end_reason=end_reason,
            usage_source=bill.source,
            stream=self.envelope.stream,
            finish_reason=self.finish_reason,
            latency_ms=int((now_s - self.started_s) * 1000),
            ttft_ms=int((self.first_byte_s - self.started_s) * 1000) if self.first_byte_s else 0,
            request_id=self.request_id,
            upstream_id=self.upstream_id,
            attempts=self.attempts,
            user_agent=self.user_agent,
            error=error,
            tier=bill.tier,
            upstream_cost_pico=bill.upstream_cost_pico,
        )
        books.journal.settle(record)
        books.credit.settle(policy.purse, self.hold_nano, bill.cost_nano)
        metrics = books.metrics
        metrics.count(record)
        if bill.fault:
            metrics.claims.report(record.provider, bill.fault, now_s)
        if bill.upstream_cost_pico is not None:
            metrics.claims.compare(attempt.model.id if attempt.model.is_listed else f"{record.provider}/*", bill)
        if self.first_byte_s:
            metrics.first_byte_s.observe(self.first_byte_s - self.started_s)
        metrics.overhead_s.observe(max(now_s - self.started_s - self.upstream_s, 0.0))
