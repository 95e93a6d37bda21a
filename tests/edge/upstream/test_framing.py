"""How a response is framed, cut, garbled or followed by surplus: the same for every upstream transport."""

import contextlib

import pytest

from edge.upstream import Upstream
from routing.failures.failure import AttemptFailed, Kind, Sent, Source
from tests.edge.upstreams import OK, ask, fetch, read_all, read_until_failure, target_of, tls_target_of
from tests.patience import until
from tests.peers import Line, Peer, answering, server_context

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


FRAMINGS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
    "chunked with trailers": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\nx-u: 2\r\n\r\n",
        b"hello",
    ),
    "empty": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b""),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, b"hi"),
    "no reason phrase": (b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nhi", b"hi"),
}


@pytest.mark.parametrize("cut_bytes", [0, 1, 7])
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_framing_any_cut(upstream: Upstream, framing: str, cut_bytes: int) -> None:
    """Every framing gives the same body however it is cut, and leaves the connection good for the next request."""
    answer, body = FRAMINGS[framing]
    async with Peer(answering(answer, cut_bytes)) as peer:
        for _ in range(2):
            exchange = await ask(upstream, target_of(peer))
            assert await read_all(exchange) == body
            assert exchange.status == (int(framing) if framing.isdigit() else 200)
        assert len(peer.lines) == 1
        stats = upstream.stats()
        assert (stats.open, stats.idle, stats.opened_total, stats.reused_total) == (1, 1, 1, 1)


CLOSING = {
    "by close": b"HTTP/1.1 200 OK\r\n\r\nhi",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi",
    "connection: close": b"HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length: 2\r\n\r\nhi",
}


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("cut_bytes", [0, 1])
@pytest.mark.parametrize("kind", CLOSING)
async def test_connection_after_last_response(upstream: Upstream, kind: str, cut_bytes: int, is_tls: bool) -> None:
    """A response that ends its connection is read whole, and the next request gets a new connection."""

    async def script(line: Line) -> None:
        await line.request()
        await line.write(CLOSING[kind], cut_bytes)
        line.close()

    async with Peer(script, server_context("localhost") if is_tls else None) as peer:
        target = tls_target_of(peer) if is_tls else target_of(peer)
        for _ in range(2):
            assert (await fetch(upstream, target))[1] == b"hi"
        assert len(peer.lines) == 2
        assert upstream.stats().idle == 0


async def test_headers_lower_cased_in_order(upstream: Upstream) -> None:
    """Header names are lower-cased, values and order untouched, repeated ones kept; unasked content-encoding is passed on."""
    answer = (
        b"HTTP/1.1 429 Slow\r\nX-B: One\r\nx-a:  two \r\nX-B: 3\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"
    )
    async with Peer(answering(answer)) as peer:
        exchange = await ask(upstream, target_of(peer))
        assert await read_all(exchange) == b"\x1f\x8b"
        assert exchange.status == 429
        assert exchange.headers == [
            (b"x-b", b"One"),
            (b"x-a", b"two"),
            (b"x-b", b"3"),
            (b"content-encoding", b"gzip"),
            (b"content-length", b"2"),
        ]


GARBLED = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!",
    "odd length": b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nhi",
    "unknown transfer coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "unasked switch": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "status that is none": b"HTTP/1.1 099 Nothing\r\ncontent-length: 2\r\n\r\nhi",
    "large head": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\ncontent-length: 2\r\n\r\nhi",
    "endless head": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 130 + b"content-length: 2\r\n\r\nhi",
    "space before the colon": b"HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nhi",
}


@pytest.mark.parametrize("kind", GARBLED)
async def test_response_garbled(upstream: Upstream, kind: str) -> None:
    """What is not a response is a PROTOCOL failure of the provider, after the request was sent; the connection is gone."""

    async def script(line: Line) -> None:
        await line.request()
        await line.write(GARBLED[kind])
        await line.gone()

    async with Peer(script) as peer:
        exchange = await ask(upstream, target_of(peer))
        with pytest.raises(AttemptFailed) as caught:
            await exchange.head()
        failure = caught.value.failure
        assert (failure.kind, failure.source, failure.sent) == (Kind.PROTOCOL, Source.UPSTREAM, Sent.REQUEST)
        await until(lambda: upstream.stats().open == 0)


async def test_chunk_garbled(upstream: Upstream) -> None:
    """Body bytes before a garbled chunk are delivered, then the failure is raised."""

    async def script(line: Line) -> None:
        await line.request()
        await line.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nxyz\r\n", 1)
        await line.gone()

    async with Peer(script) as peer:
        exchange = await ask(upstream, target_of(peer))
        assert await exchange.head()
        received, failure = await read_until_failure(exchange)
        assert received == b"hi"
        assert failure.kind is Kind.PROTOCOL


async def test_bytes_after_response(upstream: Upstream) -> None:
    """A response with bytes after it is delivered, and its connection never used again."""
    async with Peer(answering(OK + b"HTTP/1.1 500 Smuggled\r\ncontent-length: 1\r\n\r\n!")) as peer:
        for _ in range(2):
            assert await fetch(upstream, target_of(peer)) == (200, b"hi")
        assert len(peer.lines) == 2


@pytest.mark.parametrize("size", [2_000, 60_000])
async def test_body_in_pieces_is_read(upstream: Upstream, size: int) -> None:
    """A chunk for each byte of a short answer is a way to send it."""
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * size + b"0\r\n\r\n"
    async with Peer(answering(answer)) as peer:
        assert (await fetch(upstream, target_of(peer)))[1] == b"x" * size


async def test_body_in_crumbs_is_given_up(upstream: Upstream) -> None:
    """A chunk for each byte without end is a flood: it fails as a breach of protocol, and its connection with it."""

    async def script(line: Line) -> None:
        await line.request()
        await line.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(30):
                await line.write(b"1\r\nx\r\n" * 10_000)
        await line.gone()

    async with Peer(script) as peer:
        exchange = await ask(upstream, target_of(peer))
        body, failure = await read_until_failure(exchange)
        assert (failure.kind, failure.source) == (Kind.PROTOCOL, Source.UPSTREAM)
        assert "pieces" in failure.detail
        assert len(body) < 200_000
        await until(lambda: not upstream.stats().open)
