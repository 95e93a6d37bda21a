"""An account's keys, managed with a management key: `/keys` as OpenRouter shapes it; and what all keys of it may use together.

Rule: a key is named by the hash of its text, which is all that is kept of it; the text is shown once. Every change is in the
audit log.
"""

from typing import Annotated, Any, Literal

import msgspec

from collector.accounts import history
from collector.accounts.audit_log import record
from collector.accounts.keys import (
    Key,
    KeyTerms,
    account_limits,
    change_key,
    create_key,
    deployment_secret,
    find_key,
    limits_text,
    list_keys,
    set_account_limits,
)
from collector.accounts.window import DAY_MS
from collector.api.caller import MANAGERS, OPERATOR, READERS
from collector.api.operation import AccountQuery, Call, Deleted, Operation, check_account
from collector.api.problem import ApiError, missing, wrong
from collector.api.shapes import Amount, Dollars, expiry_of, nano_of, timestamp
from collector.store.contract import Tx
from usage.key import digest, mint
from usage.limit import NO_LIMITS, LimitTerms
from usage.pricing import dollars

PAGE = 100
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Reset = Literal["daily", "weekly", "monthly"]
ModelPattern = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ListQuery(msgspec.Struct, frozen=True):
    offset: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    include_disabled: bool = True
    workspace_id: str = ""
    account: str = ""


class KeyRow(msgspec.Struct, frozen=True):
    """A key. `hash` names it; `label` is what may be shown of it. `last_used_at` is the UTC day."""

    hash: str
    name: str
    label: str
    disabled: bool
    limit: Amount | None
    limit_remaining: Amount | None
    limit_reset: str | None
    include_byok_in_limit: bool
    usage: Amount
    usage_daily: Amount
    usage_weekly: Amount
    usage_monthly: Amount
    byok_usage: int
    byok_usage_daily: int
    byok_usage_weekly: int
    byok_usage_monthly: int
    created_at: str
    updated_at: str | None
    expires_at: str | None
    creator_user_id: str | None
    workspace_id: str
    key_id: str
    models: list[str]
    last_used_at: str | None
    external_user: str | None = None
    rate_limits: LimitTerms = NO_LIMITS


class KeysAnswer(msgspec.Struct, frozen=True):
    data: list[KeyRow]


class OneKey(msgspec.Struct, frozen=True):
    data: KeyRow


class NewKey(msgspec.Struct, frozen=True):
    """`key` is shown here and never again."""

    data: KeyRow
    key: str


class CreateKey(msgspec.Struct, frozen=True):
    name: Name
    limit: Dollars | None = None
    limit_reset: Reset | None = None
    include_byok_in_limit: bool | None = None
    expires_at: str | None = None
    models: list[ModelPattern] = []
    workspace_id: str | None = None
    creator_user_id: str | None = None
    rate_limits: LimitTerms | None = None


class UpdateKey(msgspec.Struct, frozen=True):
    """What is left out stays as it is; null takes the limit, its reset, or all rate limits away."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    disabled: bool | msgspec.UnsetType = msgspec.UNSET
    limit: Dollars | msgspec.UnsetType | None = msgspec.UNSET
    limit_reset: Reset | msgspec.UnsetType | None = msgspec.UNSET
    include_byok_in_limit: bool | msgspec.UnsetType = msgspec.UNSET
    models: list[ModelPattern] | msgspec.UnsetType = msgspec.UNSET
    rate_limits: LimitTerms | msgspec.UnsetType | None = msgspec.UNSET


class AccountLimits(msgspec.Struct, frozen=True):
    """What all keys of the account may use together, as the operator set it; without any, the edges' table says."""

    data: LimitTerms


def describe_key(tx: Tx, key: Key, now_ms: int) -> KeyRow:
    spent = history.key_usage(tx, key, now_ms)
    left_nano = history.limit_left_nano(key, spent)
    last_day = history.last_day(tx, key)
    return KeyRow(
        key.digest, key.shown_name, key.label, key.disabled,
        None if key.limit_nano is None else Amount(key.limit_nano), None if left_nano is None else Amount(left_nano),
        None if key.limit_reset == "none" else key.limit_reset, False,
        Amount(spent["usage"]), Amount(spent["usage_daily"]), Amount(spent["usage_weekly"]), Amount(spent["usage_monthly"]),
        0, 0, 0, 0, timestamp(key.created_ms), None if key.updated_ms is None else timestamp(key.updated_ms),
        None if key.expires_ms is None else timestamp(key.expires_ms), None, key.account, key.key_id, list(key.models),
        None if last_day is None else timestamp(last_day * DAY_MS), None, key.limits,
    )  # fmt: skip


def read_keys(tx: Tx, call: Call) -> KeysAnswer:
    found = [key for key in list_keys(tx, call.account) if call.query.include_disabled or not key.disabled]
    part = found[call.query.offset : call.query.offset + PAGE]
    return KeysAnswer([describe_key(tx, key, call.now_ms) for key in part])


def _find(tx: Tx, call: Call) -> Key:
    key = find_key(tx, call.path["hash"].replace("\0", "?"))
    if key is None or key.deleted or (call.caller.account and key.account != call.caller.account):
        raise missing("key", "hash")
    return key


def read_one(tx: Tx, call: Call) -> OneKey:
    return OneKey(describe_key(tx, _find(tx, call), call.now_ms))


