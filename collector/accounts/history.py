"""What an account may read of itself: balance, generations, daily activity. Reads only.

Rule: every query names the account; amounts are integers here, and become decimals at the border.
"""

from collections.abc import Iterator, Mapping

import msgspec

from collector.accounts.keys import Key
from collector.accounts.window import date_of, day_of, first_day
from collector.ingest.screening import GEN_ID_SLACK_MS
from collector.leasing.leasing import open_nano, spent_in_window, spent_since
from collector.store.contract import Tx
from usage.gen_id import first_of, time_ms_of
from usage.record import UsageRecord

ACTIVITY_DAYS = 30
SCAN_MAX = 20_000
"""Records that are looked at for one page of a list."""
USAGE_OF = {"none": "usage", "daily": "usage_daily", "weekly": "usage_weekly", "monthly": "usage_monthly"}
"""When a key's limit is reset → what its use since then is called."""
_decode = msgspec.json.Decoder(UsageRecord).decode


class Credits(msgspec.Struct, frozen=True):
    """topped − spent = available + leased."""

    account: str
    available_nano: int
    leased_nano: int
    topped_nano: int
    spent_nano: int
    absorbed_nano: int


class Activity(msgspec.Struct, frozen=True):
    """The sums of one UTC day, model and provider."""

    date: str
    model: str
    provider: str
    requests: int
    prompt: int
    completion: int
    reasoning: int
    cost_nano: int
    cached: int


def credits_of(tx: Tx, account: str) -> Credits | None:
    """An account's balance; None: there is no such account."""
    row = tx.row(
        "SELECT available_nano, topped_nano, spent_nano, absorbed_nano FROM accounts WHERE account = ?",
        account,
    )
    return Credits(account, row[0], open_nano(tx, account), *row[1:]) if row else None


def generation(tx: Tx, account: str, gen_id: str) -> UsageRecord | None:
    """The record of a generation of this account; somebody else's does not exist."""
    row = tx.row("SELECT payload FROM records WHERE gen_id = ? AND account = ?", gen_id, account)
    return _decode(row[0]) if row else None


def each_record(tx: Tx, account: str, since_ms: int = 0) -> Iterator[UsageRecord]:
    """An account's records in the order they started."""
    for (payload,) in tx.each(
        "SELECT payload FROM records WHERE account = ? AND gen_id >= ? AND started_ms >= ? ORDER BY started_ms, gen_id",
        account,
        first_of(since_ms - GEN_ID_SLACK_MS),
        since_ms,
    ):
        yield _decode(payload)


def newest_first(
    tx: Tx, account: str, from_ms: int, to_ms: int, before: str = "", count_max: int = SCAN_MAX
) -> Iterator[UsageRecord]:
    """An account's records that started in [from_ms, to_ms), behind the one with the id `before` if that is named; those of all
    accounts for "", by their ids then.

    An account's go by their start, because that is what its index has: ordered by id, each page would sort all it ever used, or
    look through what everybody else did.
    """
    high, low = first_of(to_ms + GEN_ID_SLACK_MS), first_of(from_ms - GEN_ID_SLACK_MS)
    where, order, params = "gen_id >= ? AND gen_id < ? AND started_ms >= ? AND started_ms < ?", "gen_id DESC", [low, high]
    if account:
        where, order = f"account = ? AND {where}", "started_ms DESC, gen_id DESC"
        params = [account, low, high]
    behind: list[object] = []
    if before and account:
        row = tx.row("SELECT started_ms FROM records WHERE gen_id = ?", before)
        started_ms = row[0] if row else time_ms_of(before) or 0
        where += " AND started_ms <= ? AND (started_ms < ? OR gen_id < ?)"
        behind = [started_ms, started_ms, before]
    elif before:
        where, behind = f"{where} AND gen_id < ?", [before]
    rows = tx.each(
        f"SELECT payload FROM records WHERE {where} ORDER BY {order} LIMIT ?", *params, from_ms, to_ms, *behind, count_max
    )
    for (payload,) in rows:
        yield _decode(payload)


def activity(tx: Tx, account: str, first: int, last: int, key_id: str = "") -> list[Activity]:
    """Sums per day, model and provider from day `first` through day `last`; of one key, if named."""
    where, params = ("AND key_id = ?", (key_id,)) if key_id else ("", ())
    columns = ", ".join(
        f"CAST(SUM({name}) AS BIGINT)" for name in ("requests", "prompt", "completion", "reasoning", "cost_nano", "cached")
    )
    rows = tx.rows(
        f"SELECT day, model, provider, {columns} FROM usage_days WHERE account = ? AND day BETWEEN ? AND ? {where}"
        " GROUP BY day, model, provider ORDER BY day DESC, model, provider",
        account,
        first,
        last,
        *params,
    )
    return [Activity(date_of(day), *rest) for day, *rest in rows]


def key_usage(tx: Tx, key: Key, now_ms: int) -> dict[str, int]:
    """Nano-dollars of a key: in all, and in the current UTC day, week and month; by the names of USAGE_OF. `limit_usage`: used
    of its limit, which is more where it shares that with keys that it replaced."""
    used = {name: spent_since(tx, key.account, [key.key_id], first_day(reset, now_ms)) for reset, name in USAGE_OF.items()}
    return used | {"limit_usage": spent_in_window(tx, key, now_ms) if key.first_id else used[USAGE_OF[key.limit_reset]]}


def limit_left_nano(key: Key, spent: Mapping[str, int]) -> int | None:
    """What `key_usage` leaves of a key's limit; None where it has none."""
    return None if key.limit_nano is None else max(key.limit_nano - spent["limit_usage"], 0)


def last_day(tx: Tx, key: Key) -> int | None:
    """The last UTC day on which a key was used."""
    row = tx.row("SELECT MAX(day) FROM usage_days WHERE account = ? AND key_id = ?", key.account, key.key_id)
    assert row is not None
    day: int | None = row[0]
    return day


def recent_days(now_ms: int) -> tuple[int, int]:
    """The first and the last day that /activity covers: today and the days before it."""
    today = day_of(now_ms)
    return today - ACTIVITY_DAYS, today
