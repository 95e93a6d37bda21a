"""The node protocol over HTTP: tokens, bounds, statuses, and that one unreadable record harms no other."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from collector.api import node as node_api
from collector.app import create_app
from collector.leasing import nodes
from collector.leasing.enrolment import create_group_token
from collector.leasing.recall import LIVING_MS
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from tests.collector.facts import Caller, Clock, Node, make_caller, spent_nano
from usage.protocol import MESSAGES, Ack, Acquire, Acquired, Batch, Boot, Booted, Close, Closed, Enrol, Return, Returned

pytestmark = pytest.mark.anyio


class Wire:
    """A node far away."""

    def __init__(self, collector: Collector, token: str) -> None:
        transport = httpx.ASGITransport(create_app(collector), raise_app_exceptions=True)
        self.http = httpx.AsyncClient(
            transport=transport, base_url="http://collector", headers={"authorization": f"Bearer {token}"}
        )
        self.collector = collector
        self.token = token

    async def post(self, name: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.http.post(f"/node/v1/{name}", content=content, headers=headers)

    async def send(self, name: str, message: msgspec.Struct) -> Any:
        response = await self.post(name, message)
        assert response.status_code == 200, response.text
        return msgspec.json.decode(response.content, type=MESSAGES[name][1])


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    collector = Collector(SqliteStore.open(tmp_path / "collector.db"), Clock())
    token = await collector.write(lambda tx, now: nodes.create_token(tx, "fra-1", now))
    made = Wire(collector, token)
    yield made
    await made.http.aclose()
    await collector.shut_down()


async def test_wire_carries_the_five_messages(wire: Wire) -> None:
    """The same answers as in process."""
    caller = await make_caller(wire.collector)
    booted = await wire.send("boot", Boot("fra-1", "b"))
    assert isinstance(booted, Booted)
    acquired = await wire.send("acquire", Acquire("fra-1", booted.epoch, "g", caller.digest, 10_000, 1))
    assert isinstance(acquired, Acquired)
    assert acquired.granted is not None
    node = Node(wire.collector, epoch=booted.epoch)
    ack = await wire.send("ingest", node.batch([node.fact(1, caller)]))
    assert ack == Ack(1, balances=ack.balances)
    assert await wire.send("give_back", Return("fra-1", booted.epoch, "r", "acme", 4_000)) == Returned(4_000)
    assert await wire.send("close", Close("fra-1", booted.epoch, 1)) == Closed(True, 1)
    assert spent_nano(wire.collector.store) == 1_000


async def test_wire_refuses_tokens_that_are_none_revoked_or_of_another_node(wire: Wire) -> None:
    boot = Boot("fra-1", "b")
    for header in ("", "Bearer nt_nonsense", "Bearer", "Basic abc", "Bearer " + (await make_caller(wire.collector)).key):
        response = await wire.post("boot", boot, authorization=header)
        assert response.status_code == 401
        assert response.json()["code"] == "bad_node_token"
    response = await wire.post("boot", Boot("ams-1", "b"))
    assert (response.status_code, response.json()["code"]) == (403, "bad_node_token")
    await wire.collector.write(lambda tx, now: nodes.revoke_tokens(tx, "fra-1", now))
    response = await wire.post("boot", boot)
    assert (response.status_code, response.json()["code"]) == (403, "revoked")
    assert response.json()["message"] == "node fra-1 was revoked; `tollway nodes create fra-1` admits it again"


async def test_wire_node_token_opens_no_account(wire: Wire) -> None:
    """A stolen node token reads no history and mints no credit."""
    await make_caller(wire.collector)
    for path in ("/api/v1/credits", "/v1/activity", "/api/v1/key", "/api/v1/generation?id=gen-1"):
        assert (await wire.http.get(path)).status_code == 401
    assert (await wire.post("top_up", {})).status_code == 404


async def test_wire_says_fenced_with_409(wire: Wire) -> None:
    caller = await make_caller(wire.collector)
    old = await wire.send("boot", Boot("fra-1", "a"))
    await wire.send("boot", Boot("fra-1", "b"))
    response = await wire.post("acquire", Acquire("fra-1", old.epoch, "g", caller.digest, 1, 1))
    assert (response.status_code, response.json()["code"]) == (409, "fenced")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff\xfe", b'{"node":"fra-1"}', b'{"node":1,"epoch":2}', b'{"node":"fra-1","epoch":1e999}']
)
async def test_wire_says_400_to_what_is_no_message(wire: Wire, body: bytes) -> None:
    for name in MESSAGES:
        response = await wire.post(name, body)
        if not (name == "ingest" and response.status_code == 200):
            assert (response.status_code, response.json()["code"]) == (400, "invalid")


async def test_wire_bounds_numbers_and_texts(wire: Wire) -> None:
    """What a database cannot hold is the sender's mistake, not ours."""
    huge, digest = 2**70, "d" * 64
    messages: list[tuple[str, msgspec.Struct]] = [
        ("boot", Boot("fra-1", "")),
        ("boot", Boot("fra-1", "b" * 201)),
        ("acquire", Acquire("fra-1", huge, "g", digest, 1, 1)),
        ("acquire", Acquire("fra-1", 1, "g", digest, huge, 1)),
        ("acquire", Acquire("fra-1", 1, "g", digest, 1, -1)),
        ("acquire", Acquire("fra-1", 1, "g", "a\0b", 1, 1)),
        ("acquire", Acquire("fra-1", 1, "g", "a\0b")),
        ("ingest", Batch("fra-1", huge)),
        ("give_back", Return("fra-1", 1, "r", "a", huge)),
        ("give_back", Return("fra-1", 1, "r", "a\0", 1)),
        ("close", Close("fra-1", 1, huge)),
        ("close", Close("fra-1", -1, 1)),
    ]
    for name, message in messages:
        response = await wire.post(name, message)
        assert (response.status_code, response.json()["code"]) == (400, "invalid")


