"""The list of generations: newest first, page by page, and none of another account."""

import msgspec
import pytest

from collector.dashboard.account.generations import GenerationFilter, page_of
from tests.collector.dashboard.conftest import Browser
from tests.collector.facts import NOON_MS, Node, at_time, make_caller
from usage.record import Tried

pytestmark = pytest.mark.anyio


async def test_list_goes_by_start_and_on_from_any_record(browser: Browser) -> None:
    """Records of one millisecond, and one whose id was drawn long before it started: a page goes on where the last one ended."""
    caller = await make_caller(browser.collector, "acme", 10**9)
    node = await Node(browser.collector).boot()
    await node.acquire(caller, 10**8)
    starts = [NOON_MS + offset for offset in (0, 0, 0, 5, 5, 9, 1, 1)]
    facts = [at_time(node.fact(seq, caller), started_ms) for seq, started_ms in enumerate(starts, start=1)]
    facts[3] = msgspec.structs.replace(facts[3], started_ms=NOON_MS + 20)
    assert (await node.link.ingest(node.batch(facts))).rejected == ()
    expected = [fact.gen_id for fact in sorted(facts, key=lambda fact: (fact.started_ms, fact.gen_id), reverse=True)]
    found: list[str] = []
    before = ""
    while True:
        records, before = await browser.collector.read(
            lambda tx, now, before=before: page_of(tx, "acme", GenerationFilter(), before, now, 3)  # type: ignore[misc]
        )
        found += [record.gen_id for record in records]
        if not before:
            break
    assert found == expected


async def test_detail_says_who_was_asked(browser: Browser) -> None:
    """What was asked for, each attempt with what came of it, and who answered."""
    caller = await make_caller(browser.collector, "acme", 10**9)
    node = await Node(browser.collector).boot()
    await node.acquire(caller, 10**8)
    tried = (Tried("ill", "m", "unavailable", 503),)
    fact = msgspec.structs.replace(node.fact(1, caller), route="both", tried=tried, attempts=2, surface="messages")
    assert (await node.link.ingest(node.batch([fact]))).rejected == ()
    await browser.sign_in("acme")
    page = await browser.get(f"/dashboard/generations/{fact.gen_id}?account=acme")
    assert "<dt>Asked for</dt><dd>both</dd>" in page.text
    assert "<dt>Surface</dt><dd>messages</dd>" in page.text
    assert "2: ill / m: unavailable (503); echo / small: answered" in page.text
