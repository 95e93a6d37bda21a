"""The native transport alone: what it promises beyond the contract, and how its connections age."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable

import pytest

from edge.upstream import Target, pool, wire
from edge.upstream import exchange as exchange_module
from edge.upstream.dial import race, take_turns
from edge.upstream.faults import explain_dial
from edge.upstream.pool import NativeUpstream
from routing.failures.failure import AttemptFailed, Kind, Sent
from tests.edge.upstreams import OK, SilentPort, ask, fetch, head_for, read_all, target_of, tls_target_of
from tests.patience import PATIENCE_S, until
from tests.peers import Line, Peer, answering, server_context

pytestmark = pytest.mark.anyio
LARGE = [b"x" * 1_048_576] * 32
REFUSAL = b"HTTP/1.1 413 Too Large\r\ncontent-length: 9\r\n\r\ntoo large"


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


@pytest.fixture
async def native() -> AsyncIterator[NativeUpstream]:
    upstream = NativeUpstream()
    yield upstream
    await upstream.aclose()
    assert not upstream.connections


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("answer", [REFUSAL, b"HTTP/1.1 413 Too Large\r\n\r\ntoo large"])
@pytest.mark.parametrize("end", ["close", "gone"])
async def test_answer_before_body_was_read(native: NativeUpstream, answer: bytes, end: str, is_tls: bool) -> None:
    """A provider that refuses after the head gets its refusal through, though 32 MiB were still to be written."""
    if end == "gone" and answer is not REFUSAL:
        return  # an answer without a length ends with the connection only

    async def script(line: Line) -> None:
        await line.head()
        await line.write(answer)
        if end == "close":
            line.close()
        else:
            await is_read.wait()

    is_read = asyncio.Event()
    async with Peer(script, server_context("localhost") if is_tls else None) as peer:
        exchange = await ask(native, tls_target_of(peer) if is_tls else target_of(peer), LARGE)
        assert await read_all(exchange) == b"too large"
        assert exchange.status == 413
        is_read.set()
        await until(lambda: not native.connections)


@pytest.mark.parametrize("is_tls", [False, True])
async def test_answer_unread_when_write_fails(native: NativeUpstream, is_tls: bool) -> None:
    """A refusal that is in the kernel when a write fails is delivered all the same."""
    may_answer, has_closed = asyncio.Event(), asyncio.Event()

    async def script(line: Line) -> None:
        await line.head()
        await may_answer.wait()
        await line.write(REFUSAL, cut_bytes=len(REFUSAL))
        line.cut()
        has_closed.set()

    async with Peer(script, server_context("localhost") if is_tls else None) as peer:
        opening = asyncio.create_task(ask(native, tls_target_of(peer) if is_tls else target_of(peer), LARGE))
        await until(lambda: any(c.drained is not None for c in native.connections))
        (connection,) = native.connections
        connection.transport.pause_reading()
        may_answer.set()
        await has_closed.wait()
        exchange = await opening
        assert await read_all(exchange) == b"too large"
        assert exchange.status == 413


async def test_write_stalled(native: NativeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that takes no byte of a large body is given up as TIMEOUT_IDLE."""
    monkeypatch.setattr(pool, "WRITE_STALL_S", 0.05)
    monkeypatch.setattr(pool, "SWEEP_S", 0.02)
    is_over = asyncio.Event()

    async def script(line: Line) -> None:
        await is_over.wait()

    async with Peer(script) as peer:
        exchange = await ask(native, target_of(peer), LARGE)
        with pytest.raises(AttemptFailed) as caught:
            await exchange.head()
        assert (caught.value.failure.kind, caught.value.failure.sent) == (Kind.TIMEOUT_IDLE, Sent.REQUEST)
        is_over.set()


async def test_tls_session_resumed(native: NativeUpstream) -> None:
    """The second connection to a name resumes the session of the first."""
    async with Peer(answering(OK.replace(b"OK\r\n", b"OK\r\nconnection: close\r\n")), server_context("localhost")) as peer:
        for _ in range(3):
            assert await fetch(native, tls_target_of(peer)) == (200, b"hi")
        assert [line.is_resumed for line in peer.lines][1:] == [True, True]


async def test_alpn_and_nodelay(native: NativeUpstream) -> None:
    """Connections ask for http/1.1 and send small writes at once."""
    async with Peer(answering(OK), server_context("localhost")) as peer:
        await fetch(native, tls_target_of(peer))
        (connection,) = native.connections
        tls: ssl.SSLObject = connection.transport.get_extra_info("ssl_object")
        assert tls.selected_alpn_protocol() == "http/1.1"
        opened = connection.transport.get_extra_info("socket")
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