async def test_wire_takes_gzip_and_refuses_bombs_and_broken_streams(wire: Wire) -> None:
    """What is not finished within the bound is never held in memory."""
    boot = msgspec.json.encode(Boot("fra-1", "b"))
    packed = gzip.compress(boot)
    encoding = {"content-encoding": "gzip"}
    assert (await wire.post("boot", packed, **encoding)).status_code == 200
    bomb = gzip.compress(b" " * (64 * 1024 * 1024))
    assert (await wire.post("boot", bomb, **encoding)).status_code == 413
    assert (await wire.post("boot", b" " * (node_api.BODY_BYTES_MAX + 1))).status_code == 413
    for broken in (packed[:-3], packed + b"x", boot, b""):
        assert (await wire.post("boot", broken, **encoding)).status_code == 400
    assert (await wire.post("boot", boot, **{"content-encoding": "br"})).status_code == 400


async def test_wire_rejects_an_unreadable_record_alone(wire: Wire) -> None:
    """A record that is no record is acknowledged as rejected; the others are charged."""
    caller = await make_caller(wire.collector)
    booted = await wire.send("boot", Boot("fra-1", "b"))
    batch = _batch_of(wire, booted.epoch, caller, 5)
    batch["records"][2]["tokens"] = {"prompt": "many"}
    batch["records"][3] = {"seq": 4}
    response = await wire.post("ingest", json.dumps(batch).encode())
    ack = msgspec.json.decode(response.content, type=Ack)
    assert ack.acked_through == 5
    assert [fault.seq for fault in ack.rejected] == [3, 4]
    assert spent_nano(wire.collector.store) == 3_000
    batch["records"][0] = {"no": "seq"}
    assert (await wire.post("ingest", json.dumps(batch).encode())).status_code == 400


