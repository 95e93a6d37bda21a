"""Serves one paid request, on whatever surface: arrive, authenticate, decode, plan, reserve, intent, answer, relay, settle.

Rule: this file is the order of things; each step is decided in `routing` or done by a neighbour. Whatever happens, the hold is
settled.
"""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

import msgspec
from starlette.types import Receive, Scope, Send

from edge.auth.authenticator import Authenticator, check
from edge.auth.client_address import FailedAuthentications
from edge.auth.header import known_digest
from edge.credit.accounting import AccountingContext
from edge.credit.reservation import Reservations, Reserved
from edge.downstream import CALLER
from edge.journal import JournalUnavailable
from edge.limits.fair_start import ASIDE_BYTES, LARGE_BYTES, Aside, FairStart
from edge.providers.table import Table
from edge.relay.attempts import Attempts, Forwarder
from edge.relay.body import CallerLeft, MemoryBudget, discard_body, read_body
from edge.relay.context import RequestContext, begin
from edge.relay.end_reason import CancelReason, end_reason_of, failure_of
from edge.relay.generation import Generation
from edge.relay.idempotency import REPLAYED, IdempotencyKeys, KeptAnswer, fingerprint_of
from edge.relay.ids import IdGenerator
from edge.relay.response.own import JSON_TYPE, id_headers, send_error, send_whole
from edge.relay.response.stream import StreamForwarder
from edge.relay.response.whole import BufferedForwarder, send_in_pieces
from edge.relay.watchdog import Watchdog
from routing.failures.failure import AttemptFailed, Kind, Sent, status_of
from routing.failures.provider_error import without_secrets
from routing.metering.meter import Meter, estimate_prompt
from routing.plan.plan import Attempt, Plan
from routing.plan.refusal import Denied, Refusal, refusal_of
from routing.plan.reserve import allowance, bounds_of, reserve
from routing.request.envelope import Envelope, Invalid, answered_by
from routing.surfaces import CHAT, CallerRequest, Entry, Surface, surface_of
from routing.surfaces.admission import Admitted, admit
from routing.surfaces.errors import owner_at
from routing.views.metadata import in_object
from routing.wire.headers import Arrival, validate
from usage.flavor import flavor_of
from usage.protocol import Policy
from usage.trace import onward, trace_of

log = logging.getLogger("tollway.relay")
BODY_BYTES_UNPAID = 65_536
"""A smaller body is read before it is known whether its account has anything: that costs less than to ask."""
NONE: Mapping[str, Any] = {}
LEAVING = Refusal(503, "draining", "this edge is being replaced; try again", retry_after_s=1.0)
_STATUS_OF_CANCELLED = {CancelReason.BODY_TOO_SLOW: 408, CancelReason.DRAINING: 503}
_BODY_TOO_SLOW = Refusal(408, "body_too_slow", "the body did not arrive in time; send it faster or make it smaller")
_FAILED = Refusal(500, "internal_error", "this edge failed; the request id helps to find out why")
_UNJOURNALED = Refusal(503, "journal_unavailable", "this edge cannot write its journal", retry_after_s=5.0)


class Shared(NamedTuple):
    """What all requests of one process pass, whichever surface and epoch serves them."""

    watch: Watchdog
    ids: IdGenerator
    in_flight: MemoryBudget
    starts: FairStart
    idempotency: IdempotencyKeys
    failed: FailedAuthentications


