"""What every upstream transport promises, over real sockets, on asyncio and on uvloop."""

import asyncio

import pytest

from edge.upstream import Upstream
from edge.upstream.httpx_transport import HttpxUpstream
from routing.failures.failure import AttemptFailed, Kind, Sent, Source
from tests.edge.upstreams import OK, ask, fetch, head_for, read_all, target_of, tls_target_of
from tests.patience import PATIENCE_S, until
from tests.peers import Line, Peer, answering, server_context

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


async def test_request_arrives_as_written(upstream: Upstream) -> None:
    """Head and body reach the provider byte for byte, headers in their order and case."""
    async with Peer(answering(OK)) as peer:
        await fetch(upstream, target_of(peer), [b'{"a"', memoryview(b":1}")])
        assert peer.lines[0].requests == [head_for(7) + b'{"a":1}']


ENDS = ["close", "cut", "reset"]
BEFORE = {"head": b"", "half a head": b"HTTP/1.1 200 OK\r\ncontent-le", "interim only": b"HTTP/1.1 100 Continue\r\n\r\n"}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("before", BEFORE)
async def test_connection_lost_before_head(upstream: Upstream, before: str, end: str) -> None:
    """A provider that closes or resets before its head is BROKEN, after the request was sent."""

    async def script(line: Line) -> None:
        await line.request()
        await line.write(BEFORE[before])
        getattr(line, end)()

    async with Peer(script) as peer:
        exchange = await ask(upstream, target_of(peer))
        with pytest.raises(AttemptFailed) as caught:
            await exchange.head()
        failure = caught.value.failure
        assert (failure.kind, failure.source, failure.sent) == (Kind.BROKEN, Source.UPSTREAM, Sent.REQUEST)
        await until(lambda: upstream.stats().open == 0)


SHORT = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhi",
    "chunked at a boundary": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
}


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", SHORT)
async def test_body_truncated(upstream: Upstream, kind: str, end: str, is_tls: bool) -> None:
    """A body shorter than promised is delivered as far as it came, and then BROKEN, never a clean end."""
    is_read = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await line.write(SHORT[kind])
        await is_read.wait()
        getattr(line, end)()

    async with Peer(script, server_context("localhost") if is_tls else None) as peer:
        exchange = await ask(upstream, tls_target_of(peer) if is_tls else target_of(peer))
        assert await exchange.head()
        assert await exchange.read() == b"hi"
        is_read.set()
        with pytest.raises(AttemptFailed) as caught:
            await exchange.read()
        assert caught.value.failure.kind is Kind.BROKEN
        await until(lambda: upstream.stats().open == 0)


async def test_idle_connection_closed_by_peer(upstream: Upstream) -> None:
    """A connection that the provider closed while it idled is replaced without a word."""

    async def script(line: Line) -> None:
        await line.request()
        await line.write(OK)
        line.close()

    async with Peer(script) as peer:
        for _ in range(3):
            assert await fetch(upstream, target_of(peer)) == (200, b"hi")
            await until(lambda: upstream.stats().idle == 0 or isinstance(upstream, HttpxUpstream))
        assert len(peer.lines) == 3


async def test_reader_slow(upstream: Upstream) -> None:
    """While nobody reads, the provider's sending comes to a stop; reading on gets everything."""
    total_bytes = 24 * 1024 * 1024
    sent_bytes = 0

    async def script(line: Line) -> None:
        nonlocal sent_bytes
        await line.request()
        await line.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total_bytes)
        while sent_bytes < total_bytes:
            await line.write(b"x" * 65_536)
            sent_bytes += 65_536
        await line.gone()

    async with Peer(script) as peer:
        exchange = await ask(upstream, target_of(peer))
        assert await exchange.head()
        seen_bytes = -1
        while seen_bytes != sent_bytes:
            seen_bytes = sent_bytes
            await asyncio.sleep(0.05)
        assert sent_bytes < total_bytes * 3 // 4
        assert len(await read_all(exchange)) == total_bytes
        assert upstream.stats().idle == 1


async def test_writer_slow(upstream: Upstream) -> None:
    """A 32 MiB body waits in small part for a provider that does not read; once it reads, all of it arrives in order."""
    parts = [bytes([number]) * 1_048_576 for number in range(32)]
    may_read = asyncio.Event()

    async def script(line: Line) -> None:
        await may_read.wait()
        assert await line.request() == head_for(32 * 1_048_576) + b"".join(parts)
        await line.write(OK)
        await line.gone()

    async with Peer(script) as peer:
        opening = asyncio.create_task(ask(upstream, target_of(peer), parts))
        await until(lambda: upstream.stats().open == 1)
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert not opening.done()
        may_read.set()
        assert await read_all(await opening) == b"hi"
        assert upstream.stats().idle == 1


async def test_poke_while_waiting(upstream: Upstream) -> None:
    """A poke wakes a pending head or read, loses nothing, and is forgotten when nothing waits."""
    may_head, may_body = asyncio.Event(), asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await may_head.wait()
        await line.write(OK[:-2])
        await may_body.wait()
        await line.write(OK[-2:])
        await line.gone()

    async with Peer(script) as peer:
        exchange = await ask(upstream, target_of(peer))
        exchange.poke()
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, exchange.poke)
        assert not await exchange.head()
        may_head.set()
        assert await exchange.head()
        loop.call_later(0.01, exchange.poke)
        assert await exchange.read() is None
        may_body.set()
        assert await exchange.read() == b"hi"
        assert await exchange.read() == b""
        exchange.poke()
        exchange.abort()
        assert await exchange.read() == b""
        assert upstream.stats().idle == 1


@pytest.mark.parametrize("is_tls", [False, True])
async def test_abort_closes_connection(upstream: Upstream, is_tls: bool) -> None:
    """An abort is seen by the provider at once, ends a pending read as ABORTED by us, and may be repeated."""
    is_gone = asyncio.Event()

    async def script(line: Line) -> None:
        await line.request()
        await line.write(OK[:-1])
        await line.gone()
        is_gone.set()

    async with Peer(script, server_context("localhost") if is_tls else None) as peer:
        exchange = await ask(upstream, tls_target_of(peer) if is_tls else target_of(peer))
        assert await exchange.head()
        assert await exchange.read() == b"h"
        asyncio.get_running_loop().call_later(0.01, exchange.abort)
        with pytest.raises(AttemptFailed) as caught:
            await exchange.read()
        assert (caught.value.failure.kind, caught.value.failure.source) == (Kind.ABORTED, Source.PROXY)
        exchange.abort()
        async with asyncio.timeout(PATIENCE_S):
            await is_gone.wait()
        await until(lambda: upstream.stats().open == 0)


async def test_close_ends_exchanges(upstream: Upstream) -> None:
    """Closing the transport ends what is under way as ABORTED, and closes every connection."""

    async def script(line: Line) -> None:
        await line.request()
        await line.gone()

    async with Peer(script) as peer:
        exchange = await ask(upstream, target_of(peer))
        await upstream.aclose()
        with pytest.raises(AttemptFailed) as caught:
            await exchange.head()
        assert caught.value.failure.kind is Kind.ABORTED
        assert upstream.stats().open == 0
