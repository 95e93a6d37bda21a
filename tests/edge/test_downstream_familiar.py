"""A head known again: the same requests come of the same bytes, however they are cut, whether the parser saw them or not."""

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
from edge.downstream.familiar import BODY_BYTES_MAX, DIGITS_MAX, HEAD_BYTES_MAX, TRIES_MAX, Head, Heads
from edge.downstream.request import Request
from edge.downstream.server import Server
from edge.turn import Refusable, Turn

Asked = tuple[str, bytes, list[tuple[bytes, bytes]], bytes]
HEADS = (
    b"POST /a HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer one\r\nContent-Length: %d\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer two\r\nContent-Length: %d\r\n\r\n",
    b"POST /b?c HTTP/1.1\r\nhost: edge\r\ncontent-length:%d\r\nConnection: keep-alive\r\nUser-Agent: x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
    b"\r\nPOST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nHost: edge\r\nContent-Length: %d\r\n\r\n",
    b"POST /a HTTP/1.0\r\nHost: edge\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n",
)
OTHERS = (
    b"GET /g HTTP/1.1\r\nHost: edge\r\n\r\n",
    b"POST /t HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    b"POST /a HTTP/1.1\r\nHost: edge\r\nContent-Length: 1\n\r\nx",
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


class Now(Turn):
    """Writes at once."""

    def write(self, transport: asyncio.Transport, data: bytes, request: Refusable | None = None) -> None:
        transport.write(data)


class Lot:
    """As much of a server as a connection needs; it answers nothing by itself."""

    date = b"date: now\r\n"
    is_stopping = False

    def __init__(self) -> None:
        self.loop = SimpleNamespace(time=time.monotonic)
        self.turn = Now()
        self.admission = Admission(10)
        self.ahead_bytes, self.ahead_bytes_max = 0, 1 << 20
        self.begun: list[tuple[Request, Scope]] = []

    def admit(self, connection: Connection) -> int:
        return 0

    def run(self, request: Request, scope: Scope) -> None:
        self.begun.append((request, scope))


class Blind(Heads):
    """The oracle: knows nothing again, so that the parser sees everything."""

    def find(self, data: bytes) -> tuple[Scope, bytes, int] | None:
        return None


class Careless(Heads):
    """Wrong: takes it for granted that the parser stands between two requests whenever none has begun."""

    def note(self, data: bytes, scope: Scope | None, is_whole: bool) -> None:
        before = self.last
        self._owed_bytes = 0
        super().note(data, scope, is_whole)
        self.last, self._owed_bytes = self.last or before, 0

    def lose(self) -> None:
        self._owed_bytes = 0


def run(heads: Heads, reads: list[bytes], waits: list[bool] | None = None) -> tuple[list[Asked], bytes, int]:
    """What is asked, what is written, and how many heads were known again. `waits`: after which reads nobody answers yet."""
    lot, wire = Lot(), Wire()
    connection = Connection(cast(Server, lot))
    connection.reader.heads = heads
    connection.connection_made(wire)
    asked: list[Asked] = []
    known = 0
    for data, is_late in zip(reads, waits or [False] * len(reads), strict=True):
        if not wire.is_closed:
            connection.data_received(data)
        while not is_late and lot.begun and lot.begun[0][0].is_complete:
            request, scope = lot.begun.pop(0)
            message = step(request.receive())
            assert not message["more_body"]
            asked.append((scope["method"] + scope["path"], scope["query_string"], scope["headers"], message["body"]))
            assert scope["extensions"][CALLER] is request
            known += request.head is not None
            step(request.send({"type": "http.response.start", "status": 200, "headers": []}))
            step(request.send({"type": "http.response.body", "body": b"ok"}))
    return asked, re.sub(rb"x-request-id: [^\r]*", b"x-request-id: one", wire.written), known


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
def conversations(draw: st.DrawFn) -> tuple[list[bytes], list[bool]]:
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
    return reads, [draw(st.booleans()) and draw(st.booleans()) for _ in reads[1:]] + [False]


HALF = [post(0, b"x"), b"PO", post(0, b"x")]
TORN = [post(0, b"x"), post(0, b"x") + b"PO", post(0, b"x")]


@given(conversations())
@example((HALF, [False] * 3))
@example((TORN, [False] * 3))
def test_the_same_is_asked_as_the_parser_reads(conversation: tuple[list[bytes], list[bool]]) -> None:
    """Requests, answers and refusals are the same, read for read, whether heads are known again or not."""
    assert run(Heads(), *conversation)[:2] == run(Blind(), *conversation)[:2]


@pytest.mark.parametrize("reads", [HALF, TORN])
def test_variant_that_does_not_count_is_caught(reads: list[bytes]) -> None:
    """It takes for a request what the parser, amid another one, refuses."""
    assert run(Careless(), reads)[:2] != run(Blind(), reads)[:2]


def test_same_head_is_known_again_with_any_body() -> None:
    """From the second time on; the length is this request's."""
    asked, _, known = run(Heads(), [post(0, b"x" * size) for size in (3, 3, 1_000, 0)])
    assert known == 3
    assert [dict(headers)[b"content-length"] for _, _, headers, _ in asked] == [b"3", b"3", b"1000", b"0"]
    assert [len(body) for _, _, _, body in asked] == [3, 3, 1_000, 0]


def test_body_in_pieces_is_counted_to_its_end() -> None:
    """A client may send head and body apart; what comes behind the body is the next request, and ends the counting."""
    head = HEADS[0] % 10
    reads = [head, b"1234567890", head, b"12345", b"67890", head + b"1", b"234567890" + post(0, b"x"), post(0, b"y")]
    asked, _, known = run(Heads(), reads)
    assert [body for _, _, _, body in asked] == [b"1234567890"] * 3 + [b"x", b"y"]
    assert known == 2


def test_large_body_goes_to_the_parser_and_its_head_stays_known() -> None:
    """However often: it is the same head."""
    large = b"x" * (BODY_BYTES_MAX + 1)
    reads = [post(0, b"x")] + [HEADS[0] % len(large), large] * (TRIES_MAX + 1) + [post(0, b"y")]
    asked, _, known = run(Heads(), reads)
    assert [len(body) for _, _, _, body in asked] == [1] + [len(large)] * (TRIES_MAX + 1) + [1]
    assert known == 1


@pytest.mark.parametrize("is_ended", [False, True])
def test_answer_before_the_end_of_the_body_is_the_same(is_ended: bool) -> None:
    """Whether the application waits for the rest or not, and whoever reads the body."""
    seen = []
    for heads in (Heads(), Blind()):
        lot, wire = Lot(), Wire()
        connection = Connection(cast(Server, lot))
        connection.reader.heads = heads
        connection.connection_made(wire)
        for data in (post(0, b"x"), HEADS[0] % 10 + b"123"):
            connection.data_received(data)
            request, _ = lot.begun.pop()
            step(request.send({"type": "http.response.start", "status": 401, "headers": []}))
            step(request.send({"type": "http.response.body", "body": b"no"}))
        if is_ended:
            connection.ended(request)
        connection.data_received(b"4567890" + post(0, b"y"))
        connection.ended(request)
        seen.append((wire.written, wire.is_closed, connection.is_closing, request.is_complete, len(lot.begun)))
    assert seen[0] == seen[1]
    assert seen[0][1] == is_ended


@pytest.mark.parametrize("other", [1, 2])
def test_another_head_is_another_one(other: int) -> None:
    """Two keys that take turns on one connection are each read for what they are, until it is given up."""
    asked, _, known = run(Heads(), [post(number, b"x") for number in (0, other) * TRIES_MAX + (0, 0)])
    assert known == 0
    assert [headers for _, _, headers, _ in asked[:2]] != [headers for _, _, headers, _ in asked[1:3]]


@pytest.mark.parametrize("digits", [b"", b"+1", b"1 ", b"9" * (DIGITS_MAX + 1), b"9" * 5_000, "١".encode()])
def test_length_that_is_none_goes_to_the_parser(digits: bytes) -> None:
    """Whatever stands where the digits were, the parser judges it."""
    reads = [post(0, b"x"), post(0, b"x"), (HEADS[0] % 1).replace(b": 1\r", b": " + digits + b"\r") + b"x"]
    assert run(Heads(), reads)[:2] == run(Blind(), reads)[:2]
    assert run(Heads(), reads)[2] == 1


def test_long_head_is_not_kept() -> None:
    """A connection's memory is bounded."""
    long = HEADS[0].replace(b"Host", b"X-Long: " + b"x" * HEAD_BYTES_MAX + b"\r\nHost") % 0
    assert run(Heads(), [long] * 3)[2] == 0


def test_what_was_noted_of_a_head_stays_with_it() -> None:
    """A request that is still running when another head is learned cannot note its facts there."""
    heads = Heads()
    heads.note(post(0, b""), _scope(HEADS[0]), True)
    first = heads.last
    heads.note(post(1, b""), _scope(HEADS[1]), True)
    assert first is not None
    first.facts = "of the first key"
    assert isinstance(heads.last, Head)
    assert heads.last.facts is None


def _scope(head: bytes) -> Scope:
    lines = [line.partition(b": ") for line in (head % 0).split(b"\r\n")[1:-2]]
    return {"type": "http", "method": "POST", "headers": [(name.lower(), value) for name, _, value in lines]}
