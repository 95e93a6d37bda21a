"""One paid generation: what was held for it, what it used, and its one settlement.

Rule: what is charged is decided by the transitions here (`asked`, `metered`, `answered`, `failed`, `settle`); no other module
assigns to a generation (tests/test_ownership.py).
Rule: a generation that has an intent gets exactly one settlement, whatever happens, before the last byte goes to the caller.
What was consumed is charged: the provider's usage within its bounds, else our count, else (the caller left before the provider
said anything) the prompt's estimate.
"""

import enum
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import assert_never

import msgspec

from edge.credit.accounting import AccountingContext
from edge.journal import Intent, record_of
from edge.limits.claim import LimitClaim
from edge.limits.fair_start import Aside
from routing.failures.failure import Failure
from routing.failures.redaction import Secret
from routing.metering.meter import Bill, Meter
from routing.plan.fit import AS_SENT, NO_FITS, Fit
from routing.plan.plan import Attempt
from routing.plan.reserve import allowance, bounds_of, reserve
from routing.request.body import rewrite
from routing.request.envelope import Envelope, Invalid, answered_by
from routing.surfaces import Asked, ProviderRequest
from routing.surfaces.adapter import NO_MEMO, Adapter, AdapterMemo
from routing.surfaces.admission import NO_ADAPTERS
from routing.views.metadata import Explanation
from routing.wire.headers import listed
from routing.wire.members import Members
from usage.protocol import Policy
from usage.record import ANSWERED, Abandoned, EndReason, Rates, Tokens, Tried


class Consumed(enum.Enum):
    """What a settlement at this moment would charge."""

    NOTHING = "nothing"
    """Nobody works for it."""
    PROMPT = "prompt"
    """A provider has the request and has said nothing yet: it reads the prompt, and bills for that."""
    METERED = "metered"
    """A provider answers: what the meter has."""


def _nobody(failure: Failure | None) -> None:
    """Nobody asks how it went."""


