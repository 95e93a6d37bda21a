"""The first page: what is left, what is held, what was spent, how long it lasts, and what happened last."""

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from starlette.responses import Response

from collector.accounts import history
from collector.accounts.keys import list_keys, names_of
from collector.analytics import engine
from collector.analytics.query import Query, Sums
from collector.dashboard.account.generations import GenerationFilter, page_of, tone_of
from collector.dashboard.account.usage import METRICS, draw, lay_out, query_of
from collector.dashboard.display.spans import DAY_MS, month_of, span_of, today_of
from collector.dashboard.visit import Visit
from collector.store.contract import Tx

LATEST = 8
FORECAST_DAYS = 7


class Figures(msgspec.Struct, frozen=True):
    """What the cards say, in nano-dollars; `days_left` None when nothing was spent lately."""

    credits: history.Credits
    today: Sums
    month: Sums
    forecast_nano: int
    days_left: int | None

    @property
    def balance_nano(self) -> int:
        return self.credits.available_nano + self.credits.leased_nano


def forecast(spent_nano: int, week_nano: int, left_ms: int) -> int:
    """What will have been spent after `left_ms` more, if it goes on as the last week went."""
    return spent_nano + week_nano * max(left_ms, 0) // (FORECAST_DAYS * DAY_MS)


def figures_of(tx: Tx, credits: history.Credits, now_ms: int, tz: ZoneInfo) -> Figures:
    """The figures of an account's cards."""

    def total(start_ms: int, end_ms: int) -> Sums:
        return engine.run(tx, Query(credits.account, start_ms, end_ms, tz.key), now_ms).total

    today, month = today_of(now_ms, tz), month_of(now_ms, tz)
    spent = total(month.start_ms, month.end_ms)
    week_nano = total(now_ms - FORECAST_DAYS * DAY_MS, today.end_ms).cost_nano
    days_left = (credits.available_nano + credits.leased_nano) * FORECAST_DAYS // week_nano if week_nano else None
    ahead_nano = forecast(spent.cost_nano, week_nano, month.end_ms - now_ms)
    return Figures(credits, total(today.start_ms, today.end_ms), spent, ahead_nano, days_left)


async def show(visit: Visit) -> Response:
    account, tz, metric = visit.account, visit.zone, METRICS["spend"]
    span = span_of("month", visit.now_ms, tz)

    def work(tx: Tx, now: int) -> Any:
        credits = history.credits_of(tx, account)
        if credits is None:
            return None
        records, _ = page_of(tx, account, GenerationFilter(), "", now, LATEST)
        names = names_of(list_keys(tx, account))
        table = engine.run(tx, query_of(account, span, tz, "model", metric), now)
        return figures_of(tx, credits, now, tz), table, records, names

    found = await visit.read(work)
    if found is None:
        return visit.no_account()
    figures, table, records, names = found
    sheet, caption = lay_out(table, span, tz, metric, {}), "Spend by model, 30 days"
    values = {"figures": figures, "sheet": sheet, "records": records, "names": names, "tone": tone_of, "live": True}
    return visit.render("account/overview.html", {**values, "caption": caption, "chart": draw(caption, sheet, metric)})
