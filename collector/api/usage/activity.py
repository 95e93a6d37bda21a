"""`/activity`: sums per UTC day, model and provider of the last 30 days, as OpenRouter shapes them (WIRE.md 1.7).

Rule: an inference key sees its own.
"""

import msgspec

from collector.accounts import history
from collector.accounts.keys import find_key
from collector.accounts.window import day_from_date
from collector.api.caller import ALL
from collector.api.operation import Call, Operation
from collector.api.problem import missing, wrong
from collector.api.shapes import Amount
from collector.store.contract import Tx


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
    Operation(
        "GET", "/activity", "Sums per UTC day, model and provider of the last 30 days", ALL, read_activity, ActivityAnswer,
        ActivityQuery, errors=(404,),
    ),
)  # fmt: skip
