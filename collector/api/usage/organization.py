"""History in OpenAI's shape: `/organization/usage/completions` and `/organization/costs`, so that tools made for them work.

Rule: buckets are half-open and follow one another, also those in which nothing was used; a page is some of them, and the next
begins where it ended. Ours beside theirs: `tz`, for days of a zone. Buckets of a minute are not kept: the shortest is `15m`.
"""

from typing import Annotated, Any

import msgspec

from collector.analytics.calendar import QUARTER_S, UnknownZone, bounds, floor, zone
from collector.analytics.engine import run
from collector.analytics.paging import read, write
from collector.analytics.query import Query, QueryProblem, Sums
from collector.api.caller import READERS
from collector.api.operation import Call, Operation
from collector.api.problem import wrong
from collector.api.shapes import Amount
from collector.store.contract import Tx

WIDTHS = {"15m": ("quarter", 96, 960), "1h": ("hour", 24, 168), "1d": ("day", 7, 31)}
"""Width → (period, buckets of a page by default, at most)."""
COSTS_DEFAULT, COSTS_MAX = 7, 180
_USAGE_GROUPS = {
    "api_key_id": "key",
    "model": "model",
    "project_id": "",
    "user_id": "",
    "batch": "",
    "service_tier": "",
    "api_source": "",
}
_COST_GROUPS = {"api_key_id": "key", "line_item": "model", "project_id": "", "user_id": "", "api_source": ""}
SPAN_S_MAX = 400 * 366 * 86_400
Seconds = Annotated[int, msgspec.Meta(ge=0, le=200_000_000_000)]


class UsageQuery(msgspec.Struct, frozen=True):
    """Times are Unix seconds; without `end_time` it is now.

    What there is no such thing as here (projects) is taken and left alone.
    """

    start_time: Seconds
    end_time: Seconds | None = None
    bucket_width: str = "1d"
    group_by: tuple[str, ...] = ()
    api_key_ids: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    project_ids: tuple[str, ...] = ()
    user_ids: tuple[str, ...] = ()
    batch: bool | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=960)] | None = None
    page: str = ""
    tz: str = "UTC"
    account: str = ""


class CostsQuery(msgspec.Struct, frozen=True):
    start_time: Seconds
    end_time: Seconds | None = None
    bucket_width: str = "1d"
    group_by: tuple[str, ...] = ()
    api_key_ids: tuple[str, ...] = ()
    line_items: tuple[str, ...] = ()
    project_ids: tuple[str, ...] = ()
    limit: Annotated[int, msgspec.Meta(ge=1, le=COSTS_MAX)] | None = None
    page: str = ""
    tz: str = "UTC"
    account: str = ""


