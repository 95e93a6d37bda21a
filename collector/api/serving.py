"""How an operation is served: who calls, decoding, one transaction, the answer or the error.

Rule: the caller is known, and may do it, before anything else is looked at; all of it is one transaction, so that a check and
what it allows are of one moment.
Strategy: GET answers have an ETag over what they say (not when), and 304 for who has it.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from collector.accounts.accounts import Mistake
from collector.analytics.query import QueryProblem
from collector.api.caller import ApiCaller, credential_of, identify
from collector.api.decoding import decode_body, decode_query
from collector.api.idempotency import once
from collector.api.operation import Call, DeferredAnswer, NoMembers, Operation, PlainAnswer
from collector.api.problem import ApiError
from collector.api.shapes import encode
from collector.http.body import read_body
from collector.http.refusal_log import log_refusal
from collector.http.same_origin import is_same_origin
from collector.service import Collector
from collector.store.contract import Tx
from usage.flavor import Flavor, error_body, flavor_of
from usage.protocol import Unreachable
from usage.retry_after import retry_after_header

T = TypeVar("T")
BODY_BYTES_MAX = 64 * 1024
UNSAFE = frozenset(("POST", "PATCH", "PUT", "DELETE"))


async def serve(collector: Collector, operation: Operation, request: Request) -> Response:
    """Answer one request; whatever is wrong is an error in the words of the API that was called."""
    try:
        response = await _answer(collector, operation, request)
    except ApiError as problem:
        if problem.status == 401:
            log_refusal(collector.refusals, request, str(problem))
        response = refuse(request, problem)
    except QueryProblem as error:
        response = refuse(request, ApiError(400, str(error), "invalid_parameter", error.param))
    except Mistake as error:
        response = refuse(request, ApiError(400, str(error), "invalid_request"))
    except Unreachable as error:
        wait_s = error.retry_after_s or 1.0
        response = refuse(request, ApiError(503, "the account cannot be read right now", "collector_unavailable", None, wait_s))
    response.headers.setdefault("cache-control", "no-store")
    return response


def refuse(request: Request, problem: ApiError) -> Response:
    """An error in the words of the API that was called."""
    body = error_body(flavor_of(request.url.path), problem.status, problem.message, problem.code, param=problem.param)
    response = Response(body, problem.status, media_type="application/json")
    if problem.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    if problem.retry_after_s is not None:
        response.headers["retry-after"] = retry_after_header(problem.retry_after_s)
    return response


async def _answer(collector: Collector, operation: Operation, request: Request) -> Response:
    secret = await credential_of(request, collector.marks) if operation.roles else ""
    account = request.query_params.get("account", "").replace("\0", "?")
    origin = request.client.host if request.client else ""

    def admit(tx: Tx, now_ms: int) -> ApiCaller:
        if not operation.roles:
            return ApiCaller("inference", "", "", origin)
        caller = identify(tx, secret, account, origin, now_ms)
        if caller.role not in operation.roles:
            raise ApiError(403, _forbidden(caller, operation, request), "forbidden")
        if request.method in UNSAFE and not is_same_origin(request):
            raise ApiError(403, "a page of another site may not do this", "wrong_origin")
        return caller

    if operation.roles:
        await collector.read(admit)
    raw = await _read_body(request) if request.method in UNSAFE else b""
    if operation.check is not None:
        await operation.check(collector, request, raw)

    def work(tx: Tx, now_ms: int) -> tuple[int, Any]:
        caller = admit(tx, now_ms)
        query = decode_query(operation.query or NoMembers, request)
        body = decode_body(operation.body, raw) if operation.body is not None else None
        call = Call(caller, query, body, request.path_params, now_ms, collector, raw=raw, headers=request.headers)
        key = request.headers.get("idempotency-key", "")
        if key and request.method == "POST" and operation.has_effect and operation.roles:
            return once(tx, call, key, f"{request.method} {operation.path}", raw, operation)
        return operation.status, operation.handle(tx, call)

    transact = collector.write if operation.has_effect else collector.read
    status, answer = await _patiently(collector, lambda: transact(work), operation.patience_s)
    if isinstance(answer, DeferredAnswer):
        answer = await asyncio.to_thread(answer.ask)
    if isinstance(answer, ApiError):
        raise answer
    return _respond(request, status, answer)


async def _patiently(collector: Collector, ask: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """Ask again after each batch that comes in, as long as the answer is 404 and there is time."""
    until_s = time.monotonic() + patience_s
    while True:
        try:
            return await ask()
        except ApiError as problem:
            left_s = until_s - time.monotonic()
            if problem.status != 404 or problem.retry_after_s is None or left_s <= 0 or not await collector.await_batch(left_s):
                raise


def _forbidden(caller: ApiCaller, operation: Operation, request: Request) -> str:
    if "management" in operation.roles and "read" not in operation.roles and flavor_of(request.url.path) is Flavor.OPENROUTER:
        return "Only management keys can perform this operation"
    kinds = {"inference": "an inference key (sk_live_)", "read": "a read key (sk_read_)"}
    allowed = " or ".join(role for role in ("inference", "read", "management", "operator") if role in operation.roles)
    return f"{kinds.get(caller.role, 'a management key (sk_mgmt_)')} may not do this; it takes the role {allowed}"


def _respond(request: Request, status: int, answer: Any) -> Response:
    if isinstance(answer, PlainAnswer):
        response = Response(answer.content, status, media_type=answer.media_type)
        basis = answer.content
        if answer.filename:
            response.headers["content-disposition"] = f'attachment; filename="{answer.filename}"'
    elif isinstance(answer, Response):
        return answer
    else:
        content = answer if isinstance(answer, bytes) else encode(answer)
        response = Response(content, status, media_type="application/json")
        timeless = getattr(answer, "metadata", None) is not None
        basis = encode(msgspec.structs.replace(answer, metadata=None)) if timeless else content
    if request.method in ("GET", "HEAD") and status == 200:
        etag = f'W/"{hashlib.sha256(basis).hexdigest()[:32]}"'
        if etag in (known.strip() for known in request.headers.get("if-none-match", "").split(",")):
            response = Response(None, 304)
        response.headers["etag"] = etag
        response.headers["cache-control"] = "private, no-cache"
        response.headers["vary"] = "authorization, x-api-key, api-key"
    return response


async def _read_body(request: Request) -> bytes:
    body = await read_body(request, BODY_BYTES_MAX)
    if body is None:
        raise ApiError(413, f"a body has at most {BODY_BYTES_MAX} bytes", "too_large")
    return body
