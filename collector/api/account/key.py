"""`/key` and `/auth/key`: the key that calls, its limit and its use. Shapes: WIRE.md 1.7.

Rule: an inference key sees itself, and of the account what `/credits` would tell it.
"""

import os

import msgspec

from collector.accounts import history
from collector.accounts.keys import Key
from collector.accounts.roles import shows_credit
from collector.api.account.credits import grantable_nano
from collector.api.caller import ALL
from collector.api.operation import AccountQuery, Call, Operation
from collector.api.shapes import Amount, timestamp
from collector.store.contract import Tx


class RateLimit(msgspec.Struct, frozen=True):
    """Deprecated; clients still read it. -1: none."""

    requests: int = -1
    interval: str = "10s"
    note: str = "deprecated"


class FreeModelDailyRequests(msgspec.Struct, frozen=True):
    """OpenRouter's quota of its free models; here there is none to count."""

    limit: int = 0
    remaining: int = 0
    used: int = 0


class KeyData(msgspec.Struct, frozen=True, kw_only=True):
    """The key that calls. Amounts in dollars; windows are UTC days, weeks from Monday, months. OpenRouter's SDKs require what has
    no meaning here too (regions, budgets, free models): it is empty."""

    label: str
    name: str
    limit: Amount | None = None
    limit_remaining: Amount | None = None
    limit_reset: str | None = None
    grantable: Amount | None
    include_byok_in_limit: bool = False
    usage: Amount
    usage_daily: Amount
    usage_weekly: Amount
    usage_monthly: Amount
    byok_usage: int = 0
    byok_usage_daily: int = 0
    byok_usage_weekly: int = 0
    byok_usage_monthly: int = 0
    is_free_tier: bool = False
    is_management_key: bool = False
    is_provisioning_key: bool = False
    creator_user_id: str | None = None
    expires_at: str | None
    rate_limit: RateLimit = RateLimit()
    free_model_daily_requests: FreeModelDailyRequests = FreeModelDailyRequests()
    allowed_data_regions: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    effective_budget: None = None
    organization_id: str | None = None
    workspace_id: str | None = None
    account: str = ""
    role: str = "inference"


class KeyAnswer(msgspec.Struct, frozen=True):
    data: KeyData


def read_key(tx: Tx, call: Call) -> KeyAnswer:
    caller = call.caller
    if caller.key is not None:
        return KeyAnswer(_describe_inference(tx, caller.key, call.now_ms))
    credential = caller.credential
    assert credential is not None
    credits = history.credits_of(tx, credential.account) if credential.account else None
    is_manager = credential.role != "read"
    zero, expires_ms = Amount(0), credential.expires_ms
    return KeyAnswer(
        KeyData(
            label=credential.label,
            name=credential.name,
            grantable=Amount(credits.available_nano if credits else 0),
            usage=zero,
            usage_daily=zero,
            usage_weekly=zero,
            usage_monthly=zero,
            is_management_key=is_manager,
            is_provisioning_key=is_manager,
            expires_at=None if expires_ms is None else timestamp(expires_ms),
            account=credential.account,
            role=credential.role,
        )
    )


def _describe_inference(tx: Tx, key: Key, now_ms: int) -> KeyData:
    spent = history.key_usage(tx, key, now_ms)
    left_nano = history.limit_left_nano(key, spent)
    credits = history.credits_of(tx, key.account)
    assert credits is not None
    grantable = None
    if left_nano is not None or shows_credit(os.environ):
        grantable = Amount(grantable_nano(tx, key, left_nano or 0, credits.available_nano, now_ms))
    return KeyData(
        label=key.label,
        name=key.name,
        limit=None if key.limit_nano is None else Amount(key.limit_nano),
        limit_remaining=None if left_nano is None else Amount(left_nano),
        limit_reset=None if key.limit_reset == "none" else key.limit_reset,
        grantable=grantable,
        usage=Amount(spent["usage"]),
        usage_daily=Amount(spent["usage_daily"]),
        usage_weekly=Amount(spent["usage_weekly"]),
        usage_monthly=Amount(spent["usage_monthly"]),
        expires_at=None if key.expires_ms is None else timestamp(key.expires_ms),
        account=key.account,
    )


OPERATIONS = (
    Operation("GET", "/key", "The key that calls: its limit and use", ALL, read_key, KeyAnswer, AccountQuery),
    Operation("GET", "/auth/key", "The same as /key", ALL, read_key, KeyAnswer, AccountQuery),
)