class OrganizationUsage(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "organization.usage.completions.result"
    input_tokens: int
    output_tokens: int
    input_cached_tokens: int
    input_uncached_tokens: int
    output_reasoning_tokens: int
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    num_model_requests: int
    project_id: str | None = None
    user_id: str | None = None
    api_key_id: str | None = None
    model: str | None = None
    batch: bool | None = None
    service_tier: str | None = None


class Money(msgspec.Struct, frozen=True):
    value: Amount
    currency: str = "usd"


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "organization.costs.result"
    amount: Money
    line_item: str | None = None
    project_id: str | None = None
    organization_id: str | None = None
    api_key_id: str | None = None
    quantity: int | None = None
    quantity_unit: str | None = None


class UsageBucket(msgspec.Struct, frozen=True):
    start_time: int
    end_time: int
    results: list[OrganizationUsage]
    object: str = "bucket"


class CostBucket(msgspec.Struct, frozen=True):
    start_time: int
    end_time: int
    results: list[Cost]
    object: str = "bucket"


class UsagePage(msgspec.Struct, frozen=True):
    data: list[UsageBucket]
    has_more: bool
    next_page: str | None
    object: str = "page"


class CostPage(msgspec.Struct, frozen=True):
    data: list[CostBucket]
    has_more: bool
    next_page: str | None
    object: str = "page"


def read_usage(tx: Tx, call: Call) -> UsagePage:
    asked: UsageQuery = call.query
    if asked.bucket_width not in WIDTHS:
        raise wrong("bucket_width", f"bucket_width is one of {', '.join(WIDTHS)}; minutes are not kept")
    period, default, most = WIDTHS[asked.bucket_width]
    buckets, next_page = _buckets(tx, call, period, min(asked.limit or default, most), _USAGE_GROUPS, asked.models)

    def result(group: dict[str, Any], sums: Sums) -> OrganizationUsage:
        return OrganizationUsage(
            input_tokens=sums.prompt,
            output_tokens=sums.completion,
            input_cached_tokens=sums.cached,
            input_uncached_tokens=sums.prompt - sums.cached,
            output_reasoning_tokens=sums.reasoning,
            num_model_requests=sums.requests,
            **group,
        )

    data = [UsageBucket(start, end, [result(group, sums) for group, sums in rows]) for start, end, rows in buckets]
    return UsagePage(data, next_page is not None, next_page)


def read_costs(tx: Tx, call: Call) -> CostPage:
    asked: CostsQuery = call.query
    if asked.bucket_width != "1d":
        raise wrong("bucket_width", "bucket_width is 1d for costs")
    buckets, next_page = _buckets(tx, call, "day", asked.limit or COSTS_DEFAULT, _COST_GROUPS, asked.line_items)

    def result(group: dict[str, Any], sums: Sums) -> Cost:
        return Cost(amount=Money(Amount(sums.cost_nano)), quantity=sums.tokens, quantity_unit="tokens", **group)

    data = [CostBucket(start, end, [result(group, sums) for group, sums in rows]) for start, end, rows in buckets]
    return CostPage(data, next_page is not None, next_page)


def _buckets(
    tx: Tx, call: Call, period: str, count: int, groups: dict[str, str], models: tuple[str, ...]
) -> tuple[list[tuple[int, int, list[tuple[dict[str, Any], Sums]]]], str | None]:
    """The page's buckets as (start, end, [(group, sums)]), and where the next page begins."""
    asked = call.query
    for name in asked.group_by:
        if name not in groups:
            raise wrong("group_by", f"group by {', '.join(groups)}, not {name[:40]!r}")
    for name in ("project_ids", "user_ids", "batch"):
        if getattr(asked, name, None):
            raise wrong(name, f"there is nothing to filter by {name} here; leave it out")
    known = [name for name in dict.fromkeys(asked.group_by) if groups[name]]
    try:
        tz = zone(asked.tz)
    except UnknownZone as error:
        raise QueryProblem("tz", str(error)) from error
    end_s = call.now_ms // 1000 if asked.end_time is None else asked.end_time
    if asked.start_time >= end_s:
        raise wrong("start_time", "start_time must be before end_time")
    if end_s - asked.start_time > SPAN_S_MAX or end_s > call.now_ms // 1000 + SPAN_S_MAX:
        raise wrong("start_time", "the range is longer than any history")
    first = read(asked.page, int) if asked.page else floor(period, asked.start_time // QUARTER_S, tz)
    end = -(-end_s // QUARTER_S)
    if not 0 <= first < end:
        raise wrong("page", "that page lies outside of the range")
    span = {"quarter": 1, "hour": 7, "day": 101}[period]
    marks = bounds(period, first, min(end, first + (count + 1) * span), tz)[: count + 1]
    if marks[-1] != end and marks[-1] == first + (count + 1) * span:
        marks.pop()
    by = tuple(groups[name] for name in known)
    found = run(
        tx,
        Query(
            call.caller.account or None, marks[0] * QUARTER_S * 1000, marks[-1] * QUARTER_S * 1000, asked.tz, period, by,
            keys=asked.api_key_ids, models=models,
        ),
        call.now_ms,
    )  # fmt: skip
    rows: dict[int, list[tuple[dict[str, Any], Sums]]] = {}
    for line in found.lines:
        group = dict(zip(known, line.group or (), strict=True))
        rows.setdefault(line.start_ms // 1000, []).append((group, line.sums))
    buckets = [(start // 1000, stop // 1000, rows.get(start // 1000, [])) for start, stop in found.periods]
    return buckets, write(marks[-1]) if marks[-1] < end else None


OPERATIONS = (
    Operation(
        "GET", "/organization/usage/completions", "Tokens and requests per bucket, as OpenAI's", READERS, read_usage, UsagePage,
        UsageQuery,
    ),
    Operation("GET", "/organization/costs", "Costs per day, as OpenAI's", READERS, read_costs, CostPage, CostsQuery),
)  # fmt: skip
