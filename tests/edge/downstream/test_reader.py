"""What is read of a connection's bytes: the same requests, however the bytes are cut."""

import asyncio
import re
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Scope

from edge.downstream import CALLER
from edge.downstream.admission import Admission
from edge.downstream.connection import Connection
from edge.downstream.reader import RequestReader
from edge.downstream.request import Request
from edge.downstream.server import Server
from edge.write_batch import Refusable, WriteBatch

Asked = tuple[str, bytes, list[tuple[bytes, bytes]], bytes]
HEADS = (
    b"POST /a HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer one\r\nContent-Length: %d\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: edge\r\nX-Request-Id: b-1\r\nContent-Length: %d\r\n\r\n",
    b"POST /b?c HTTP/1.1\r\nhost: edge\r\ncontent-length:%d\r\nConnection: keep-alive\r\nUser-Agent: x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
    b"\r\nPOST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n\r\n",
    b"\r\n\r\nPOST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n\r\n",
    b"PUT /a%%20b HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: edge\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: %d\r\n\r\n",
    b"POST /a HTTP/1.0\r\nHost: edge\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n",
)
OTHERS = (
    b"GET /g HTTP/1.1\r\nHost: edge\r\n\r\n",
    b"POST /t HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /t HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: t\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    b"POST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: 1\n\r\nx",
    b"GET /a b HTTP/1.1\r\nHost: edge\r\n\r\n",
    b"PO",
    b"nonsense\r\n\r\n",
)


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    close = abort

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Now(WriteBatch):
    """Writes at once."""

    def write(self, transport: asyncio.Transport, data: bytes, request: Refusable | None = None) -> None:
        transport.write(data)


class Lot:
    """As much of a server as a connection needs; it answers nothing by itself."""

    date = b"date: now\r\n"
    is_stopping = is_closing = False

    def __init__(self) -> None:
        self.loop = SimpleNamespace(time=time.monotonic, call_soon=lambda call: call())
        self.write_batch = Now()
        self.admission = Admission(10)
        self.ahead_bytes, self.ahead_bytes_max = 0, 1 << 20
        self.begun: list[tuple[Request, Scope]] = []

    def admit(self, connection: Connection) -> int:
        return 0

    def run(self, request: Request, scope: Scope) -> None:
        self.begun.append((request, scope))


class Hasty(RequestReader):
    """Wrong: takes the first empty line that it sees for the end of a head, also where one has begun before."""

    def feed(self, data: bytes) -> None:
        self.has_part_of_head = False
        super().feed(data)


class Greedy(RequestReader):
    """Wrong: gives the parser all that has come, though it may be more than one request."""

    def feed(self, data: bytes) -> None:
        self._spaces = 2
        self._quiet_bytes += len(data)
        self._parse(data)


def run(reads: list[bytes], kind: type[RequestReader] = RequestReader) -> tuple[list[Asked], bytes]:
    """What is asked, and what is written; each request is answered when it is whole."""
    lot, wire = Lot(), Wire()
    connection = Connection(cast(Server, lot))
    connection.reader = kind(connection)
    connection.connection_made(wire)
    connection.has_spoken = True  # or it would ask a socket, which there is none of, whether its caller stays
    asked: list[Asked] = []
    for data in reads:
        if not wire.is_closed:
            connection.data_received(data)
        while lot.begun and lot.begun[0][0].is_complete:
            request, scope = lot.begun.pop(0)
            message = step(request.receive())
            assert not message["more_body"]
            asked.append((scope["method"] + scope["path"], scope["query_string"], scope["headers"], message["body"]))
            assert scope["extensions"][CALLER] is request
            step(request.send({"type": "http.response.start", "status": 200, "headers": []}))
            step(request.send({"type": "http.response.body", "body": b"ok"}))
    return asked, re.sub(rb"x-request-id: [^\r]*", b"x-request-id: one", wire.written)


