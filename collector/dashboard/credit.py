"""Money in and out: what was topped up, what each month used, what is left; and the statement as a file.

Rule: topped up, less what was used, plus what the house bore of it, is the balance: the page shows all four, and they add up.
Months are those of UTC, as in the statement and the ledger.
"""

import datetime

import msgspec
from starlette.responses import Response

from collector.accounts import history, payments
from collector.analytics import engine
from collector.analytics.query import Query, Sums
from collector.api.exports import Range
from collector.api.operation import PlainAnswer
from collector.api.topups import export_statement
from collector.dashboard.api_call import call_of
from collector.dashboard.page import file_of
from collector.dashboard.spans import DAY_MS
from collector.dashboard.visit import Visit
from collector.store.contract import Tx

YEARS = 10
PAYMENTS_SHOWN = 100


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


async def show(visit: Visit) -> Response:
    account = visit.account

    def work(tx: Tx, now: int) -> tuple[history.Credits | None, list[payments.Payment], list[Month]]:
        paid = payments.list_payments(tx, account, count=100_000)
        return history.credits_of(tx, account), paid, months_of(tx, account, paid, now)

    credits, paid, months = await visit.read(work)
    if credits is None:
        return visit.desk.plain("Not found", f"There is no account {account}.", 404, "/dashboard/accounts", "To the accounts")
    values = {"credits": credits, "payments": paid[:PAYMENTS_SHOWN], "more": len(paid) - PAYMENTS_SHOWN, "months": months}
    return visit.render("credit.html", {**values, "used_nano": sum(month.used_nano for month in months), "live": True})


async def download(visit: Visit) -> Response:
    """The statement, as over the API."""
    answer: PlainAnswer = await visit.read(lambda tx, now: export_statement(tx, call_of(visit, now, query=Range())))
    return file_of(answer.content, "statement.csv")
