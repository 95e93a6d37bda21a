"""History by every front: OpenRouter's analytics, OpenAI's buckets, CSV, FOCUS and the dashboard say what the ledger says,
exactly, in each zone."""

import csv
import datetime
import io
import os
import random
import re
import shutil
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import msgspec
import pytest

from collector.api.usage.csv_cells import write_csv
from collector.api.usage.exports import FOCUS_COLUMNS
from collector.dashboard.access import COOKIE
from collector.dashboard.sessions import Visitor, open_session
from tests.collector.api.conftest import Api
from tests.collector.facts import NOON_MS, Caller, Node, at_time, make_caller
from usage.protocol import Batch
from usage.record import UsageRecord

pytestmark = pytest.mark.anyio
DAY_MS = 86_400_000
START, END = "2026-09-25T00:00:00+00:00", "2026-11-25T00:00:00+00:00"
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")


async def fill(api: Api, count: int, accounts: int) -> dict[str, list[UsageRecord]]:
    """Mixed generations of some accounts over the two months before NOON_MS, across the clock changes of autumn."""
    dice = random.Random(5)
    callers: list[Caller] = [api.caller, api.other]
    for number in range(accounts - 2):
        callers.append(await make_caller(api.collector, f"account-{number}", 10**12))
    node = await Node(api.collector).boot()
    made: dict[str, list[UsageRecord]] = {caller.account: [] for caller in callers}
    facts = []
    for seq in range(1, count + 1):
        caller = dice.choice(callers)
        started_ms = NOON_MS - dice.randrange(58 * DAY_MS)
        model = f"{dice.choice('ab')}/{dice.randrange(4)}"
        fact = at_time(node.fact(seq, caller, dice.randrange(1, 10**7)), started_ms)
        fact = msgspec.structs.replace(
            fact, model=model, provider=model[0], end_reason=dice.choice(("completed", "cancelled", "timeout"))
        )
        made[caller.account].append(fact)
        facts.append(fact)
    for start in range(0, count, 2_000):
        await node.link.ingest(Batch(node.name, node.epoch, tuple(facts[start : start + 2_000])))
    return made


def dollars(nano: int) -> Decimal:
    return Decimal(nano).scaleb(-9)


async def agree(api: Api, count: int, accounts: int) -> None:
    made = await fill(api, count, accounts)
    for account in list(made):
        facts = made[account]
        await agree_about(api, account, facts)


async def agree_about(api: Api, account: str, facts: list[UsageRecord]) -> None:
    """One account, asked by the operator, in each zone."""
    total = dollars(sum(fact.cost_nano for fact in facts))
    named = f"account={account}"
    for tz in ZONES:
        by_day: Counter[tuple[str, str]] = Counter()
        for fact in facts:
            day = _local(fact.started_ms, tz).date().isoformat()
            by_day[day, fact.model] += fact.cost_nano
        body = {
            "metrics": ["usage", "requests"], "dimensions": ["model"], "granularity": "day", "timezone": tz, "limit": 10_000,
            "time_range": {"start": START, "end": END},
        }  # fmt: skip
        reply = await api.ask("operator", "POST", f"/api/v1/analytics/query?{named}", body)
        rows = reply.data["data"]
        assert {(row["date"][:10], row["model"]): row["usage"] for row in rows} == {
            key: dollars(nano) for key, nano in by_day.items()
        }
        assert reply.data["metadata"]["total"] == {"usage": total, "requests": len(facts)}
        assert not reply.data["metadata"]["truncated"]
        text = (
            await api.get("operator", f"/api/v1/exports/usage.csv?{named}&tz={tz}&by=model&from={_q(START)}&to={_q(END)}")
        ).text
        listed = list(csv.DictReader(io.StringIO(text)))
        assert {(row["start"][:10], row["model"]): Decimal(row["cost_usd"]) for row in listed} == {
            key: dollars(nano) for key, nano in by_day.items()
        }
        per_day = {day: dollars(nano) for day, nano in _per_day(by_day).items()}
        assert await _costs(api, named, tz) == per_day
        assert await _drawn(api, named, tz) == (total, per_day)
    focus = await api.get("operator", f"/v1/exports/focus.csv?{named}&from={_q(START)}&to={_q(END)}")
    charges = list(csv.DictReader(io.StringIO(focus.text)))
    assert tuple(charges[0]) == FOCUS_COLUMNS
    assert sum(Decimal(row["BilledCost"]) for row in charges) == total
    assert sum(int(row["x_Requests"]) for row in charges) == len(facts)
    each = await api.get("operator", f"/v1/exports/generations.csv?{named}&from={_q(START)}&to={_q(END)}")
    assert {(row["id"], Decimal(row["cost_usd"])) for row in csv.DictReader(io.StringIO(each.text))} == {
        (fact.gen_id, dollars(fact.cost_nano)) for fact in facts
    }
    assert (await api.get("operator", f"/v1/credits?{named}")).data["total_usage"] == total
    charged = api.collector.store.read(
        lambda tx: tx.row(
            "SELECT CAST(SUM(amount_nano) AS BIGINT) FROM postings WHERE account = ? AND credit = 'revenue'", account
        )
    )
    assert charged is not None
    assert dollars(charged[0]) == total


