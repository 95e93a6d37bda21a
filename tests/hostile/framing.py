"""Conversations that try to make two readers disagree on where a request ends; and a plain reading of RFC 9112 beside ours.

Rule: what our server serves is what the plain reading reads at that place: method, target and body, or it is refused. It may
refuse more than the plain reading does. Strategy: a conversation is made of right pieces and some wrong ones, then some bytes of
it are changed, and it is cut where a network might cut it. Everything follows from the seed.
"""

import asyncio
import re
import time
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from starlette.types import Scope

from edge.downstream.admission import Admission
from edge.downstream.connection import Connection
from edge.downstream.request import Request
from edge.downstream.server import Server
from edge.write_batch import Refusable, WriteBatch


class Asked(NamedTuple):
    method: str
    target: bytes
    body: bytes


METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH")
TARGETS = (b"/", b"/v1/chat/completions", b"/a?b=c", b"/%41", b"*", b"http://edge/a", b"//a", b"/a b", b"", b"/\x00", b"/\xe4")
VERSIONS = (
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/0.9",
    b"HTTP/1.1 ",
    b"http/1.1",
    b"",
)
SPACES = (b" ",) * 20 + (b"  ", b"\t", b" \t", b"\x0b", b"")
ENDS = (b"\r\n",) * 30 + (b"\n", b"\r", b"\r\r\n", b"\n\r\n", b" \r\n", b"\r\n ")
LENGTHS = (b"%d", b" %d", b"%d ", b"+%d", b"-%d", b"0x%x", b"0%d", b"%d,%d", b"%d;", b"\t%d", b"%d\x0b", b'"%d"', b"%d.0", b"1%d")
CODINGS = (
    b"chunked",
    b"chunked",
    b"Chunked",
    b" chunked",
    b"chunked ",
    b"chunked\t",
    b"xchunked",
    b"chunked, chunked",
    b"gzip, chunked",
    b"chunked, identity",
    b"identity",
    b"chunked;q=1",
    b"\x0bchunked",
    b"chun\x00ked",
    b"",
)
NAMES: dict[bytes, tuple[bytes, ...]] = {
    b"l": (b"Content-Length",) * 8
    + (b"content-length", b"Content-Length ", b"Content_Length", b" Content-Length", b"Content-Length\x00")
}
NAMES[b"t"] = (b"Transfer-Encoding",) * 8 + (
    b"transfer-encoding",
    b"Transfer-Encoding ",
    b"Transfer_Encoding",
    b"\tTransfer-Encoding",
)
OTHERS = (
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: Upgrade\r\nUpgrade: h2c",
    b"Expect: 100-continue",
    b"X: a\r\n b",
    b"X: \xff\xfe",
    b"X : a",
    b"X",
    b": a",
    b"X: a\x00b",
    b"Host: b",
    b"X:" + b"y" * 300,
)
NASTY = (
    b"\r",
    b"\n",
    b"\r\n",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b"0\r\n\r\n",
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\xff",
    b"5",
    b";",
    b",",
)


def conversation(random: Random) -> list[bytes]:
    """What one caller sends, read by read: one to three requests."""
    data = b"".join(_request(random) for _ in range(random.choice((1, 2, 2, 3))))
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        at, length = random.randrange(len(data) + 1), random.choice((0, 0, 1, 2))
        data = data[:at] + random.choice((random.choice(NASTY), bytes([random.randrange(256)]), b"")) + data[at + length :]
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((0, 0, 1, 2, 5))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]


def _mostly(random: Random, choices: tuple[bytes, ...], share: float = 0.9) -> bytes:
    """The first, which is right, or any."""
    return choices[0] if random.random() < share else random.choice(choices)


def _request(random: Random) -> bytes:
    body = bytes(random.choices(b"ab\r\n0: ", k=random.choice((0, 1, 5, 30))))
    lines = [b"Host: edge"] if random.random() < 0.97 else []
    kind = random.choice(("none", "length", "length", "chunks", "chunks", "both"))
    if kind in ("length", "both"):
        form = _mostly(random, LENGTHS)
        lines.append(_mostly(random, NAMES[b"l"]) + b": " + form % ((len(body),) * form.count(b"%")))
        if random.random() < 0.03:
            lines.append(b"Content-Length: %d" % random.choice((len(body), 0, 7)))
    if kind in ("chunks", "both"):
        lines.append(_mostly(random, NAMES[b"t"]) + b": " + _mostly(random, CODINGS))
    if random.random() < 0.3:
        lines.append(random.choice(OTHERS))
    random.shuffle(lines)
    line = _mostly(random, SPACES, 0.97).join((random.choice(METHODS), _mostly(random, TARGETS), _mostly(random, VERSIONS, 0.95)))
    end = _mostly(random, ENDS, 0.97)
    head = end.join([line, *lines]) + _mostly(random, ENDS, 0.97) + b"\r\n"
    return head + (_chunks(random, body) if kind in ("chunks", "both") else body if kind == "length" else b"")


def _chunks(random: Random, body: bytes) -> bytes:
    sent = b""
    while body:
        size = random.randrange(1, len(body) + 1)
        form = _mostly(random, (b"%x", b"%X", b"0%x", b"%x;a=b", b"%x ;a", b"0x%x", b" %x", b"%x ", b"+%x", b"%x\n", b"%x;\x00"))
        sent += form % size + _mostly(random, ENDS, 0.98) + body[:size] + _mostly(random, ENDS, 0.98)
        body = body[size:]
    last = _mostly(random, (b"0", b"00", b"0;x", b"-0", b""))
    return sent + last + b"\r\n" + _mostly(random, (b"", b"T: x\r\n", b"Content-Length: 5\r\n", b" x\r\n")) + b"\r\n"