class Generation(msgspec.Struct, eq=False):
    """One paid request from its hold to its charge. `meter` counts for `attempt`, the one that is tried or answers. Times are
    seconds of `time.monotonic`.

    Transitions: `turn_to` → `asking` → `asked` → `metered` → `answered`, each followed by `failed` if the attempt comes to
    nothing, then `turn_to` the next; and one `settle`, or `forgo` where there is no intent.
    """

    accounting: AccountingContext
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
    forwarded: bytes
    """Header lines of the caller's that go to the provider."""
    cap: int | None
    """Completion tokens per choice to allow in the request that is sent, where the caller has no cap of its own."""
    fits: Mapping[str, Fit] = NO_FITS
    """What to change in the request for a model, by its id."""
    adapters: Mapping[str, Adapter] = NO_ADAPTERS
    """How the request is served by a model, by its id; no entry: as Chat, which came as Chat."""
    memo: AdapterMemo = NO_MEMO
    """What the answer's translators need of the request."""
    ignored: tuple[str, ...] = ()
    """Paths of what was left out of the request."""
    consumed: Consumed = Consumed.NOTHING
    attempts: int = 0
    finish_reason: str = ""
    upstream_id: str = ""
    first_byte_s: float = 0.0
    waiting_since_s: float = 0.0
    """Since when the provider is waited for; 0 while none is."""
    upstream_s: float = 0.0
    """How long providers were waited for, until then."""
    is_settled: bool = False
    has_bought: bool = False
    """Whether its settlement was of a complete answer, or of something that costs."""
    abandoned: tuple[Abandoned, ...] = ()
    marked_tokens: int = 0
    report: Callable[[Failure | None], None] = _nobody
    """Told what breaks behind the first event of an answer."""
    secrets: tuple[Secret, ...] = ()
    """What was sent to the provider that answers, and may not be told."""
    trace: str = ""
    """Of the caller's (`usage.trace`), empty when it sent none."""
    claim: LimitClaim | None = None
    """What it was admitted with by limits; its settlement corrects the tokens."""
    requested: str = ""
    """The id that the caller asked for."""
    explanation: Explanation | None = None
    """Where the caller wants to read how it was routed."""
    tried: tuple[Tried, ...] = ()
    """The attempts that came to nothing."""
    surface: str = "chat"
    """What was called, by its name in `routing.surfaces`."""
    aside: Aside | None = None
    """Where a large request is said in another format; None: here."""
    prepared: tuple[ProviderRequest, AdapterMemo] | None = None
    intent: Intent | None = None
    """As it was written, while it is still true: not once another attempt is tried or more is held."""

    def begin(self) -> None:
        """Write the intent. JournalUnavailable: nothing may be sent."""
        intent = self._intent()
        self.accounting.journal.intent(intent)
        self.intent = intent

    def _intent(self) -> Intent:
        """What is known of it before it is sent, for the attempt that is tried."""
        policy, attempt = self.policy, self.attempt
        return Intent(
            gen_id=self.gen_id,
            purse=policy.purse,
            account=policy.account,
            key_id=policy.key_id,
            model=self.envelope.model,
            provider=attempt.provider.name,
            upstream_model=attempt.model.name,
            rates=self.meter.expected_rates,
            hold_nano=self.hold_nano,
            prompt_estimate=self.meter.prompt_estimate,
            started_ms=self.started_ms,
            stream=self.envelope.stream,
            request_id=self.request_id,
            surface=self.surface,
        )

    def forgo(self) -> None:
        """There is no intent, so there is nothing to settle: only the hold goes back."""
        self.is_settled = True
        self.accounting.credit.settle(self.policy.purse, self.hold_nano, 0)

    @property
    def fit(self) -> Fit:
        """What to change in the request for the attempt that is tried."""
        return self.fits.get(self.attempt.model.id, AS_SENT) if self.fits else AS_SENT

    @property
    def adapter(self) -> Adapter | None:
        """How the attempt that is tried serves the request; None: Chat as Chat."""
        return self.adapters.get(self.attempt.model.id) if self.adapters else None

    async def prepare(self, has_stream_options: bool) -> None:
        """Have ready what `request` gives in another format than Chat, said beside the loop if that takes long. Invalid."""
        if self.adapter is not None and self.prepared is None:
            attempt = self.attempt
            asked = Asked(attempt.provider, attempt.model, self.adapter.endpoint, self.cap, has_stream_options, self.fit)
            self.prepared = await self._say(self.adapter, asked)

    async def _say(self, adapter: Adapter, asked: Asked) -> tuple[ProviderRequest, AdapterMemo]:
        call = partial(adapter.request, self.envelope, asked)
        return call() if self.aside is None else await self.aside.run(self.envelope.bytes_total, call)

    def request(self, has_stream_options: bool) -> tuple[list[bytes | memoryview], bytes]:
        """The body that the provider of this attempt is sent, and lines for its head. Invalid: it cannot be asked for this."""
        attempt, fit = self.attempt, self.fit
        adapter = self.adapters.get(attempt.model.id) if self.adapters else None
        if adapter is not None:
            said, self.prepared = self.prepared, None  # it may be as large as the body
            if said is None:
                asked = Asked(attempt.provider, attempt.model, adapter.endpoint, self.cap, has_stream_options, fit)
                said = adapter.request(self.envelope, asked)
            sent, self.memo = said
            self.ignored = sent.ignored
            return sent.body, sent.head
        # Chat as Chat, as most requests are: what `routing.surfaces.openai.chat` would say, without its values in between.
        model = attempt.model
        self.ignored = fit.ignored
        cap_field = model.max_tokens_field or attempt.provider.max_tokens_field
        return rewrite(self.envelope, model.name, self.cap, cap_field, has_stream_options, model.max_output_tokens, fit), b""

    async def suits(self, attempt: Attempt) -> bool:
        """Whether the request can be said to this attempt's provider at all."""
        adapter = self.adapters.get(attempt.model.id)
        if adapter is None or not adapter.is_translated:
            return True
        try:
            await self._say(adapter, Asked(attempt.provider, attempt.model, adapter.endpoint, self.cap))
        except Invalid:
            return False
        return True

    async def cover(self, attempt: Attempt) -> bool:
        """Whether what is held pays for this attempt, after more was held if need be. The bounds are then the attempt's own."""
        if attempt.model.id == self.attempt.model.id:
            return True
        need = reserve(self.envelope, attempt.model)
        credit, purse = self.accounting.credit, self.policy.purse
        missing_nano = need.full_nano - self.hold_nano
        if missing_nano > 0:
            if credit.hold(purse, missing_nano):
                self.hold_nano += missing_nano
            elif need.least_nano > self.hold_nano:
                answer = await credit.hold_cold(self.policy, missing_nano, need.least_nano - self.hold_nano)
                if answer.held_nano is None:
                    return False
                self.hold_nano += answer.held_nano
        self.intent = None  # another model is tried next, and more may be held from now on
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
        self.attempt, self.prepared = attempt, None
        self.envelope = answered_by(self.envelope, attempt.model.id)
        provider = attempt.provider
        if self.claim is not None:
            self.claim.turn_to(provider.name)
        self.meter.turn_to(attempt.model.tariff, provider.usage_arithmetic, trusts_served_tier=provider.trusts_served_tier)

    def asking(self, now_s: float, secrets: tuple[Secret, ...]) -> None:
        """A request is about to be written, with these secrets in it."""
        self.secrets = secrets
        self.waiting_since_s = now_s

    def asked(self) -> None:
        """The provider has the request, so it may work for money."""
        self.consumed = Consumed.PROMPT

    def metered(self) -> None:
        """A stream begins: what is consumed is what the meter has, from here on."""
        self.consumed = Consumed.METERED

    def answered(self, now_s: float, finish_reason: str = "", upstream_id: str = "") -> None:
        """The first part of an answer is there, or all of it and what it says of itself."""
        self.consumed = Consumed.METERED
        self.first_byte_s = now_s
        self.upstream_s += now_s - self.waiting_since_s
        # From its first byte on, as until then, a stream goes at the provider's pace.
        self.waiting_since_s = now_s if self.envelope.stream else 0.0
        self.finish_reason = finish_reason
        self.upstream_id = upstream_id

    def timing(self) -> tuple[bytes, bytes]:
        """The `server-timing` header up to now: milliseconds that the provider took, and that we did."""
        total_s = (self.first_byte_s or monotonic()) - self.started_s
        own_s = max(total_s - self.upstream_s, 0.0)
        return b"server-timing", b"upstream;dur=%.1f, edge;dur=%.2f" % (self.upstream_s * 1000, own_s * 1000)

    def report_to(self, report: Callable[[Failure | None], None]) -> None:
        """The attempt has answered, which is told now; what breaks behind it will be told to the same."""
        self.report = report
        report(None)

    def finished(self, finish_reason: str, upstream_id: str) -> None:
        """What a stream says of itself, as far as it has come."""
        self.finish_reason = finish_reason
        self.upstream_id = upstream_id

    def failed(self, now_s: float) -> None:
        """The attempt came to nothing, so it is charged nothing, whatever the provider makes of it."""
        self.consumed = Consumed.NOTHING
        if self.waiting_since_s:
            self._waited(now_s)

    def abandon(self) -> None:
        """Another provider is asked in place of this one, which has the request: what it bills is the house's, never the
        caller's, and at most what was held for it."""
        attempt = self.attempt
        self.abandoned += (Abandoned(attempt.provider.name, attempt.model.name, self.hold_nano),)
        self.accounting.metrics.abandoned[attempt.provider.name] += 1
        self.accounting.metrics.abandoned_nano[attempt.provider.name] += self.hold_nano

    def note(self, failure: Failure) -> None:
        """Why the attempt came to nothing, for the record and the answer's metadata."""
        self.tried += (Tried(self.attempt.provider.name, self.attempt.model.name, failure.reason, failure.status),)
        if self.explanation is not None:
            self.explanation.note(self.tried)

    def metadata(self, ended: str = ANSWERED) -> Members | None:
        """What the answer of this attempt says of how it came about, by its member's name; None where nobody asked. `ended`: why
        it broke off, if it did."""
        return None if self.explanation is None else self.explanation.of_answer(self.attempt, ended)

    def _waited(self, now_s: float) -> None:
        self.upstream_s += now_s - self.waiting_since_s
        self.waiting_since_s = 0.0

    def mark(self) -> None:
        """Leave a progress mark for recovery, if there is progress."""
        counted = self.meter.completion_counted
        if counted > self.marked_tokens:
            self.marked_tokens = counted
            self.accounting.journal.progress(self.gen_id, self.meter.tokens)

    def charge(self) -> Bill:
        """What a settlement now would charge.

        What is charged nothing carries rates that make nothing: the collector computes each cost again.
        """
        match self.consumed:
            case Consumed.METERED:
                return self.meter.bill()
            case Consumed.PROMPT:
                return self.meter.bill_prompt()
            case Consumed.NOTHING:
                return Bill(Tokens(), Rates(version=self.attempt.rates.version), 0, "estimated")
        assert_never(self.consumed)

    def settle(self, end_reason: EndReason, status: int, now_s: float, error: str = "") -> None:
        """The hold becomes a charge. Only the first call counts."""
        if self.is_settled:
            return
        self.is_settled = True
        if self.waiting_since_s:
            self._waited(now_s)
        whole_s, first_byte_s = now_s - self.started_s, self.first_byte_s - self.started_s if self.first_byte_s else 0.0
        bill = self.charge()
        self.has_bought = end_reason == "completed" or bill.cost_nano > 0
        accounting, attempt, intent = self.accounting, self.attempt, self.intent or self._intent()
        record = record_of(
            intent,
            accounting.node,
            accounting.epoch,
            accounting.journal.next_seq(),
            bill.tokens,
            bill.rates,
            bill.cost_nano,
            bill.source,
            status,
            end_reason,
            self.finish_reason,
            int(whole_s * 1000),
            int(first_byte_s * 1000),
            self.upstream_id,
            self.attempts,
            self.user_agent,
            error,
            bill.tier,
            bill.upstream_cost_pico,
            self.trace,
            self.abandoned,
            self.requested if self.requested != attempt.model.id else "",
            self.tried,
            listed(self.ignored) if self.ignored else "",
        )
        accounting.journal.settle(record)
        accounting.credit.settle(intent.purse, self.hold_nano, bill.cost_nano)
        if self.claim is not None:
            self.claim.settle(bill.tokens.prompt, bill.tokens.completion)
        metrics = accounting.metrics
        metrics.count(record, first_byte_s, max(whole_s - self.upstream_s, 0.0))
        if accounting.on_record is not None:
            accounting.on_record(record)
        if bill.fault:
            metrics.claims.report(record.provider, bill.fault, now_s)
        if bill.upstream_cost_pico is not None:
            metrics.claims.compare(attempt.model.id if attempt.model.is_listed else f"{record.provider}/*", bill)
