"""Keys for applications over the API: `/auth/keys/code` grants a code, `/auth/keys` changes it for a key. The owner's consent is
asked at the dashboard (`/auth` leads there), or given by whoever holds a management key."""

from typing import Annotated, Literal

import msgspec
from starlette.requests import Request

from collector.accounts import authorization
from collector.accounts.audit_log import Actor, record
from collector.accounts.keys import KeyTerms
from collector.accounts.marks import CODE
from collector.api.caller import MANAGERS
from collector.api.decoding import decode_body
from collector.api.operation import AccountQuery, Call, Operation
from collector.api.problem import ApiError
from collector.api.shapes import Dollars, expiry_of, nano_of, timestamp
from collector.service import Collector
from collector.store.contract import Tx

Text = Annotated[str, msgspec.Meta(max_length=2_000)]
Label = Annotated[str, msgspec.Meta(max_length=200)]


class AskCode(msgspec.Struct, frozen=True):
    """OpenRouter's members; `code_challenge_method` is S256 alone."""

    callback_url: Text
    code_challenge: Text
    code_challenge_method: Literal["S256"] = "S256"
    expires_at: str | None = None
    key_label: Label | None = None
    limit: Dollars | None = None
    usage_limit_type: Literal["daily", "weekly", "monthly"] | None = None
    workspace_id: str | None = None


class Code(msgspec.Struct, frozen=True):
    id: str
    app_id: int
    created_at: str


class CodeAnswer(msgspec.Struct, frozen=True):
    data: Code


def grant_code(tx: Tx, call: Call) -> CodeAnswer:
    body: AskCode = call.body
    authorization.check_callback(body.callback_url)
    authorization.check_challenge(body.code_challenge, body.code_challenge_method)
    if tx.row("SELECT account FROM accounts WHERE account = ?", call.account) is None:
        raise ApiError(404, "there is no such account", "not_found", "account")
    terms = KeyTerms(
        body.key_label or "application",
        (),
        None if body.limit is None else nano_of(body.limit, "limit"),
        body.usage_limit_type or "none",
        expiry_of(body.expires_at, call.now_ms),
    )
    code = authorization.issue_code(tx, authorization.Grant(call.account, body.code_challenge, terms), call.now_ms)
    record(tx, call.caller.actor, "code.grant", call.account, {"callback": body.callback_url, "key": terms.name}, call.now_ms)
    return CodeAnswer(Code(code, 0, timestamp(call.now_ms)))


class CodeExchange(msgspec.Struct, frozen=True):
    code: Text
    code_verifier: Text
    code_challenge_method: Literal["S256"] | None = None


class Exchanged(msgspec.Struct, frozen=True):
    """`key` is shown here and never again."""

    key: str
    user_id: str | None


def exchange(tx: Tx, call: Call) -> Exchanged | ApiError:
    found = authorization.redeem_code(tx, call.body.code, call.body.code_verifier, call.now_ms)
    if found is None:
        # Returned, not raised: what used the code up has to be kept.
        return _invalid()
    text, key = found
    detail = {"account": key.account, "label": key.label}
    record(tx, Actor("application", call.caller.origin), "key.create", key.key_id, detail, call.now_ms)
    return Exchanged(text, key.account)


async def _check(collector: Collector, request: Request, raw: bytes) -> None:
    """An invented code costs no transaction. ApiError."""
    if not await collector.marks.may_open(decode_body(CodeExchange, raw).code, CODE):
        raise _invalid()


def _invalid() -> ApiError:
    return ApiError(403, "the code is unknown, used or old, or the verifier is not that of its challenge", "invalid_grant")


OPERATIONS = (
    Operation(
        "POST", "/auth/keys/code", "Grant an application a code for a key", MANAGERS, grant_code, CodeAnswer, AccountQuery,
        AskCode, has_effect=True, errors=(404,),
    ),
    Operation(
        "POST", "/auth/keys", "Change a code for its key", frozenset(), exchange, Exchanged, None, CodeExchange, has_effect=True,
        errors=(403,), check=_check,
    ),
)  # fmt: skip
