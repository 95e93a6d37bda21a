"""Sums of what was used, per quarter of an hour and per UTC day: what history, limits and charts are read from.

Rule: both tables are written in the transaction that takes the records, and hold the same measures to the nano-dollar; they stay
when raw records are dropped. Rule: a record belongs to the quarter in which it started, counted from the Unix epoch.
Strategy: 15 minutes, because there are time zones of :30 and :45, so that a day of any zone is a sum of whole quarters.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from collector.store.contract import MEASURES, Row, Tx
from usage.record import FAULTS, UsageRecord

QUARTER_MS = 900_000
QUARTERS_PER_DAY = 96

Group = tuple[str, int, str, str, str]
"""(account, quarter or day, key id, model, provider)"""

assert len(MEASURES) == 10


_counts_of = attrgetter(
    *("tokens.prompt", "tokens.cached", "tokens.cache_write", "tokens.completion", "tokens.reasoning"),
    *("cost_nano", "latency_ms", "ttft_ms"),
)
_names_of = attrgetter("key_id", "model", "provider")


def measures_of(record: UsageRecord) -> tuple[int, ...]:
    """What one record adds, in the order of MEASURES."""
    return (1, record.end_reason in FAULTS, *_counts_of(record))


def sum_up(records: Iterable[UsageRecord]) -> dict[Group, tuple[int, ...]]:
    """Measures per account, quarter, key, model and provider."""
    rows: dict[Group, list[Any]] = {}
    for record in records:
        group = (record.account, record.started_ms // QUARTER_MS, *_names_of(record))
        rows.setdefault(group, []).append(measures_of(record))
    return {
        group: tuple(map(int, parts[0])) if len(parts) == 1 else tuple(map(sum, zip(*parts, strict=True)))
        for group, parts in rows.items()
    }


def by_day(quarters: dict[Group, tuple[int, ...]]) -> dict[Group, tuple[int, ...]]:
    """The same sums per UTC day."""
    days: dict[Group, tuple[int, ...]] = {}
    for (account, quarter, key_id, model, provider), sums in quarters.items():
        group = (account, quarter // QUARTERS_PER_DAY, key_id, model, provider)
        known = days.get(group)
        days[group] = sums if known is None else tuple(map(int.__add__, known, sums))
    return days


def roll_up(tx: Tx, fresh: Iterable[UsageRecord]) -> None:
    """Add records that were not here before; the order of rows is one, so that two collectors do not dead-lock."""
    quarters = sum_up(fresh)
    for table, sums in (("usage_quarters", quarters), ("usage_days", by_day(quarters))):
        rows: list[Row] = [(*group, *sums[group]) for group in sorted(sums)]
        tx.add_sums(table, rows)