def _local(time_ms: int, tz: str) -> Any:
    return datetime.datetime.fromtimestamp(time_ms / 1000, ZoneInfo(tz))


def _q(text: str) -> str:
    return text.replace("+", "%2B")


def _per_day(by_day: Counter[tuple[str, str]]) -> Counter[str]:
    days: Counter[str] = Counter()
    for (day, _), nano in by_day.items():
        days[day] += nano
    return days


async def _costs(api: Api, named: str, tz: str) -> dict[str, Decimal]:
    """Every page of OpenAI's costs, by local day; buckets follow one another without a gap."""
    found: dict[str, Decimal] = {}
    page, last = "", 0
    while True:
        path = f"/v1/organization/costs?start_time=1790294400&end_time=1795564800&{named}&tz={tz}&limit=9&page={page}"
        body = (await api.get("operator", path)).body
        for bucket in body["data"]:
            assert not last or bucket["start_time"] == last
            last = bucket["end_time"]
            for result in bucket["results"]:
                found[_local(bucket["start_time"] * 1000, tz).date().isoformat()] = result["amount"]["value"]
        if not body["has_more"]:
            return found
        page = body["next_page"]


async def _drawn(api: Api, named: str, tz: str) -> tuple[Decimal, dict[str, Decimal]]:
    """The dashboard's page: spend in all, and the local days of the table behind its chart on which anything was spent."""
    visitor = Visitor("", "operator", "test", "192.0.2.1", "a browser")
    secret, _ = await api.collector.write(lambda tx, now: open_session(tx, visitor, now))
    path = f"/dashboard/usage?period=quarter&{named}&tz={tz}"
    page = (await api.http.get(path, headers={"cookie": f"{COOKIE}={secret}"})).text
    (total,) = re.findall(r'id="total-cost" title="\$([0-9.]+)"', page)
    rows = re.findall(r"<tr><td>\w+, ([0-9]{2} \w+ [0-9]{4})</td>(.*)</tr>", page)
    days = {_iso(day): Decimal(re.findall(r"\$([0-9.]+)</td>", cells)[-1]) for day, cells in rows}
    return Decimal(total), {day: spent for day, spent in days.items() if spent}


def _iso(day: str) -> str:
    return datetime.datetime.strptime(day, "%d %B %Y").date().isoformat()


async def test_every_front_says_what_the_ledger_says(api: Api) -> None:
    await agree(api, 2_000, 4)


@pytest.mark.deep
async def test_every_front_says_what_the_ledger_says_of_many(api: Api) -> None:
    """50,000 generations of 20 accounts."""
    await agree(api, 50_000, 20)


async def test_usage_buckets_are_openais(api: Api) -> None:
    """Shape, grouping, filter, widths, pages and what is wrong."""
    await fill(api, 500, 2)
    base = "/v1/organization/usage/completions"
    one = (await api.get("read", f"{base}?start_time=1795305600&bucket_width=1h&group_by[]=model&limit=5")).body
    assert (one["object"], len(one["data"]), one["data"][0]["object"]) == ("page", 5, "bucket")
    every = []
    page: Any = ""
    while page is not None:
        body = (await api.get("read", f"{base}?start_time=1790294400&group_by=model,api_key_id&page={page}")).body
        assert len(body["data"]) <= 7
        every += [result for bucket in body["data"] for result in bucket["results"]]
        page = body["next_page"]
    assert {result["api_key_id"] for result in every} == {api.caller.key_id}
    own = (await api.get("read", "/api/v1/credits")).data
    assert sum(result["num_model_requests"] for result in every) > 100
    assert own["total_usage"] > 0
    filtered = (await api.get("read", f"{base}?start_time=1790294400&limit=31&models=a/1&group_by=model")).body
    assert {result["model"] for bucket in filtered["data"] for result in bucket["results"]} == {"a/1"}
    for query in (
        "", "start_time=x", "start_time=-1", "start_time=1795305600&bucket_width=1m", "start_time=9&end_time=9",
        "start_time=1795305600&group_by=colour", "start_time=1795305600&tz=Mars", "start_time=1795305600&page=x",
        "start_time=1795305600&page=OTk5OTk5OTk5OTk5OTk", "start_time=0&limit=0",
        "start_time=1795305600&project_ids=p", "start_time=1795305600&batch=true",
    ):  # fmt: skip
        assert (await api.get("read", f"{base}?{query}")).status == 400, query


