"""Our own server of the callers' side, in this process: its clocks, its bounds, and what it does with a response gone wrong."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.downstream import CALLER, READER_TIMEOUT
from edge.downstream.admission import Admission
from edge.downstream.connection import AHEAD_BYTES_MAX, HALF_CLOSED_CHECKS_S, Connection
from edge.downstream.http_error import HEAD_BYTES_MAX
from edge.downstream.server import (
    FIRST_BYTE_TIMEOUT_S,
    HEAD_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    LINGER_S,
    READER_TIMEOUT_S,
    Server,
    StartFailed,
)
from tests.patience import PATIENCE_S, until
from tests.ports import free_port

pytestmark = pytest.mark.anyio
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ASK = b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n"


class Rig:
    """A server around `answer`, which a test replaces; `life` is what the application says of its start and its stop."""

    def __init__(self) -> None:
        self.server = Server(self.app, connections_max=3)
        self.port = free_port()
        self.answer: Callable[[Scope, Receive, Send], Awaitable[None]] = self.say_ok
        self.life = ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for said in self.life:
                await receive()
                await send({"type": said})
        else:
            await self.answer(scope, receive, send)

    async def say_ok(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok", "more_body": False})

    def reply(self, *messages: Message) -> None:
        """Let the application send just these."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            for message in messages:
                await send(message)

        self.answer = answer

    async def connect(self) -> Line:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, data: bytes = ASK, *, eof: bool = False) -> bytes:
        """Everything that comes back for `data` until the connection is closed."""
        reader, writer = await self.connect()
        writer.write(data)
        if eof:
            writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            got = await reader.read(-1)
        writer.close()
        return got

    async def only_connection(self) -> Connection:
        await until(lambda: len(self.server.connections) == 1)
        (connection,) = self.server.connections
        return connection


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    built = Rig()
    serving = asyncio.create_task(built.server.serve("127.0.0.1", built.port, 16))
    await until(lambda: built.server.is_listening)
    yield built
    built.server.stop()
    await serving
    await until(lambda: not built.server.connections)


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nHost: edge\r\nX: "])
async def test_head_that_does_not_come_is_408(rig: Rig, sent: bytes) -> None:
    """Its clock runs from its first byte; more bytes do not wind it up again."""
    reader, writer = await rig.connect()
    writer.write(sent)
    connection = await rig.only_connection()
    await until(lambda: connection.reader.has_part_of_head)
    began_s = connection.waits_since_s
    writer.write(b"E")
    await asyncio.sleep(0.01)
    assert connection.waits_since_s == began_s is not None
    rig.server.look_at(connection, began_s + HEAD_TIMEOUT_S)
    assert not connection.is_closing
    rig.server.look_at(connection, began_s + HEAD_TIMEOUT_S + 1)
    assert (await reader.read(-1)).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_idle_connection_is_closed_in_the_end(rig: Rig) -> None:
    """One that says nothing, from the start or after an answer, is closed without a word."""
    reader, writer = await rig.connect()
    connection = await rig.only_connection()
    writer.write(ASK)
    await reader.readuntil(b"ok")
    assert connection.waits_since_s is not None
    rig.server.look_at(connection, connection.waits_since_s + IDLE_TIMEOUT_S - 1)
    assert not connection.is_closing
    rig.server.look_at(connection, connection.waits_since_s + IDLE_TIMEOUT_S + 1)
    assert await reader.read(-1) == b""
    writer.close()


async def test_refused_caller_may_linger_but_not_stay(rig: Rig) -> None:
    """It can read why, even if it goes on sending; then it is cut off."""
    reader, writer = await rig.connect()
    writer.write(b"nonsense\r\n\r\n")
    connection = await rig.only_connection()
    assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 400 ")
    writer.write(b"more" * 1000)
    await writer.drain()
    assert connection.waits_since_s is not None
    rig.server.look_at(connection, connection.waits_since_s + LINGER_S + 1)
    await until(lambda: not rig.server.connections)
    writer.close()