def create(tx: Tx, call: Call) -> NewKey:
    body: CreateKey = call.body
    check_account(tx, call.account)
    expires_ms = expiry_of(body.expires_at, call.now_ms)
    limit_nano = None if body.limit is None else nano_of(body.limit, "limit")
    limits = limits_of(body.rate_limits)
    terms = KeyTerms(body.name, tuple(body.models), limit_nano, body.limit_reset or "none", expires_ms, limits)
    text, key = create_key(tx, call.account, terms, call.now_ms, call.entropy)
    detail = {"account": key.account, "name": key.name, "limit": _dollars_of(key.limit_nano), "limit_reset": key.limit_reset}
    if key.limits != NO_LIMITS:
        detail["rate_limits"] = limits_text(key.limits)
    record(tx, call.caller.actor, "key.create", key.key_id, detail, call.now_ms)
    return NewKey(describe_key(tx, key, call.now_ms), text)


def _dollars_of(nano: int | None) -> str:
    return "" if nano is None else dollars(nano)


def remake_key(tx: Tx, entropy: bytes, kept: Any) -> str:
    """The key of a repeated creation."""
    text = mint(entropy, bytes.fromhex(deployment_secret(tx)))[0]
    if digest(text.encode()) != kept["data"]["hash"]:
        raise ApiError(409, "the key was made, but cannot be shown again; delete it and make another", "idempotency_conflict")
    return text


def update(tx: Tx, call: Call) -> OneKey:
    body: UpdateKey = call.body
    key = _find(tx, call)
    changed: dict[str, Any] = {}
    if body.name is not msgspec.UNSET:
        changed["name"] = body.name
    if body.disabled is not msgspec.UNSET:
        changed["disabled"] = body.disabled
    if body.limit is not msgspec.UNSET:
        changed["limit_nano"] = None if body.limit is None else nano_of(body.limit, "limit")
    if body.limit_reset is not msgspec.UNSET:
        changed["limit_reset"] = body.limit_reset or "none"
    if body.models is not msgspec.UNSET:
        changed["models"] = tuple(body.models)
    if body.rate_limits is not msgspec.UNSET:
        changed["limits"] = limits_of(body.rate_limits)
    after = msgspec.structs.replace(key, updated_ms=call.now_ms, **changed)
    change_key(tx, after, call.now_ms)
    told = {name: _logged(name, value) for name, value in changed.items()}
    record(tx, call.caller.actor, "key.update", key.key_id, told, call.now_ms)
    return OneKey(describe_key(tx, after, call.now_ms))


def _logged(name: str, value: Any) -> str:
    """A change as the audit log has it; what was taken away is said, too, for the log leaves out what is empty."""
    if name == "models":
        return ",".join(value) or "all"
    if name == "limits":
        return limits_text(value) or "none"
    return (_dollars_of(value) if name == "limit_nano" else str(value)) or "none"


def limits_of(terms: LimitTerms | None) -> LimitTerms:
    """What a body asks for. ApiError 400 for what cannot be meant; models are the key's own member."""
    if terms is None:
        return NO_LIMITS
    if problem := terms.problem():
        raise wrong("rate_limits", problem)
    if terms.models:
        raise wrong("rate_limits", 'models stand beside rate_limits: "models": [...]')
    return terms


def read_account_limits(tx: Tx, call: Call) -> AccountLimits:
    return AccountLimits(account_limits(tx, call.account))


def set_limits(tx: Tx, call: Call) -> AccountLimits:
    check_account(tx, call.account)
    terms: LimitTerms = call.body
    if problem := terms.problem():
        raise wrong("rate_limits", problem)
    set_account_limits(tx, call.account, terms)
    record(tx, call.caller.actor, "account.limits", call.account, {"rate_limits": limits_text(terms)}, call.now_ms)
    return AccountLimits(terms)


def delete(tx: Tx, call: Call) -> Deleted:
    key = _find(tx, call)
    change_key(tx, msgspec.structs.replace(key, disabled=True, deleted=True), call.now_ms)
    record(tx, call.caller.actor, "key.delete", key.key_id, {"account": key.account, "label": key.label}, call.now_ms)
    return Deleted(True)


OPERATIONS = (
    Operation("GET", "/keys", "The account's keys, oldest first", READERS, read_keys, KeysAnswer, ListQuery),
    Operation(
        "POST", "/keys", "Make a key", MANAGERS, create, NewKey, AccountQuery, CreateKey, 201, has_effect=True, errors=(404,),
        secret=remake_key,
    ),
    Operation("GET", "/keys/{hash}", "One key", READERS, read_one, OneKey, AccountQuery, errors=(404,)),
    Operation(
        "PATCH", "/keys/{hash}", "Change a key", MANAGERS, update, OneKey, AccountQuery, UpdateKey, has_effect=True,
        errors=(404,),
    ),
    Operation("DELETE", "/keys/{hash}", "Delete a key", MANAGERS, delete, Deleted, AccountQuery, has_effect=True, errors=(404,)),
    Operation(
        "GET", "/rate_limits", "What all keys of the account may use together", READERS, read_account_limits, AccountLimits,
        AccountQuery,
    ),
    Operation(
        "PUT", "/rate_limits", "Limit the account", OPERATOR, set_limits, AccountLimits, AccountQuery, LimitTerms,
        has_effect=True, errors=(404,),
    ),
)  # fmt: skip
