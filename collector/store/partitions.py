"""PostgreSQL's records by month: which partition a generation id belongs to, making it, dropping it.

Rule: the partition key is the primary key: ids sort by time, so a month is a range of ids and a record still counts once.
Strategy: a partition is made as a table and then attached, which blocks neither readers nor writers. It is there before it is
needed: at start and with each batch, this month's and the next one's are looked for, by name in memory.
Names: `records_2026_11`; `records_before_2026_12` is what a store held before there were partitions, `records_foreign_…` ids of
it that we never minted.
"""

import datetime
from collections.abc import Iterable

from collector.store.contract import Tx
from usage.gen_id import first_of, time_ms_of

Month = tuple[int, int]
LOCK = 0x746F6C6D
_BEFORE, _FOREIGN = "records_before_", "records_foreign_"


def month_of(time_ms: int) -> Month:
    """(year, month), UTC."""
    at = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)
    return at.year, at.month


def next_month(month: Month) -> Month:
    """The month after it."""
    year, number = month
    return (year + 1, 1) if number == 12 else (year, number + 1)


def start_ms(month: Month) -> int:
    """The first millisecond of a month."""
    return int(datetime.datetime(*month, 1, tzinfo=datetime.UTC).timestamp()) * 1000


def months_of(gen_ids: Iterable[str], now_ms: int) -> set[Month]:
    """The months that these ids, and the near future, need."""
    now = month_of(now_ms)
    ids = list(gen_ids)
    if ids:
        ends = {_month_of_id(min(ids)), _month_of_id(max(ids))}  # ids sort by time: mostly one month, whatever lies between
        ids = ids if len(ends) > 1 else ids[:1]
    return {now, next_month(now), *(month for month in map(_month_of_id, ids) if month is not None)}


def _month_of_id(gen_id: str) -> Month | None:
    time_ms = time_ms_of(gen_id)
    return None if time_ms is None else month_of(time_ms)


def _partitions(tx: Tx) -> list[str]:
    return [
        row[0]
        for row in tx.rows(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'records'::regclass"
        )
        if not row[0].startswith(_FOREIGN)
    ]


def _month_in(name: str) -> Month:
    year, number = name.split("_")[-2:]
    return int(year), int(number)


def known_months(tx: Tx, months: Iterable[Month]) -> set[Month]:
    """Those of the months that have a place."""
    names = _partitions(tx)
    ends = [_month_in(name) for name in names if name.startswith(_BEFORE)]
    there = {_month_in(name) for name in names if not name.startswith(_BEFORE)}
    return {month for month in months if month in there or any(month < end for end in ends)}


def make(tx: Tx, months: set[Month]) -> None:
    """Make what is missing; another process that does the same is waited for."""
    if not months - known_months(tx, months):
        return
    tx.row("SELECT pg_advisory_xact_lock(?)", LOCK)
    for month in sorted(months - known_months(tx, months)):
        name = "records_{}_{:02d}".format(*month)
        tx.run(f"CREATE TABLE {name} (LIKE records INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        first, end = first_of(start_ms(month)), first_of(start_ms(next_month(month)))
        tx.run(f"ALTER TABLE records ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{end}')")


def below(tx: Tx, before: str) -> list[str]:
    """Partitions that lie wholly below the id `before`."""
    found = []
    for name in _partitions(tx):
        month = _month_in(name)
        end = month if name.startswith(_BEFORE) else next_month(month)
        if first_of(start_ms(end)) <= before:
            found.append(name)
    return sorted(found)


def drop(tx: Tx, before: str) -> None:
    """Drop the partitions below the id `before`, and the rows below it in one that reaches further."""
    for name in below(tx, before):
        tx.run(f"DROP TABLE {name}")
    tx.run("DELETE FROM records WHERE gen_id < ?", before)