async def test_idle_connection_last_used_first(native: NativeUpstream) -> None:
    """Of several idle connections the one used last is used next."""
    may_answer = asyncio.Event()

    async def script(line: Line) -> None:
        while await line.request():
            await may_answer.wait()
            await line.write(OK)

    async with Peer(script) as peer:
        exchanges = [await ask(native, target_of(peer)) for _ in range(3)]
        may_answer.set()
        for exchange in (exchanges[0], exchanges[2], exchanges[1]):
            await read_all(exchange)
        assert native.stats().idle == 3
        before = [len(line.requests) for line in peer.lines]
        for _ in range(2):
            await fetch(native, target_of(peer))
        assert sorted(len(line.requests) - was for line, was in zip(peer.lines, before, strict=True)) == [0, 0, 2]


async def test_idle_connection_with_surprise(native: NativeUpstream) -> None:
    """Any byte on an idle connection ends it, though the loop has not been told of it when the next request comes."""
    async with Peer(answering(OK)) as peer:
        await fetch(native, target_of(peer))
        (connection,) = native.connections
        os.write(peer.lines[0].writer.get_extra_info("socket").fileno(), b"!")
        assert await fetch(native, target_of(peer)) == (200, b"hi")
        assert len(peer.lines) == 2
        assert connection.is_lost


