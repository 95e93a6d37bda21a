"""The HTTP form of the node protocol, both ends against each other: the edge's client and the collector's own application, over a
real socket. What either end does otherwise than the other expects is caught here, whichever of them it is.
"""

import ast
import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import collector.api.node as collectors_end
import edge.collector_client.http as edges_end
from collector.app import create_app
from collector.leasing import nodes
from collector.leasing.enrolment import create_group_token
from collector.leasing.nodes import revoke_tokens
from collector.service import Collector
from collector.store.sqlite import SqliteStore
from edge.collector_client.enrolment import Enrolment
from edge.collector_client.http import HttpCollectorClient
from edge.downstream.server import Server
from tests.collector.facts import Caller, Clock, Node, make_caller
from tests.patience import until
from usage.protocol import Acquire, Boot, Close, Poll, Refused, Return, Unreachable
from usage.protocol import http as form
from usage.protocol.http import EXCHANGES, STATUSES, error_answer, error_of

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
NODE = "fra-1"


class Both:
    """A collector on SQLite behind a socket, and edges that speak to it."""

    def __init__(self, collector: Collector, origin: str, folder: Path) -> None:
        self.collector, self.origin, self.folder = collector, origin, folder
        self.clients: list[HttpCollectorClient] = []

    def edge(self, token: str, enrolment: Enrolment | None = None) -> HttpCollectorClient:
        self.clients.append(client := HttpCollectorClient(self.origin, token, enrolment=enrolment, timeout_s=10.0))
        return client

    async def token(self, node: str = NODE) -> str:
        return await self.collector.write(lambda tx, now: nodes.create_token(tx, node, now))

    async def caller(self) -> Caller:
        return await make_caller(self.collector)


@asynccontextmanager
async def both(folder: Path) -> AsyncIterator[Both]:
    collector = Collector(SqliteStore.open(folder / "collector.db"), Clock())
    server = Server(create_app(collector), 100)
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve("127.0.0.1", 0, 16, listening.detach()))
    await until(lambda: server.is_listening)
    port = server._listening[0].getsockname()[1]
    made = Both(collector, f"http://127.0.0.1:{port}", folder)
    try:
        yield made
    finally:
        for client in made.clients:
            await client.aclose()
        server.stop()
        await serving
        await collector.shut_down()


async def conversation(there: Both) -> set[str]:
    """Every message once, a large one among them; the names of those that brought the answer that they should."""
    group = await there.collector.write(lambda tx, now: create_group_token(tx, "fra", now))
    edge = there.edge("", Enrolment(group, there.folder, NODE, "a1"))
    caller = await there.caller()
    booted = await edge.boot(Boot(NODE, "b", "a1"))
    acquired = await edge.acquire(Acquire(NODE, booted.epoch, "g", caller.digest, 900_000, 1))
    assert acquired.granted is not None
    node = Node(there.collector, NODE, booted.epoch)
    batch = node.batch([node.fact(number, caller) for number in range(1, 41)])
    assert len(msgspec.json.encode(batch)) > edges_end.COMPRESS_BYTES_MIN
    assert (await edge.ingest(batch)).acked_through == 40
    assert (await edge.poll(Poll(NODE, booted.epoch))).is_newest
    assert (await edge.give_back(Return(NODE, booted.epoch, "r", "acme", 1_000))).returned_nano == 1_000
    assert (await edge.close(Close(NODE, booted.epoch, 40))).closed
    return {"enrol", "boot", "acquire", "ingest", "poll", "give_back", "close"}


async def test_both_ends_speak_every_message(tmp_path: Path) -> None:
    """Enrolment included, which there is over HTTP only; and a batch that goes out gzipped."""
    async with both(tmp_path) as there:
        assert await conversation(there) == set(EXCHANGES)


