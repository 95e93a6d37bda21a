"""History over the read engine, in OpenRouter's shape: `POST /analytics/query`, and what can be asked for at `GET
/analytics/meta`.

Rule: whatever the caller asks, the figures are those of `collector.analytics`: exact, in any IANA zone (`timezone`, ours), with
`complete_through`: whatever ended before then is in. Groups beyond `group_limit` are one more, named by null, so that sums
reconcile.
"""

import time
from typing import Annotated, Any, Literal

import msgspec

from collector.accounts.window import DAY_MS
from collector.analytics.calendar import local, zone
from collector.analytics.engine import run
from collector.analytics.paging import page
from collector.analytics.query import DIMENSIONS, Query, QueryRow, Result, Sums
from collector.api.caller import READERS
from collector.api.operation import AccountQuery, Call, Operation
from collector.api.problem import wrong
from collector.api.shapes import Amount, ms_of, timestamp
from collector.ingest.rollups import QUARTER_MS
from collector.store.contract import Tx

ROWS_DEFAULT, ROWS_MAX = 1_000, 10_000
DAYS_DEFAULT = 30
METRICS: dict[str, tuple[str, str, str]] = {
    "usage": ("cost_nano", "Spend", "currency"),
    "requests": ("requests", "Requests", "number"),
    "errors": ("errors", "Errors", "number"),
    "prompt_tokens": ("prompt", "Prompt tokens", "number"),
    "completion_tokens": ("completion", "Completion tokens", "number"),
    "reasoning_tokens": ("reasoning", "Reasoning tokens", "number"),
    "cached_tokens": ("cached", "Cached prompt tokens", "number"),
    "cache_write_tokens": ("cache_write", "Prompt tokens written to a cache", "number"),
    "total_tokens": ("tokens", "Tokens", "number"),
    "latency_ms_sum": ("latency_ms", "Milliseconds of all requests", "number"),
    "ttft_ms_sum": ("ttft_ms", "Milliseconds to the first token of all requests", "number"),
}
"""Name in the API → (measure, label, how it is shown)."""
NAMES = {"model": "model", "provider": "provider", "api_key": "key", "account": "account"}
"""Dimension in the API → that of the engine. `provider_name` and `api_key_id` are taken too."""
_ALIASES = {"provider_name": "provider", "api_key_id": "api_key", "key": "api_key"}
PERIODS = {"quarter_hour": "quarter", "hour": "hour", "day": "day", "week": "week", "month": "month", "year": "year"}


class AnalyticsFilter(msgspec.Struct, frozen=True):
    """`operator`: eq or in. `field`: a dimension."""

    field: str
    value: str | list[str]
    operator: Literal["eq", "=", "in"] = "in"


class TimeRange(msgspec.Struct, frozen=True):
    """[start, end), RFC 3339; widened to whole quarters of an hour."""

    start: str
    end: str


class OrderBy(msgspec.Struct, frozen=True):
    field: str
    direction: Literal["asc", "desc"] = "desc"


class AnalyticsQuery(msgspec.Struct, frozen=True):
    metrics: Annotated[list[str], msgspec.Meta(min_length=1, max_length=20)]
    dimensions: Annotated[list[str], msgspec.Meta(max_length=4)] = []
    filters: Annotated[list[AnalyticsFilter], msgspec.Meta(max_length=20)] = []
    granularity: str | None = None
    time_range: TimeRange | None = None
    timezone: str = "UTC"
    order_by: OrderBy | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=ROWS_MAX)] | None = None
    group_limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] | None = None
    cursor: str = ""


class Metadata(msgspec.Struct, frozen=True):
    """`as_of`: when it was read.

    `complete_through`: whatever ended before then, on any node that lives, is in; null: not known.
    """

    row_count: int
    truncated: bool
    query_time_ms: float
    as_of: str
    complete_through: str | None
    start: str
    end: str
    timezone: str
    total: dict[str, Any]
    has_other: bool
    next_cursor: str | None


class Rows(msgspec.Struct, frozen=True):
    """A row has `date` (the start of its period, with a granularity), a value per dimension (null: all others) and per metric."""

    data: list[dict[str, Any]]
    metadata: Metadata | None


class RowsAnswer(msgspec.Struct, frozen=True):
    data: Rows


