"""The account endpoints: shapes, exact decimals, sums that add up, and nobody else's data."""

import json
import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from collector.accounts import keys as account_keys
from collector.accounts.keys import KeyTerms
from collector.accounts.roles import CredentialTerms, create_credential
from collector.accounts.window import DAY_MS
from collector.app import create_app
from collector.leasing import nodes
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from tests.collector.facts import NOON_MS, Caller, Clock, Node, at_time, id_of, make_caller
from usage.key import ENTROPY_BYTES, mint
from usage.record import UsageRecord

pytestmark = pytest.mark.anyio


class Api:
    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(create_app(collector)), base_url="http://collector")

    async def reader(self, caller: Caller) -> Caller:
        """A read key of the caller's account."""
        text, _ = await self.collector.write(lambda tx, now: create_credential(tx, caller.account, CredentialTerms("read"), now))
        return msgspec.structs.replace(caller, key=text)

    async def get(self, caller: Caller | None, path: str) -> Any:
        """Status and JSON, numbers as Decimal."""
        headers = {"authorization": f"Bearer {caller.key}"} if caller else {}
        response = await self.http.get(path, headers=headers)
        return response.status_code, json.loads(response.text, parse_float=Decimal, parse_int=Decimal)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    collector = Collector(SqliteStore.open(tmp_path / "collector.db"), Clock())
    made = Api(collector)
    yield made
    await made.http.aclose()
    await collector.shut_down()


async def use(api: Api, caller: Caller, facts: list[UsageRecord], node: Node) -> None:
    facts = [msgspec.structs.replace(fact, seq=seq) for seq, fact in enumerate(facts, 1)]
    ack = await node.link.ingest(node.batch(facts))
    assert ack.rejected == ()


async def test_credits_are_exact_and_from_both_bases(api: Api) -> None:
    """Five dollars and one nano-dollar, less one request."""
    caller, node = await make_caller(api.collector, credit_nano=5_000_000_001), await Node(api.collector).boot()
    await node.acquire(caller, 10**9)
    await use(api, caller, [node.fact(1, caller, 333)], node)
    for base in ("/api/v1", "/v1"):
        status, body = await api.get(caller, f"{base}/credits")
        assert status == 200
        assert body["data"] == {
            "total_credits": Decimal("5.000000001"),
            "total_usage": Decimal("0.000000333"),
            "available": Decimal("4.000000001"),
            "leased": Decimal("0.999999667"),
        }


async def test_generation_answers_the_record_to_its_owner_only(api: Api) -> None:
    caller, node = await make_caller(api.collector), await Node(api.collector).boot()
    other = await make_caller(api.collector, "other")
    fact = msgspec.structs.replace(
        node.fact(1, caller, gen_id="gen-1"),
        stream=True, finish_reason="stop", latency_ms=900, ttft_ms=200, upstream_id="up-1", request_id="req-1",
        upstream_cost_pico=146_625_001, tier="flex", ignored="seed, tools[8]",
    )  # fmt: skip
    await use(api, caller, [fact], node)
    status, body = await api.get(caller, f"/api/v1/generation?id={id_of('gen-1')}")
    assert status == 200
    expected = {
        "id": id_of("gen-1"), "model": "echo/small", "provider_name": "echo", "created_at": "2026-11-22T12:00:00.000Z",
        "streamed": True, "cancelled": False, "finish_reason": "stop", "tokens_prompt": 10, "tokens_completion": 4,
        "native_tokens_prompt": 10, "total_cost": Decimal("0.000001"), "usage": Decimal("0.000001"), "latency": 200,
        "generation_time": 700, "upstream_id": "up-1", "request_id": "req-1", "end_reason": "completed",
        "usage_source": "provider", "upstream_inference_cost": Decimal("0.000146625001"), "service_tier": "flex",
        "ignored": "seed, tools[8]",
    }  # fmt: skip
    assert {name: body["data"][name] for name in expected} == expected
    for who, path, code in (
        (other, f"/generation?id={id_of('gen-1')}", 404),
        (caller, "/generation?id=gen-2", 404),
        (caller, "/generation", 400),
    ):
        status, body = await api.get(who, "/v1" + path)
        assert status == code
        assert set(body["error"]) == {"message", "type", "param", "code"}
        status, body = await api.get(who, "/api/v1" + path)
        assert (status, body["error"]["code"]) == (code, code)


