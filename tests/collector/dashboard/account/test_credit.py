"""The credit page: top-ups, months and balance add up, and the statement is the API's."""

import csv
import io
import re
from decimal import Decimal

import pytest

from tests.collector.dashboard.conftest import Browser
from tests.collector.facts import NOON_MS, Clock, Node, at_time, make_caller

pytestmark = pytest.mark.anyio
AMOUNT = re.compile(r"−?\$[0-9,.]+")


def amounts(page: str, part: str) -> list[Decimal]:
    """What stands there in dollars, in order."""
    found = page.partition(f'id="{part}"')[2].partition("</table>" if part == "months" else "</dl>")[0]
    return [Decimal(text.replace("$", "").replace(",", "").replace("−", "-")) for text in AMOUNT.findall(found)]


async def test_credit_adds_up(browser: Browser, clock: Clock) -> None:
    """Over a year's end, to the nano-dollar: topped up, less what was used, is the balance; the months have the same sums."""
    caller = await make_caller(browser.collector, "acme", 7_000_000_001)
    await browser.collector.add_credit("acme", 3_000_000_000, "second")
    node = await Node(browser.collector).boot()
    costs = {0: 1_000_000_003, 40: 20, 365: 2_000_000_000}
    facts = [
        at_time(node.fact(seq, caller, cost), NOON_MS - days * 86_400_000) for seq, (days, cost) in enumerate(costs.items(), 1)
    ]
    await node.link.ingest(node.batch(facts))
    clock.now_ms += 1_000
    await browser.sign_in("acme")
    page = (await browser.get("/dashboard/credit")).text
    topped, used, balance, *_ = amounts(page, "sum")
    assert (topped, used) == (Decimal("10.000000001"), -Decimal("3.000000023"))
    assert topped + used == balance
    assert re.findall(r"<tr><td>(\d{4}-\d{2})</td>", page) == ["2026-11", "2026-10", "2025-11"]
    assert amounts(page, "months") == [
        Decimal(text) for text in ("10.000000001", "1.000000003", "0.00000002", "2.00", "10.000000001", "3.000000023")
    ]
    assert page.count("<td>top-up</td>") == 2
    rows = list(csv.DictReader(io.StringIO((await browser.get("/dashboard/statement.csv")).text)))
    assert sum(Decimal(row["amount_usd"]) for row in rows) == balance


async def test_what_went_beyond_the_credit_is_said(browser: Browser) -> None:
    """The balance is never below nothing; what was not charged is named, and the months have all that was used."""
    caller = await make_caller(browser.collector, "acme", 1_000)
    node = await Node(browser.collector).boot()
    await node.link.ingest(node.batch([node.fact(1, caller, 3_500)]))
    await browser.sign_in("acme")
    page = (await browser.get("/dashboard/credit")).text
    topped, used, balance, absorbed = amounts(page, "sum")
    assert (topped + used, balance, absorbed) == (balance, Decimal(0), Decimal("0.0000025"))
    assert amounts(page, "months")[-1] == -used + absorbed


async def test_account_without_money_has_a_page(browser: Browser) -> None:
    await browser.collector.create_key("empty")
    await browser.sign_in("empty")
    page = (await browser.get("/dashboard/credit")).text
    assert "Nothing yet." in page
    assert "None yet." in page
    await browser.sign_in("", "operator")
    assert (await browser.get("/dashboard/credit?account=nobody")).status_code == 404