def _batch_of(wire: Wire, epoch: int, caller: Caller, count: int) -> Any:
    node = Node(wire.collector, epoch=epoch)
    batch: Batch = node.batch([node.fact(seq, caller) for seq in range(1, count + 1)])
    return json.loads(msgspec.json.encode(batch))


async def test_wire_says_503_when_the_database_is_away(wire: Wire) -> None:
    """The node keeps its facts and asks again after Retry-After."""
    reader = wire.collector.store._reader  # type: ignore[attr-defined]
    reader.set_progress_handler(lambda: 1, 1)
    response = await wire.post("boot", Boot("fra-1", "b"))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert (await wire.http.get("/readyz")).status_code == 503
    assert (await wire.http.get("/metrics")).status_code == 503
    assert (await wire.http.get("/healthz")).status_code == 200
    reader.set_progress_handler(None, 1)
    assert (await wire.post("boot", Boot("fra-1", "b"))).status_code == 200


async def test_metrics_count_what_happened(wire: Wire) -> None:
    caller = await make_caller(wire.collector, credit_nano=500)
    booted = await wire.send("boot", Boot("fra-1", "b"))
    await wire.post("ingest", json.dumps(_batch_of(wire, booted.epoch, caller, 2)).encode())
    lines = (await wire.http.get("/metrics")).text.splitlines()
    assert "tollway_collector_records_total 2" in lines
    assert 'tollway_collector_absorbed_dollars{term="overage"} 0.0000015' in lines
    assert (await wire.http.get("/readyz")).text == "ready\n"


DEEP = b"[" * 100_000


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b'{"node":"fra-1","epoch":1,"records":[' + DEEP,
        b'{"node":"fra-1","epoch":1,"records":[{"seq":1,"gen_id":"g","x":' + DEEP + b"]" * 100_000 + b"}]}",
        b'{"a":' * 100_000,
        b'{"node":"\xff\xfe"}',
        b'{"node":"\\ud800"}',
        b"\x00" * 1_000,
        b'{"epoch":' + b"9" * 10_000 + b"}",
        b'{"epoch":1e' + b"9" * 1_000 + b"}",
    ],
)
async def test_wire_refuses_what_cannot_be_decoded(wire: Wire, name: str, body: bytes) -> None:
    """400 with a reason, whatever the library raises; a stolen token opens no traceback."""
    response = await wire.post(name, body)
    assert response.status_code == 400
    assert response.json()["code"] == "invalid"


