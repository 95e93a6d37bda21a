"""What a key reads of itself and its account: /credits, /key, /auth/key, /activity. Shapes: WIRE.md 1.7.

Rule: an inference key sees itself: its limit and use, its own generations and activity, and the credit that it spends from, which
a refusal for want of credit tells it anyway. Whoever wants the account reads with a `read` or `management` key. Rule:
`TOLLWAY_INFERENCE_CREDITS=no` takes the account's credit out of all that an inference key reads; its own limit stays.
"""

import os

import msgspec

from collector.accounts import history
from collector.accounts.accounts import Key, find_key
from collector.accounts.roles import shows_credit
from collector.accounts.window import day_from_date
from collector.api.caller import ALL
from collector.api.operation import Call, Operation
from collector.api.problem import ApiError, missing, wrong
from collector.api.shapes import Amount, timestamp
from collector.leasing.leasing import open_nano, purse_available
from collector.store.contract import Tx


class Of(msgspec.Struct, frozen=True):
    """`account` is for the operator alone; other keys have one."""

    account: str = ""


class CreditAmounts(msgspec.Struct, frozen=True):
    """`total_credits` less `total_usage` is what is left: `available`, and `leased` to edges at the moment."""

    total_credits: Amount
    total_usage: Amount
    available: Amount
    leased: Amount


class CreditsAnswer(msgspec.Struct, frozen=True):
    data: CreditAmounts


def read_credits(tx: Tx, call: Call) -> CreditsAnswer:
    key = call.caller.key
    if key is not None and key.limit_nano is not None:
        return CreditsAnswer(_of_purse(tx, key, call.now_ms))
    if key is not None and not shows_credit(os.environ):
        raise ApiError(403, "an inference key may not read the account's credit here; use a read or management key", "forbidden")
    credits = history.credits_of(tx, call.account)
    if credits is None:
        raise missing("account", "account")
    return CreditsAnswer(
        CreditAmounts(*map(Amount, (credits.topped_nano, credits.spent_nano, credits.available_nano, credits.leased_nano)))
    )


def _grantable(tx: Tx, key: Key, limit_left_nano: int, account_nano: int, now_ms: int) -> int:
    """What a key with a limit may still take; where it may not see the account's credit, as if that were without end."""
    return purse_available(tx, key, account_nano if shows_credit(os.environ) else limit_left_nano, now_ms)[0]


def _of_purse(tx: Tx, key: Key, now_ms: int) -> CreditAmounts:
    """A key with a limit sees its limit as its credit, and what it may still take of it."""
    assert key.limit_nano is not None
    spent = history.key_usage(tx, key, now_ms)[_window_of(key.limit_reset)]
    account = history.credits_of(tx, key.account)
    assert account is not None
    leased = open_nano(tx, key.account, key.purse)
    available = _grantable(tx, key, max(key.limit_nano - spent, 0), account.available_nano, now_ms)
    return CreditAmounts(*map(Amount, (key.limit_nano, spent, available, leased)))


def _window_of(reset: str) -> str:
    return {"daily": "usage_daily", "weekly": "usage_weekly", "monthly": "usage_monthly"}.get(reset, "usage")


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
    left_nano = None if key.limit_nano is None else max(key.limit_nano - spent[_window_of(key.limit_reset)], 0)
    credits = history.credits_of(tx, key.account)
    assert credits is not None
    grantable = None
    if left_nano is not None or shows_credit(os.environ):
        grantable = Amount(_grantable(tx, key, left_nano or 0, credits.available_nano, now_ms))
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


class ActivityQuery(msgspec.Struct, frozen=True):
    """A UTC day of the last 30, or all of them; of one key by its hash."""

    date: str = ""
    api_key_hash: str = ""
    account: str = ""


class Day(msgspec.Struct, frozen=True):
    """The sums of one UTC day, model and provider."""

    date: str
    model: str
    model_permaslug: str
    endpoint_id: str
    provider_name: str
    usage: Amount
    byok_usage_inference: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int


class ActivityAnswer(msgspec.Struct, frozen=True):
    data: list[Day]


def read_activity(tx: Tx, call: Call) -> ActivityAnswer:
    first, last = history.recent_days(call.now_ms)
    if call.query.date:
        try:
            day = day_from_date(call.query.date)
        except ValueError:
            raise wrong("date", "date is a UTC day such as 2026-01-31") from None
        if not first <= day <= last:
            raise wrong("date", "date lies outside of the last 30 days")
        first = last = day
    key_id = call.caller.key.key_id if call.caller.key is not None else ""
    if call.query.api_key_hash:
        other = find_key(tx, call.query.api_key_hash)
        if other is None or other.account != call.account or (key_id and other.key_id != key_id):
            raise missing("key", "api_key_hash")
        key_id = other.key_id
    return ActivityAnswer(
        [
            Day(
                day.date, day.model, day.model, "", day.provider, Amount(day.cost_nano), 0, day.requests, day.prompt,
                day.completion, day.reasoning,
                day.cached,
            )
            for day in history.activity(tx, call.account, first, last, key_id)
        ]
    )  # fmt: skip


OPERATIONS = (
    Operation("GET", "/credits", "Credit bought, used, and left", ALL, read_credits, CreditsAnswer, Of, errors=(404,)),
    Operation("GET", "/key", "The key that calls: its limit and use", ALL, read_key, KeyAnswer, Of),
    Operation("GET", "/auth/key", "The same as /key", ALL, read_key, KeyAnswer, Of),
    Operation(
        "GET", "/activity", "Sums per UTC day, model and provider of the last 30 days", ALL, read_activity, ActivityAnswer,
        ActivityQuery, errors=(404,),
    ),
)  # fmt: skip
