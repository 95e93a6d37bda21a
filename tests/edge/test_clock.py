"""Time as the collector has it: what a wrong clock of an edge does to nothing."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from collector.accounts.keys import KeyTerms
from collector.service import Collector, now_ms
from collector.store.sqlite import SqliteStore
from edge.clock import TOLERANCE_MS, Clock
from edge.node import Node
from edge.settings import Settings
from tests.patience import PATIENCE_S

DAY_MS = 86_400_000
NANO = 1_000_000


def test_clock_within_tolerance_is_left_alone() -> None:
    clock = Clock()
    for lead_ms in (0, 1_999, -1_999):
        clock.learn(1_000_000 + lead_ms, 1_000_000 * NANO, 1_000_000 * NANO)
        assert clock.offset_ns == 0


def test_clock_is_put_right_once_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """By what the collector said half a round trip ago; what jitters afterwards moves nothing; set, it is itself again."""
    caplog.set_level(logging.INFO)
    clock, base = Clock(), 1_795_000_000_000
    for jitter_ms in (0, 40, -40, 900, -900):
        clock.learn(base + 2 * DAY_MS + jitter_ms, base * NANO, base * NANO)
        assert clock.offset_ns == 2 * DAY_MS * NANO
    clock.learn(base + 5, base * NANO, (base + 10) * NANO)
    assert clock.offset_ns == 0
    assert [record.getMessage()[:44] for record in caplog.records] == [
        "this machine's clock is 172800 s behind the ",
        "this machine's clock agrees with the collect",
    ]


def test_clock_learns_nothing_that_a_slow_answer_explains() -> None:
    clock = Clock()
    clock.learn(1_004_000, 1_000_000 * NANO, 1_009_000 * NANO)
    clock.learn(0, 0, 0)
    clock.learn(9_000_000, 2_000_000 * NANO, 1_000_000 * NANO)
    assert clock.offset_ns == 0
    clock.learn(1_000_000 + TOLERANCE_MS + 1, 1_000_000 * NANO, 1_000_000 * NANO)
    assert clock.offset_ns == (TOLERANCE_MS + 1) * NANO


@asynccontextmanager
async def edge_with_a_wrong_clock(folder: Path, lead_ms: int) -> AsyncIterator[tuple[Node, Collector]]:
    """The collector's clock is so much ahead of this machine's."""
    (folder / "providers.toml").write_text("")
    collector = Collector(SqliteStore.open(folder / "collector.db"), lambda: now_ms() + lead_ms)
    settings = Settings.read({"TOLLWAY_DATA": str(folder / "data"), "TOLLWAY_PROVIDERS": str(folder / "providers.toml")})
    node = Node(settings, "n1", collector.for_node("n1"))
    await node.start()
    try:
        yield node, collector
    finally:
        await node.stop()
        await collector.shut_down()


async def ask(node: Node, key: str) -> int:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(node.chat), base_url="http://edge") as client:
        body = {"model": "echo/echo-1", "max_tokens": 400, "messages": [{"role": "user", "content": "tell me " * 100}]}
        answer = await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
        return answer.status_code


@pytest.mark.anyio
@pytest.mark.parametrize("lead_ms", [0, 2 * DAY_MS, -2 * DAY_MS])
async def test_daily_limit_is_the_collectors_day(tmp_path: Path, lead_ms: int) -> None:
    """However wrong the edge's clock is: as many requests as the limit buys, and a record of the collector's day."""
    async with edge_with_a_wrong_clock(tmp_path, lead_ms) as (node, collector):
        await collector.add_credit("acme", 10**9)
        free = await collector.create_key("acme")
        assert await ask(node, free) == 200
        assert node.shipper is not None
        assert await node.shipper.flush(PATIENCE_S)
        (cost_nano,) = await collector.read(lambda tx, now: tx.row("SELECT MAX(cost_nano) FROM records")) or (0,)
        limited = await collector.create_key("acme", KeyTerms(limit_nano=5 * cost_nano, limit_reset="daily"))
        served = 0
        for _ in range(24):
            served += await ask(node, limited) == 200
            await node.shipper.flush(PATIENCE_S)
        assert 1 <= served <= 5
        rows = await collector.read(lambda tx, now: tx.rows("SELECT started_ms, gen_id FROM records"))
        assert len(rows) == served + 1
        assert all(abs(started_ms - (now_ms() + lead_ms)) < 60_000 for started_ms, _ in rows)
        assert collector.counts["rejected"] == 0


@pytest.mark.anyio
@pytest.mark.parametrize("lead_ms", [2 * DAY_MS, -2 * DAY_MS])
async def test_expiry_is_by_the_collectors_clock(tmp_path: Path, lead_ms: int) -> None:
    async with edge_with_a_wrong_clock(tmp_path, lead_ms) as (node, collector):
        await collector.add_credit("acme", 10**9)
        there_ms = time.time_ns() // NANO + lead_ms
        living = await collector.create_key("acme", KeyTerms(expires_ms=there_ms + 60_000))
        expired = await collector.create_key("acme", KeyTerms(expires_ms=there_ms - 60_000))
        assert (await ask(node, living), await ask(node, expired)) == (200, 401)