def query(tx: Tx, call: Call) -> RowsAnswer:
    started_s = time.perf_counter()
    body: AnalyticsQuery = call.body
    for metric in body.metrics:
        if metric not in METRICS:
            raise wrong("metrics", f"{metric[:40]!r} is no metric; there are {', '.join(METRICS)}")
    asked = _query_of(call, body)
    table = run(tx, asked, call.now_ms)
    lines = _ordered(table.lines, body)
    part, cursor = page(lines, body.cursor, body.limit or ROWS_DEFAULT)
    names = [_named(name) for name in body.dimensions]
    tz = zone(body.timezone)
    data: list[dict[str, Any]] = []
    for line in part:
        row: dict[str, Any] = {"date": local(line.start_ms // QUARTER_MS, tz).isoformat()} if asked.every else {}
        row |= {name: None if line.group is None else line.group[at] for at, name in enumerate(names)}
        data.append(row | measures(line.sums, body.metrics))
    spent_ms = round((time.perf_counter() - started_s) * 1000, 3)
    return RowsAnswer(Rows(data, _metadata(table, len(data), body, spent_ms, cursor)))


def measures(sums: Sums, metrics: list[str]) -> dict[str, Any]:
    """Metric → its figure, amounts as such."""
    return {metric: Amount(sums.cost_nano) if metric == "usage" else getattr(sums, METRICS[metric][0]) for metric in metrics}


def _metadata(table: Result, rows: int, body: AnalyticsQuery, spent_ms: float, cursor: str) -> Metadata:
    through = table.complete_through_ms
    return Metadata(
        rows, bool(cursor), spent_ms, timestamp(table.as_of_ms), None if through is None else timestamp(through),
        timestamp(table.start_ms), timestamp(table.end_ms), body.timezone, measures(table.total, body.metrics), table.has_other,
        cursor or None,
    )  # fmt: skip


def _named(name: str) -> str:
    found = _ALIASES.get(name, name)
    if found not in NAMES:
        raise wrong("dimensions", f"{name[:40]!r} is no dimension; there are {', '.join(NAMES)}")
    return found


def _query_of(call: Call, body: AnalyticsQuery) -> Query:
    if body.granularity is not None and body.granularity not in PERIODS:
        raise wrong("granularity", f"granularity is one of {', '.join(PERIODS)}; minutes are not kept")
    end_ms = call.now_ms if body.time_range is None else ms_of(body.time_range.end, "time_range")
    start_ms = end_ms - DAYS_DEFAULT * DAY_MS if body.time_range is None else ms_of(body.time_range.start, "time_range")
    filters: dict[str, tuple[str, ...]] = {}
    for one in body.filters:
        values = (one.value,) if isinstance(one.value, str) else tuple(one.value)
        column = NAMES[_named(one.field)]
        if column in filters:
            raise wrong("filters", f"{one.field[:40]!r} is filtered twice")
        filters[column] = values
    return Query(
        call.caller.account or None,
        start_ms,
        end_ms,
        body.timezone,
        PERIODS.get(body.granularity or "", ""),
        tuple(NAMES[_named(name)] for name in body.dimensions),
        filters.get("account", ()),
        filters.get("key", ()),
        filters.get("model", ()),
        filters.get("provider", ()),
        body.group_limit or 0,
    )


def _ordered(lines: tuple[QueryRow, ...], body: AnalyticsQuery) -> list[QueryRow]:
    if body.order_by is None:
        return list(lines)
    field, is_down = body.order_by.field, body.order_by.direction == "desc"
    if field == "date":
        return sorted(lines, key=lambda line: line.start_ms, reverse=is_down)
    if field not in METRICS:
        raise wrong("order_by", f"order by date or one of {', '.join(METRICS)}")
    return sorted(lines, key=lambda line: getattr(line.sums, METRICS[field][0]), reverse=is_down)


class Named(msgspec.Struct, frozen=True):
    name: str
    display_label: str


class AnalyticsMetric(msgspec.Struct, frozen=True):
    name: str
    display_label: str
    display_format: str
    is_rate: bool = False


class Operator(msgspec.Struct, frozen=True):
    name: str
    value_type: str


class Meta(msgspec.Struct, frozen=True):
    metrics: list[AnalyticsMetric]
    dimensions: list[Named]
    granularities: list[Named]
    operators: list[Operator]


class MetaAnswer(msgspec.Struct, frozen=True):
    data: Meta


def read_meta(tx: Tx, call: Call) -> MetaAnswer:
    return MetaAnswer(
        Meta(
            [AnalyticsMetric(name, label, shown) for name, (_, label, shown) in METRICS.items()],
            [Named(name, name.replace("_", " ")) for name in NAMES],
            [Named(name, name.replace("_", " ")) for name in PERIODS],
            [Operator("eq", "scalar"), Operator("in", "array")],
        )
    )


assert set(NAMES.values()) == set(DIMENSIONS)

OPERATIONS = (
    Operation(
        "POST", "/analytics/query", "Sums of usage over time and groups", READERS, query, RowsAnswer, AccountQuery, AnalyticsQuery
    ),
    Operation("GET", "/analytics/meta", "What /analytics/query can be asked for", READERS, read_meta, MetaAnswer, AccountQuery),
)