async def test_busy_connection_has_no_clock(rig: Rig) -> None:
    """How long an answer takes is the application's to judge."""
    may_go = asyncio.Event()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await may_go.wait()
        await rig.say_ok(scope, receive, send)

    rig.answer = answer
    reader, writer = await rig.connect()
    writer.write(ASK)
    connection = await rig.only_connection()
    await until(lambda: connection.request is not None)
    assert connection.waits_since_s is None
    writer.write(b"GET /ne")
    await until(lambda: connection.reader.ahead_bytes == 7)
    may_go.set()
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    assert connection.waits_since_s is not None
    assert connection.reader.has_part_of_head, "half a head came meanwhile: its clock runs now"
    writer.close()


LARGE = b"a" * HEAD_BYTES_MAX
OVERSIZED = {
    "in the target": b"GET /" + LARGE + b" HTTP/1.1\r\nHost: edge\r\n\r\n",
    "in one value": b"GET / HTTP/1.1\r\nHost: edge\r\nX: " + LARGE + b"\r\n\r\n",
    "in many names": b"GET / HTTP/1.1\r\nHost: edge\r\n" + b"X-A: 1\r\n" * (HEAD_BYTES_MAX // 7) + b"\r\n",
    "without end": b"GET / HTTP/1.1\r\nX: " + LARGE,
    "in a chunk extension": b"POST / HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n1;" + LARGE * 2,
}


@pytest.mark.parametrize("place", OVERSIZED)
async def test_head_too_large_is_431(rig: Rig, place: str) -> None:
    """Whether it came in one read or in many, whole or not."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    rig.answer = answer
    got = await rig.ask(OVERSIZED[place])
    assert got.startswith(b"HTTP/1.1 431 ")


async def test_head_at_the_bound_is_served(rig: Rig) -> None:
    """A large head that keeps to the bound passes, and a body beside it does not count."""
    head = b"POST / HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nContent-Length: 200000\r\nX: %b\r\n\r\n"
    assert (await rig.ask(head % (b"a" * (HEAD_BYTES_MAX - 200)) + bytes(200_000))).startswith(b"HTTP/1.1 200 ")


async def test_connections_that_are_all_busy_are_the_bound(rig: Rig) -> None:
    """A newcomer is told 503 with Retry-After, and those that are there go on."""
    may_go = asyncio.Event()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await may_go.wait()
        await rig.say_ok(scope, receive, send)

    rig.answer = answer
    lines = [await rig.connect() for _ in range(3)]
    for _, writer in lines:
        writer.write(ASK)
    await until(lambda: sum(connection.request is not None for connection in rig.server.connections) == 3)
    refused = await rig.ask(b"")
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in refused
    may_go.set()
    for reader, writer in lines:
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_connections_that_do_nothing_make_room(rig: Rig) -> None:
    """The one that has been silent longest is closed for a newcomer; one that was served before only after all silent ones."""
    served = await rig.connect()
    served[1].write(ASK)
    await served[0].readuntil(b"ok")
    opened = [served]
    silent = [await rig.connect() for _ in range(2)]
    await until(lambda: len(rig.server.connections) == 3)
    for reader, writer in silent:
        other = await rig.connect()
        opened.append(other)
        assert await reader.read(-1) == b""
        other[1].write(ASK)
        assert (await other[0].readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        writer.close()
    assert rig.server.admission.evicted_total == 2
    opened.append(await rig.connect())
    assert await served[0].read(-1) == b"", "all that are left were served: the one that is idle longest goes"
    for _, writer in opened:
        writer.close()


async def test_connection_that_never_speaks_has_a_short_clock(rig: Rig) -> None:
    """The first byte is awaited for less long than the next request of a connection that was served."""
    reader, writer = await rig.connect()
    connection = await rig.only_connection()
    assert connection.waits_since_s is not None
    rig.server.look_at(connection, connection.waits_since_s + FIRST_BYTE_TIMEOUT_S - 1)
    assert not connection.is_closing
    rig.server.look_at(connection, connection.waits_since_s + FIRST_BYTE_TIMEOUT_S + 1)
    assert await reader.read(-1) == b""
    writer.close()


async def test_address_has_its_share_of_connections(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """One more is told 429, and it is logged once; a trusted peer, such as a load balancer, has no such bound."""
    rig.server.admission = Admission(10, per_address_max=2)
    lines = [await rig.connect() for _ in range(2)]
    await until(lambda: len(rig.server.connections) == 2)
    for _ in range(3):
        assert (await rig.ask(b"")).startswith(b"HTTP/1.1 429 ")
    assert [record.message for record in caplog.records if "as many as one address may" in record.message] == [
        "127.0.0.1 has 2 connections, as many as one address may; more are refused (1 times; 3 open)"
    ]
    lines[0][1].close()
    await until(lambda: rig.server.admission.open == 1)
    assert (await rig.ask(ASK, eof=True)).startswith(b"HTTP/1.1 ")
    lines[1][1].close()
    await until(lambda: not rig.server.connections)
    rig.server.admission = Admission(10, per_address_max=2, trusted=(ip_network("127.0.0.0/8"),))
    many = [await rig.connect() for _ in range(5)]
    await until(lambda: len(rig.server.connections) == 5)
    assert rig.server.admission.refused_total == 0
    for _, writer in many:
        writer.close()


WRONG_RESPONSES: dict[str, tuple[list[Message], bytes]] = {
    "short": ([start((b"content-length", b"5")), body(b"abc")], b""),
    "long": ([start((b"content-length", b"2")), body(b"abc")], b""),
    "short at last": ([start((b"content-length", b"5")), body(b"abc", more=True), body(b"")], b"abc"),
    "header with a line break": ([start((b"x", b"1\r\nset-cookie: a")), body(b"abc")], b""),
    "nothing": ([], b""),
    "head only": ([start()], b""),
    "no end": ([start((b"content-length", b"5")), body(b"abc", more=True)], b"abc"),
}


@pytest.mark.parametrize("kind", WRONG_RESPONSES)
async def test_response_that_breaks_its_word_is_cut(rig: Rig, kind: str) -> None:
    """The connection ends, so that nobody takes the next answer for a part of this one; no header is smuggled in."""
    messages, seen = WRONG_RESPONSES[kind]
    rig.reply(*messages)
    got = await rig.ask(ASK)
    head, _, rest = got.partition(b"\r\n\r\n")
    assert b"set-cookie" not in got
    assert rest == seen
    assert not head or head.startswith(b"HTTP/1.1 500 ") or seen


async def test_body_waits_for_its_reader(rig: Rig) -> None:
    """What the application does not take, the connection does not read."""
    may_go, taken = asyncio.Event(), bytearray()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await may_go.wait()
        while True:
            message = await receive()
            taken.extend(message["body"])
            if not message["more_body"]:
                break
        await rig.say_ok(scope, receive, send)

    rig.answer = answer
    reader, writer = await rig.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 30000000\r\n\r\n")
    sending = asyncio.create_task(_send(writer, 300, bytes(100_000)))
    connection = await rig.only_connection()
    await until(lambda: connection.is_reading_paused)
    assert not sending.done()
    may_go.set()
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    assert len(taken) == 30_000_000
    writer.close()


async def _send(writer: asyncio.StreamWriter, times: int, data: bytes) -> None:
    for _ in range(times):
        writer.write(data)
        await writer.drain()


async def test_early_requests_wait_as_bytes(rig: Rig) -> None:
    """While one is answered the next ones wait unparsed, and past a bound unread; each is answered in its turn."""
    may_go, asked = asyncio.Event(), []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        await may_go.wait()
        await rig.say_ok(scope, receive, send)

    rig.answer = answer
    reader, writer = await rig.connect()
    asks = [b"GET /%d HTTP/1.1\r\nHost: edge\r\nX: %b\r\n\r\n" % (number, b"x" * 9_000) for number in range(100)]
    sending = asyncio.create_task(_send(writer, 1, b"".join(asks)))
    connection = await rig.only_connection()
    await until(lambda: connection.is_reading_paused and asked)
    assert AHEAD_BYTES_MAX < connection.reader.ahead_bytes == rig.server.ahead_bytes <= AHEAD_BYTES_MAX + 300_000
    assert asked == ["/0"]
    may_go.set()
    for _ in asks:
        await reader.readuntil(b"ok")
    assert asked == [f"/{number}" for number in range(100)]
    await sending
    assert not connection.is_reading_paused
    assert rig.server.ahead_bytes == 0
    writer.close()


async def test_early_requests_of_all_are_bounded(rig: Rig) -> None:
    """When all connections together hold too much, one that holds much is closed behind the answer at hand."""
    rig.server.ahead_bytes_max = 100_000
    reader, writer = await rig.connect()
    writer.write(b"GET /0 HTTP/1.1\r\nHost: edge\r\nX: %b\r\n\r\n" % (b"x" * 40_000) * 10)
    got = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
    assert 1 <= got.count(b"HTTP/1.1 200 OK") < 10
    assert b"connection: close" in got
    await until(lambda: rig.server.ahead_bytes == 0)
    writer.close()


@pytest.mark.parametrize("behind", [b"", b"G", ASK, b"GET / HTTP/1.1\r\nHost: edge\r\nX: " + b"x" * 30_000])
async def test_leaving_is_seen_whatever_stands_behind_the_request(rig: Rig, behind: bytes) -> None:
    """Bytes of a next request do not hide that the caller closes its connection."""
    left = asyncio.Event()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    rig.answer = answer
    _, writer = await rig.connect()
    writer.write(ASK + behind)
    connection = await rig.only_connection()
    await until(lambda: connection.request is not None and connection.reader.ahead_bytes == len(behind))
    writer.close()
    await asyncio.wait_for(left.wait(), PATIENCE_S)


async def test_half_closed_connection_gets_its_answers(rig: Rig) -> None:
    """All that was asked before the caller's EOF is answered in full, and then the connection is closed."""
    may_go = asyncio.Event()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await may_go.wait()
        await rig.say_ok(scope, receive, send)

    rig.answer = answer
    reader, writer = await rig.connect()
    writer.write(ASK + ASK)
    writer.write_eof()
    connection = await rig.only_connection()
    await until(lambda: connection.is_half_closed)
    await asyncio.sleep(HALF_CLOSED_CHECKS_S[0] * 2)
    assert connection.request is not None
    may_go.set()
    got = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert got.count(b"HTTP/1.1 200 OK") == 2
    writer.close()


async def test_caller_that_left_before_it_was_accepted_is_not_worked_for(rig: Rig) -> None:
    """Its request and its end are both there: whoever answers is told before it begins."""
    heard: list[tuple[bool, bool]] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope["extensions"][CALLER]
        heard.append((caller.says_no_more, caller.is_gone))
        await rig.say_ok(scope, receive, send)

    rig.answer = answer
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", rig.port)) as caller:
            caller.sendall(ASK)
    await until(lambda: len(heard) == 3)
    assert heard == [(True, True)] * 3


async def test_caller_that_says_no_more_before_it_was_accepted_gets_its_answer(rig: Rig) -> None:
    """Half-closed is not gone."""
    with socket.create_connection(("127.0.0.1", rig.port)) as caller:
        caller.sendall(ASK + ASK)
        caller.shutdown(socket.SHUT_WR)
        got = await asyncio.to_thread(lambda: b"".join(iter(lambda: caller.recv(65_536), b"")))
    assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert got.count(b"200 OK") == 2
    assert got.count(b"100 Continue") == 1


async def test_callers_that_wait_to_be_accepted_are_accepted_together(rig: Rig) -> None:
    """A busy loop has few turns: those that came meanwhile do not wait for one each."""
    rig.server.admission = Admission(1_000)
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        if len(rig.server.connections) < 12:
            asyncio.get_running_loop().call_soon(count)

    callers = [socket.create_connection(("127.0.0.1", rig.port)) for _ in range(12)]
    count()
    await until(lambda: len(rig.server.connections) == 12)
    assert turns < 10
    for caller in callers:
        caller.close()


async def test_half_closed_connection_of_http_1_0_gets_no_interim_answer(rig: Rig) -> None:
    """HTTP/1.0 knows none (RFC 9110 15.2)."""
    assert (await rig.ask(b"GET / HTTP/1.0\r\n\r\n", eof=True)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_half_closed_connection_amid_a_stream_is_ended(rig: Rig) -> None:
    """A stream may be ended (RFC 9112 9.6): it costs the caller who has probably left."""
    left = asyncio.Event()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"first", more=True))
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    rig.answer = answer
    reader, writer = await rig.connect()
    writer.write(ASK)
    await reader.readuntil(b"first")
    writer.write_eof()
    await asyncio.wait_for(left.wait(), PATIENCE_S)
    writer.close()


UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n",
    "tls": b"Connection: upgrade\r\nUpgrade: TLS/1.2\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
}
BODIES = {
    "length": (b"Content-Length: 5\r\n", b"hello"),
    "chunks": (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: x\r\n\r\n"),
    "empty": (b"Content-Length: 0\r\n", b""),
}


@pytest.mark.parametrize("framing", BODIES)
@pytest.mark.parametrize("offer", UPGRADES)
async def test_offer_to_upgrade_is_ignored(rig: Rig, offer: str, framing: str) -> None:
    """The request is answered with its body, however it comes, and the connection stays for the next ones."""
    asked: list[bytes] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        taken = b""
        while True:
            message = await receive()
            taken += message["body"]
            if not message["more_body"]:
                break
        asked.append(taken)
        await rig.say_ok(scope, receive, send)

    rig.answer = answer
    length, sent = BODIES[framing]
    whole = b"POST /a HTTP/1.1\r\nHost: edge\r\n%b%b\r\n%b" % (UPGRADES[offer], length, sent)
    for pieces in ([whole], [whole[:-1], whole[-1:]], [bytes([byte]) for byte in whole]):
        asked.clear()
        reader, writer = await rig.connect()
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        writer.write(whole + ASK)
        for _ in range(2):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        assert asked == [b"hello" if framing != "empty" else b""] * 2 + [b""]
        writer.close()


REFUSED = {
    "http/1.0 in chunks": b"POST / HTTP/1.0\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "two spaces before the target": b"GET  / HTTP/1.1\r\nHost: edge\r\n\r\n",
    "two spaces behind it": b"GET /  HTTP/1.1\r\nHost: edge\r\n\r\n",
    "a space before the method": b" GET / HTTP/1.1\r\nHost: edge\r\n\r\n",
    "tiny chunks": b"POST / HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 70_000,
}


@pytest.mark.parametrize("place", REFUSED)
async def test_request_that_is_read_with_doubt_is_refused(rig: Rig, place: str) -> None:
    """400, and the connection is closed: whole, in two reads, and behind another request."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        while message["type"] == "http.request" and message["more_body"]:
            message = await receive()
        await rig.say_ok(scope, receive, send)

    rig.answer = answer
    for sent in (REFUSED[place], b"\r\n" + REFUSED[place]):
        assert (await rig.ask(sent)).startswith(b"HTTP/1.1 400 ")
    got = await rig.ask(ASK + REFUSED[place])
    assert got.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 400 " in got
    reader, writer = await rig.connect()
    for at in range(len(REFUSED[place][:40])):
        writer.write(REFUSED[place][at : at + 1])
        await asyncio.sleep(0)
    writer.write(REFUSED[place][40:])
    assert (await reader.readuntil(b"}}")).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_final_answer_to_an_expectation_closes_the_connection(rig: Rig) -> None:
    """The caller may send its body or not: what follows could be either, so nothing that follows is read."""
    rig.reply(start((b"content-length", b"2"), status=413), body(b"no"))
    reader, writer = await rig.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: edge\r\nContent-Length: 40\r\nExpect: 100-continue\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"\r\nconnection: close\r\n" in head
    writer.write(b"GET /smuggled HTTP/1.1\r\nHost: edge\r\n\r\n")
    assert await asyncio.wait_for(reader.read(-1), PATIENCE_S) == b"no"
    writer.close()


async def test_reader_that_trickles_is_cut_off(rig: Rig) -> None:
    """A written answer of which a byte is taken now and then is held no longer than one of which none is."""
    rig.reply(start((b"content-length", b"30000000")), body(bytes(30_000_000)))
    _, writer = await rig.connect()
    writer.write(ASK)
    connection = await rig.only_connection()
    await until(lambda: connection.request is None and connection.transport.get_write_buffer_size() > 1_000_000)
    now_s = asyncio.get_running_loop().time()
    rig.server.look_at(connection, now_s)
    size = connection.unsent_bytes
    for second in range(1, int(READER_TIMEOUT_S) + 1):
        connection.unsent_bytes += 100  # as if so many had been taken since the last look
        rig.server.look_at(connection, now_s + second)
    assert connection.unsent_bytes == size + 100 * int(READER_TIMEOUT_S)
    assert not connection.transport.is_closing()
    rig.server.look_at(connection, now_s + READER_TIMEOUT_S + 1)
    assert connection.transport.is_closing()
    writer.close()


async def test_next_request_does_not_wait_for_an_application_that_lingers(rig: Rig) -> None:
    """A connection is free once the answer is written, whatever the application still does."""
    may_end = asyncio.Event()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await rig.say_ok(scope, receive, send)
        if scope["path"] == "/first":
            assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
            assert (await receive())["type"] == "http.disconnect"
            await may_end.wait()

    rig.answer = answer
    reader, writer = await rig.connect()
    for path in (b"first", b"second"):
        writer.write(b"GET /%b HTTP/1.1\r\nHost: edge\r\n\r\n" % path)
        await reader.readuntil(b"ok")
    may_end.set()
    writer.close()


async def test_sent_after_the_caller_has_gone_is_nothing(rig: Rig) -> None:
    """No error: the application hears of it by `receive`, as under every other server."""
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"first", more=True))
        assert (await receive())["type"] == "http.request"
        gone = await receive()
        await send(body(b"second", more=True))
        await send(body(b"", more=False))
        ended.set_result(gone["type"])

    rig.answer = answer
    reader, writer = await rig.connect()
    writer.write(ASK)
    await reader.readuntil(b"first")
    writer.close()
    assert await asyncio.wait_for(ended, PATIENCE_S) == "http.disconnect"


@pytest.mark.parametrize("said", ["lifespan.startup.failed", None])
async def test_application_that_does_not_start_is_not_served(said: str | None) -> None:
    """It says so, or it fails: nothing listens."""
    rig = Rig()
    rig.life = [said] if said else []

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("meant")

    app: ASGIApp = rig.app if said else fail
    with pytest.raises(StartFailed):
        await Server(app, 1).serve("127.0.0.1", rig.port, 16)
    with pytest.raises(ConnectionError):
        await rig.connect()


async def test_chunks_wait_for_a_caller_who_reads_nothing(rig: Rig) -> None:
    """The middle of a chunked response goes no further than the caller takes; all of it comes in the order of the calls."""
    sent = 0
    parts = [b"%06d" % number * 5_000 for number in range(400)]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for part in parts:
            await send(body(part, more=True))
            sent += 1
        await send(body(b">"))

    rig.answer = answer
    reader, writer = await rig.connect()
    writer.write(ASK)
    connection = await rig.only_connection()
    await until(lambda: connection.drained is not None)
    stopped_at = sent
    for _ in range(100):
        await asyncio.sleep(0)
    assert sent == stopped_at < len(parts), "nobody reads, and it goes on"
    await reader.readuntil(b"\r\n\r\n")
    got = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        got += (await reader.readexactly(size + 2))[:-2]
    assert got == b"".join(parts) + b">"
    writer.close()


async def test_answer_with_a_line_break_is_none(rig: Rig) -> None:
    """A header that would be two lines is refused: nothing of it is written."""
    rig.reply({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"one\r\ntwo: 2")]}, body(b"said"))
    got = await rig.ask()
    assert b"two" not in got
    assert b"said" not in got


QUEUED = 1_000
SAID = b"x" * 60_000
SOCKETS_BYTES_MAX = 24_000_000
"""More than the two sockets of a connection hold; less than half of what is asked for."""


async def answers_without_a_reader(rig: Rig, line: Line) -> int:
    """How many of many requests, sent at once, are answered while nobody reads."""
    answered = 0

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal answered
        answered += 1
        await send(start())
        await send(body(SAID))

    rig.answer = answer
    connection = await rig.only_connection()
    line[1].write(ASK * QUEUED)
    await until(lambda: answered == QUEUED or (connection.drained is not None and connection.request is None))
    return answered


async def test_caller_who_asks_on_and_reads_nothing_is_not_answered_on(rig: Rig) -> None:
    """An answer begins when the one before is taken, so that memory holds a few; and all come in the end."""
    reader, writer = line = await rig.connect()
    answered = await answers_without_a_reader(rig, line)
    assert answered * len(SAID) < SOCKETS_BYTES_MAX
    for _ in range(QUEUED):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(SAID)) == SAID
    writer.write(ASK)
    assert await reader.readexactly(12) == b"HTTP/1.1 200"
    writer.close()


async def test_a_server_that_answers_on_would_be_caught(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong variant: nobody hears that the caller takes no more."""
    monkeypatch.setattr(Connection, "pause_writing", lambda self: None)
    line = await rig.connect()
    assert await answers_without_a_reader(rig, line) == QUEUED
    line[1].close()


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
async def test_answer_that_is_not_taken_is_given_up(rig: Rig, header: bytes) -> None:
    """Its clock begins anew with all that is taken, and runs also where the connection ends with the answer."""
    rig.reply(start(), body(b"x" * 40_000_000))
    reader, writer = await rig.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: edge\r\n" + header + b"\r\n")
    connection = await rig.only_connection()
    await until(lambda: connection.transport.get_write_buffer_size() > 0)
    now_s = rig.server.loop.time()
    rig.server.look_at(connection, now_s)
    unsent_bytes = connection.unsent_bytes
    rig.server.look_at(connection, now_s + READER_TIMEOUT_S - 1)
    await reader.readexactly(20_000_000)
    await until(lambda: connection.transport.get_write_buffer_size() < unsent_bytes)
    rig.server.look_at(connection, now_s + READER_TIMEOUT_S + 1)
    rig.server.look_at(connection, now_s + 2 * READER_TIMEOUT_S)
    for _ in range(20):
        await asyncio.sleep(0)
    assert rig.server.connections, "its clock did not begin anew"
    now_s += 2 * READER_TIMEOUT_S

    def is_given_up() -> bool:
        """The kernel may still take some, each time; then it is full, and nothing changes any more."""
        nonlocal now_s
        now_s += READER_TIMEOUT_S + 1
        if rig.server.connections:
            rig.server.look_at(connection, now_s)
        return not rig.server.connections

    await until(is_given_up)
    with pytest.raises(asyncio.IncompleteReadError):
        await reader.readexactly(20_000_000)  # the rest, and the head's length more
    writer.close()


async def test_application_says_how_long_its_answers_wait() -> None:
    """The state of its life has it, as it has the turn; and it is asked anew with each look, because a reload may change it."""

    allowed_s = [2.5]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"][READER_TIMEOUT] = lambda: allowed_s[0]
        for said in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{said}.complete"})

    server = Server(app, 1)
    assert server.reader_timeout_s == READER_TIMEOUT_S
    serving = asyncio.create_task(server.serve("127.0.0.1", free_port(), 16))
    await until(lambda: server.is_listening)
    assert server.reader_timeout_s == 2.5
    allowed_s[0] = 7.5
    await until(lambda: server.reader_timeout_s == 7.5)
    server.stop()
    await serving
