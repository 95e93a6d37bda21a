"""The collector over HTTP, against a receiver on a real socket: what is sent, and what each answer means."""

import asyncio
import gzip
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trustme

from edge.collector_client.http import HttpCollectorClient
from tests.edge.generations import record
from tests.http_server import HttpHandler, serving
from usage.protocol import Ack, Acquire, Batch, Boot, Booted, Close, Closed, Refused, Return, Returned, Unreachable


class Receiver:
    """Answers each request with the next of `answers` (status, headers, body), and remembers what it was asked."""

    def __init__(self, *answers: tuple[int, str, bytes]) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append((head[0], headers, body))
                status, more, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if status == 0:
                    break
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(answer)}\r\n{more}\r\n".encode() + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def linked(*answers: tuple[int, str, bytes]) -> AsyncIterator[tuple[HttpCollectorClient, Receiver]]:
    receiver = Receiver(*answers)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    collector = HttpCollectorClient(f"http://127.0.0.1:{port}/", "node-token", timeout_s=5)
    try:
        yield collector, receiver
    finally:
        await collector.aclose()
        server.close()
        await server.wait_closed()


def ok(answer: msgspec.Struct) -> tuple[int, str, bytes]:
    return 200, "", msgspec.json.encode(answer)


@pytest.mark.anyio
async def test_messages_go_to_their_paths() -> None:
    """Each message is a POST of JSON to its own path, with the node's token, and its answer comes back typed."""
    async with linked(ok(Booted(7)), ok(Returned(5)), ok(Closed(True, 3))) as (collector, receiver):
        assert await collector.boot(Boot("node", "boot")) == Booted(7)
        assert await collector.give_back(Return("node", 7, "return", "acc", 5)) == Returned(5)
        assert await collector.close(Close("node", 7, 3)) == Closed(True, 3)
    assert [line for line, _, _ in receiver.requests] == [
        f"POST /node/v1/{name} HTTP/1.1" for name in ("boot", "give_back", "close")
    ]
    _, headers, body = receiver.requests[0]
    assert (headers["authorization"], headers["content-type"]) == ("Bearer node-token", "application/json")
    assert msgspec.json.decode(body, type=Boot) == Boot("node", "boot")


@pytest.mark.anyio
async def test_large_batches_are_compressed() -> None:
    """A batch of many records arrives gzipped and whole; a small one is left as it is."""
    batch = Batch("node", 1, tuple(record(number, number) for number in range(1, 101)))
    async with linked(ok(Ack(100))) as (collector, receiver):
        assert await collector.ingest(batch) == Ack(100)
        await collector.ingest(Batch("node", 1))
    (_, large, body), (_, small, _) = receiver.requests
    assert large["content-encoding"] == "gzip"
    assert msgspec.json.decode(gzip.decompress(body), type=Batch) == batch
    assert len(body) < len(msgspec.json.encode(batch)) // 5
    assert "content-encoding" not in small


@pytest.mark.anyio
@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
async def test_refusal_that_is_no_collectors_passes(status: int) -> None:
    """A gateway, or another program at that address: what it says is told, and nothing ends for good because of it."""
    async with linked((status, "", b'{"error":{"code":"x","message":"because"}}'), (status, "", b"<html>")) as (collector, _):
        for said in (f"answered {status}: because", f"answered {status}"):
            with pytest.raises(Unreachable, match=said):
                await collector.acquire(Acquire("node", 1, "grant", "digest"))


@pytest.mark.anyio
async def test_bound_of_a_gateway_on_bodies_is_kept_to() -> None:
    """Fewer records at once pass it."""
    async with linked((413, "", b"<html>")) as (collector, _):
        with pytest.raises(Refused) as caught:
            await collector.ingest(Batch("node", 1))
        assert caught.value.code == "too_large"


@pytest.mark.anyio
@pytest.mark.parametrize("status", [301, 404, 429, 500, 502, 503])
async def test_unreachable_by_status(status: int) -> None:
    """Anything that may heal is Unreachable, with the wish for when to come again."""
    async with linked((status, "retry-after: 7\r\nlocation: http://127.0.0.1:1/\r\n", b"")) as (collector, receiver):
        with pytest.raises(Unreachable) as caught:
            await collector.ingest(Batch("node", 1))
        assert caught.value.retry_after_s == 7.0
        assert len(receiver.requests) == 1


@pytest.mark.anyio
async def test_unreachable_by_transport() -> None:
    """A connection that breaks, a port where nobody listens, an answer that is no answer: Unreachable, nothing else."""
    async with linked((0, "", b""), (200, "", b"[1]"), (200, "", b"{")) as (collector, _):
        for _ in range(3):
            with pytest.raises(Unreachable):
                await collector.ingest(Batch("node", 1))
    nobody = HttpCollectorClient("http://127.0.0.1:1", "token")
    with pytest.raises(Unreachable):
        await nobody.boot(Boot("node", "boot"))
    await nobody.aclose()


def test_link_does_not_load_httpx() -> None:
    """An edge that never speaks HTTP to a collector does not pay for the library."""
    make = "from edge.collector_client.http import HttpCollectorClient; HttpCollectorClient('http://x', 't')"
    code = f"import sys; {make}; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.anyio
async def test_connection_lost_once_is_tried_again() -> None:
    """A connection that was kept too long, or a collector that has restarted, costs no caller anything; twice is unreachable."""
    async with linked((0, "", b""), ok(Booted(7)), (0, "", b""), (0, "", b"")) as (collector, receiver):
        assert (await collector.boot(Boot("n1", "b1"))).epoch == 7
        assert len(receiver.requests) == 2
        with pytest.raises(Unreachable):
            await collector.boot(Boot("n1", "b2"))
        assert len(receiver.requests) == 4


@pytest.mark.anyio
async def test_reason_that_the_collector_gives_is_passed_on() -> None:
    """In its own form, and in that of whatever may stand before it; what is neither says nothing more than its status."""
    body = b'{"code":"bad_node_token","message":"this node token is unknown"}'
    async with linked((401, "", body)) as (collector, _):
        with pytest.raises(Refused, match="this node token is unknown"):
            await collector.boot(Boot("n1", "b1"))
    async with linked((401, "", b'{"error":{"message":"quota of the gateway"}}')) as (collector, _):
        with pytest.raises(Unreachable, match="quota of the gateway"):
            await collector.boot(Boot("n1", "b1"))
    async with linked((503, "", b'{"code":"unavailable","message":"the disk is full"}')) as (collector, _):
        with pytest.raises(Unreachable, match="the collector answered 503: the disk is full"):
            await collector.boot(Boot("n1", "b1"))


class _Epoch(HttpHandler):
    """Says an epoch to whoever asks."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = msgspec.json.encode(Booted(7))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.anyio
async def test_authority_that_ssl_cert_file_names_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector whose certificate is of the operator's own authority; without the file it is a stranger's."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    with serving(_Epoch) as server:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(server.context)
        for is_known in (False, True):
            if is_known:
                monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
            client = HttpCollectorClient(f"https://localhost:{server.server_port}", "token")
            if is_known:
                assert await client.boot(Boot("n", "b")) == Booted(7)
            else:
                with pytest.raises(Unreachable, match="certificate verify failed"):
                    await client.boot(Boot("n", "b"))
            await client.aclose()
