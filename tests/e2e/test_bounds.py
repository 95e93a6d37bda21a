"""What one caller may take: bytes, time, headers; and what is no request at all. Raw bytes over raw sockets."""

import contextlib
import json
import select
import socket
from collections.abc import Iterator

import pytest

from tests.answers import DONE, Step, completion, delta, event, respond, stream
from tests.e2e.conftest import providers_toml
from tests.e2e.statement import eventually
from tests.patience import PATIENCE_S
from tests.processes import Account, Edge, Reply, figure, make_account, post
from tests.provider import Provider

NARROW = """
[limits]
body_bytes_max = 100_000
body_timeout_s = 1.0
reader_timeout_s = 1.5
"""


@pytest.fixture(scope="module")
def narrow(provider: Provider, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge with small bounds."""
    with (running := Edge(tmp_path_factory.mktemp("narrow"), providers_toml(provider, NARROW), TOLLWAY_SERVER=server)):
        yield running


@pytest.fixture(scope="module")
def caller(narrow: Edge) -> Account:
    return make_account(narrow, "caller", "100.00")


def head(caller: Account, *lines: str, host: str = "host: edge") -> bytes:
    """A request head; `lines` are further header lines."""
    rows = ["POST /api/v1/chat/completions HTTP/1.1", host, f"authorization: Bearer {caller.key}", *lines]
    return ("\r\n".join(row for row in rows if row) + "\r\n\r\n").encode()


def read_reply(connection: socket.socket) -> Reply:
    """The answer on this connection, read to the end of its content-length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    line, *rows = top.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
    while len(body) < int(headers.get("content-length", "0")):
        piece = connection.recv(65536)
        assert piece, f"closed after {data + body!r}"
        body += piece
    return Reply(int(line.split()[1]), headers, body)


def exchange(edge: Edge, *pieces: bytes) -> Reply:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"".join(pieces))  # in one call: the edge's clock for a body runs while this process stands still
        return read_reply(connection)


def check_error(reply: Reply, *statuses: int) -> None:
    assert reply.status in statuses, (reply.status, reply.body[:500])
    assert json.loads(reply.body)["error"]["message"]


def test_body_too_large_declared(narrow: Edge, caller: Account) -> None:
    """A content-length over the bound is refused before the body is sent."""
    check_error(exchange(narrow, head(caller, "content-length: 100001")), 413)


def test_body_too_large_chunked(narrow: Edge, caller: Account) -> None:
    """A chunked body is refused as soon as it is over the bound, although it would go on."""
    part = b"2710\r\n" + b" " * 10_000 + b"\r\n"
    check_error(exchange(narrow, head(caller, "transfer-encoding: chunked"), *[part] * 11), 413)


def test_body_at_the_bound(narrow: Edge, caller: Account, provider: Provider, model: str) -> None:
    """A body of exactly the bound is served, with its length or chunked."""
    provider.script(model, respond(completion("fine")))
    start = json.dumps({"model": f"mock/{model}", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}).encode()
    body = start + b" " * (100_000 - len(start))
    assert exchange(narrow, head(caller, f"content-length: {len(body)}"), body).status == 200
    chunked = b"186a0\r\n" + body + b"\r\n0\r\n\r\n"
    assert exchange(narrow, head(caller, "transfer-encoding: chunked"), chunked).status == 200


@pytest.mark.parametrize("beginning", [b"", b"{"])
def test_body_slow(narrow: Edge, caller: Account, beginning: bytes) -> None:
    """A body that does not come in time is a 408, also when nothing of it has come."""
    check_error(exchange(narrow, head(caller, "content-length: 1000"), beginning), 408)


def test_body_never_ending(narrow: Edge, caller: Account) -> None:
    """A byte now and then does not keep a connection alive for ever."""
    with socket.create_connection(("127.0.0.1", narrow.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head(caller, "content-length: 1000"))
        for _ in range(100):
            connection.sendall(b" ")
            if select.select([connection], [], [], 0.2)[0]:
                check_error(read_reply(connection), 408)
                return
    raise AssertionError("a body of five bytes a second was waited for")


def test_reader_stopped(narrow: Edge, caller: Account, provider: Provider, model: str) -> None:
    """A caller that stops reading is dropped, and the provider with it."""
    parts: list[Step] = [event(delta(content="x" * 60_000))] * 800
    provider.script(model, stream([*parts, event(delta("stop")), DONE]))
    body = json.dumps({"model": f"mock/{model}", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
    with socket.create_connection(("127.0.0.1", narrow.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head(caller, f"content-length: {len(body)}") + body)
        request = provider.wait_for_request(model)
        assert request.closed.wait(PATIENCE_S)
    assert not request.is_answered


def test_reader_stopped_before_a_whole_answer(narrow: Edge, caller: Account, provider: Provider, model: str) -> None:
    """An answer that was written in one piece is not kept for ever for a caller that takes nothing of it."""
    provider.script(model, respond(completion("x" * 20_000_000)))
    body = json.dumps({"model": f"mock/{model}", "messages": [{"role": "user", "content": "x"}]}).encode()
    before = callers_lost(narrow)
    with socket.create_connection(("127.0.0.1", narrow.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head(caller, f"content-length: {len(body)}") + body)
        eventually(lambda: callers_lost(narrow), lambda lost: lost > before)
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                got += len(piece)
    assert got < 20_000_000


def callers_lost(edge: Edge) -> int:
    """Of the requests so far, how many ended because their caller was not there any more."""
    return int(figure(edge, "tollway_requests_total", 'provider="",status="499"'))


@pytest.mark.parametrize("host", ["", "host: a\r\nhost: b", "host: a b", "host: a/b", "host: a@b"])
def test_host_invalid(narrow: Edge, caller: Account, host: str) -> None:
    """There must be one valid Host."""
    assert exchange(narrow, head(caller, "content-length: 2", host=host), b"{}").status == 400


def test_headers_too_many(narrow: Edge, caller: Account) -> None:
    """More than 64 headers are refused."""
    lines = [f"x-{number}: 1" for number in range(64)]
    assert exchange(narrow, head(caller, "content-length: 2", *lines), b"{}").status in (400, 431)


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "identity", "chunked, chunked"])
def test_transfer_coding_unknown(narrow: Edge, caller: Account, coding: str) -> None:
    """Only `chunked` is a transfer coding."""
    try:
        reply = exchange(narrow, head(caller, f"transfer-encoding: {coding}"), b"2\r\n{}\r\n0\r\n\r\n")
    except (AssertionError, ConnectionError):
        return  # closed without a word
    assert reply.status in (400, 501)


def test_credentials_not_ascii(narrow: Edge) -> None:
    """Bytes beyond ASCII in the credentials are a 401, never a crash."""
    raw = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk_live_é\r\ncontent-length: 2\r\n\r\n{}"
    check_error(exchange(narrow, raw.encode()), 401)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/v1/chat/completions", 405), ("POST", "/api/v1/nothing", 404), ("GET", "/", None), ("PUT", "/v1/models", 405)],
)
def test_routes_unknown(narrow: Edge, caller: Account, method: str, path: str, status: int | None) -> None:
    """What is not served is 404 or 405."""
    raw = f"{method} {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {caller.key}\r\ncontent-length: 0\r\n\r\n"
    reply = exchange(narrow, raw.encode())
    assert reply.status < 500
    assert status is None or reply.status == status


def test_answers_after_all_that(narrow: Edge, caller: Account, provider: Provider, model: str) -> None:
    """The same process goes on answering."""
    provider.script(model, respond(completion("fine")))
    request = {"model": f"mock/{model}", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
    assert post(narrow.port, request, caller.headers).status == 200
