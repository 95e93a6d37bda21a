"""The sums of `rollups`, checked against the records they were added up from.

Rule: every measure of every (account, quarter, key, model, provider) is added up again from raw records, for the time whose
records are kept; beyond it the sums must still equal what was charged. Quarters and days are two tables, and must be equal too.
"""

from collections.abc import Iterator

import msgspec

from collector.ingest.retention import records_from_ms
from collector.ingest.rollups import QUARTER_MS, Group, measures_of
from collector.ingest.screening import GEN_ID_SLACK_MS
from collector.ledger.check import Check
from collector.store.contract import MEASURES, Row, Tx
from usage.gen_id import first_of
from usage.pricing import dollars
from usage.record import UsageRecord

SPAN_QUARTERS = 96 * 7
"""How much is added up at once: a week of all accounts, so that memory does not grow with the years."""
FAULTS_MAX = 20
_decode = msgspec.json.Decoder(UsageRecord).decode
_COLUMNS = ", ".join(MEASURES)
_SUMS = ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in MEASURES)


def check_rollups(tx: Tx) -> list[Check]:
    """The two checks of the sums."""
    return [_check_days(tx), _check_quarters(tx)]


def pruned_nano(tx: Tx) -> Iterator[Row]:
    """(account, nano-dollars) that records cost which retention has dropped."""
    return iter(tx.rows("SELECT account, CAST(SUM(cost_nano) AS BIGINT) FROM pruned GROUP BY account"))


def _check_days(tx: Tx) -> Check:
    """Per account and day, every measure; and per account, what records cost, dropped ones too."""
    days = {tuple(row[:2]): row[2:] for row in tx.each(f"SELECT account, day, {_SUMS} FROM usage_days GROUP BY account, day")}
    quarters = {
        tuple(row[:2]): row[2:]
        for row in tx.each(f"SELECT account, quarter / 96, {_SUMS} FROM usage_quarters GROUP BY account, quarter / 96")
    }
    faults = [
        f"account {at[0]}, UTC day {at[1]}: days {days.get(at)}, quarters {quarters.get(at)}"
        for at in sorted(days.keys() | quarters.keys())
        if days.get(at) != quarters.get(at)
    ]
    faults += _unequal_keys(tx)
    cost = 2 + MEASURES.index("cost_nano")
    summed: dict[str, int] = {}
    for row in ((*at, *sums) for at, sums in days.items()):
        summed[row[0]] = summed.get(row[0], 0) + row[cost]
    records: dict[str, int] = dict(pruned_nano(tx))
    for account, nano in tx.rows("SELECT account, CAST(SUM(cost_nano) AS BIGINT) FROM records GROUP BY account"):
        records[account] = records.get(account, 0) + nano
    faults += [
        f"account {name}: days {summed.get(name, 0)}, records {records.get(name, 0)}"
        for name in sorted(summed.keys() | records.keys())
        if summed.get(name, 0) != records.get(name, 0)
    ]
    return Check("daily sums = quarterly sums = sum of records", f"{dollars(sum(summed.values()))} dollars", tuple(faults))


def _unequal_keys(tx: Tx) -> list[str]:
    """Where an account's day adds up, and was given to another of its keys, models or providers."""
    group = "key_id, model, provider"
    days = f"SELECT account, day, {group}, {_COLUMNS} FROM usage_days"
    quarters = f"SELECT account, quarter / 96, {group}, {_SUMS} FROM usage_quarters GROUP BY account, quarter / 96, {group}"
    return [
        f"account {row[0]}, UTC day {row[1]}, key {row[2]}, model {row[3]}, provider {row[4]}: only in the {table}"
        for table, sql in (("days", f"{days} EXCEPT {quarters}"), ("quarters", f"{quarters} EXCEPT {days}"))
        for row in tx.rows(f"SELECT * FROM ({sql}) unequal ORDER BY 1, 2, 3, 4, 5 LIMIT {FAULTS_MAX}")
    ]


def _check_quarters(tx: Tx) -> Check:
    from_ms = records_from_ms(tx)
    first = (from_ms + GEN_ID_SLACK_MS) // QUARTER_MS + 1 if from_ms else 0
    spans = {
        row[0] for row in tx.rows(f"SELECT DISTINCT quarter / {SPAN_QUARTERS} FROM usage_quarters WHERE quarter >= ?", first)
    }
    spans |= {
        row[0]
        for row in tx.rows(
            f"SELECT DISTINCT started_ms / {SPAN_QUARTERS * QUARTER_MS} FROM records WHERE started_ms >= ?", first * QUARTER_MS
        )
    }
    faults: list[str] = []
    rows = 0
    for span in sorted(spans):
        start, end = max(span * SPAN_QUARTERS, first), (span + 1) * SPAN_QUARTERS
        kept, made = _kept(tx, start, end), _made(tx, start, end)
        rows += len(kept)
        faults += [
            f"{group}: the table has {kept.get(group)}, its records make {made.get(group)}"
            for group in sorted(kept.keys() | made.keys())
            if kept.get(group) != made.get(group)
        ]
    return Check("every quarter's sums recompute from their records", f"{rows} rows", tuple(faults))


def _kept(tx: Tx, start: int, end: int) -> dict[Group, tuple[int, ...]]:
    return {
        (row[0], row[1], row[2], row[3], row[4]): tuple(row[5:])
        for row in tx.each(
            f"SELECT account, quarter, key_id, model, provider, {_COLUMNS} FROM usage_quarters"
            " WHERE quarter >= ? AND quarter < ?",
            start,
            end,
        )
    }


def _made(tx: Tx, start: int, end: int) -> dict[Group, tuple[int, ...]]:
    made: dict[Group, list[int]] = {}
    for (payload,) in tx.each(
        "SELECT payload FROM records WHERE gen_id >= ? AND gen_id < ? AND started_ms >= ? AND started_ms < ?",
        first_of(start * QUARTER_MS - GEN_ID_SLACK_MS),
        first_of(end * QUARTER_MS + GEN_ID_SLACK_MS + 1),
        start * QUARTER_MS,
        end * QUARTER_MS,
    ):
        record = _decode(payload)
        group = (record.account, record.started_ms // QUARTER_MS, record.key_id, record.model, record.provider)
        sums = made.setdefault(group, [0] * len(MEASURES))
        for at, more in enumerate(measures_of(record)):
            sums[at] += more
    return {group: tuple(sums) for group, sums in made.items()}