async def test_analytics_names_what_is_wrong(api: Api) -> None:
    meta = (await api.get("read", "/api/v1/analytics/meta")).data
    names = [metric["name"] for metric in meta["metrics"]]
    good = {"metrics": names, "dimensions": [one["name"] for one in meta["dimensions"]]}
    assert (await api.ask("read", "POST", "/api/v1/analytics/query", good)).data["data"] == []
    for change, param in (
        ({"metrics": []}, "metrics"), ({"metrics": ["beauty"]}, "metrics"), ({"dimensions": ["x"]}, "dimensions"),
        ({"granularity": "minute"}, "granularity"), ({"timezone": "Mars"}, "tz"), ({"limit": 0}, "limit"),
        ({"time_range": {"start": "x", "end": "2026-01-01"}}, "time_range"), ({"order_by": {"field": "x"}}, "order_by"),
        ({"filters": [{"field": "x", "value": "y"}]}, "dimensions"), ({"cursor": "x"}, "cursor"),
        ({"time_range": {"start": "2027-01-01", "end": "2026-01-01"}}, "start"),
    ):  # fmt: skip
        reply = await api.ask("read", "POST", "/v1/analytics/query", good | change)
        assert (reply.status, reply.body["error"]["param"]) == (400, param), change


HOSTILE = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'a"b', "a,b", "a\nb", '=HYPERLINK("http://x")', "\uff1d1", "ok")


def test_cells_are_no_formulas() -> None:
    """Whatever a name is, a spreadsheet shows it; and a reader gets the text back, but for the apostrophe."""
    rows = list(csv.reader(io.StringIO(write_csv(["a", "b"], [(text, -1) for text in HOSTILE]).decode(), newline="")))
    for text, (first, second) in zip(HOSTILE, rows[1:], strict=True):
        assert first.lstrip("'") == text
        assert not first.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))
        assert second == "-1"


async def test_export_of_hostile_names_opens_as_text(api: Api) -> None:
    node = await Node(api.collector).boot()
    facts = [
        msgspec.structs.replace(node.fact(seq, api.caller), model=text, provider=text, user_agent=text)
        for seq, text in enumerate(HOSTILE, 1)
    ]
    await node.link.ingest(node.batch(facts))
    for name in ("usage", "generations", "focus"):
        reply = await api.get("read", f"/api/v1/exports/{name}.csv?from=2026-11-01&to=2026-12-01")
        assert reply.headers["content-type"].startswith("text/csv")
        assert reply.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
        for row in csv.DictReader(io.StringIO(reply.text, newline="")):
            for text in row.values():
                assert not text.startswith(("=", "+", "@", "\t", "\r", "\uff1d")), text
                assert not text.startswith("-") or text.lstrip("-").isdigit()


CONTRADICTION = "InvoiceId-C-005-C"
"""The validator asks of every row that InvoiceId be null (C-004) and that it be not (C-005): it cannot know whether there is an
invoice. Usage is paid in advance here, so there is none."""


@pytest.mark.deep
async def test_focus_export_is_valid(api: Api, tmp_path: Path) -> None:
    """FinOps' own validator finds nothing else. It needs libraries that no extra of ours carries: pip install focus-validator
    'pyarrow<20' in an environment of its own; TOLLWAY_FOCUS_VALIDATOR names its command."""
    command = os.environ.get("TOLLWAY_FOCUS_VALIDATOR") or shutil.which("focus-validator")
    if not command:
        pytest.skip("focus-validator is not installed")
    await fill(api, 200, 2)
    export = await api.get("read", f"/v1/exports/focus.csv?from={_q(START)}&to={_q(END)}")
    _prepare(tmp_path, command, export.text)
    done = await anyio.run_process([command, "--data-file", "focus.csv", "--block-download"], cwd=tmp_path, check=False)
    text = done.stdout.decode() + done.stderr.decode()
    assert [line for line in text.splitlines() if ": FAIL" in line and CONTRADICTION not in line] == []
    assert text.count(": PASS") > 100


def _prepare(folder: Path, command: str, export: str) -> None:
    """The file, and the table of currencies where the validator looks for it."""
    (folder / "focus.csv").write_text(export, newline="")
    codes = next(Path(command).parents[1].rglob("focus_validator/rules/currency_codes.csv"))
    (folder / "focus_validator" / "rules").mkdir(parents=True)
    shutil.copy(codes, folder / "focus_validator" / "rules")
