"""Attacks at full size on a real edge, with an honest caller beside them: the short form of `scripts/soak hostile`."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.beside import Target, beside
from tests.processes import Edge, make_account, post

MIB_MAX = 512
WAIT_S_MAX = 15.0
"""On a machine that does other things; `scripts/soak hostile` prints what it is on one that does not."""
SECONDS = 3.0
BURST = 400
QUEUE = Path("/proc/sys/net/core/somaxconn")
LIMITED = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, Target]]:
    with Edge(tmp_path_factory.mktemp("hostile"), "") as edge:
        rich, broke, honest = (
            make_account(edge, name, credit) for name, credit in (("a", "1000"), ("b", "0.000001"), ("c", "1000"))
        )
        yield edge, Target(edge.port, rich.key, broke.key, honest.key, edge.pid)


@pytest.mark.parametrize(
    "name",
    [
        "pipelining",
        "large bodies",
        "bodies without end",
        "many members",
        "many parts",
        "tiny chunks",
        "anonymous account reads",
        "invented keys",
        "readers of nothing",
        "traceback hunters",
        "leavers",
        "leavers of whole answers",
        "leavers with patience",
        "paid flood",
        "paid pipelines",
    ],
)
def test_honest_caller_is_served_beside_an_attack(name: str, target: tuple[Edge, Target]) -> None:
    """None of its requests fails or waits for long; memory stays within what fly.toml gives; no traceback."""
    edge, aimed = target
    figures = asyncio.run(beside(name, aimed, SECONDS))
    assert figures.failed == 0, figures
    assert figures.asked > 0
    assert figures.peak_mib < MIB_MAX, figures
    assert figures.longest_s < WAIT_S_MAX, figures
    assert "Traceback" not in edge.log


def test_silent_connections_leave_descriptors_for_others(tmp_path: Path) -> None:
    """With 256 descriptors and 400 silent connections newcomers are served at once, and half of them stay free; it is logged."""
    edge = Edge(tmp_path, "")
    edge.command = [sys.executable, "-c", LIMITED, *edge.command]
    with edge, contextlib.ExitStack() as silent:
        account = make_account(edge, "acct")
        for _ in range(400):
            with contextlib.suppress(OSError):
                silent.enter_context(socket.create_connection(("127.0.0.1", edge.port), timeout=5))
        for _ in range(20):
            asked = {"model": "echo/echo-1", "messages": [{"role": "user", "content": "x"}]}
            assert post(edge.port, asked, account.headers).status == 200
        assert "those that do nothing are closed for new ones" in edge.log
        assert len(os.listdir(f"/proc/{edge.pid}/fd")) < 200


@pytest.mark.skipif(QUEUE.exists() and int(QUEUE.read_text()) < BURST, reason="this kernel lets fewer connections wait")
def test_request_is_served_in_the_midst_of_a_burst_of_silent_connections(tmp_path: Path) -> None:
    """All of them wait to be accepted when the edge, with 256 descriptors, comes to its next turn: none is reset unheard."""
    edge = Edge(tmp_path, "")
    edge.command = [sys.executable, "-c", LIMITED, *edge.command]
    body = json.dumps({"model": "echo/echo-1", "messages": [{"role": "user", "content": "x"}]}).encode()
    with edge, contextlib.ExitStack() as burst:
        account = make_account(edge, "acct")
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {account.key}"
        callers = []
        os.kill(edge.pid, signal.SIGSTOP)
        try:
            for number in range(BURST):
                connection = burst.enter_context(socket.create_connection(("127.0.0.1", edge.port), timeout=20))
                if number % 40 == 20:
                    connection.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                    callers.append(connection)
        finally:
            os.kill(edge.pid, signal.SIGCONT)
        assert [connection.recv(65_536)[:12] for connection in callers] == [b"HTTP/1.1 200"] * 10


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/credits%0A", 404), ("/v1/generation?id=" + "'" * 30_000, 400), ("/healthz%0A", 404)]
)
def test_path_that_no_library_takes_is_refused(path: str, status: int, target: tuple[Edge, Target]) -> None:
    """Before it reaches one, in the API's words."""
    edge, aimed = target
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {aimed.key}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as caller:
        caller.sendall(head.encode())
        got = b"".join(iter(lambda: caller.recv(65_536), b""))
    assert int(got.split()[1]) == status
    assert "error" in json.loads(got.partition(b"\r\n\r\n")[2])