_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE = re.compile(rb"([A-Z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])\Z")
_HEADER = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)\Z")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?\Z")


class Bad(Exception):
    """It cannot be read without doubt."""


def plain_reading(data: bytes) -> tuple[list[Asked], bool]:
    """The requests that are there whole, one behind the other as RFC 9112 has them, and whether something else follows them."""
    asked: list[Asked] = []
    try:
        while True:
            data = data.lstrip(b"\r\n")
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                return asked, False
            request, is_last, data = _read_one(head, rest)
            if request is None:
                return asked, False
            asked.append(request)
            if is_last:
                return asked, False
    except Bad:
        return asked, True


def _read_one(head: bytes, rest: bytes) -> tuple[Asked | None, bool, bytes]:
    line, *rows = head.split(b"\r\n")
    match = _LINE.match(line)
    if match is None:
        raise Bad
    method, target, minor = match.groups()
    headers = [_header(row) for row in rows]
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    options = b",".join(value.lower() for name, value in headers if name == b"connection")
    connection = {option.strip(b" \t") for option in options.split(b",")}
    if len(lengths) > 1 or (lengths and codings) or len(codings) > 1 or not all(value.isdigit() for value in lengths):
        raise Bad
    if codings and (codings != [b"chunked"] or minor == b"0"):
        raise Bad
    is_last = (minor == b"0" and b"keep-alive" not in connection) or b"close" in connection
    if codings:
        body, data = _dechunk(rest)
    else:
        size = int(lengths[0]) if lengths else 0
        body, data = (rest[:size], rest[size:]) if len(rest) >= size else (None, b"")
    return (None if body is None else Asked(method.decode(), target, body)), is_last, data


def _header(row: bytes) -> tuple[bytes, bytes]:
    match = _HEADER.match(row)
    if match is None:
        raise Bad
    return match[1].lower(), match[2].strip(b" \t")


def _dechunk(rest: bytes) -> tuple[bytes | None, bytes]:
    body = b""
    while True:
        line, found, rest = rest.partition(b"\r\n")
        if not found:
            return None, b""
        match = _CHUNK.match(line)
        if match is None:
            raise Bad
        size = int(match[1], 16)
        if size == 0:
            break
        if len(rest) < size + 2:
            return None, b""
        if rest[size : size + 2] != b"\r\n":
            raise Bad
        body, rest = body + rest[:size], rest[size + 2 :]
    while True:
        line, found, rest = rest.partition(b"\r\n")
        if not found:
            return None, b""
        if not line:
            return body, rest
        _header(line)


class Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written.append(data)

    def write_eof(self) -> None:
        self.is_closed = True

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _Now(WriteBatch):
    def write(self, transport: asyncio.Transport, data: bytes, request: Refusable | None = None) -> None:
        transport.write(data)


class _Host:
    """As much of a server as a connection needs; each request is answered as soon as it is whole."""

    date = b"date: now\r\n"
    is_stopping = is_closing = False
    ahead_bytes = 0
    ahead_bytes_max = 1 << 20

    def __init__(self) -> None:
        self.loop = SimpleNamespace(time=time.monotonic, call_soon=lambda function: function())
        self.write_batch = _Now()
        self.admission = Admission(1 << 20)
        self.begun: list[tuple[Request, Scope]] = []

    def admit(self, connection: Connection) -> int:
        return 0

    def run(self, request: Request, scope: Scope) -> None:
        self.begun.append((request, scope))


def served_by_ours(reads: list[bytes]) -> tuple[list[Asked], bool]:
    """What our server serves, and whether it refused something. Each answer comes after the read in which its request ended."""
    host, wire = _Host(), Wire()
    connection = Connection(cast(Server, host))
    connection.connection_made(wire)
    connection.has_spoken = True  # or it would ask a socket, which there is none of, whether its caller stays
    asked: list[Asked] = []
    for data in reads:
        if wire.is_closed:
            break
        connection.data_received(data)
        while host.begun and host.begun[0][0].is_complete:
            request, scope = host.begun.pop(0)
            body = _received(request)
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            asked.append(Asked(scope["method"], scope["raw_path"] + query, body))
            _step(request)
    return asked, any(data.startswith(b"HTTP/1.1 4") for data in wire.written)


def _received(request: Request) -> bytes:
    """The body of a request that is complete, which is received without waiting."""
    try:
        request.receive().send(None)
    except StopIteration as stop:
        return bytes(stop.value["body"])
    raise AssertionError("it has to be waited for")


def _step(request: Request) -> None:
    for message in ({"type": "http.response.start", "status": 200, "headers": []}, {"type": "http.response.body"}):
        coroutine = request.send(message)
        try:
            coroutine.send(None)
        except StopIteration:
            continue


def differs(reads: list[bytes]) -> str:
    """Why our server's reading is not the plain one; empty when it is, or is stricter."""
    served, _ = served_by_ours(reads)
    read, _ = plain_reading(b"".join(reads))
    for at, one in enumerate(served):
        if at >= len(read):
            return f"served {one}, which cannot be read without doubt"
        other = read[at]
        if (one.method, one.body) != (other.method, other.body) or (other.target.startswith(b"/") and _differs(one, other)):
            return f"served {one}, which reads {other}"
    return ""


def _differs(one: Asked, other: Asked) -> bool:
    """A target's fragment is no part of what is served, nor an empty query."""
    return one.target != other.target.partition(b"#")[0].removesuffix(b"?") and not other.target.startswith(b"//")
