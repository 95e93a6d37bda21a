"""`[limits]` while an edge serves: whatever field is changed in the file, the new value holds without a restart.

Strategy: one edge, one scripted provider; each case is a field, the value that it is changed to, and what a caller then sees that
it could not see before. The fields come from the table's own struct, so that a new one without a case fails here.
"""

import ast
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from routing.table.config import Limits
from tests.answers import DONE, Answer, Gate, Step, completion, delta, event, respond, spoken, stream
from tests.patience import wait_until
from tests.processes import Account, Edge, Reply, figure, get, make_account, post
from tests.provider import Provider

ROOT = Path(__file__).parents[3]
WAIT_S = 20.0
ROOMY: dict[str, object] = {
    "body_bytes_max": 200_000,
    "body_rate_min": 1,
    "body_timeout_s": 600,
    "finish_timeout_s": 600,
    "keepalive_comment_s": 600,
    "reader_timeout_s": 600,
}
"""Before anything is changed no clock runs out while a test looks on, however slow the machine is."""
HEAD = "POST /v1/chat/completions HTTP/1.1\r\nhost: edge\r\ncontent-type: application/json\r\nauthorization: Bearer {key}\r\n"


class Line:
    """One caller's connection, read and written by hand; a context manager."""

    def __init__(self, edge: Edge, account: Account, receive_bytes: int = 0) -> None:
        self._key = account.key
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(("127.0.0.1", edge.port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, body: bytes, length: int = 0) -> None:
        """A request's head for a body of `length` bytes, and so much of it."""
        head = HEAD.format(key=self._key) + f"content-length: {length or len(body)}\r\n\r\n"
        self.socket.sendall(head.encode() + body)

    def until(self, text: bytes) -> bytes:
        """What comes up to `text`; the connection's end is a failure."""
        found = b""
        while text not in found:
            more = self.socket.recv(65_536)
            assert more, found
            found += more
        return found


def asked(model: str, **members: Any) -> dict[str, Any]:
    return {"model": f"mock/{model}", "messages": [{"role": "user", "content": "hi"}], **members}


class Stand(NamedTuple):
    edge: Edge
    account: Account
    provider: Provider

    def ask(self, model: str, **members: Any) -> Reply:
        return post(self.edge.port, asked(model, **members), self.account.headers)

    def line(self, receive_bytes: int = 0) -> Line:
        return Line(self.edge, self.account, receive_bytes)

    def script(self, model: str, answer: Answer) -> None:
        self.provider.script_by(model, lambda request: answer)


def table(provider: Provider, limits: dict[str, object]) -> str:
    section = "[limits]\n" + "".join(f"{name} = {value}\n" for name, value in (ROOMY | limits).items())
    price = '{ input = "1", output = "1" }'
    mock = f'[providers.mock]\nbase_url = "{provider.base_url}"\napi_key = "none"\nunlisted = {price}\n'
    return section + mock


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


def reload(stand: Stand, limits: dict[str, object]) -> None:
    """Put the file in force now. It is served on from the same process."""
    stand.edge.rewrite_providers(table(stand.provider, limits))
    done = post(stand.edge.admin_port, {}, {"x-tollway-control": "1"}, "/reload")
    assert (done.status, done.json()["succeeded"]) == (200, True), done.body


# What a caller sees of each limit, before (`is_roomy`) and after it is changed.


def body_bytes(stand: Stand, is_roomy: bool) -> None:
    stand.script("large", respond(completion()))
    assert stand.ask("large", user="x" * 5_000).status == (200 if is_roomy else 413)


def body_timeout(stand: Stand, is_roomy: bool) -> None:
    """The rest of a body never comes. Without the new value it is waited for ten minutes."""
    if not is_roomy:
        with stand.line() as line:
            line.send(b'{"mod', 5_000)
            assert b" 408 " in line.until(b"\r\n\r\n")


def body_rate(stand: Stand, is_roomy: bool) -> None:
    """Bytes come all the time, and fewer than have to."""
    with stand.line() as line:
        line.send(b"{", 600)
        line.socket.settimeout(0.05)
        until_s = time.monotonic() + (0.6 if is_roomy else WAIT_S)
        while time.monotonic() < until_s:
            try:
                assert b" 408 " in line.socket.recv(65_536)
                assert not is_roomy
                return
            except TimeoutError:
                line.socket.sendall(b" ")
        assert is_roomy


def header_count(stand: Stand, is_roomy: bool) -> None:
    stand.script("heads", respond(completion()))
    more = {f"x-more-{number}": "1" for number in range(20)}
    reply = post(stand.edge.port, asked("heads"), stand.account.headers | more)
    assert (reply.status == 200) == is_roomy, reply.body


def open_requests(stand: Stand) -> int:
    found: int = json.loads(get(stand.edge.admin_port, "/status").body)["open_requests"]
    return found


def reader_timeout(stand: Stand, is_roomy: bool) -> None:
    """It reads nothing of a stream that is larger than any buffer. Without the new value it may do that for ten minutes."""
    if not is_roomy:
        words = [delta(content="word " * 2_000) for _ in range(2_000)]
        stand.script("endless", stream([event(each) for each in words]))
        with stand.line(receive_bytes=4_096) as line:
            line.send(json.dumps(asked("endless", stream=True, max_tokens=100_000)).encode())
            stand.provider.wait_for_request("endless")
            wait_until(lambda: open_requests(stand) == 0)


def inflight_bytes(stand: Stand, is_roomy: bool) -> None:
    """Two bodies on their way, each within what one may have."""
    stand.script("both", respond(completion()))
    with stand.line() as first, stand.line() as second:
        first.send(b"{" + b" " * 100_000, 180_000)
        wait_until(lambda: figure(stand.edge, "tollway_body_bytes_held") >= 180_000)
        second.send(json.dumps(asked("both", user="x" * 150_000)).encode())
        assert (b" 200 " in second.until(b"\r\n\r\n")) == is_roomy
    wait_until(lambda: open_requests(stand) == 0)


def comments(stand: Stand, is_roomy: bool) -> None:
    """The provider says nothing. Without the new value nor do we, for ten minutes."""
    if not is_roomy:
        stand.script("silent", stream([Gate("silent"), *spoken()]))
        with stand.line() as line:
            line.send(json.dumps(asked("silent", stream=True)).encode())
            line.until(b": keep-alive\n\n")
            stand.provider.release("silent")
            line.until(b"[DONE]")


def finish(stand: Stand, is_roomy: bool) -> None:
    """The answer is finished, and its provider's goodbye does not come. Without the new value it is waited for ten minutes."""
    if not is_roomy:
        parts: list[Step] = [event(delta(content="hi")), event(delta("stop")), Gate("goodbye")]
        stand.script("unfinished", stream(parts))
        with stand.line() as line:
            line.send(json.dumps(asked("unfinished", stream=True)).encode())
            line.until(b"0\r\n\r\n")
        stand.provider.release("goodbye")


def response_bytes(stand: Stand, is_roomy: bool) -> None:
    stand.script("long", respond(completion("word " * 400_000)))
    assert (stand.ask("long").status == 200) == is_roomy


def line_bytes(stand: Stand, is_roomy: bool) -> None:
    stand.script("line", stream([event(delta(content="x" * 1_000_000)), event(delta("stop")), DONE]))
    assert (b"[DONE]" in stand.ask("line", stream=True).body) == is_roomy


def requests(stand: Stand, is_roomy: bool) -> None:
    """One is open; is there a place for another?"""
    gate = f"held-{is_roomy}"
    stand.script("held", stream([Gate(gate), *spoken()]))
    stand.script("beside", respond(completion()))
    with stand.line() as first:
        first.send(json.dumps(asked("held", stream=True)).encode())
        stand.provider.wait_for_request("held", 1 if is_roomy else 2)
        assert stand.ask("beside").status == (200 if is_roomy else 429)
        stand.provider.release(gate)
        first.until(b"[DONE]")
    wait_until(lambda: open_requests(stand) == 0)


def loop_lag(stand: Stand, is_roomy: bool) -> None:
    """No loop is as punctual as a millionth of a second."""
    stand.script("late", respond(completion()))
    if is_roomy:
        assert stand.ask("late").status == 200
    else:
        wait_until(lambda: stand.ask("late").status == 503)


class Case(NamedTuple):
    changes: dict[str, object]
    see: Callable[[Stand, bool], None]


CASES: dict[str, Case] = {
    "body_bytes_max": Case({"body_bytes_max": 4_096}, body_bytes),
    "body_timeout_s": Case({"body_timeout_s": 0.3}, body_timeout),
    "body_rate_min": Case({"body_rate_min": 1_000_000, "body_timeout_s": 0.3}, body_rate),
    "header_count_max": Case({"header_count_max": 16}, header_count),
    "reader_timeout_s": Case({"reader_timeout_s": 0.5}, reader_timeout),
    "inflight_body_bytes_max": Case({"inflight_body_bytes_max": 200_000}, inflight_bytes),
    "keepalive_comment_s": Case({"keepalive_comment_s": 0.3}, comments),
    "finish_timeout_s": Case({"finish_timeout_s": 0.3}, finish),
    "response_bytes_max": Case({"response_bytes_max": 20_000, "line_bytes_max": 20_000}, response_bytes),
    "line_bytes_max": Case({"line_bytes_max": 20_000}, line_bytes),
    "open_requests_max": Case({"open_requests_max": 2}, requests),
    "loop_lag_max_s": Case({"loop_lag_max_s": 0.000001}, loop_lag),
}


@pytest.fixture(scope="module")
def stand(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """With the roomy limits each caller sees what it sees without a limit."""
    with (edge := Edge(tmp_path_factory.mktemp("limits"), table(provider, {}))):
        made = Stand(edge, make_account(edge, "limits", "100.00"), provider)
        for case in CASES.values():
            case.see(made, True)
        yield made


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_limit_that_is_changed_holds_at_once(stand: Stand, name: str) -> None:
    """Each field of the table; a new one needs a case above."""
    case = CASES[name]
    reload(stand, case.changes)
    case.see(stand, False)


def test_limits_are_copied_by_nobody() -> None:
    """Whoever reads `config.limits` has what it was at that moment: only the table does, which hands it on."""
    found = []
    for path in (ROOT / "edge").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "limits" and ast.unparse(node.value).endswith("config"):
                found.append(path.relative_to(ROOT).as_posix())
    assert found == ["edge/providers/table.py"]
