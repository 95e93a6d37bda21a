"""Usage over time: spend, tokens and requests, stacked by model, provider or key, as a chart and as the table behind it."""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

import msgspec
from starlette.responses import Response

from collector.accounts.accounts import list_keys
from collector.analytics import engine
from collector.analytics.query import Query, Result, Sums
from collector.dashboard import figures
from collector.dashboard.chart import SERIES_MAX, Bar, stacked_bars
from collector.dashboard.spans import NAMES, Span, label, span_of, title
from collector.dashboard.visit import Visit
from collector.store.contract import Tx


class Metric(msgspec.Struct, frozen=True):
    """What is drawn: its name, the figure of a row, and how that is written on an axis and in a table."""

    name: str
    of: Callable[[Sums], int]
    write: Callable[[int], str]
    write_exactly: Callable[[int], str]
    measure: str


METRICS = {
    "spend": Metric("Spend", lambda sums: sums.cost_nano, figures.money, figures.exact, "cost_nano"),
    "tokens": Metric("Tokens", lambda sums: sums.tokens, figures.short, figures.count, "prompt"),
    "requests": Metric("Requests", lambda sums: sums.requests, figures.short, figures.count, "requests"),
}
GROUPS = {"model": "Model", "provider": "Provider", "key": "Key"}
OTHER = "all others"
NOTHING = Sums()


class Sheet(msgspec.Struct, frozen=True):
    """A table as a page shows it: rows by period, columns by group, the largest first; both add up to `total`."""

    series: tuple[str, ...]
    totals: tuple[Sums, ...]
    rows: tuple[tuple[str, str, tuple[Sums, ...], Sums], ...]
    """(label, title, a cell per series, their sum) of each period."""
    total: Sums


def added(left: Sums, right: Sums) -> Sums:
    """Their sum."""
    return Sums(*map(int.__add__, msgspec.structs.astuple(left), msgspec.structs.astuple(right)))


def query_of(account: str, span: Span, tz: ZoneInfo, group: str, metric: Metric) -> Query:
    """What a chart asks for."""
    return Query(account, span.start_ms, span.end_ms, tz.key, span.every, (group,), top=SERIES_MAX - 1, rank_by=metric.measure)


def lay_out(table: Result, span: Span, tz: ZoneInfo, metric: Metric, names: Mapping[str, str]) -> Sheet:
    """The table with a cell for every period and group; `names` are those of groups that are shown by another one."""
    totals: dict[tuple[str, ...] | None, Sums] = {}
    cells: dict[tuple[int, tuple[str, ...] | None], Sums] = {}
    for line in table.lines:
        totals[line.group] = added(totals.get(line.group, NOTHING), line.sums)
        cells[line.start_ms, line.group] = line.sums
    groups = sorted(totals, key=lambda group: (group is None, -metric.of(totals[group]), group or ()))
    rows = []
    for start_ms, _ in table.periods:
        row = tuple(cells.get((start_ms, group), NOTHING) for group in groups)
        total = NOTHING
        for cell in row:
            total = added(total, cell)
        rows.append((label(start_ms, span.every, tz), title(start_ms, span.every, tz), row, total))
    series = tuple(OTHER if group is None else names.get(group[0], group[0]) or "–" for group in groups)
    return Sheet(series, tuple(totals[group] for group in groups), tuple(rows), table.total)


def draw(caption: str, sheet: Sheet, metric: Metric) -> str:
    """The chart of a sheet."""
    bars = [Bar(short, full, tuple(metric.of(cell) for cell in cells)) for short, full, cells, _ in sheet.rows]
    return stacked_bars(caption, sheet.series, bars, metric.write)


async def show(visit: Visit) -> Response:
    metric_name, group = visit.param("metric"), visit.param("group")
    metric_name = metric_name if metric_name in METRICS else "spend"
    group = group if group in GROUPS else "model"
    metric, account, tz = METRICS[metric_name], visit.account, visit.zone
    span = span_of(visit.param("period"), visit.now_ms, tz)

    def work(tx: Tx, now: int) -> tuple[Result, dict[str, str]]:
        names = {key.key_id: key.name or key.label for key in list_keys(tx, account)} if group == "key" else {}
        return engine.run(tx, query_of(account, span, tz, group, metric), now), names

    table, names = await visit.read(work)
    sheet = lay_out(table, span, tz, metric, names)
    caption = f"{metric.name} by {GROUPS[group].lower()}, {NAMES[span.name]}"
    values = {
        "span": span,
        "spans": NAMES,
        "metric": metric,
        "metric_name": metric_name,
        "metrics": METRICS,
        "group": group,
        "groups": GROUPS,
        "sheet": sheet,
        "table": table,
        "total": sheet.total,
        "caption": caption,
        "chart": draw(caption, sheet, metric),
        "live": True,
    }
    return visit.render("usage.html", values)
