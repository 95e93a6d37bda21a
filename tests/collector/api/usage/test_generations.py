"""One generation and lists of them: by whom they may be seen, and that what has just ended is waited for."""

import asyncio
import csv
import io
import time

import anyio
import msgspec
import pytest

from collector.api.usage.generations import GENERATION_WAIT_S
from tests.collector.api.conftest import Api
from tests.collector.facts import NOON_MS, Node, at_time, id_of, make_caller

pytestmark = pytest.mark.anyio


async def test_generation_is_waited_for(api: Api) -> None:
    """Asked for before its edge ships it, it is answered with the batch that brings it; one that does not come is 404 in time."""
    node = await Node(api.collector).boot()
    fact = node.fact(1, api.caller)
    found: list[int] = []

    async def ask() -> None:
        reply = await api.get("inference", f"/api/v1/generation?id={fact.gen_id}")
        found.append(reply.status)
        assert reply.data["id"] == fact.gen_id

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        while not api.collector._awaiting:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await node.link.ingest(node.batch([fact]))
    assert found == [200]
    started_s = time.monotonic()
    reply = await api.get("inference", f"/api/v1/generation?id={id_of('never')}")
    assert (reply.status, reply.headers["retry-after"]) == (404, "1")
    assert time.monotonic() - started_s > GENERATION_WAIT_S - 0.5


async def test_generation_is_its_keys_and_accounts_alone(api: Api) -> None:
    """An inference key sees its own, not its account's others; what is not seen is refused at once."""
    node, second = await Node(api.collector).boot(), await make_caller(api.collector, "acme", 0)
    fact = node.fact(1, api.caller)
    await node.link.ingest(node.batch([fact]))
    api.keys["second"] = second.key
    for role, status in (("inference", 200), ("read", 200), ("management", 200), ("operator", 200), ("second", 404)):
        assert (await api.get(role, f"/v1/generation?id={fact.gen_id}")).status == status
    for role in ("second", "other inference", "other read"):
        refused = await api.get(role, f"/v1/generation?id={fact.gen_id}")
        assert (refused.status, refused.headers.get("retry-after")) == (404, None)
        assert (await api.get(role, "/v1/generations")).body["data"] == []
    assert (await api.get("read", "/v1/generation?id=gen-1")).status == 404
    assert (await api.get("read", "/v1/generation")).status == 400


@pytest.mark.parametrize(
    ("surface", "api_type"),
    [("chat", "completions"), ("messages", "completions"), ("speech", "tts"), ("gemini_embeddings", "embeddings")],
)
async def test_generation_says_which_surface_was_called(api: Api, surface: str, api_type: str) -> None:
    """By our name and by OpenRouter's; lists are filtered by ours, and the file of all has it."""
    node = await Node(api.collector).boot()
    fact = msgspec.structs.replace(node.fact(1, api.caller), surface=surface)
    await node.link.ingest(node.batch([fact]))
    told = (await api.get("inference", f"/api/v1/generation?id={fact.gen_id}")).data
    assert (told["surface"], told["api_type"]) == (surface, api_type)
    listed = await api.get("read", f"/api/v1/generations?surface={surface}")
    assert [row["id"] for row in listed.data] == [fact.gen_id]
    assert (await api.get("read", "/api/v1/generations?surface=rerank")).data == []
    text = (await api.get("read", "/v1/exports/generations.csv?from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z")).text
    assert [row["surface"] for row in csv.DictReader(io.StringIO(text))] == [surface]


async def test_generation_of_an_older_edge_is_of_chat(api: Api) -> None:
    """Stores and journals outlive releases: what says nothing of its surface was Chat."""
    node = await Node(api.collector).boot()
    fact = node.fact(1, api.caller)
    await node.link.ingest(node.batch([fact]))
    row = api.collector.store.read(lambda tx: tx.row("SELECT payload FROM records WHERE gen_id = ?", fact.gen_id))
    assert row is not None
    assert "surface" not in row[0]
    assert (await api.get("read", f"/v1/generation?id={fact.gen_id}")).data["surface"] == "chat"


async def test_generations_page_by_page(api: Api) -> None:
    """Newest first, filtered, each exactly once."""
    node = await Node(api.collector).boot()
    facts = [
        msgspec.structs.replace(at_time(node.fact(seq, api.caller), NOON_MS - seq * 60_000), model=f"echo/{seq % 3}")
        for seq in range(1, 41)
    ]
    await node.link.ingest(node.batch(facts))
    for query, expected in (
        ("", facts),
        ("&model=echo/1", [fact for fact in facts if fact.model == "echo/1"]),
        ("&from=2026-11-22T11:30:00Z", [fact for fact in facts if fact.started_ms >= NOON_MS - 30 * 60_000]),
        ("&to=2026-11-22T11:30:00Z", [fact for fact in facts if fact.started_ms < NOON_MS - 30 * 60_000]),
        ("&end_reason=timeout", []),
    ):
        seen, cursor = [], ""
        while True:
            reply = await api.get("read", f"/api/v1/generations?limit=7{query}&cursor={cursor}")
            seen += [row["id"] for row in reply.data]
            cursor = reply.body["next_cursor"]
            if cursor is None:
                break
        assert seen == [fact.gen_id for fact in expected], query
    for query in ("limit=0", "limit=501", "limit=x", "cursor=gen-1", "from=x", "from=%00"):
        assert (await api.get("read", f"/api/v1/generations?{query}")).status == 400
