"""The httpx transport alone: its table of foreign exceptions, HTTP/2, outbound proxies."""

import ssl
import subprocess
import sys
from collections.abc import AsyncIterator

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

from edge.upstream import Target
from edge.upstream.httpx_transport import FAULTS, FOREIGN, HttpxUpstream, explain
from routing.failures.failure import AttemptFailed, Kind, Sent
from tests.edge.upstreams import OK, ask, fetch, read_all, tls_target_of
from tests.peers import Line, Peer, answering, server_context


@pytest.fixture
async def upstream() -> AsyncIterator[HttpxUpstream]:
    transport = HttpxUpstream()
    yield transport
    await transport.aclose()
    assert transport.stats().open == 0


def test_faults_complete() -> None:
    """Every exception that httpx exports has its row in the table, and is caught."""
    exported = {value for value in vars(httpx).values() if isinstance(value, type) and issubclass(value, Exception)}
    assert exported == set(FAULTS)
    assert all(issubclass(exception, FOREIGN) for exception in exported)


def test_fault_of_new_subclass() -> None:
    """An exception that httpx may add later is treated as the nearest one known."""

    class ResumeError(httpx.ReadError):
        pass

    assert explain(ResumeError("")) is Kind.BROKEN


@pytest.mark.parametrize(("cause", "kind"), [(ssl.SSLCertVerificationError("x"), Kind.TLS), (OSError("x"), Kind.CONNECT)])
def test_fault_of_connect_by_cause(cause: Exception, kind: Kind) -> None:
    """httpx says ConnectError for both; what lies beneath decides."""
    error = httpx.ConnectError("x")
    error.__cause__ = cause
    assert explain(error) is kind


def test_native_without_httpx() -> None:
    """The native transport does not load httpx: an edge that needs none does not pay for it."""
    program = "import sys, edge.upstream.pool; sys.exit('httpx' in sys.modules or 'anyio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def _speak_h2(line: Line) -> None:
    """Answers each HTTP/2 request with its path and body, in two data frames."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    connection.initiate_connection()
    line.writer.write(connection.data_to_send())
    paths: dict[int, bytes] = {}
    bodies: dict[int, bytes] = {}
    while data := await line.reader.read(65_536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                paths[event.stream_id] = dict(event.headers)[b":path"]
                bodies[event.stream_id] = b""
            elif isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                connection.send_headers(event.stream_id, [(b":status", b"200"), (b"x-over", b"h2")])
                connection.send_data(event.stream_id, paths[event.stream_id] + b" ")
                connection.send_data(event.stream_id, bodies[event.stream_id], end_stream=True)
        line.writer.write(connection.data_to_send())


@pytest.mark.anyio
async def test_http2_spoken(upstream: HttpxUpstream) -> None:
    """With http2 several exchanges share one connection, each with its own answer; aborting one leaves the others."""
    context = server_context("h2.example")
    context.set_alpn_protocols(["h2"])
    async with Peer(_speak_h2, context) as peer:
        target = tls_target_of(peer, http2=True, verify=False, ca_file=None)
        first = await ask(upstream, target, [b"one"])
        assert await read_all(first) == b"/v1/chat/completions one"
        assert (b"x-over", b"h2") in first.headers
        pair = [await ask(upstream, target, [text]) for text in (b"two", b"three")]
        pair[0].abort()
        assert await read_all(pair[1]) == b"/v1/chat/completions three"
        assert len(peer.lines) == 1


@pytest.mark.anyio
async def test_proxy_asked(upstream: HttpxUpstream) -> None:
    """With a proxy set, the proxy gets the request in absolute form, path untouched."""
    async with Peer(answering(OK)) as proxy:
        target = Target("http", "provider.example", 80, proxy=f"http://127.0.0.1:{proxy.port}")
        assert await fetch(upstream, target) == (200, b"hi")
        assert proxy.lines[0].requests[0].startswith(b"POST http://provider.example/v1/chat/completions HTTP/1.1\r\n")


@pytest.mark.anyio
async def test_proxy_refuses_tunnel(upstream: HttpxUpstream) -> None:
    """A proxy that refuses the tunnel is CONNECT with nothing sent: the request itself never left."""
    async with Peer(answering(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")) as proxy:
        with pytest.raises(AttemptFailed) as caught:
            await ask(upstream, Target("https", "provider.example", 443, proxy=f"http://127.0.0.1:{proxy.port}"))
        assert (caught.value.failure.kind, caught.value.failure.sent) == (Kind.CONNECT, Sent.NOTHING)
        assert proxy.lines[0].requests[0].startswith(b"CONNECT provider.example:443 HTTP/1.1\r\n")


@pytest.mark.anyio
async def test_provider_behind_a_socks_proxy(upstream: HttpxUpstream) -> None:
    """`socks5://` goes through the proxy, which is told the provider's name and port."""
    asked = b""

    async def proxy(line: Line) -> None:
        nonlocal asked
        assert await line.reader.readexactly(3) == b"\x05\x01\x00"
        await line.write(b"\x05\x00")
        head = await line.reader.readexactly(5)
        asked = await line.reader.readexactly(head[4] + 2)
        await line.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        await line.request()
        await line.write(OK)

    async with Peer(proxy) as peer:
        target = Target("http", "provider.test", 8080, proxy=f"socks5://127.0.0.1:{peer.port}")
        assert await fetch(upstream, target) == (200, b"hi")
    assert asked == b"provider.test" + (8080).to_bytes(2, "big")