async def fenced(there: Both) -> Any:
    edge, caller = there.edge(await there.token()), await there.caller()
    old = await edge.boot(Boot(NODE, "a"))
    await edge.boot(Boot(NODE, "b"))
    return await edge.acquire(Acquire(NODE, old.epoch, "g", caller.digest, 1, 1))


async def in_use(there: Both) -> Any:
    edge = there.edge(await there.token())
    await edge.boot(Boot(NODE, "a", "here"))
    return await edge.boot(Boot(NODE, "b", "there"))


async def unknown_token(there: Both) -> Any:
    return await there.edge("nt_nobody").boot(Boot(NODE, "a"))


async def unknown_group(there: Both) -> Any:
    return await there.edge("", Enrolment("ng_fra.nothing", there.folder, NODE, "a1")).boot(Boot(NODE, "a", "a1"))


async def revoked(there: Both) -> Any:
    edge = there.edge(await there.token())
    await edge.boot(Boot(NODE, "a"))
    await there.collector.write(lambda tx, now: revoke_tokens(tx, NODE, now))
    return await edge.poll(Poll(NODE, 1))


async def another_node(there: Both) -> Any:
    return await there.edge(await there.token()).boot(Boot("ams-1", "a"))


async def no_message(there: Both) -> Any:
    return await there.edge(await there.token()).boot(Boot(NODE, ""))


async def too_many(there: Both) -> Any:
    edge, caller = there.edge(await there.token()), await there.caller()
    booted = await edge.boot(Boot(NODE, "a"))
    node = Node(there.collector, NODE, booted.epoch)
    return await edge.ingest(node.batch([node.fact(1, caller)] * 5_001))


REFUSALS: dict[Callable[[Both], Awaitable[Any]], str] = {
    fenced: "fenced",
    in_use: "node_in_use",
    unknown_token: "bad_node_token",
    unknown_group: "bad_node_token",
    another_node: "bad_node_token",
    revoked: "revoked",
    no_message: "invalid",
    too_many: "too_large",
}


@pytest.mark.parametrize("provoke", REFUSALS, ids=lambda each: each.__name__)
async def test_refusal_at_one_end_is_the_same_at_the_other(tmp_path: Path, provoke: Callable[[Both], Awaitable[Any]]) -> None:
    """Its code, and the collector's own words."""
    async with both(tmp_path) as there:
        with pytest.raises(Refused) as caught:
            await provoke(there)
        assert caught.value.code == REFUSALS[provoke]
        assert str(caught.value)
        assert "the collector answered" not in str(caught.value)


async def test_collector_without_its_database_is_unreachable(tmp_path: Path) -> None:
    """It says why, and when to come again."""
    async with both(tmp_path) as there:
        edge = there.edge(await there.token())
        there.collector.store.close()
        with pytest.raises(Unreachable, match="the collector answered 503: ") as caught:
            await edge.boot(Boot(NODE, "a"))
        assert caught.value.retry_after_s == 1.0


