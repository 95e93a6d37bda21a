"""Making and giving up connections: what every upstream transport promises, on asyncio and on uvloop."""

import asyncio
import socket

import pytest

from edge.upstream import Target, Upstream
from routing.failures.failure import AttemptFailed, Kind, Sent, Source
from tests.edge.upstreams import OK, SilentPort, ask, fetch, read_all, target_of, tls_target_of
from tests.patience import PATIENCE_S, until
from tests.peers import Line, Peer, answering, server_context

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


WAITS = ["connect", "handshake", "write", "head", "read"]


@pytest.mark.parametrize("wait", WAITS)
async def test_cancelled_while_waiting(upstream: Upstream, wait: str) -> None:
    """Cancelling whoever waits, at any point, closes the connection and leaves the pool clean and usable."""
    is_gone = asyncio.Event()
    connections = 0

    async def script(line: Line) -> None:
        nonlocal connections
        connections += 1
        if connections > 1:
            await answering(OK)(line)
            return
        if wait in ("head", "read"):
            await line.request()
        if wait == "read":
            await line.write(OK[:-2])
        if wait != "write":
            await line.gone()
            is_gone.set()
        else:
            await is_gone.wait()

    async def use(target: Target) -> None:
        body = [b"x" * 32 * 1_048_576] if wait == "write" else [b"{}"]
        await read_all(await ask(upstream, target, body))

    with SilentPort() as silent_port:
        async with Peer(script) as peer:
            target = target_of(peer)
            if wait == "connect":
                target = target_of(peer, port=silent_port)
            if wait == "handshake":
                target = tls_target_of(peer, connect_timeout_s=1.5)
            user = asyncio.create_task(use(target))
            if wait != "connect":
                await until(lambda: len(peer.lines) == 1)
            if wait == "read":
                await until(lambda: bool(peer.lines[0].requests))
            await asyncio.sleep(0.02)
            user.cancel()
            with pytest.raises(asyncio.CancelledError):
                await user
            if wait in ("handshake", "head", "read"):
                async with asyncio.timeout(PATIENCE_S):
                    await is_gone.wait()
            is_gone.set()
            await until(lambda: upstream.stats().open == 0)
            if wait not in ("connect", "handshake"):
                assert await fetch(upstream, target) == (200, b"hi")
                assert upstream.stats().idle == 1


async def test_connect_timeout(upstream: Upstream) -> None:
    """A provider that does not answer the connect in time is TIMEOUT_CONNECT, with nothing sent."""
    with SilentPort() as port, pytest.raises(AttemptFailed) as caught:
        await ask(upstream, Target("http", "127.0.0.1", port, connect_timeout_s=0.1))
    failure = caught.value.failure
    assert (failure.kind, failure.source, failure.sent) == (Kind.TIMEOUT_CONNECT, Source.UPSTREAM, Sent.NOTHING)


async def test_handshake_timeout(upstream: Upstream) -> None:
    """The connect clock covers the TLS handshake."""

    async def script(line: Line) -> None:
        await line.gone()

    async with Peer(script) as peer:
        with pytest.raises(AttemptFailed) as caught:
            await ask(upstream, tls_target_of(peer, connect_timeout_s=0.2))
        assert (caught.value.failure.kind, caught.value.failure.sent) == (Kind.TIMEOUT_CONNECT, Sent.NOTHING)


async def test_connect_refused(upstream: Upstream) -> None:
    """A port where nobody listens is CONNECT, with nothing sent."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(AttemptFailed) as caught:
            await ask(upstream, Target("http", "127.0.0.1", unused.getsockname()[1]))
    assert (caught.value.failure.kind, caught.value.failure.sent) == (Kind.CONNECT, Sent.NOTHING)


async def test_name_unknown(upstream: Upstream) -> None:
    """A host name that does not exist is CONNECT, with nothing sent."""
    with pytest.raises(AttemptFailed) as caught:
        await ask(upstream, Target("http", "no-such-host.invalid", 80))
    assert (caught.value.failure.kind, caught.value.failure.sent) == (Kind.CONNECT, Sent.NOTHING)


async def test_tls_spoken(upstream: Upstream) -> None:
    """A certificate of a believed authority for the right name is accepted; connections are reused."""
    async with Peer(answering(OK), server_context("localhost")) as peer:
        for _ in range(2):
            assert await fetch(upstream, tls_target_of(peer)) == (200, b"hi")
        assert len(peer.lines) == 1


@pytest.mark.parametrize("case", ["unknown authority", "wrong name", "no TLS"])
async def test_tls_refused(upstream: Upstream, case: str) -> None:
    """A certificate that proves nothing, or no TLS at all, is a TLS failure with nothing sent."""

    async def plain(line: Line) -> None:
        await line.reader.read(1)
        await line.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    if case == "no TLS":
        peer = Peer(plain)
    else:
        peer = Peer(answering(OK), server_context("other.example" if case == "wrong name" else "localhost"))
    async with peer:
        changes = {"ca_file": None} if case == "unknown authority" else {}
        with pytest.raises(AttemptFailed) as caught:
            await ask(upstream, tls_target_of(peer, **changes))
        assert (caught.value.failure.kind, caught.value.failure.sent) == (Kind.TLS, Sent.NOTHING)
        assert upstream.stats().open == 0
        assert not any(line.requests for line in peer.lines)


async def test_tls_unverified_by_wish(upstream: Upstream) -> None:
    """With verify off any certificate is accepted."""
    async with Peer(answering(OK), server_context("other.example")) as peer:
        assert await fetch(upstream, tls_target_of(peer, verify=False, ca_file=None)) == (200, b"hi")
