"""The one read engine: a query in, a table of exact sums out, whatever the time zone.

Strategy: the sum of a period is a difference of two running totals, F(end) - F(start). F at a quarter is the sum of whole UTC
days before the nearest midnight UTC, plus or minus the quarters between; so a year in any zone reads days, and of quarters only
those between local and UTC midnight. Periods shorter than a day read quarters alone. All is integers, so differences are exact.
Limits: PERIODS_MAX periods, LINES_MAX lines.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

from collector.analytics.calendar import PERIODS, QUARTER_MAX, UnknownZone, bounds, zone
from collector.analytics.query import DIMENSIONS, Query, QueryProblem, QueryRow, Result, Sums
from collector.ingest.rollups import QUARTER_MS, QUARTERS_PER_DAY
from collector.store.contract import MEASURES, Row, Tx, placeholders

PERIODS_MAX = 10_000
LINES_MAX = 200_000
FILTER_MAX = 500
_SUMS = ", ".join(f"CAST(SUM({name}) AS BIGINT)" for name in MEASURES)
_WIDTH = len(MEASURES)

Key = tuple[int, tuple[str, ...]]
"""(which period, group)"""


def run(tx: Tx, query: Query, now_ms: int) -> Result:
    """Answer a query on one snapshot; Wrong when it cannot be."""
    _check(query)
    first, end = query.start_ms // QUARTER_MS, -(-query.end_ms // QUARTER_MS)
    marks_at = bounds(query.every, first, end, zone(query.tz)) if end > first else [first]
    if len(marks_at) - 1 > PERIODS_MAX:
        raise QueryProblem("every", f"at most {PERIODS_MAX} periods at once; ask for a shorter range or longer periods")
    read = _read_quarters if query.every in ("quarter", "hour") else _read_days
    sums = {key: row for key, row in read(tx, query, marks_at).items() if row[0]} if end > first else {}
    sums, ranks, has_other = _rank(sums, query)
    if len(sums) > LINES_MAX:
        raise QueryProblem("by", f"more than {LINES_MAX} lines; ask for a shorter range, longer periods, or the top groups only")
    lines = tuple(
        QueryRow(
            marks_at[at] * QUARTER_MS, marks_at[at + 1] * QUARTER_MS, None if has_other and group == OTHER else group, Sums(*row)
        )
        for (at, group), row in sorted(sums.items(), key=lambda item: (item[0][0], ranks[item[0][1]]))
    )
    total = Sums(*(sum(row[at] for row in sums.values()) for at in range(_WIDTH)))
    periods = tuple((start * QUARTER_MS, stop * QUARTER_MS) for start, stop in pairwise(marks_at))
    return Result(lines, total, first * QUARTER_MS, end * QUARTER_MS, periods, now_ms, complete_through_ms(tx, now_ms), has_other)


OTHER: tuple[str, ...] = ("\0other",)
"""No group has this name: the store takes no NUL."""


def complete_through_ms(tx: Tx, now_ms: int) -> int | None:
    """By when the history is complete: the least that any open epoch has claimed; now, if there is none."""
    row = tx.row("SELECT MIN(complete_ms) FROM epochs WHERE state = 'open'")
    assert row is not None
    if row[0] is None:
        return now_ms
    return row[0] or None


def _check(query: Query) -> None:
    try:
        zone(query.tz)
    except UnknownZone as error:
        raise QueryProblem("tz", str(error)) from error
    if query.every and query.every not in PERIODS:
        raise QueryProblem("every", f"a period is one of {', '.join(PERIODS)}, not {query.every[:40]!r}")
    for name in query.by:
        if name not in DIMENSIONS:
            raise QueryProblem("by", f"group by {', '.join(DIMENSIONS)}, not {name[:40]!r}")
    if len(set(query.by)) != len(query.by):
        raise QueryProblem("by", "name each group once")
    if query.rank_by not in MEASURES:
        raise QueryProblem("rank_by", f"rank by one of {', '.join(MEASURES)}")
    if not 0 <= query.start_ms <= query.end_ms <= QUARTER_MAX * QUARTER_MS:
        raise QueryProblem("start", "the range must end after it starts, and lie between 1970 and 9997")
    if query.top < 0:
        raise QueryProblem("top", "top is a number of groups, 0 for all")
    if any(len(values) > FILTER_MAX for _, values in query.filters):
        raise QueryProblem("filters", f"at most {FILTER_MAX} values of one kind")
    if any("\0" in value for _, values in query.filters for value in values):
        raise QueryProblem("filters", "a value has a NUL in it")


def _where(query: Query) -> tuple[str, list[object]]:
    """Conditions on a table of sums, each with ` AND ` before it, and their parameters."""
    text, params = "", list[object]()
    if query.account is not None:
        text, params = " AND t.account = ?", [query.account]
    for column, values in query.filters:
        text += f" AND t.{column} IN ({placeholders(len(values))})"
        params += values
    return text, params


def _columns(query: Query) -> str:
    return "".join(f", t.{DIMENSIONS[name]}" for name in query.by)


def _read_quarters(tx: Tx, query: Query, marks_at: list[int]) -> dict[Key, tuple[int, ...]]:
    where, params = _where(query)
    columns = _columns(query)
    rows = tx.each(
        f"SELECT t.quarter{columns}, {_SUMS} FROM usage_quarters t WHERE t.quarter >= ? AND t.quarter < ?{where}"
        f" GROUP BY t.quarter{columns}",
        marks_at[0],
        marks_at[-1],
        *params,
    )
    return _fold((bisect_right(marks_at, row[0]) - 1, row[1:]) for row in rows)


def _read_days(tx: Tx, query: Query, marks_at: list[int]) -> dict[Key, tuple[int, ...]]:
    """Whole UTC days between the midnights nearest to the bounds, and the quarters between midnight and bound at each of them.

    The slices come first in the join, whatever a planner thinks: turned round, it compares every quarter with every slice.
    """
    tx.by_index()
    where, params = _where(query)
    columns = _columns(query)
    days = [(mark + QUARTERS_PER_DAY // 2) // QUARTERS_PER_DAY for mark in marks_at]
    rows = tx.rows(
        f"SELECT t.day{columns}, {_SUMS} FROM usage_days t WHERE t.day >= ? AND t.day < ?{where} GROUP BY t.day{columns}",
        days[0],
        days[-1],
        *params,
    )
    found = [(bisect_right(days, row[0]) - 1, row[1:]) for row in rows]
    slices = [
        (at, min(mark, day * QUARTERS_PER_DAY), max(mark, day * QUARTERS_PER_DAY))
        for at, (mark, day) in enumerate(zip(marks_at, days, strict=True))
        if mark != day * QUARTERS_PER_DAY
    ]
    if slices:
        values = ", ".join(f"({at}, {start}, {stop})" for at, start, stop in slices)
        among = f"FROM usage_quarters t WHERE t.quarter >= s.start AND t.quarter < s.stop{where}"
        inner = f"(SELECT * {among} OFFSET 0) t" if tx.has_lateral else among.removeprefix("FROM ")
        for at, *rest in tx.rows(
            f"WITH s (at, start, stop) AS (VALUES {values}) SELECT s.at{columns}, {_SUMS} FROM s CROSS JOIN"
            f"{' LATERAL' if tx.has_lateral else ''} {inner} GROUP BY s.at{columns}",
            *params,
        ):
            is_after = marks_at[at] > days[at] * QUARTERS_PER_DAY
            plus, minus = tuple(rest), (*rest[:-_WIDTH], *(-number for number in rest[-_WIDTH:]))
            if at > 0:
                found.append((at - 1, plus if is_after else minus))
            if at < len(marks_at) - 1:
                found.append((at, minus if is_after else plus))
    return _fold(found)


def _fold(rows: Iterable[tuple[int, Row]]) -> dict[Key, tuple[int, ...]]:
    folded: dict[Key, tuple[int, ...]] = {}
    for at, row in rows:
        key = (at, row[:-_WIDTH])
        sums = row[-_WIDTH:]
        known = folded.get(key)
        folded[key] = sums if known is None else tuple(map(int.__add__, known, sums))
    return folded


def _rank(sums: dict[Key, tuple[int, ...]], query: Query) -> tuple[dict[Key, tuple[int, ...]], dict[tuple[str, ...], int], bool]:
    """(sums, the rank of each group, whether some were added up as the others)."""
    measure = MEASURES.index(query.rank_by)
    weights: dict[tuple[str, ...], int] = {}
    for (_, group), row in sums.items():
        weights[group] = weights.get(group, 0) + row[measure]
    order = sorted(weights, key=lambda group: (-weights[group], group))
    if not query.top or len(order) <= query.top:
        return sums, {group: rank for rank, group in enumerate(order)}, False
    kept = {group: rank for rank, group in enumerate(order[: query.top])}
    folded = _fold((at, (*(group if group in kept else OTHER), *row)) for (at, group), row in sums.items())
    return folded, kept | {OTHER: query.top}, True