def step(coroutine: Any) -> Any:
    """The result of a coroutine that does not wait."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def post(number: int, body: bytes) -> bytes:
    return HEADS[number] % len(body) + body


bodies = st.sampled_from([b"", b"x", b"\r\n\r\n", b"POST /a HTTP/1.1\r\n", b"y" * 99])
posts = st.builds(post, st.sampled_from([0] * 20 + list(range(1, len(HEADS)))), bodies)
requests = st.sampled_from([*[posts] * 15, st.sampled_from(OTHERS)]).flatmap(lambda kind: kind)


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Requests in reads: mostly one each, sometimes cut, sometimes joined."""
    whole = draw(st.lists(requests, min_size=1, max_size=8))
    reads: list[bytes] = []
    for data in whole:
        how = draw(st.sampled_from(["own"] * 5 + ["apart"] * 5 + ["cut", "joined"]))
        head, blank, rest = data.partition(b"\r\n\r\n")
        if how == "apart" and rest:
            reads += [head + blank, rest]
        elif how == "cut" and len(data) > 1:
            at = draw(st.integers(1, len(data) - 1))
            reads += [data[:at], data[at:]]
        elif how == "joined" and reads:
            reads[-1] += data
        else:
            reads.append(data)
    return reads


def byte_by_byte(reads: list[bytes]) -> list[bytes]:
    return [bytes((byte,)) for byte in b"".join(reads)]


HALF = [post(0, b"x"), b"PO", b"ST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: 1\r\n\r\nx"]
TORN = [post(0, b"x"), post(0, b"x") + b"PO", post(0, b"x")]
EDGE = [post(0, b"x")[:20], post(0, b"x")[20:]]
PAIR = [post(0, b"x") + post(0, b"y")]


@given(conversations())
@example(HALF)
@example(TORN)
@example(EDGE)
@example(PAIR)
def test_the_same_is_asked_however_it_is_cut(reads: list[bytes]) -> None:
    """Requests, answers and refusals are those of the same bytes, one at a time."""
    assert run(reads) == run(byte_by_byte(reads))


@pytest.mark.parametrize(("kind", "reads"), [(Hasty, EDGE), (Greedy, PAIR)])
def test_variant_that_cuts_wrongly_is_caught(kind: type[RequestReader], reads: list[bytes]) -> None:
    """It reads other requests than the parser does."""
    assert run(reads, kind) != run(byte_by_byte(reads))


@pytest.mark.parametrize("digits", [b"", b"+1", b"9" * 5_000, "١".encode()])
def test_length_that_is_none_is_refused(digits: bytes) -> None:
    """Whatever stands where the digits should."""
    asked, written = run([post(0, b"x"), (HEADS[0] % 1).replace(b": 1\r", b": " + digits + b"\r") + b"x"])
    assert len(asked) == 1
    assert b"HTTP/1.1 400 " in written


def test_trailer_is_no_header() -> None:
    """Neither of its own request, nor of the next."""
    asked, _ = run([OTHERS[2], post(0, b"x")])
    assert [dict(headers).get(b"x-trailer") for _, _, headers, _ in asked] == [None, None]


@pytest.mark.parametrize("is_ended", [False, True])
def test_answer_before_the_end_of_the_body(is_ended: bool) -> None:
    """The next request is read when the rest of the body has come, unless the application has given up."""
    lot, wire = Lot(), Wire()
    connection = Connection(cast(Server, lot))
    connection.connection_made(wire)
    connection.has_spoken = True  # or it would ask a socket, which there is none of, whether its caller stays
    connection.data_received(HEADS[0] % 10 + b"123")
    request, _ = lot.begun.pop()
    step(request.send({"type": "http.response.start", "status": 401, "headers": []}))
    step(request.send({"type": "http.response.body", "body": b"no"}))
    if is_ended:
        connection.ended(request)
    connection.data_received(b"4567890" + post(0, b"y"))
    connection.ended(request)
    assert wire.is_closed == connection.is_closing == is_ended
    assert len(lot.begun) == (not is_ended)
