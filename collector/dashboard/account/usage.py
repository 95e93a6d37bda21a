"""Usage over time: spend, tokens and requests, stacked by model, provider or key, as a chart and as the table behind it."""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

import msgspec
from starlette.responses import Response

from collector.accounts.keys import list_keys, names_of
from collector.analytics import engine
from collector.analytics.query import Query, Result, Sums
from collector.api.usage.exports import usage_csv
from collector.dashboard.display import figures
from collector.dashboard.display.chart import SERIES_MAX, Bar, stacked_bars
from collector.dashboard.display.spans import NAMES, Span, days_of, label, range_of, span_of, title
from collector.dashboard.page import file_of
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
COLUMNS = {"model": "model", "provider": "provider", "key": "api_key"}
"""What a group is called in a file, as in the API's."""
OTHER = "all others"
NOTHING = Sums()


class Sheet(msgspec.Struct, frozen=True):
    """A table as a page shows it: rows by period, columns by group, the largest first; both add up to `total`. `groups`: the
    name of each column's group before it was shown by another one; empty for what the rest adds up to."""

    series: tuple[str, ...]
    totals: tuple[Sums, ...]
    rows: tuple[tuple[str, str, tuple[Sums, ...], Sums], ...]
    """(label, title, a cell per series, their sum) of each period."""
    total: Sums
    groups: tuple[str, ...] = ()


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
    named = tuple(group[0] if group else "" for group in groups)
    return Sheet(series, tuple(totals[group] for group in groups), tuple(rows), table.total, named)


def draw(caption: str, sheet: Sheet, metric: Metric) -> str:
    """The chart of a sheet."""
    bars = [Bar(short, full, tuple(metric.of(cell) for cell in cells)) for short, full, cells, _ in sheet.rows]
    return stacked_bars(caption, sheet.series, bars, metric.write)


class ChartRequest(msgspec.Struct, frozen=True):
    """What a page of usage is asked for: what is drawn, of which time, by which group, of which model, provider and key alone."""

    metric: str
    group: str
    span: Span
    first: str = ""
    last: str = ""
    model: str = ""
    provider: str = ""
    key: str = ""

    def params(self, **other: str) -> dict[str, str]:
        """The members of an address that asks for it, some of them otherwise."""
        days = {"from": self.first, "to": self.last} if self.span.name == "range" else {"period": self.span.name}
        if "period" in other:
            days = {"period": other.pop("period")}
        only = {"model": self.model, "provider": self.provider, "key": self.key}
        return {**days, "metric": self.metric, "group": self.group, **only, **other}

    def query(self, account: str, tz: ZoneInfo) -> Query:
        """The same to the read engine."""
        query = query_of(account, self.span, tz, self.group, METRICS[self.metric])
        models, providers, keys = ((text,) if text else () for text in (self.model, self.provider, self.key))
        return msgspec.structs.replace(query, models=models, providers=providers, keys=keys)


def asked_of(visit: Visit) -> tuple[ChartRequest, str]:
    """What the address asks for, and what is wrong with its days; without any that can be, it is 30 days."""
    metric, group = visit.param("metric"), visit.param("group")
    first, last, problem = visit.param("from"), visit.param("to"), ""
    span = span_of(visit.param("period"), visit.now_ms, visit.zone)
    if first or last:
        try:
            span = range_of(first or last, last or first, visit.zone)
        except ValueError as wrong:
            problem = str(wrong)
    first, last = days_of(span, visit.zone)
    metric, group = metric if metric in METRICS else "spend", group if group in GROUPS else "model"
    only = (visit.param("model"), visit.param("provider"), visit.param("key"))
    return ChartRequest(metric, group, span, first, last, *only), problem


async def show(visit: Visit) -> Response:
    account, tz = visit.account, visit.zone
    asked, problem = asked_of(visit)
    metric = METRICS[asked.metric]

    def work(tx: Tx, now: int) -> tuple[Result, dict[str, str]]:
        names = names_of(list_keys(tx, account)) if asked.group == "key" or asked.key else {}
        return engine.run(tx, asked.query(account, tz), now), names

    table, names = await visit.read(work)
    sheet = lay_out(table, asked.span, tz, metric, names if asked.group == "key" else {})
    said = f"{asked.first} to {asked.last}" if asked.span.name == "range" else NAMES[asked.span.name]
    caption = f"{metric.name} by {GROUPS[asked.group].lower()}, {said}"
    only = {"model": asked.model, "provider": asked.provider, "key": names.get(asked.key, asked.key)}
    values = {
        "asked": asked,
        "span": asked.span,
        "spans": NAMES,
        "metric": metric,
        "groups": GROUPS,
        "only": {name: text for name, text in only.items() if text},
        "further": further(asked, table),
        "sheet": sheet,
        "table": table,
        "total": sheet.total,
        "caption": caption,
        "chart": draw(caption, sheet, metric),
        "notice": f"These days cannot be shown: {problem}. Here are {NAMES[asked.span.name]}." if problem else "",
        "notice_kind": "bad",
        "live": True,
    }
    return visit.render("account/usage.html", values)


def further(asked: ChartRequest, table: Result) -> dict[str, dict[str, str]]:
    """By the name of a group: what asks for that one alone, split up by something else."""
    rest = [name for name in GROUPS if name != asked.group and not getattr(asked, name)] or [asked.group]
    groups = {line.group[0] for line in table.lines if line.group and line.group[0]}
    return {group: asked.params(group=rest[0], **{asked.group: group}) for group in groups}


async def download(visit: Visit) -> Response:
    """The table behind the chart as a file: every group, with a row where anything was used."""
    asked, _ = asked_of(visit)
    query = msgspec.structs.replace(asked.query(visit.account, visit.zone), top=0)
    table = await visit.read(lambda tx, now: engine.run(tx, query, now))
    return file_of(usage_csv(table, (COLUMNS[asked.group],), visit.zone), f"usage-{asked.first}-{asked.last}.csv")
