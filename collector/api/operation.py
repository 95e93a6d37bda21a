"""One operation of the API: method, path, who may call it, what goes in and comes out; and how it is served.

Rule: an operation is described by types, and served by them: the query and the body are decoded into the types that OpenAPI
shows, the answer is one of the type it names. Rule: the caller is known, and may do it, before anything else is looked at; all of
it is one transaction, so that a check and what it allows are of one moment.
Strategy: GET answers have an ETag over what they say (not when), and 304 for who has it. A POST with an `Idempotency-Key` is
carried out once: the same key brings the same answer, with another body it is refused. A secret in an answer is not stored for
that; it is made again from the caller's own credential and a stored salt.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, get_origin, get_type_hints

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from collector.accounts.accounts import Mistake
from collector.analytics.query import QueryProblem
from collector.api.caller import ApiCaller, ApiRole, credential_of, identify
from collector.api.problem import ApiError
from collector.api.shapes import encode
from collector.doors import is_same_origin, note_refusal
from collector.service import Collector
from collector.store.contract import Tx
from usage.flavor import Flavor, error_body, flavor_of
from usage.protocol import Unreachable
from usage.retry_after import retry_after_header

T = TypeVar("T")
BODY_BYTES_MAX = 64 * 1024
IDEMPOTENCY_MS = 86_400_000
"""How long a repeated POST brings the first one's answer."""
UNSAFE = frozenset(("POST", "PATCH", "PUT", "DELETE"))


class Call(msgspec.Struct, frozen=True):
    """What an operation is given: the caller, what was sent, decoded, and the time. `entropy` makes repeated secrets the same."""

    caller: ApiCaller
    query: Any
    body: Any
    path: Mapping[str, str]
    now_ms: int
    collector: Collector
    entropy: bytes = b""
    raw: bytes = b""
    headers: Mapping[str, str] = {}

    @property
    def account(self) -> str:
        """The account that is meant; an operator has to name one."""
        if not self.caller.account:
            raise ApiError(400, "name the account: ?account=...", "missing_parameter", "account")
        return self.caller.account


class PlainAnswer(msgspec.Struct, frozen=True):
    """An answer that is not JSON."""

    content: bytes
    media_type: str
    filename: str = ""


class Later(msgspec.Struct, frozen=True):
    """An answer that has to be asked for elsewhere, after the transaction; `ask` blocks."""

    ask: Callable[[], Any]


class Operation(msgspec.Struct, frozen=True):
    """`roles` empty: nobody needs a key.

    `answer` is a Struct, or the media type of a Plain. `bases`: under which it is served.
    """

    method: str
    path: str
    summary: str
    roles: frozenset[ApiRole]
    handle: Callable[[Tx, Call], Any]
    answer: Any
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    status: int = 200
    has_effect: bool = False
    bases: tuple[str, ...] = (Flavor.OPENROUTER.value, Flavor.OPENAI.value)
    errors: tuple[int, ...] = ()
    patience_s: float = 0.0
    """How long a 404 waits for what may be on its way."""
    secret: Callable[[Tx, bytes, Any], str] | None = None
    """(store, entropy, the answer as it was kept) → the secret that was in the answer, made again."""
    check: Callable[[Collector, Request, bytes], Awaitable[None]] | None = None
    """Where `roles` are empty: (collector, request, body) are looked at before the store is asked for anything. ApiError."""


class Nothing(msgspec.Struct, frozen=True):
    """A query or a body without members."""


async def serve(collector: Collector, operation: Operation, request: Request) -> Response:
    """Answer one request; whatever is wrong is an error in the words of the API that was called."""
    try:
        response = await _answer(collector, operation, request)
    except ApiError as problem:
        if problem.status == 401:
            note_refusal(collector.refusals, request, str(problem))
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
        query = decode_query(operation.query or Nothing, request)
        body = decode_body(operation.body, raw) if operation.body is not None else None
        call = Call(caller, query, body, request.path_params, now_ms, collector, raw=raw, headers=request.headers)
        key = request.headers.get("idempotency-key", "")
        if key and request.method == "POST" and operation.has_effect and operation.roles:
            return once(tx, call, key, f"{request.method} {operation.path}", raw, operation)
        return operation.status, operation.handle(tx, call)

    transact = collector.write if operation.has_effect else collector.read
    status, answer = await _patiently(collector, lambda: transact(work), operation.patience_s)
    if isinstance(answer, Later):
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
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise ApiError(413, f"a body has at most {BODY_BYTES_MAX} bytes", "too_large")
    return bytes(body)