async def test_key_tells_its_limit_and_windows(api: Api) -> None:
    caller = await make_caller(api.collector, terms=KeyTerms("ci", limit_nano=50_000, limit_reset="weekly"))
    node = await Node(api.collector).boot()
    days_back = (0, 5, 7, 30)
    facts = [at_time(node.fact(at, caller, 1_000 + at), NOON_MS - days * DAY_MS) for at, days in enumerate(days_back)]
    await use(api, caller, facts, node)
    _, body = await api.get(caller, "/api/v1/key")
    data = body["data"]
    assert (data["usage_daily"], data["usage_weekly"], data["usage_monthly"], data["usage"]) == (
        Decimal("0.000001"), Decimal("0.000002001"), Decimal("0.000003003"), Decimal("0.000004006"),
    )  # fmt: skip
    assert (data["limit"], data["limit_remaining"], data["limit_reset"]) == (
        Decimal("0.00005"), Decimal("0.000047999"), "weekly",
    )  # fmt: skip
    assert data["label"].startswith(caller.key[:12])
    assert caller.key not in json.dumps(data, default=str)


async def test_activity_adds_up_to_the_nano(api: Api) -> None:
    """Groups by day and model sum to the account's usage; one day, one key, and what is asked wrongly."""
    caller, second = await make_caller(api.collector), await make_caller(api.collector)
    node = await Node(api.collector).boot()
    facts = [
        msgspec.structs.replace(
            at_time(node.fact(at, caller if at % 3 else second, 1_000 + at, f"gen-{at}"), NOON_MS - (at % 5) * DAY_MS),
            model=f"echo/{at % 4}",
        )
        for at in range(60)
    ]
    await use(api, caller, facts, node)
    total = Decimal(sum(fact.cost_nano for fact in facts)) / 10**9
    _, own = await api.get(caller, "/api/v1/activity")
    assert sum(row["requests"] for row in own["data"]) == 40
    reader = await api.reader(caller)
    _, body = await api.get(reader, "/api/v1/activity")
    assert sum(row["usage"] for row in body["data"]) == total
    assert sum(row["requests"] for row in body["data"]) == 60
    assert len({(row["date"], row["model"]) for row in body["data"]}) == len(body["data"]) == 20
    _, one_day = await api.get(caller, "/v1/activity?date=2026-11-21")
    assert {row["date"] for row in one_day["data"]} == {"2026-11-21"}
    caller = reader
    _, one_key = await api.get(caller, f"/v1/activity?api_key_hash={second.digest}")
    assert sum(row["requests"] for row in one_key["data"]) == 20
    for query, status in (("date=yesterday", 400), ("date=2020-01-01", 400), (f"api_key_hash={'0' * 64}", 404)):
        assert (await api.get(caller, f"/v1/activity?{query}"))[0] == status


async def test_account_api_refuses_keys_that_are_none_or_revoked(api: Api) -> None:
    caller = await make_caller(api.collector)
    unknown = msgspec.structs.replace(caller, key=mint(os.urandom(ENTROPY_BYTES))[0])
    malformed = msgspec.structs.replace(caller, key=caller.key[:-1])
    for who in (None, unknown, malformed):
        status, body = await api.get(who, "/v1/credits")
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    await api.collector.write(lambda tx, now: account_keys.revoke_key(tx, caller.key_id))
    assert (await api.get(caller, "/api/v1/credits"))[0] == 401
    token = await api.collector.write(lambda tx, now: nodes.create_token(tx, "n", now))
    assert (await api.get(msgspec.structs.replace(caller, key=token), "/api/v1/credits"))[0] == 401
