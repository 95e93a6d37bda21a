"""Money in and out: what was topped up, what each month used, what is left; and the statement as a file.

Rule: topped up, less what was used, plus what was absorbed of it, is the balance: the page shows all four, and they add up.
Months are those of UTC, as in the statement and the ledger.
"""

import asyncio
import datetime

import msgspec
from starlette.responses import Response

from collector.accounts import history, payments
from collector.accounts.stripe import StripeSettings
from collector.analytics import engine
from collector.analytics.query import Query, Sums
from collector.api.account.topups import Checkout, CheckoutAnswer, check_out, export_statement
from collector.api.operation import PlainAnswer
from collector.api.problem import ApiError
from collector.api.usage.exports import Range
from collector.dashboard.access import read_form
from collector.dashboard.api_call import amount_of, call_of
from collector.dashboard.display.spans import DAY_MS
from collector.dashboard.page import file_of
from collector.dashboard.visit import Visit
from collector.store.contract import Tx

YEARS = 10
PAYMENTS_SHOWN = 100
PAID = "Thank you. The credit is here once Stripe has told us, mostly within seconds; this page shows it by itself."


class Month(msgspec.Struct, frozen=True):
    """One line: `name` is 2026-11; nano-dollars."""

    name: str
    topped_nano: int
    used_nano: int
    requests: int


def months_of(tx: Tx, account: str, paid: list[payments.Payment], now_ms: int) -> list[Month]:
    """Those in which anything was paid or used, the newest first."""
    query = Query(account, now_ms - YEARS * 366 * DAY_MS, now_ms + DAY_MS, "UTC", "month")
    used = {_month(line.start_ms): line.sums for line in engine.run(tx, query, now_ms).lines}
    topped: dict[str, int] = {}
    for one in paid:
        topped[_month(one.at_ms)] = topped.get(_month(one.at_ms), 0) + one.amount_nano
    names = sorted(used.keys() | topped.keys(), reverse=True)
    nothing = Sums()
    sums = {name: used.get(name, nothing) for name in names}
    return [Month(name, topped.get(name, 0), sums[name].cost_nano, sums[name].requests) for name in names]


def _month(at_ms: int) -> str:
    return f"{datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC):%Y-%m}"


async def show(visit: Visit, problem: str = "", checkout: str = "") -> Response:
    """The page; `problem` is why nothing was bought, `checkout` where to pay."""
    account = visit.account

    def work(tx: Tx, now: int) -> tuple[history.Credits | None, list[payments.Payment], list[Month]]:
        paid = payments.list_payments(tx, account, count=100_000)
        return history.credits_of(tx, account), paid, months_of(tx, account, paid, now)

    credits, paid, months = await visit.read(work)
    if credits is None:
        return visit.no_account()
    values = {"credits": credits, "payments": paid[:PAYMENTS_SHOWN], "more": len(paid) - PAYMENTS_SHOWN, "months": months}
    sells = bool(StripeSettings.read().key) and visit.session.may_change
    values |= {"used_nano": sum(month.used_nano for month in months), "sells": sells, "problem": problem, "checkout": checkout}
    if visit.param("paid"):
        values["notice"] = PAID
        values["notice_kind"] = "good"
    return visit.render("account/credit.html", {**values, "live": not (problem or checkout)}, 400 if problem else 200)


async def buy(visit: Visit) -> Response:
    """Open a page at Stripe for the amount, as over the API, and lead there by a link: a form of ours leads to no other site."""
    amount = (await read_form(visit.request)).get("amount", "")
    try:
        call = call_of(visit, visit.now_ms, Checkout(amount_of(amount)))
        opened = await visit.read(lambda tx, now: check_out(tx, call))
        page: CheckoutAnswer = await asyncio.to_thread(opened.ask)
    except (ApiError, ValueError) as problem:
        return await show(visit, problem=str(problem))
    if not page.data.url.startswith("https://"):
        return await show(visit, problem="Stripe named no page that can be opened")
    return await show(visit, checkout=page.data.url)


async def download(visit: Visit) -> Response:
    """The statement, as over the API."""
    answer: PlainAnswer = await visit.read(lambda tx, now: export_statement(tx, call_of(visit, now, query=Range())))
    return file_of(answer.content, "statement.csv")