async def test_idle_connection_expires(native: NativeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that idles for longer than its limit is closed by the sweep, which then rests."""
    monkeypatch.setattr(pool, "SWEEP_S", 0.02)
    async with Peer(answering(OK)) as peer:
        await fetch(native, target_of(peer, keepalive_s=0.01))
        await until(lambda: not native.connections)
        await until(lambda: native.sweeper is None)


async def test_idle_connection_too_old_to_take(native: NativeUpstream) -> None:
    """A connection past its limit is not used, though the sweep has not come by."""
    async with Peer(answering(OK)) as peer:
        await fetch(native, target_of(peer))
        (connection,) = native.connections
        connection.idle_since_s -= 31.0
        await fetch(native, target_of(peer))
        assert len(peer.lines) == 2


async def test_connection_past_its_age(native: NativeUpstream) -> None:
    """A connection older than its maximum is closed when its response ends, so that address changes are followed."""
    async with Peer(answering(OK)) as peer:
        exchange = await ask(native, target_of(peer))
        (connection,) = native.connections
        connection.born_s -= 301.0
        await read_all(exchange)
        await until(lambda: not native.connections)


@pytest.mark.parametrize(("hint", "limit_s"), [(b"timeout=5, max=100", 4.0), (b"Timeout=900", 30.0), (b"max=3", 30.0)])
async def test_keepalive_hint(native: NativeUpstream, hint: bytes, limit_s: float) -> None:
    """The provider's keep-alive time-out shortens ours to a second less; it never lengthens it."""
    async with Peer(answering(OK.replace(b"OK\r\n", b"OK\r\nKeep-Alive: " + hint + b"\r\n"))) as peer:
        await fetch(native, target_of(peer))
        (connection,) = native.connections
        assert connection.idle_limit_s == limit_s


async def test_descriptors_balanced(native: NativeUpstream) -> None:
    """A large request leaves no second descriptor behind."""
    async with Peer(answering(OK)) as peer:
        await fetch(native, target_of(peer), LARGE)
        (connection,) = native.connections
        assert connection.early_answer is None


async def test_race_past_silent_address() -> None:
    """An address that does not answer costs a quarter of a second, not the time limit; one that refuses costs nothing."""
    loop = asyncio.get_running_loop()
    kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
    with SilentPort() as silent_port, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        async with Peer(answering(OK)) as peer, asyncio.timeout(PATIENCE_S):
            ports = [refusing.getsockname()[1], silent_port, peer.port]
            winner = await race(loop, [(*kind, ("127.0.0.1", port)) for port in ports])
            assert winner.getpeername() == ("127.0.0.1", peer.port)
            winner.close()
        with pytest.raises(ConnectionRefusedError):
            await race(loop, [(*kind, refusing.getsockname())])


def test_families_take_turns() -> None:
    """Addresses alternate between families, the resolver's first family first."""
    six, four = socket.AF_INET6, socket.AF_INET
    infos = [(family, 1, 6, "", number) for number, family in enumerate([six, six, six, four])]
    assert [(info[0], info[4]) for info in take_turns(infos)] == [(six, 0), (four, 3), (six, 1), (six, 2)]


def test_dial_fault_unknown() -> None:
    """What the table does not know is a bug of ours, and is raised as it is."""
    with pytest.raises(KeyError):
        explain_dial(KeyError("x"))


async def test_closed_upstream_refuses(native: NativeUpstream) -> None:
    """After closing no connection is made: that is ABORTED by us, with nothing sent."""
    await native.aclose()
    with pytest.raises(AttemptFailed) as caught:
        await ask(native, Target("http", "127.0.0.1", 1))
    assert (caught.value.failure.kind, caught.value.failure.sent) == (Kind.ABORTED, Sent.NOTHING)


async def test_repr_tells_state(native: NativeUpstream) -> None:
    """What shows in a debugger says the state, and nothing of a request's content."""
    async with Peer(answering(OK)) as peer:
        exchange = await ask(native, target_of(peer))
        assert repr(exchange) == "<WireExchange waiting, status 0>"
        assert repr(*native.connections) == "<Connection busy, 1 uses>"
        await read_all(exchange)
        assert repr(exchange) == "<WireExchange whole, status 200>"
        assert repr(*native.connections) == "<Connection idle, 1 uses>"
        assert repr(native) == "<NativeUpstream 1 open, 1 idle>"


async def test_small_request_one_write(native: NativeUpstream) -> None:
    """Head and small body leave in one write."""
    sizes: list[int] = []

    class Counting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert hasattr(transport, "write")
            self.write = transport.write

        def data_received(self, data: bytes) -> None:
            sizes.append(len(data))
            self.write(OK)

    server = await asyncio.get_running_loop().create_server(Counting, "127.0.0.1", 0)
    async with server:
        await fetch(native, Target("http", "127.0.0.1", server.sockets[0].getsockname()[1]), [b"x" * 100] * 10)
    assert sizes == [len(head_for(1000)) + 1000]
    assert wire.PIECE_BYTES == 65_536


async def test_truncation_check_has_teeth(native: NativeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant that forgets what was promised takes a cut body for a whole one, as the contract would see."""
    monkeypatch.setattr(exchange_module, "_FRAMED", frozenset())

    async def script(line: Line) -> None:
        await line.request()
        await line.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi")
        line.close()

    async with Peer(script) as peer:
        assert await fetch(native, target_of(peer)) == (200, b"hi")


async def test_surplus_check_has_teeth(native: NativeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant that lets surplus bytes pass uses the connection again, as the contract would see."""
    monkeypatch.setattr(exchange_module.WireExchange, "on_message_begin", lambda self: None)
    monkeypatch.setattr(exchange_module.WireExchange, "on_headers_complete", _forgetful(exchange_module.WireExchange))
    async with Peer(answering(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!")) as peer:
        for _ in range(2):
            assert await fetch(native, target_of(peer)) == (200, b"hi!")
        assert len(peer.lines) == 1


def _forgetful(exchange: type[exchange_module.WireExchange]) -> Callable[[exchange_module.WireExchange], None]:
    original = exchange.on_headers_complete

    def on_headers_complete(self: exchange_module.WireExchange) -> None:
        if not self.is_whole:
            original(self)

    return on_headers_complete


async def test_sink_takes_what_comes_while_the_reader_waits(native: NativeUpstream) -> None:
    """In order, each byte once, the last ones never; a poke from the sink reaches the reader."""
    may_go_on, taken = asyncio.Event(), bytearray()

    async def script(line: Line) -> None:
        await line.head()
        await line.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        for part in (b"def", b"gh", b"i"):
            await may_go_on.wait()
            may_go_on.clear()
            await line.write(part)

    def sink(data: bytes) -> bool:
        if data == b"gh":
            return False
        taken.extend(data)
        exchange.poke()
        return True

    async with Peer(script) as peer:
        exchange = await ask(native, target_of(peer))
        assert await exchange.head()
        assert await exchange.read() == b"abc"
        exchange.sink = sink
        may_go_on.set()
        assert await exchange.read() is None
        assert taken == b"def"
        may_go_on.set()
        assert await exchange.read() == b"gh"
        may_go_on.set()
        assert await exchange.read() == b"i"
        assert await exchange.read() == b""
        assert taken == b"def"
