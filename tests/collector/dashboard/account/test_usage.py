"""The usage page and its file: any days, of one model, provider or key; and they say the same, to the nano-dollar."""

import csv
import datetime
import io
import random
import re
from collections import Counter
from decimal import Decimal
from urllib.parse import quote_plus
from zoneinfo import ZoneInfo

import msgspec
import pytest

from tests.collector.dashboard.conftest import Browser
from tests.collector.facts import Node, at_time, make_caller
from usage.record import UsageRecord

pytestmark = pytest.mark.anyio
ZONES = ("UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
RANGES = [("2026-10-25", "2026-10-25"), ("2026-10-03", "2026-11-02"), ("2026-01-01", "2026-12-31")]
"""By hours, days and months, across changes of time."""
WRONG = ["from=x", "from=2026-11-02&to=2026-11-01", "from=1900-01-01&to=2026-01-01", "to=9999-12-31", "from=%00"]
TOTAL = re.compile(r'id="total-cost" title="\$([0-9.,]+)"')


async def fill(browser: Browser) -> list[UsageRecord]:
    """Six weeks across the changes of time of autumn."""
    dice = random.Random(11)
    callers = [await make_caller(browser.collector, "acme", 10**13 if not number else 0) for number in range(3)]
    node = await Node(browser.collector).boot()
    facts = []
    for seq in range(1, 601):
        fact = node.fact(seq, dice.choice(callers), dice.randrange(1, 10**7))
        model = f"{dice.choice(('a', 'b', '=1+1'))}/{dice.randrange(6)}"
        fact = msgspec.structs.replace(fact, model=model, provider=model.partition("/")[0])
        facts.append(at_time(fact, fact.started_ms - dice.randrange(40 * 86_400_000)))
    await node.link.ingest(node.batch(facts))
    return facts


def local_day(fact: UsageRecord, tz: str) -> str:
    return datetime.datetime.fromtimestamp(fact.started_ms / 1000, ZoneInfo(tz)).date().isoformat()


@pytest.mark.parametrize(("first", "last"), RANGES)
async def test_any_days_of_anything_add_up(browser: Browser, first: str, last: str) -> None:
    """In each zone, filtered by each thing: the page and its file have the sum of the records."""
    facts = await fill(browser)
    await browser.sign_in("acme")
    one = facts[0]
    for tz in ZONES:
        for only, takes in (
            ({}, lambda fact: True),
            ({"model": one.model}, lambda fact: fact.model == one.model),
            ({"provider": one.provider}, lambda fact: fact.provider == one.provider),
            ({"key": one.key_id, "model": one.model}, lambda fact: (fact.key_id, fact.model) == (one.key_id, one.model)),
        ):
            nano = sum(fact.cost_nano for fact in facts if takes(fact) and first <= local_day(fact, tz) <= last)
            for group in ("model", "key"):
                asked = {"from": first, "to": last, "group": group, "tz": tz, **only}
                page = await browser.http.get("/dashboard/usage", params=asked)
                assert Decimal(TOTAL.findall(page.text)[0].replace(",", "")) == Decimal(nano).scaleb(-9), (tz, only)
                file = await browser.http.get("/dashboard/usage.csv", params=asked)
                rows = list(csv.DictReader(io.StringIO(file.text, newline="")))
                assert sum((Decimal(row["cost_usd"]) for row in rows), Decimal(0)) == Decimal(nano).scaleb(-9)
                assert file.headers["content-disposition"] == f'attachment; filename="usage-{first}-{last}.csv"'
                assert not any(text.startswith("=") for row in rows for text in row.values())


async def test_page_leads_into_each_group_and_out_again(browser: Browser) -> None:
    """A model to its providers or keys, for the same days; a filter is named, and can be taken away."""
    facts = await fill(browser)
    await browser.sign_in("acme")
    page = (await browser.get("/dashboard/usage?from=2026-11-01&to=2026-11-20&metric=tokens")).text
    often = Counter(fact.model for fact in facts if "2026-11-01" <= local_day(fact, "UTC") <= "2026-11-20")
    model = often.most_common(1)[0][0]
    days = "from=2026-11-01&amp;to=2026-11-20&amp;metric=tokens"
    into = f"/dashboard/usage?{days}&amp;group=provider&amp;model={quote_plus(model)}"
    assert f'href="{into}"' in page
    one = (await browser.get(into.replace("&amp;", "&"))).text
    assert f'title="{model}">{model}</span> <a href="/dashboard/usage?{days}' in one
    assert 'aria-label="All models"' in one
    assert "period=week&amp;metric=tokens&amp;group=provider&amp;model=" in one


@pytest.mark.parametrize("days", WRONG)
async def test_days_that_cannot_be_are_said(browser: Browser, days: str) -> None:
    await browser.sign_in("alice")
    for path in ("usage", "generations"):
        page = await browser.get(f"/dashboard/{path}?{days}")
        assert (page.status_code, "These days cannot be shown: " in page.text) == (200, True), path
        assert (await browser.get(f"/dashboard/{path}.csv?{days}")).status_code == 200


async def test_generations_of_some_days_as_page_and_file(browser: Browser) -> None:
    """The filter's own: those records and no others, whichever way they are read."""
    facts = await fill(browser)
    await browser.sign_in("acme")
    asked = {"from": "2026-10-20", "to": "2026-11-01", "model": "a/", "tz": "America/New_York"}
    wanted = {
        fact.gen_id for fact in facts if "a/" in fact.model and asked["from"] <= local_day(fact, asked["tz"]) <= asked["to"]
    }
    file = await browser.http.get("/dashboard/generations.csv", params=asked)
    assert {row["id"] for row in csv.DictReader(io.StringIO(file.text, newline=""))} == wanted
    shown: list[str] = []
    path = str(browser.http.build_request("GET", "/dashboard/generations", params=asked).url.raw_path, "ascii")
    while path:
        page = (await browser.get(path)).text
        shown += re.findall(r'<tr id="(gen-[^"]+)">', page)
        found = re.findall(r'class="button" href="([^"]+)">Older', page)
        path = found[0].replace("&amp;", "&") if found else ""
    assert sorted(shown) == sorted(wanted)
    assert len(wanted) > 20