async def test_wire_logs_refused_tokens_without_them(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """Where it came from, and where to; no part of the token; a flood leaves a few lines."""
    for _ in range(50):
        assert (await wire.post("boot", b"{}", authorization="Bearer nt_secretsecret")).status_code == 401
    lines = [record.message for record in caplog.records if record.name == "tollway.auth"]
    assert 1 <= len(lines) <= 10
    assert "127.0.0.1" in lines[0]
    assert "secret" not in "".join(lines)


async def test_wire_gives_up_a_message_that_does_not_come(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stolen token holds no place for longer than that."""
    monkeypatch.setattr(node_api, "BODY_S_MAX", 0.05)

    async def trickle() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    response = await wire.http.post("/node/v1/boot", content=trickle())
    assert response.status_code == 400
    assert "has not come" in response.json()["message"]


async def enrol(wire: Wire, token: str, node: str, instance: str = "a1") -> httpx.Response:
    return await wire.post("enrol", Enrol(node, instance), authorization=f"Bearer {token}")


async def test_group_makes_nodes_of_its_own_names_alone(wire: Wire) -> None:
    """Each with a token for itself; what it was given before is void; nothing else opens with a group's token."""
    token = await wire.collector.write(lambda tx, now: create_group_token(tx, "edge", now))
    first = (await enrol(wire, token, "edge-0")).json()["token"]
    second = (await enrol(wire, token, "edge-0")).json()["token"]
    other = (await enrol(wire, token, "edge-1")).json()["token"]
    for own, node, status in ((first, "edge-0", 403), (second, "edge-0", 200), (second, "edge-1", 403), (other, "edge-1", 200)):
        reply = await wire.post("boot", Boot(node, f"b-{own[-5:]}", "a1"), authorization=f"Bearer {own}")
        assert reply.status_code == status
    for node in ("fra-1", "edge", "edgy-1", "edge.1", "", "edge-", "edge-a b", "edge-" + "x" * 80, "edge-\0"):
        reply = await enrol(wire, token, node)
        assert (reply.status_code, reply.json()["code"]) == (403, "bad_node_token"), node
    for instance in ("", "a b", "x" * 65, "\0"):
        assert (await enrol(wire, token, "edge-2", instance)).status_code == 400
    for name in MESSAGES:
        assert (await wire.post(name, Boot("edge-0", "x"), authorization=f"Bearer {token}")).status_code == 401
    for stranger in (first, second, wire.token, "ng_edge.x", "ng_other." + token[8:], "sk_live_x", ""):
        assert (await enrol(wire, stranger, "edge-3")).status_code == 401
    for body in (b"", b"{", b"[]", b"\xff", b'{"node":1}'):
        assert (await wire.post("enrol", body, authorization=f"Bearer {token}")).status_code == 400


async def test_group_takes_no_node_over(wire: Wire) -> None:
    """One made by hand, one of a group whose name begins alike, one that is alive elsewhere, and one that was revoked."""
    edge = await wire.collector.write(lambda tx, now: create_group_token(tx, "edge", now))
    longer = await wire.collector.write(lambda tx, now: create_group_token(tx, "edge-eu", now))
    await wire.collector.write(lambda tx, now: nodes.create_token(tx, "edge-9", now))
    assert "not of group edge" in (await enrol(wire, edge, "edge-9")).json()["message"]
    assert (await enrol(wire, longer, "edge-eu-0")).status_code == 200
    assert "not of group edge:" in (await enrol(wire, edge, "edge-eu-0")).json()["message"]
    own = (await enrol(wire, edge, "edge-0", "here")).json()["token"]
    await wire.post("boot", Boot("edge-0", "b", "here"), authorization=f"Bearer {own}")
    taken = await enrol(wire, edge, "edge-0", "there")
    assert (taken.status_code, taken.json()["code"]) == (409, "node_in_use")
    assert (await enrol(wire, edge, "edge-0", "here")).status_code == 200
    await wire.collector.write(lambda tx, now: nodes.revoke_tokens(tx, "edge-0", now))
    for node in ("edge-0", "edge-0@1"):
        assert "was revoked" in (await enrol(wire, edge, node, "here")).json()["message"]
    await wire.collector.write(lambda tx, now: nodes.create_token(tx, "edge-0", now))
    assert (await enrol(wire, edge, "edge-0@1", "here")).status_code == 200


async def test_node_is_one_machine_at_a_time(wire: Wire) -> None:
    """Another data folder is refused while the first is heard of; the same, a repeated boot and an edge that does not say are
    not; silence and a closed epoch make room."""
    clock = wire.collector.clock_ms
    assert isinstance(clock, Clock)

    async def boot(boot_id: str, instance: str) -> int:
        return (await wire.post("boot", Boot("fra-1", boot_id, instance))).status_code

    assert [await boot(number, place) for number, place in (("1", "here"), ("2", "there"), ("1", "here"))] == [200, 409, 200]
    assert await boot("3", "here") == 200
    clock.now_ms += LIVING_MS - 1
    assert await boot("2", "there") == 409
    clock.now_ms += 1
    assert [await boot("2", "there"), await boot("4", "here")] == [200, 409]
    booted = await wire.send("boot", Boot("fra-1", "5", "there"))
    assert isinstance(booted, Booted)
    await wire.send("close", Close("fra-1", booted.epoch, 0))
    assert await boot("6", "here") == 200
    assert [await boot("7", ""), await boot("8", "there")] == [200, 200]
