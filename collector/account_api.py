"""What an account reads about itself over HTTP: /credits, /key, /generation, /activity, with the caller's own key.

Rule: a key sees its own account and nothing else. Rule: an amount is a JSON number with its exact decimal text, written from
integer nano-dollars; it never passes through a float. Errors have OpenAI's shape. Shapes: WIRE.md 1.7.
"""

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from collector import history
from collector.accounts import Key, find_key
from collector.doors import note_refusal
from collector.leasing import purse_available
from collector.service import Collector
from collector.store import Tx
from collector.window import day_from_date
from usage.flavor import Flavor, error_body, flavor_of
from usage.key import digest, is_well_formed
from usage.pricing import dollars, dollars_of_pico
from usage.protocol import Unreachable
from usage.record import UsageRecord

BASES = ("/api/v1", "/v1")
KEY_HEADERS = ("x-api-key", "api-key")
PATHS = ("/credits", "/key", "/generation", "/activity")

_encode = msgspec.json.Encoder().encode
Answer = Callable[[Tx, int, Key, Request], Any]


class _Problem(Exception):
    """An answer that is an error: status, message, code and the parameter it is about."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param


def routes(collector: Collector) -> list[BaseRoute]:
    """The account endpoints under both bases."""
    answers: dict[str, Answer] = {
        "/credits": _credits,
        "/key": _key,
        "/generation": _generation,
        "/activity": _activity,
    }
    return [Route(base + path, _endpoint(collector, answers[path]), methods=["GET"]) for base in BASES for path in PATHS]


def _endpoint(collector: Collector, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        try:
            key_digest = _digest_of_caller(request)

            def work(tx: Tx, now_ms: int) -> Any:
                return answer(tx, now_ms, _caller(tx, key_digest, now_ms), request)

            return Response(_encode({"data": await collector.read(work)}), media_type="application/json")
        except _Problem as problem:
            if problem.status == 401:
                note_refusal(collector.refusals, request, problem.message)
            return _error(problem, flavor_of(request.url.path))
        except Unreachable as error:
            unread = _Problem(503, "the account cannot be read right now", "collector_unavailable")
            response = _error(unread, flavor_of(request.url.path))
            response.headers["retry-after"] = str(int(error.retry_after_s or 1))
            return response

    return serve


def _error(problem: _Problem, flavor: Flavor) -> Response:
    body = error_body(flavor, problem.status, problem.message, problem.code, param=problem.param)
    headers = {"www-authenticate": "Bearer"} if problem.status == 401 else None
    return Response(body, problem.status, headers, media_type="application/json")


def _digest_of_caller(request: Request) -> str:
    scheme, _, bearer = request.headers.get("authorization", "").strip().partition(" ")
    sent = [bearer] if scheme.lower() == "bearer" else [scheme]
    sent += (request.headers.get(name, "") for name in KEY_HEADERS)
    keys = {key.strip().encode("latin-1") for key in sent} - {b""}
    if len(keys) > 1:
        raise _Problem(401, "Authorization, x-api-key and api-key carry different keys: send one of them", "invalid_api_key")
    if not keys or not is_well_formed(raw := keys.pop()):
        raise _Problem(401, "send your key as `Authorization: Bearer sk_live_...`, or in `x-api-key`", "invalid_api_key")
    return digest(raw)


def _caller(tx: Tx, key_digest: str, now_ms: int) -> Key:
    key = find_key(tx, key_digest)
    if key is None or not key.is_usable(now_ms):
        raise _Problem(401, "this key is unknown, revoked or expired", "invalid_api_key")
    return key


def amount(nano: int) -> msgspec.Raw:
    """Nano-dollars as a JSON number of dollars, exact."""
    return msgspec.Raw(dollars(nano).encode())


def _credits(tx: Tx, now_ms: int, key: Key, request: Request) -> dict[str, Any]:
    credits = history.credits_of(tx, key.account)
    assert credits is not None
    return {
        "total_credits": amount(credits.topped_nano),
        "total_usage": amount(credits.spent_nano),
        "available": amount(credits.available_nano),
        "leased": amount(credits.leased_nano),
    }


def _key(tx: Tx, now_ms: int, key: Key, request: Request) -> dict[str, Any]:
    spent = history.key_usage(tx, key, now_ms)
    remaining = None
    if key.limit_nano is not None:
        reset = {"daily": "usage_daily", "weekly": "usage_weekly", "monthly": "usage_monthly"}.get(key.limit_reset, "usage")
        remaining = amount(max(key.limit_nano - spent[reset], 0))
    credits = history.credits_of(tx, key.account)
    assert credits is not None
    return {
        "label": key.label,
        "name": key.name,
        "limit": None if key.limit_nano is None else amount(key.limit_nano),
        "limit_remaining": remaining,
        "limit_reset": None if key.limit_reset == "none" else key.limit_reset,
        "grantable": amount(purse_available(tx, key, credits.available_nano, now_ms)[0]),
        "include_byok_in_limit": False,
        **{name: amount(nano) for name, nano in spent.items()},
        **{f"byok_{name}": 0 for name in spent},
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": None,
        "expires_at": None if key.expires_ms is None else timestamp(key.expires_ms),
    }


def timestamp(time_ms: int) -> str:
    """RFC 3339, UTC, milliseconds."""
    moment = datetime.datetime.fromtimestamp(time_ms // 1000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def _generation(tx: Tx, now_ms: int, key: Key, request: Request) -> dict[str, Any]:
    gen_id = request.query_params.get("id", "").replace("\0", "?")
    if not gen_id:
        raise _Problem(400, "name the generation: /generation?id=gen-...", "missing_parameter", "id")
    record = history.generation(tx, key.account, gen_id)
    if record is None:
        raise _Problem(404, "there is no such generation in this account; a new one appears within seconds", "not_found", "id")
    return describe_generation(record)


def describe_generation(record: UsageRecord) -> dict[str, Any]:
    """A record as /generation answers it; what we do not know is null."""
    tokens, total = record.tokens, amount(record.cost_nano)
    return {
        "id": record.gen_id,
        "upstream_id": record.upstream_id or None,
        "request_id": record.request_id or None,
        "created_at": timestamp(record.started_ms),
        "model": record.model,
        "provider_name": record.provider,
        "api_type": "completions",
        "streamed": record.stream,
        "cancelled": record.end_reason == "cancelled",
        "origin": "",
        "user_agent": record.user_agent or None,
        "is_byok": False,
        "latency": record.ttft_ms,
        "generation_time": max(record.latency_ms - record.ttft_ms, 0),
        "finish_reason": record.finish_reason or None,
        "native_finish_reason": record.finish_reason or None,
        "end_reason": record.end_reason,
        "usage_source": record.usage_source,
        "service_tier": record.tier or None,
        "status": record.status,
        "attempts": record.attempts,
        "error": record.error or None,
        "tokens_prompt": tokens.prompt,
        "tokens_completion": tokens.completion,
        "native_tokens_prompt": tokens.prompt,
        "native_tokens_completion": tokens.completion,
        "native_tokens_reasoning": tokens.reasoning,
        "native_tokens_cached": tokens.cached,
        "native_tokens_completion_images": tokens.image_completion,
        "total_cost": total,
        "usage": total,
        "upstream_inference_cost": _told_cost(record),
        "cache_discount": None,
        "provider_responses": None,
    }


def _told_cost(record: UsageRecord) -> msgspec.Raw | None:
    """What the provider says that it bills for the generation, in dollars."""
    pico = record.upstream_cost_pico
    return None if pico is None else msgspec.Raw(dollars_of_pico(pico).encode())


def _activity(tx: Tx, now_ms: int, key: Key, request: Request) -> list[dict[str, Any]]:
    first, last = history.recent_days(now_ms)
    date = request.query_params.get("date", "")
    if date:
        try:
            day = day_from_date(date)
        except ValueError:
            raise _Problem(400, "date is a UTC day such as 2026-01-31", "invalid_parameter", "date") from None
        if not first <= day <= last:
            raise _Problem(400, "date lies outside of the last 30 days", "invalid_parameter", "date")
        first = last = day
    key_id = ""
    key_hash = request.query_params.get("api_key_hash", "").replace("\0", "?")
    if key_hash:
        other = find_key(tx, key_hash)
        if other is None or other.account != key.account:
            raise _Problem(404, "there is no such key in this account", "not_found", "api_key_hash")
        key_id = other.key_id
    return [_describe_day(day) for day in history.activity(tx, key.account, first, last, key_id)]


def _describe_day(day: history.Activity) -> dict[str, Any]:
    return {
        "date": day.date,
        "model": day.model,
        "model_permaslug": day.model,
        "endpoint_id": None,
        "provider_name": day.provider,
        "usage": amount(day.cost_nano),
        "byok_usage_inference": 0,
        "requests": day.requests,
        "prompt_tokens": day.prompt,
        "completion_tokens": day.completion,
        "reasoning_tokens": day.reasoning,
    }