def test_every_refusal_is_provoked_and_has_a_status() -> None:
    """Each code that the collector uses anywhere is one of the form's, and has a case above."""
    used = set()
    for path in [*(ROOT / "collector").rglob("*.py"), *(ROOT / "usage").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refused":
                used |= {word.value for word in node.args[:1] if isinstance(word, ast.Constant)}
    assert used <= set(STATUSES) == set(REFUSALS.values())
    assert all(code in (Refused.__doc__ or "") for code in STATUSES)


@pytest.mark.parametrize("code", STATUSES)
def test_error_survives_the_wire(code: str) -> None:
    """What is said is what is heard, and nobody hears it from somebody else: another status, another body."""
    said = error_answer(Refused(code, "because"))
    heard = error_of(said.status, {}, said.body, 0.0)
    assert isinstance(heard, Refused)
    assert (heard.code, str(heard)) == (code, "because")
    for status, body in ((502, said.body), (said.status, b"<html>"), (said.status, b'{"error":{"message":"because"}}')):
        foreign = error_of(status, {"retry-after": "7"}, body, 0.0)
        assert isinstance(foreign, Unreachable) or (status, foreign.code) == (413, "too_large")


def wrong_path(name: str) -> str:
    return f"/nodes/v1/{name}"


def no_bearer(token: str, *, is_gzipped: bool = False) -> dict[str, str]:
    return form.request_headers(token, is_gzipped=is_gzipped) | {"authorization": token}


def unsaid_coding(token: str, *, is_gzipped: bool = False) -> dict[str, str]:
    return form.request_headers(token)


def openais_error(error: Refused | Unreachable) -> form.ErrorAnswer:
    said = form.error_answer(error)
    return said._replace(body=msgspec.json.encode({"error": msgspec.json.decode(said.body)}))


def one_status(error: Refused | Unreachable) -> form.ErrorAnswer:
    return form.error_answer(error)._replace(status=400)


def no_wish(error: Refused | Unreachable) -> form.ErrorAnswer:
    return form.error_answer(error)._replace(headers={})


def by_status_alone(status: int, headers: Mapping[str, str], body: bytes, now_unix_s: float) -> Refused | Unreachable:
    return form.error_of(status, headers, b"", now_unix_s)


def deaf_to_the_wish(status: int, headers: Mapping[str, str], body: bytes, now_unix_s: float) -> Refused | Unreachable:
    return form.error_of(status, {}, body, now_unix_s)


def whole_header(authorization: str) -> str:
    return authorization


async def all_of_it(folder: Path) -> None:
    """Everything that the tests above look at, each of which is right without a wrong variant; the quickest first."""
    places = [folder / str(number) for number in range(2 + len(REFUSALS))]
    for place in places:
        place.mkdir()
    await test_both_ends_speak_every_message(places.pop())
    await test_collector_without_its_database_is_unreachable(places.pop())
    for provoke in REFUSALS:
        await test_refusal_at_one_end_is_the_same_at_the_other(places.pop(), provoke)


@pytest.mark.parametrize(
    ("end", "name", "wrong"),
    [
        (edges_end, "path_of", wrong_path),
        (edges_end, "request_headers", no_bearer),
        (edges_end, "request_headers", unsaid_coding),
        (edges_end, "error_of", by_status_alone),
        (edges_end, "error_of", deaf_to_the_wish),
        (edges_end, "METHOD", "PUT"),
        (collectors_end, "ROUTE", "/node/v2/{name}"),
        (collectors_end, "METHOD", "PUT"),
        (collectors_end, "token_of", whole_header),
        (collectors_end, "error_answer", openais_error),
        (collectors_end, "error_answer", one_status),
        (collectors_end, "error_answer", no_wish),
        (collectors_end, "inflate", gzip.compress),
    ],
)
async def test_end_that_goes_its_own_way_is_caught(
    end: Any, name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A wrong variant of either end against the right one of the other."""
    monkeypatch.setattr(end, name, wrong)
    with pytest.raises((AssertionError, Refused, Unreachable, pytest.fail.Exception)):
        await all_of_it(tmp_path)


def test_neither_end_has_a_form_of_its_own() -> None:
    """No path, status, header or error body of the node protocol is spelled outside of its module."""
    for end in ("edge/collector_client/http.py", "edge/doctor/link.py", "collector/api/node.py"):
        words = {
            node.value
            for node in ast.walk(ast.parse((ROOT / end).read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 60
        }
        spelled = {word for word in words if "/node" in word or word in ("POST", "Bearer", "application/json", "gzip", *STATUSES)}
        assert spelled - set(STATUSES) == set(), end


def test_message_that_is_none_is_refused_by_name() -> None:
    """A 404, with the messages that there are; a name of any length is told by its beginning."""
    answer = form.error_answer(form.UnknownMessage("x" * 1_000))
    assert answer.status == form.NO_MESSAGE
    told = answer.body.decode()
    assert "x" * 40 in told
    assert "x" * 41 not in told
    assert all(name in told for name in EXCHANGES)
