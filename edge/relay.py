"""Serves one chat completion: arrive, authenticate, decode, plan, reserve, intent, answer, relay, settle.

Rule: this file is the order of things; each step is decided in `routing` or done by a neighbour. Whatever happens, the hold is
settled.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from time import monotonic
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from edge.attempts import Failed, find_answer
from edge.authentication import Authenticator, Deployment, check, unverifiable
from edge.clients import FailedAuthentications
from edge.downstream import CALLER, Caller
from edge.generation import Books, Generation
from edge.ids import Mint
from edge.intake import Denied, Gone, InFlight, discard_body, read_body
from edge.journal import JournalUnavailable
from edge.keys import Reason, digest_of
from edge.passage import Passage, Watch
from edge.pump import Pump, end_reason_of, is_event_stream
from edge.reply import Bounds, Headers, id_headers, send_refusal
from edge.table import Table
from edge.whole import forward_whole
from routing.bounds import TokenBounds
from routing.envelope import Invalid, read
from routing.failure import Kind, Source, status_of
from routing.headers import Arrival, validate
from routing.meter import Meter, estimate_prompt
from routing.plan import Plan
from routing.provider_error import without_secrets
from routing.refusal import Refusal, refusal_of
from routing.reserve import Reserve, completion_within, reserve
from usage.flavor import flavor_of
from usage.pricing import dollars
from usage.protocol import Policy

log = logging.getLogger("tollway.relay")
NONE: Mapping[str, Any] = {}
LEAVING = Refusal(503, "draining", "this edge is being replaced; try again", retry_after_s=1.0)
_AWAY = "this key cannot be looked up at the collector right now"
_UNJOURNALED = Refusal(503, "journal_unavailable", "this edge cannot write its journal", retry_after_s=5.0)


class Relay:
    """The ASGI callable of `POST /chat/completions`."""

    def __init__(
        self,
        table: Table,
        books: Books,
        watch: Watch,
        mint: Mint,
        in_flight: InFlight,
        bounds: Bounds,
        deployment: Deployment | None = None,
        failed: FailedAuthentications | None = None,
    ) -> None:
        self._authenticator = Authenticator(books.credit, deployment or Deployment())
        self._failed = failed or FailedAuthentications()
        self._table = table
        self._books = books
        self._watch = watch
        self._mint = mint
        self._in_flight = in_flight
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        mark = self._mint.draw()
        gen_id = "gen-" + mark
        now_s = monotonic()
        caller = scope.get("extensions", NONE).get(CALLER)
        task = asyncio.current_task() if caller is None else caller.task
        passage = Passage(receive, caller, task, now_s, now_s, now_s, flavor_of(scope["path"]))
        self._watch.passages.add(passage)
        request_id = "req-" + mark
        try:
            arrival, digest = self._arrive(scope, caller)
            if arrival.request_id is not None:
                request_id = arrival.request_id
            await self._serve(arrival, digest, gen_id, request_id, passage, send)
        except Denied as denied:
            self._books.metrics.count_refused(denied.refusal.status)
            if denied.refusal.status == 401:
                self._failed.note(scope, denied.refusal.message)
            await send_refusal(send, denied.refusal, passage.flavor, id_headers(gen_id, request_id))
            if passage.is_reading_body or not passage.body_bytes:
                passage.is_reading_body, passage.is_watched = False, True
                await discard_body(receive)
        except Gone:
            self._books.metrics.count_refused(499)
        except asyncio.CancelledError:
            if not passage.verdict:
                raise
            await self._interrupted(passage, send, id_headers(gen_id, request_id))
        except Exception:
            # The outer ring: what we did not foresee is answered plainly, and never with a traceback.
            log.exception("request %s failed", gen_id)
            if not passage.is_answered:
                refusal = Refusal(500, "internal_error", "this edge failed; the request id helps to find out why")
                await send_refusal(send, refusal, passage.flavor, id_headers(gen_id, request_id))
        finally:
            self._watch.end(passage)
            self._in_flight.leave(passage)

    def _arrive(self, scope: Scope, caller: Caller | None) -> tuple[Arrival, str | Reason]:
        """What the head says, and whose key is in it. Denied: it is no head for us."""
        limits = self._table.config.limits
        head = caller.head if caller is not None else None
        if head is not None and head.facts is not None and head.facts[0] is limits:
            _, arrival, digest = head.facts
            return arrival, digest
        arrival = validate(scope["headers"], limits.header_count_max, scope.get("http_version", "1.1"))
        if isinstance(arrival, Refusal):
            raise Denied(arrival)
        digest = digest_of(arrival.authorization)
        if head is not None:
            # The length is another one each time, and small.
            head.facts = limits, msgspec.structs.replace(arrival, content_length=None), digest
        return arrival, digest

    async def _serve(
        self, arrival: Arrival, digest: str | Reason, gen_id: str, request_id: str, passage: Passage, send: Send
    ) -> None:
        table, limits = self._table, self._table.config.limits
        policy = self._books.credit.find(digest) if isinstance(digest, str) else None
        if policy is None:
            policy = await self._authenticator.look_up(digest, arrival.authorization)
        check(policy)
        self._in_flight.enter(passage, policy.account)
        credit = self._books.credit
        body = await read_body(passage.receive, passage, self._in_flight, limits.body_bytes_max, arrival.content_length)
        try:
            envelope = read(body)
        except Invalid as invalid:
            raise Denied(Refusal(400, invalid.code, invalid.message, param=invalid.param)) from None
        plan = table.plan(envelope.model, policy.models, passage.started_s, random.random(), policy.account)
        if isinstance(plan, Refusal):
            raise Denied(plan)
        need = reserve(envelope, plan.attempts)
        hold_nano, completion_max, cap = need.full_nano, need.completion_max, need.cap_always
        if not credit.hold(policy.purse, hold_nano):
            hold_nano = await self._hold_cold(policy, need)
            if hold_nano < need.full_nano:
                completion_max = completion_within(need, hold_nano)
                cap = completion_max // need.choices
        attempt = plan.attempts[0]
        generation = Generation(
            self._books,
            gen_id,
            request_id,
            policy,
            envelope,
            attempt,
            hold_nano,
            completion_max,
            passage.started_s,
            time.time_ns() // 1_000_000,
            arrival.user_agent,
            Meter(
                attempt.rates,
                estimate_prompt(envelope, attempt.model),
                attempt.provider.usage_arithmetic,
                TokenBounds(need.prompt_max, completion_max),
            ),
        )
        await self._answer(plan, generation, passage, arrival, send, cap)

    async def _hold_cold(self, policy: Policy, need: Reserve) -> int:
        """Nano-dollars held: `full_nano`, or what the credit gives above `least_nano`."""
        answer = await self._books.credit.hold_cold(policy, need.full_nano, need.least_nano)
        if answer.held_nano is not None:
            return answer.held_nano
        if answer.exhausted_by:
            raise Denied(_exhausted(need, answer.available_nano, answer.exhausted_by))
        raise Denied(unverifiable(answer.retry_after_s, answer.reason))

    async def _answer(
        self, plan: Plan, generation: Generation, passage: Passage, arrival: Arrival, send: Send, cap: int | None
    ) -> None:
        try:
            generation.begin()
            passage.deadline_s = monotonic() + generation.attempt.provider.total_timeout_s
            exchange = await find_answer(self._table, plan.attempts, generation, passage, arrival.forwarded, cap)
            if generation.envelope.stream and is_event_stream(exchange):
                await Pump(exchange, generation, passage, send, self._bounds).run()
            else:
                await forward_whole(exchange, generation, passage, send, self._bounds)
        except JournalUnavailable as problem:
            generation.forgo()
            raise Denied(_UNJOURNALED) from problem
        except Failed as failed:
            failure = without_secrets(failed.failure, generation.secrets)
            status = status_of(failure)
            if failure.source is not Source.CLIENT and generation.consumed == "prompt":
                # Whoever gets nothing pays nothing, whatever the provider makes of it.
                generation.consumed = "nothing"
            generation.settle(end_reason_of(failure), status, monotonic(), failure.kind.value)
            if passage.verdict not in ("gone", "reader"):
                if failure.kind is Kind.JOURNAL:
                    raise Denied(_UNJOURNALED) from failed
                raise Denied(refusal_of(failure, generation.attempt.provider.name)) from failed
        except asyncio.CancelledError:
            left = passage.verdict in ("gone", "reader")
            generation.settle("cancelled" if left else "proxy_error", 499 if left else 503, monotonic())
            raise
        finally:
            if not generation.is_settled:
                generation.settle("proxy_error", 500, monotonic())

    async def _interrupted(self, passage: Passage, send: Send, ids: Headers) -> None:
        assert passage.task is not None
        passage.task.uncancel()
        if passage.exchange is not None:
            passage.exchange.abort()
        self._books.metrics.count_refused({"body": 408, "draining": 503}.get(passage.verdict, 499))
        if passage.verdict == "body":
            refusal = Refusal(408, "body_too_slow", "the body did not arrive in time; send it faster or make it smaller")
            await send_refusal(send, refusal, passage.flavor, ids)
        elif passage.verdict == "draining" and not passage.is_answered:
            await send_refusal(send, LEAVING, passage.flavor, ids)


def _exhausted(need: Reserve, available_nano: int, by: str) -> Refusal:
    tokens = completion_within(need, available_nano)
    what = "the spending limit of this key" if by == "key_limit" else "the account's credit"
    buys = (
        f"it would buy {tokens} completion tokens for this prompt: set max_tokens to at most {tokens // need.choices}"
        if tokens > 0
        else "it does not pay for this prompt"
    )
    message = f"{what} is used up: {dollars(available_nano)} dollars are left, {dollars(need.least_nano)} are needed; {buys}"
    metadata = {"available": dollars(available_nano), "needed": dollars(need.least_nano), "affordable_tokens": max(tokens, 0)}
    return Refusal(402, "insufficient_credits", message, metadata=metadata)
