"""`tollway usage`: what an account used, in sums of any time zone or generation by generation."""

import argparse
import datetime
from typing import Any
from zoneinfo import ZoneInfo

from collector.accounts import accounts, history
from collector.analytics import engine
from collector.analytics.calendar import PERIODS
from collector.analytics.query import DIMENSIONS, Query, Sums
from collector.api.shapes import timestamp
from collector.api.usage.csv_cells import write_csv
from collector.cli.arguments import Wrong, add, moment_of, zone_of
from collector.cli.printing import console, show
from collector.ingest.rollups import QUARTER_MS
from collector.store.contract import Store, Tx
from usage.pricing import dollars
from usage.record import UsageRecord

Rows = list[dict[str, Any]]
LAST_DAY = datetime.date.max - datetime.timedelta(days=1)
EACH = [
    *("id", "created_at", "model", "provider", "key", "status", "end_reason", "usage_source"),
    *("prompt_tokens", "completion_tokens", "cost"),
]
"""The names in a row of one generation."""


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = add(subparsers, "usage", show_usage, "what an account used, by day, model and provider")
    parser.add_argument("account", help="whose usage")
    parser.add_argument("--from", "--since", dest="start", metavar="WHEN", default="", help="first day, or time; default: all")
    parser.add_argument("--until", metavar="WHEN", default="", help="last day, which is within; or a time, which is not")
    parser.add_argument("--tz", type=zone_of, default=ZoneInfo("UTC"), help="the time zone of days and of the range; default UTC")
    parser.add_argument("--every", choices=(*PERIODS, "all"), default="day", help="one row for each; default day")
    parser.add_argument("--by", type=_groups, default=("model", "provider"), help="model, provider, key; or none")
    parser.add_argument("--each", action="store_true", help="one row per generation instead of sums")
    parser.add_argument("--csv", action="store_true", help="comma-separated values")


def _groups(text: str) -> tuple[str, ...]:
    names = () if text == "none" else tuple(text.split(","))
    if not set(names) <= set(DIMENSIONS) - {"account"} or len(set(names)) < len(names):
        raise Wrong("by is any of model, provider and key, with commas between; or none")
    return names


def show_usage(arguments: argparse.Namespace, store: Store, now: int) -> int:
    start_ms, end_ms = range_of(arguments, now)

    def work(tx: Tx) -> Rows:
        accounts.check_account(tx, arguments.account)
        if arguments.each:
            return _each(tx, arguments.account, start_ms, end_ms)
        return _sums(tx, arguments, start_ms, end_ms, now)

    rows = store.read(work)
    if not arguments.csv:
        return show(rows, arguments.json)
    console.get().out(write_csv(columns_of(arguments), [tuple(row.values()) for row in rows], "\n").decode())
    return 0


def columns_of(arguments: argparse.Namespace) -> list[str]:
    """The names in each row, also where there is none."""
    if arguments.each:
        return EACH
    return [*(["date"] if arguments.every != "all" else []), *arguments.by, *_figures(Sums())]


def range_of(arguments: argparse.Namespace, now: int) -> tuple[int, int]:
    """Half-open, in Unix milliseconds. A day as the end is within the range. Wrong."""
    tz = arguments.tz
    start_ms = moment_of(arguments.start, tz, "--from") if arguments.start else 0
    end_ms = moment_of(arguments.until, tz, "--until") if arguments.until else now + 86_400_000
    if len(arguments.until) == len("2026-01-31"):
        day = min(datetime.date.fromisoformat(arguments.until), LAST_DAY) + datetime.timedelta(days=1)
        end_ms = moment_of(day.isoformat(), tz, "--until")
    if arguments.start and arguments.until and end_ms <= start_ms:
        raise Wrong("--until lies before --from: nothing is between them")
    return start_ms, end_ms


def _sums(tx: Tx, arguments: argparse.Namespace, start_ms: int, end_ms: int, now: int) -> Rows:
    account, tz = arguments.account, arguments.tz
    first = tx.row("SELECT MIN(quarter), MAX(quarter) FROM usage_quarters WHERE account = ?", account)
    if first is None or first[0] is None:
        return []
    start_ms = max(start_ms, first[0] * QUARTER_MS)
    end_ms = min(end_ms, (first[1] + 1) * QUARTER_MS)
    if end_ms <= start_ms:
        return []
    every = "" if arguments.every == "all" else arguments.every
    table = engine.run(tx, Query(account, start_ms, end_ms, tz.key, every, arguments.by), now)
    lines = sorted(table.lines, key=lambda line: (-line.start_ms, line.group or ()))
    return [
        {
            **({"date": written(line.start_ms, every, tz)} if every else {}),
            **dict(zip(arguments.by, line.group or (), strict=True)),
            **_figures(line.sums),
        }
        for line in lines
    ]


def _figures(sums: Sums) -> dict[str, Any]:
    return {
        "requests": sums.requests,
        "prompt_tokens": sums.prompt,
        "completion_tokens": sums.completion,
        "reasoning_tokens": sums.reasoning,
        "cost": dollars(sums.cost_nano),
    }


def written(start_ms: int, every: str, tz: ZoneInfo) -> str:
    """The day a period begins on, or the hour with its offset, because one comes twice a year."""
    moment = datetime.datetime.fromtimestamp(start_ms / 1000, tz)
    return moment.isoformat(timespec="minutes") if every in ("quarter", "hour") else moment.date().isoformat()


def _each(tx: Tx, account: str, start_ms: int, end_ms: int) -> Rows:
    return [
        dict(zip(EACH, _row(record), strict=True))
        for record in history.each_record(tx, account, start_ms)
        if record.started_ms < end_ms
    ]


def _row(record: UsageRecord) -> tuple[object, ...]:
    tokens = record.tokens
    return (
        *(record.gen_id, timestamp(record.started_ms), record.model, record.provider, record.key_id, record.status),
        *(record.end_reason, record.usage_source, tokens.prompt, tokens.completion, dollars(record.cost_nano)),
    )