def decode_query(kind: type[msgspec.Struct], request: Request) -> Any:
    """The query as a Struct: what it does not know is left alone, what it knows must be right. Lists repeat or have commas."""
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for field, name in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        values = [value for spelled in (name, f"{name}[]") for value in request.query_params.getlist(spelled)]
        if not values:
            continue
        if any("\0" in value for value in values):
            raise ApiError(400, f"{name} has a NUL in it", "invalid_parameter", name)
        if get_origin(hints[field]) is tuple:
            given[name] = [part for value in values for part in value.split(",") if part]
        else:
            given[name] = values[-1]
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _not(error, "query") from error


def decode_body(kind: type[msgspec.Struct], raw: bytes) -> Any:
    try:
        body = msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _not(error, "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "the body is not JSON", "invalid_json") from error
    if b"\\u0000" in raw or b"\0" in raw:
        raise ApiError(400, "the body has a NUL in it", "invalid_request")
    return body


def _not(error: msgspec.ValidationError, where: str) -> ApiError:
    message, _, path = str(error).partition(" - at ")
    param = path.strip("`$.") or None
    if param is None and "`" in message and "field" in message:
        param = message.split("`")[1]
    return ApiError(400, f"{message[:300]}{f' at {param}' if param else ''} in the {where}", "invalid_parameter", param)


def once(tx: Tx, call: Call, key: str, what: str, raw: bytes, operation: Operation) -> tuple[int, Any]:
    """Carry out what this `Idempotency-Key` was not yet used for; else the first answer again."""
    if len(key) > 255 or not key.isprintable():
        raise ApiError(400, "an Idempotency-Key has up to 255 printable characters", "invalid_parameter", "Idempotency-Key")
    holder = call.caller.key.digest if call.caller.key else call.caller.credential.digest if call.caller.credential else ""
    scope = f"{holder} {what}"
    fingerprint = hashlib.sha256(encode([call.caller.account, sorted(call.path.items())]) + raw).hexdigest()
    tx.run("DELETE FROM idempotency WHERE at_ms < ?", call.now_ms - IDEMPOTENCY_MS)
    salt = hashlib.sha256(f"{scope}\n{key}\n{call.now_ms}".encode()).hexdigest()
    is_first = tx.run(
        "INSERT INTO idempotency (scope, idempotency_key, fingerprint, salt, status, answer, at_ms) VALUES (?, ?, ?, ?, 0, '', ?)"
        " ON CONFLICT (scope, idempotency_key) DO NOTHING",
        *(scope, key, fingerprint, salt, call.now_ms),
    )
    if not is_first:
        row = tx.row(
            "SELECT fingerprint, salt, status, answer FROM idempotency WHERE scope = ? AND idempotency_key = ?", scope, key
        )
        assert row is not None
        if row[0] != fingerprint:
            raise ApiError(422, "this Idempotency-Key was used for another request", "idempotency_conflict", "Idempotency-Key")
        kept: str = row[3]
        if operation.secret is not None:
            kept = kept.replace(_SECRET, operation.secret(tx, _entropy(call, row[1]), msgspec.json.decode(kept)))
        return row[2], kept.encode()
    entropy = _entropy(call, salt)
    answer = operation.handle(tx, msgspec.structs.replace(call, entropy=entropy))
    stored = encode(answer).decode()
    secret = getattr(answer, "key", None) or getattr(answer, "secret", None)
    if isinstance(secret, str):
        stored = stored.replace(secret, _SECRET)
    tx.run(
        "UPDATE idempotency SET status = ?, answer = ? WHERE scope = ? AND idempotency_key = ?",
        *(operation.status, stored, scope, key),
    )
    return operation.status, answer


_SECRET = "\ue000secret\ue000"


def _entropy(call: Call, salt: str) -> bytes:
    """32 bytes that only who holds the credential can make again; the store has its digest, which is no help."""
    return hmac.digest(call.caller.secret.encode(), f"tollway idempotency {salt}".encode(), "sha256")