class Relay:
    """The ASGI callable of one surface's paid path: Chat's, and `on` another one that shares all else with it."""

    def __init__(self, table: Table, accounting: AccountingContext, authenticator: Authenticator, shared: Shared) -> None:
        watch, ids, in_flight, starts, idempotency, failed = shared
        self._authenticator = authenticator
        self._limiter = accounting.limiter
        self._failed = failed
        self._table = table
        self._entry = CHAT
        self._surface: Surface = surface_of(CHAT)
        self._attempts = Attempts(table)
        self._accounting = accounting
        self._watch = watch
        self._ids = ids
        self._clock = ids.clock
        self._in_flight = in_flight
        self._aside = Aside()
        self._starts = starts
        self._idempotency = idempotency
        self._reservations = Reservations(table, accounting, ids.clock)

    def on(self, entry: Entry) -> "Relay":
        """The same of another surface."""
        other = copy(self)
        other._entry, other._surface = entry, surface_of(entry)
        return other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        context = begin(receive, send, scope.get("extensions", NONE).get(CALLER), self._ids.draw(), path)
        self._watch.contexts.add(context)
        try:
            arrival = self._arrive(scope, context)
            await self._serve(arrival, CallerRequest(path, scope["headers"], scope.get("query_string", b"")), context)
        except Denied as denied:
            self._accounting.metrics.count_refused(denied.refusal.status, denied.refusal.code)
            if denied.refusal.status == 401:
                self._failed.count(scope, denied.refusal.message)
            await self._send_error(denied.refusal, context, denied.gen_id, denied.headers)
            if not context.has_body:
                context.refuse_body()
                await discard_body(receive)
        except CallerLeft:
            self._accounting.metrics.count_refused(499)
        except asyncio.CancelledError:
            if context.cancel_reason is None:
                raise
            await self._interrupted(context)
        except Exception:
            # The outer ring: what we did not foresee is answered plainly, and never with a traceback.
            log.exception("request %s failed", context.gen_id)
            if not context.is_answered:
                await self._send_error(_FAILED, context)
        finally:
            self._watch.end(context)
            self._in_flight.leave(context)
            if context.limits is not None:
                context.limits.end()
            if context.idempotency is not None:
                context.idempotency.end()

    def _arrive(self, scope: Scope, context: RequestContext) -> Arrival:
        """What the head says. Denied: it is no head for us."""
        arrival = validate(scope["headers"], self._table.limits.now.header_count_max, scope.get("http_version", "1.1"))
        if isinstance(arrival, Refusal):
            raise Denied(arrival)
        context.arrive(arrival)
        return arrival

    async def _send_error(
        self, refusal: Refusal, context: RequestContext, gen_id: str = "", more: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """A refusal, in the words of this surface's clients. `gen_id`: of the generation it is about, if of another."""
        more = more if context.limits is None else context.limits.headers()
        surface = owner_at(context.path) or self._surface  # ranks have callers who read OpenAI's words, and Cohere's own
        response = surface.error_response(refusal, flavor_of(context.path), context.request_id)
        if context.explanation is not None:
            response = response._replace(body=in_object(response.body, context.explanation.of_failure()))
        await send_error(context.send, refusal, response, [*id_headers(gen_id or context.gen_id, context.request_id), *more])

    async def _serve(self, arrival: Arrival, call: CallerRequest, context: RequestContext) -> None:
        """From the key to the end of the answer. Denied, CallerLeft."""
        table, credit, caller = self._table, self._accounting.credit, context.caller
        policy = credit.find(known_digest(arrival.authorization))
        if policy is None:
            policy = await self._authenticator.policy_of(arrival)
        check(policy, self._clock)
        if caller is not None and caller.is_gone:
            raise CallerLeft
        length = arrival.content_length
        self._in_flight.enter(context, policy.account, length)
        is_late = self._starts.is_late(context.started_s)
        if is_late:
            await self._wait_for_start(policy, context)
        if length is None or length > BODY_BYTES_UNPAID:
            await self._reservations.require_credit(policy)
        body = await read_body(context.receive, context, self._in_flight, table.limits.now.body_bytes_max, length)
        if arrival.idempotency_key is not None and await self._repeats(arrival.idempotency_key, policy, call, body, context):
            return
        envelope = self._read(body, call) if len(body) < ASIDE_BYTES else await self._read_aside(body, call)
        if is_late and envelope.stream and caller is not None and caller.says_no_more:
            raise CallerLeft  # most likely; there is no time to find out
        envelope, admitted = self._plan(envelope, policy, context)
        if isinstance(admitted, bytes):
            context.answer()
            await send_whole(context.send, 200, [JSON_TYPE, *id_headers(context.gen_id, context.request_id)], admitted)
            return
        attempts = admitted[0]
        need = reserve(envelope, attempts[0].model)
        if self._limiter.applies(policy, table.config):
            attempts, need, claim = await self._reservations.limit(policy, envelope, attempts, need)
            context.limit(claim)
        reserved = Reserved(attempts, need, need.full_nano)
        if not credit.hold(policy.purse, need.full_nano):
            reserved = await self._reservations.hold(policy, envelope, attempts)
        generation = self._generation(arrival, policy, envelope, admitted, reserved, context)
        await self._answer(reserved.attempts, generation, context)

    def _read(self, body: bytes, call: CallerRequest) -> Envelope:
        """What of the request decides. Denied: it is none of this surface's."""
        try:
            return self._surface.read(body, call)
        except Invalid as invalid:
            raise Denied(_refusal_of(invalid)) from None

    async def _read_aside(self, body: bytes, call: CallerRequest) -> Envelope:
        """As `_read`, for a body that takes long: beside the loop, and of the largest one in a turn."""
        envelope = await self._aside.run(len(body), partial(self._read, body, call))
        if len(body) >= LARGE_BYTES:
            await self._starts.wait_for_large()
        return envelope

    def _plan(self, envelope: Envelope, policy: Policy, context: RequestContext) -> tuple[Envelope, Admitted | bytes]:
        """The request by the id that was meant, and who can serve it, in their order; or the answer, where a prompt is to be
        counted and no provider does. Denied: nobody."""
        table, explanation, roll = self._table, context.explanation, random.random()
        plan = table.plan(envelope, policy.models, context.started_s, roll, policy.account)
        if explanation is not None:
            explanation.plan(partial(table.decision, envelope, plan, roll))
        if isinstance(plan, Refusal):
            raise Denied(plan)
        if plan.model_id != envelope.model:
            envelope = msgspec.structs.replace(envelope, model=plan.model_id)
        admitted = admit(self._entry, envelope, plan)
        if isinstance(admitted, Refusal):
            if self._entry.counts is None or (count := _estimated(self._entry, envelope, plan)) is None:
                raise Denied(admitted)
            return envelope, count
        if explanation is not None:
            explanation.admit(admitted[0])
        return envelope, admitted

    def _generation(
        self,
        arrival: Arrival,
        policy: Policy,
        envelope: Envelope,
        admitted: Admitted,
        reserved: Reserved,
        context: RequestContext,
    ) -> Generation:
        """What is held becomes a generation, which ends with its one settlement."""
        attempt, need, hold_nano = reserved.attempts[0], reserved.need, reserved.hold_nano
        model, provider, forwarded, trace = attempt.model, attempt.provider, arrival.forwarded, ""
        if forwarded and (trace := trace_of(forwarded)):
            forwarded = onward(forwarded, context.gen_id)
        completion_max, cap = allowance(need, hold_nano)
        meter = Meter(
            model.tariff,
            estimate_prompt(envelope, model),
            provider.usage_arithmetic,
            bounds_of(need, completion_max),
            envelope.tier,
            envelope.cache_life,
            hold_nano,
            need.searches_min,
            provider.trusts_served_tier,
        )
        meter.echoed_bytes = envelope.echoed_bytes
        if envelope.pieces is not None:
            meter.expect(envelope.pieces, envelope.pieces_likely)
        return Generation(
            self._accounting,
            context.gen_id,
            context.request_id,
            policy,
            answered_by(envelope, model.id),
            attempt,
            hold_nano,
            completion_max,
            context.started_s,
            self._clock.now_ms(),
            arrival.user_agent,
            meter,
            forwarded,
            cap,
            admitted[1],
            admitted[2],
            trace=trace,
            claim=context.limits,
            requested=envelope.model,
            explanation=context.explanation,
            surface=self._entry.format,
            aside=self._aside,
        )

    async def _repeats(self, name: bytes, policy: Policy, call: CallerRequest, body: bytes, context: RequestContext) -> bool:
        """Whether it was answered with what its Idempotency-Key has bought before. Denied: it may not be carried out."""
        fingerprint = await self._aside.run(len(body), partial(fingerprint_of, call, body))
        found = self._idempotency.claim(policy.digest, policy.account, name, fingerprint, context.gen_id, monotonic())
        if not isinstance(found, KeptAnswer):
            context.claim_idempotency(found)
            return False
        context.answer()
        await send_in_pieces(context, found.status, [*found.headers, REPLAYED], found.body)
        return True

    async def _wait_for_start(self, policy: Policy, context: RequestContext) -> None:
        """CallerLeft: the caller has left meanwhile."""
        has_waited = await self._starts.wait(policy.account, policy.key_id, context.started_s)
        if has_waited and context.caller is not None and context.caller.is_gone:
            raise CallerLeft

    async def _answer(self, attempts: Sequence[Attempt], generation: Generation, context: RequestContext) -> None:
        kind = StreamForwarder if generation.envelope.stream else BufferedForwarder
        forward: Forwarder = kind(generation, context, self._table.limits)
        try:
            if generation.adapters:
                # What the first target cannot be asked for is the caller's to mend, before anything is written or sent.
                await generation.prepare(generation.attempt.provider.stream_options)
            generation.begin()
        except BaseException as problem:
            generation.forgo()
            if isinstance(problem, Invalid):
                raise Denied(_refusal_of(problem)) from problem
            if isinstance(problem, JournalUnavailable):
                raise Denied(_UNJOURNALED) from problem
            raise
        try:
            await self._attempts.find_answer(attempts, forward)
            await forward.run()
        except AttemptFailed as failed:
            is_deserted = context.is_deserted
            failure = without_secrets(failed.failure, generation.secrets)
            if is_deserted:
                failure = failure_of(CancelReason.CALLER_LEFT, Sent.REQUEST)
            generation.settle(end_reason_of(failure), status_of(failure), monotonic(), failure.reason)
            if is_deserted:
                return
            if forward.is_open:
                # Comments have kept the connection open, so there is no status any more.
                await forward.tell(failure)
                return
            if failure.kind is Kind.JOURNAL:
                raise Denied(_UNJOURNALED) from failed
            raise Denied(refusal_of(failure, generation.attempt.provider.name)) from failed
        except asyncio.CancelledError:
            is_deserted = context.is_deserted
            generation.settle("cancelled" if is_deserted else "proxy_error", 499 if is_deserted else 503, monotonic())
            raise
        finally:
            if not generation.is_settled:
                generation.settle("proxy_error", 500, monotonic())
            if context.idempotency is not None and generation.has_bought:
                context.idempotency.spend(monotonic())

    async def _interrupted(self, context: RequestContext) -> None:
        """It was cancelled from outside while it waited for no provider."""
        assert context.task is not None
        assert context.cancel_reason is not None
        context.task.uncancel()
        if context.exchange is not None:
            context.exchange.abort()
        self._accounting.metrics.count_refused(_STATUS_OF_CANCELLED.get(context.cancel_reason, 499))
        if context.cancel_reason is CancelReason.BODY_TOO_SLOW:
            await self._send_error(_BODY_TOO_SLOW, context)
        elif context.cancel_reason is CancelReason.DRAINING and not context.is_answered:
            await self._send_error(LEAVING, context)


def _estimated(entry: Entry, envelope: Envelope, plan: Plan) -> bytes | None:
    from routing.surfaces.estimated_count import estimated_count

    return estimated_count(entry, envelope, plan)


def _refusal_of(invalid: Invalid) -> Refusal:
    return Refusal(400, invalid.code, invalid.message, param=invalid.param)
